/** A learned table of positions: its values, its curves, and the cosines between positions. */

import type { Page } from "../registry";
import { section } from "../draw/words";
import { largest, matrix, phrase } from "./matrix";
import { productsMap } from "./products";
import { valuesMap } from "./values";

export interface Learned {
  readonly scheme: "learned";
  readonly labels: readonly string[];
  readonly d: number;
  readonly curvesKey: string;
  readonly dotsKey: string;
}

export async function showLearned(view: Learned, page: Page, host: HTMLElement): Promise<void> {
  const [curves, cosines] = await Promise.all([page.array(view.curvesKey), page.array(view.dotsKey)]);
  const values = matrix(curves);
  const [map, lines, products] = [
    section("Every position"),
    section("Single dimensions"),
    section("Cosines of positions"),
  ];
  const labels = phrase(view.labels);
  host.append(map, lines, products);
  // A few trained dimensions are far larger than the rest; at their scale, the others would all look alike.
  const most = Math.min(largest(values), 4 * deviation(curves.data));
  valuesMap({ page, map, lines, values, labels, name: (i) => `dim ${i}`, most });
  productsMap(page, products, matrix(cosines), labels, "cosine");
}

function deviation(data: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < data.length; i++) squares += data[i]! ** 2;
  return Math.sqrt(squares / Math.max(1, data.length));
}
