/** Many positions by dimension as a heat map, and below it, on the same axis, the dimensions one chooses as curves. */

import type { Page } from "../registry";
import { Chart, type Series } from "../draw/chart";
import { Heat } from "../draw/heat";
import { legend } from "../draw/legend";
import { categorical, diverging } from "../draw/ramps";
import { toggles } from "../draw/toggles";
import { caption } from "../draw/words";
import { el } from "../draw/el";
import { positionName, signedEntry, upTo, type Matrix } from "./matrix";

export interface Values {
  readonly page: Page;
  readonly map: HTMLElement;
  readonly lines: HTMLElement;
  readonly values: Matrix; // [P, d]
  readonly labels: readonly string[];
  readonly name: (dimension: number) => string;
  readonly most: number; // the strongest colour stands for this
  readonly wave?: (dimension: number, position: number) => number; // between positions too, where there is a formula
}

const LEFT = 72; // of both, so that a position stands above itself
const HEIGHT = 300;

export function valuesMap(given: Values): void {
  const { page, values, name } = given;
  const curves = el("div");
  const first = firstDimensions(values.columns);
  const choice = toggles(
    "Dimensions drawn",
    upTo(values.columns).map((i) => ({ name: name(i), colour: () => categorical(page.theme, i) })),
    new Set(first),
    (on) => chart.show(on.map((i) => line(given, i))),
  );
  page.onTheme(choice.recolour);
  given.lines.append(choice.host, curves);
  heatMap(given, choice.flip);
  const chart = curveChart(given, curves);
  chart.show(first.map((i) => line(given, i)));
}

function heatMap({ page, map, values, labels, name, most }: Values, flip: (dimension: number) => void): void {
  const [plot, key] = [el("div"), legend(page, diverging, short(-most), short(most), "0")];
  const explained = caption("Click a row to draw its curve. The words of the text stand at their positions.");
  map.append(plot, el("div", { class: "below" }, key, explained));
  new Heat(plot, page, {
    label: `Values of ${values.columns} dimensions at ${values.rows} positions`,
    rows: values.columns,
    columns: values.rows,
    table: diverging,
    left: LEFT,
    cell: Infinity,
    least: 1,
    words: Math.min(labels.length, values.rows),
    rowHeight: Math.max(1, Math.min(26, Math.floor(HEIGHT / values.columns))),
    entry: (dimension, position) => signedEntry(values.at(position, dimension), most),
    read: (dimension, position) => [
      "position ",
      ...positionName(labels, position),
      `, ${name(dimension)}: ${exact(values.at(position, dimension))}`,
    ],
    rowName: name,
    columnName: (position) => labels[position] ?? String(position),
    strongColumn: (position) => position < labels.length,
    onPick: flip,
  });
}

function curveChart({ page, values, labels, most, wave }: Values, host: HTMLElement): Chart {
  return new Chart(host, page, {
    label: "Values of the chosen dimensions by position",
    xs: upTo(values.rows),
    left: LEFT,
    xName: "position",
    yName: "value",
    ...(wave ? { range: [-most, most] as const } : {}),
    readX: (index) => ["position ", ...positionName(labels, index)],
    readY: exact,
  });
}

function line({ values, name, wave }: Values, dimension: number): Series {
  return {
    name: name(dimension),
    group: dimension,
    ys: upTo(values.rows).map((position) => values.at(position, dimension)),
    ...(wave ? { between: (position: number) => wave(dimension, position) } : {}),
  };
}

/** The first pair, and one from the middle: fast and slow. */
function firstDimensions(count: number): number[] {
  return [...new Set([0, 1, Math.floor(count / 4) * 2, Math.floor(count / 4) * 2 + 1])].filter((i) => i < count);
}

function exact(value: number): string {
  return value.toFixed(5).replace("-", "−");
}

function short(value: number): string {
  return String(Number(value.toPrecision(2))).replace("-", "−");
}
