/** How far words reach: what each position changes in each other, by model, and on average by distance. */

import "../styles/figures.css";
import { valueAt, type LensArray, type View } from "../contract";
import { Chart } from "../draw/chart";
import { el } from "../draw/el";
import { magnitude } from "../draw/extremes";
import { quoted, weight } from "../draw/format";
import { Heat } from "../draw/heat";
import { ROOT, rootEntry, rootLegend } from "../draw/legend";
import { sequential } from "../draw/ramps";
import { caption, section } from "../draw/words";
import { register, type Page } from "../registry";

interface Influence extends View {
  readonly list: string;
  readonly matrices: readonly {
    readonly name: string;
    readonly key: string;
    readonly summary: readonly { readonly distance: number; readonly mean: number }[];
  }[];
}

register<Influence>("influence", async (view, page, host) => {
  const arrays = await Promise.all(view.matrices.map((one) => page.array(one.key)));
  const most = Math.max(0, ...arrays.map(magnitude)); // one scale, so that maps can be compared
  const maps = view.matrices.map((one, i) => map(one.name, arrays[i]!, most, view.list, page));
  const distances = section("By distance");
  host.append(
    el("div", { class: "maps" }, ...maps.map((one) => one.host)),
    el(
      "div",
      { class: "below" },
      rootLegend(page, sequential, most, weight),
      caption(`A row is the word that is influenced, a column the word that influences it. ${ROOT}`),
    ),
    distances,
  );
  maps.forEach((one) => one.draw());
  byDistance(view, page, distances);
});

function map(
  name: string,
  array: LensArray,
  most: number,
  list: string,
  page: Page,
): { host: HTMLElement; draw: () => void } {
  const [plot, tokens] = [el("div"), page.tokens(list)];
  const [rows = 0, columns = 0] = array.shape;
  const at = (row: number, column: number) => valueAt(array, row * columns + column);
  const text = (i: number) => tokens[i]?.text ?? String(i);
  const draw = () =>
    new Heat(plot, page, {
      label: `${name}: influence of every word on every other`,
      rows,
      columns,
      table: sequential,
      words: columns,
      least: 3,
      cell: 26,
      entry: (row, column) => rootEntry(at(row, column), most),
      read: (row, column) => [
        quoted(text(column)),
        ` (${column}) on `,
        quoted(text(row)),
        ` (${row}): ${weight(at(row, column))}`,
      ],
      rowName: text,
      columnName: text,
    });
  return { host: section(name, plot), draw };
}

function byDistance(view: Influence, page: Page, host: HTMLElement): void {
  const plot = el("div");
  host.append(plot);
  const distances = [...new Set(view.matrices.flatMap((one) => one.summary.map((mean) => mean.distance)))].sort(
    (a, b) => a - b,
  );
  const chart = new Chart(plot, page, {
    label: "Mean influence by distance",
    xs: distances,
    xName: "distance in tokens",
    yName: "mean influence (logarithmic)",
    log: true,
    height: 260,
    left: 64,
    readX: (index) => [`distance ${distances[index]}`],
    readY: (value) => value.toPrecision(4),
  });
  chart.show(
    view.matrices.map((one, group) => {
      const means = new Map(one.summary.map((mean) => [mean.distance, mean.mean]));
      return { name: one.name, group, ys: distances.map((distance) => means.get(distance) ?? NaN) };
    }),
  );
  host.append(chart.colours());
}
