/** ALiBi (Press et al. 2021): scores fall by a straight line with distance, steeper in some heads than in others. */

import type { Page } from "../registry";
import { caption, section } from "../draw/words";
import { headLines } from "./heads";
import { matrix, upTo } from "./matrix";

export interface Alibi {
  readonly scheme: "alibi";
  readonly slopes: readonly number[];
  readonly curvesKey: string;
}

export async function showAlibi(view: Alibi, page: Page, host: HTMLElement): Promise<void> {
  const curves = matrix(await page.array(view.curvesKey));
  const part = section("What distance takes from a score");
  host.append(part);
  headLines(page, part, {
    label: "Bias by distance, one line per head",
    values: curves,
    xs: upTo(curves.columns),
    xName: "distance to the key",
    name: (head) => `head ${head} (slope ${Number(view.slopes[head]!.toPrecision(4))})`,
  });
  part.append(caption("A head with a steep line looks only at what is near; a head with a flat one sees far."));
}
