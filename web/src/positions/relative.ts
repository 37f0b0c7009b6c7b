/** Relative positions of T5 (Raffel et al. 2019, section 2.1): buckets of distances, and a bias per head for each. */

import type { Page } from "../registry";
import { Chart } from "../draw/chart";
import { el } from "../draw/el";
import { caption, section } from "../draw/words";
import { headLines } from "./heads";
import { matrix } from "./matrix";

export interface Relative {
  readonly scheme: "relative";
  readonly bidirectional: boolean;
  readonly buckets: readonly number[];
  readonly distances: readonly number[];
  readonly biasKey: string;
  readonly stack: string;
}

export async function showRelative(view: Relative, page: Page, host: HTMLElement): Promise<void> {
  const bias = matrix(await page.array(view.biasKey));
  const [stairs, lines] = [section("The bucket of each distance"), section("What each head adds")];
  host.append(stairs, lines);
  const plot = el("div");
  stairs.append(plot, caption(explained(view)));
  const chart = new Chart(plot, page, {
    label: "Bucket by distance",
    xs: view.distances,
    xName: "key position − query position",
    yName: "bucket",
    steps: true,
    readX: (index) => [`distance ${view.distances[index]}`],
    readY: String,
  });
  chart.show([{ name: "bucket", group: 0, ys: view.buckets }]);
  headLines(page, lines, {
    label: "Bias by distance, one line per head",
    values: bias,
    xs: view.distances,
    xName: "key position − query position",
    name: (head) => `head ${head}`,
    steps: true,
  });
}

function explained(view: Relative): string {
  const sides = view.bidirectional
    ? "with buckets of their own for keys that follow"
    : "keys that follow are never seen";
  const shared = "near distances have a bucket each, farther ones share wider and wider buckets";
  return `In the ${view.stack}: ${shared}; ${sides}.`;
}
