/** Positions as a table of numbers: a row per word, a column per dimension. */

import type { Page } from "../registry";
import { el } from "../draw/el";
import { css, diverging, inkOn } from "../draw/ramps";
import { roving } from "../draw/roving";
import { tip } from "../draw/tooltip";
import { word } from "../draw/words";
import { signedEntry, upTo, type Matrix } from "./matrix";
import type { Wave } from "./pairing";

const MOST_CELLS = 6000; // elements that a page can hold at ease; the heat map shows the rest

export function positionTable(
  values: Matrix,
  labels: readonly string[],
  name: (dimension: number) => Wave,
  page: Page,
): HTMLElement {
  const shown = Math.min(values.columns, Math.max(8, Math.floor(MOST_CELLS / Math.max(1, values.rows))));
  const head = upTo(shown).map((i) => el("th", { scope: "col" }, el("i", {}, "i"), `=${name(i).pair} ${name(i).wave}`));
  const cells: HTMLElement[] = [];
  const rows = upTo(values.rows).map((row) => {
    const numbers = upTo(shown).map((column) => cell(values.at(row, column), labels[row] ?? "", name(column)));
    cells.push(...numbers);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("span", { class: "position" }, row), " ", word(labels[row] ?? "", 24)),
      ...numbers,
    );
  });
  const table = el(
    "table",
    { class: "positions-table numbers" },
    el("thead", {}, el("tr", {}, el("th", {}), ...head)),
    el("tbody", {}, ...rows),
  );
  roving(
    table,
    () => cells,
    () => shown,
  );
  const paint = () => cells.forEach((one) => colour(one, page));
  paint();
  page.onTheme(paint);
  const more =
    shown < values.columns
      ? el("p", { class: "caption" }, `The first ${shown} of ${values.columns} dimensions.`)
      : null;
  return el("div", {}, el("div", { class: "scroll" }, table), ...(more ? [more] : []));
}

function cell(value: number, label: string, { pair, wave }: Wave): HTMLElement {
  const made = el("td", { "data-value": value }, value.toFixed(3).replace("-", "−"));
  tip(made, () => [el("div", {}, word(label, 40), ` i=${pair} ${wave}`), el("b", {}, String(value))]);
  return made;
}

function colour(cell: HTMLElement, page: Page): void {
  const entry = signedEntry(Number(cell.dataset["value"]), 1.6); // pale, so that numbers stay the figure
  const table = diverging(page.theme);
  cell.style.background = css(table, entry);
  cell.style.color = inkOn(table, entry);
}
