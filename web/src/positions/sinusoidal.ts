/** Sines and cosines: the table of a phrase, the map and the curves it is cut from, and products between positions. */

import type { Page } from "../registry";
import { caption, section } from "../draw/words";
import { formula } from "./formula";
import { matrix } from "./matrix";
import { pairing, type Wave } from "./pairing";
import { productsMap } from "./products";
import { positionTable } from "./table";
import { valuesMap } from "./values";

export interface Sinusoidal {
  readonly scheme: "sinusoidal";
  readonly list: string | null;
  readonly labels: readonly string[];
  readonly n: number;
  readonly d: number;
  readonly matrixKey: string;
  readonly dotsKey: string;
  readonly curvesKey: string;
}

export async function showSinusoidal(view: Sinusoidal, page: Page, host: HTMLElement): Promise<void> {
  const [table, dots, curves] = await Promise.all([
    page.array(view.matrixKey),
    page.array(view.dotsKey),
    page.array(view.curvesKey),
  ]);
  const all = matrix(curves);
  const name = pairing(all.row(0));
  const [map, lines, products] = [
    section("Every position"),
    section("The waves behind it"),
    section("Products of positions"),
  ];
  host.append(
    section(
      "The position of each word",
      formula(view.n, view.d),
      positionTable(matrix(table), view.labels, name, page),
      caption("Rest on a number, or move with the arrow keys, to read all of its digits."),
    ),
    map,
    lines,
    products,
  );
  valuesMap({
    page,
    map,
    lines,
    values: all,
    labels: view.labels,
    name: (i) => `i=${name(i).pair} ${name(i).wave}`,
    most: 1,
    wave: waves(view, name),
  });
  productsMap(page, products, matrix(dots), view.labels, "dot product");
}

/** The formula, which has values between positions too: curves that are cut at every whole number. */
function waves(view: Sinusoidal, name: (dimension: number) => Wave): (dimension: number, position: number) => number {
  return (dimension, position) => {
    const { pair, wave } = name(dimension);
    return Math[wave](position / view.n ** ((2 * pair) / view.d));
  };
}
