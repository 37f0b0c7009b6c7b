/** Before and after an edit: what the model would say, how far that moved, and which layers carried the change. */

import "../styles/figures.css";
import "../styles/comparison.css";
import { valueAt, type LensArray } from "../contract";
import { divergenceBars, NARROWEST, WIDEST } from "../comparison/divergence";
import { sideBySide, type Comparison } from "../comparison/pairs";
import { el } from "../draw/el";
import { magnitude } from "../draw/extremes";
import { quoted } from "../draw/format";
import { Heat } from "../draw/heat";
import { ROOT, rootEntry, rootLegend } from "../draw/legend";
import { sequential } from "../draw/ramps";
import { caption, section } from "../draw/words";
import { register, type Page } from "../registry";

const LEFT = 84; // of the bars and of the map, so that a token stands below itself

register<Comparison>("comparison", async (view, page, host) => {
  const change = await page.array(view.changeKey);
  const names = page.tokens(view.list).map((token) => token.text);
  const pair = el("div", { class: "pair", "aria-live": "polite" });
  const bars = divergenceBars({ view, page, names, left: LEFT, choose });
  function choose(index: number): void {
    bars.choose(index);
    sideBySide(view, index, names, pair);
  }
  const edits = el(
    "ul",
    { class: "edits", "aria-label": "Edits" },
    ...view.edits.map((edit) => el("li", {}, el("bdi", {}, edit))),
  );
  const layers = section("Change of each layer's output");
  const moved = section(
    "How far the next word moved",
    bars.host,
    caption(
      "Kullback-Leibler divergence from before to after, in nats, at each token. " +
        "Choose a bar to compare what is likely next.",
    ),
  );
  const says = view.divergence.length > 0; // an encoder without a head says nothing: its layers alone are compared
  host.append(edits, ...(says ? [moved, pair] : []), layers);
  if (says) bars.draw();
  scrollTogether(bars.host, changeMap(view, change, names, page, layers, says ? choose : () => {}));
  if (says) choose(view.divergence.indexOf(Math.max(...view.divergence)));
});

function changeMap(
  view: Comparison,
  change: LensArray,
  names: readonly string[],
  page: Page,
  host: HTMLElement,
  choose: (index: number) => void,
): HTMLElement {
  const [rows = 0, columns = 0] = change.shape;
  const at = (row: number, column: number) => valueAt(change, row * columns + column);
  const most = magnitude(change);
  const [plot, key] = [el("div"), rootLegend(page, sequential, most, percent)];
  const explained = caption(`Length of the difference, relative to the output before the edit. ${ROOT}`);
  host.append(plot, el("div", { class: "below" }, key, explained));
  new Heat(plot, page, {
    label: "Relative change by layer and token",
    rows,
    columns,
    table: sequential,
    upwards: true,
    words: columns,
    left: LEFT,
    cell: WIDEST,
    least: NARROWEST,
    rowHeight: Math.max(9, Math.min(22, Math.floor(340 / Math.max(1, rows)))),
    entry: (row, column) => rootEntry(at(row, column), most),
    read: (row, column) => [
      `${view.rows[row] ?? row} at `,
      quoted(names[column] ?? ""),
      `: ${percent(at(row, column))}`,
    ],
    rowName: (row) => view.rows[row] ?? String(row),
    columnName: (column) => names[column] ?? String(column),
    onPick: (_, column) => {
      if (view.positions.includes(column)) choose(view.positions.indexOf(column));
    },
  });
  return plot;
}

/** Bars of a long text stay above their columns. */
function scrollTogether(...hosts: readonly HTMLElement[]): void {
  for (const host of hosts) {
    host.addEventListener("scroll", () => hosts.forEach((other) => (other.scrollLeft = host.scrollLeft)));
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.01 ? 3 : 1)} %`;
}
