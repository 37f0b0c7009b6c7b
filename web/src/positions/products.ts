/** How alike positions are: a heat map of products between them. */

import type { Page } from "../registry";
import { el } from "../draw/el";
import { Heat } from "../draw/heat";
import { legend } from "../draw/legend";
import { diverging } from "../draw/ramps";
import { caption } from "../draw/words";
import { largest, positionName, signedEntry, type Matrix } from "./matrix";

export function productsMap(
  page: Page,
  host: HTMLElement,
  products: Matrix,
  labels: readonly string[],
  what: string,
): void {
  const plot = el("div");
  const most = largest(products);
  const end = String(Number(most.toPrecision(2)));
  host.append(
    plot,
    el(
      "div",
      { class: "below" },
      legend(page, diverging, `−${end}`, end, "0"),
      caption(`The ${what} of every two positions: large where they are alike.`),
    ),
  );
  new Heat(plot, page, {
    label: `The ${what} of every two positions`,
    rows: products.rows,
    columns: products.columns,
    table: diverging,
    cell: Math.max(2, Math.min(22, 460 / products.columns)),
    least: 1,
    left: 72,
    words: Math.min(labels.length, products.columns),
    entry: (a, b) => signedEntry(products.at(a, b), most),
    read: (a, b) => [
      ...positionName(labels, a),
      " · ",
      ...positionName(labels, b),
      `: ${products.at(a, b).toFixed(4).replace("-", "−")}`,
    ],
    rowName: (position) => labels[position] ?? String(position),
    columnName: (position) => labels[position] ?? String(position),
    strongRow: (position) => position < labels.length,
    strongColumn: (position) => position < labels.length,
  });
}
