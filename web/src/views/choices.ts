/** What the model chose, token by token, and what it might have said instead. */

import "../styles/figures.css";
import "../styles/choices.css";
import type { View } from "../contract";
import { el } from "../draw/el";
import { count, weight } from "../draw/format";
import { ROOT, rootEntry, rootLegend } from "../draw/legend";
import { css, fainter, inkOn, sequential } from "../draw/ramps";
import { roving } from "../draw/roving";
import { Rows } from "../draw/rows";
import { tip } from "../draw/tooltip";
import { bar, caption, likelyList, word, type Likely } from "../draw/words";
import { register, type Page, type Theme } from "../registry";

interface Choice extends Likely {
  readonly token: number;
  readonly rank: number;
  readonly entropy: number;
  readonly top: readonly Likely[];
}

interface Choices extends View {
  readonly list: string;
  readonly first: number;
  readonly rows: readonly Choice[];
}

const HEIGHT = 31; // of a row of the table
const AROUND = 30; // pixels above and below the chosen word that stay in sight
const STRONGEST = 110; // entry of the colours for a probability of 1, so that running text stays quiet
const grounds: Record<Theme, Uint8ClampedArray> = {
  light: fainter(sequential("light"), STRONGEST),
  dark: fainter(sequential("dark"), STRONGEST),
};

register<Choices>("choices", (view, page, host) => {
  const beside = el("aside", { class: "fixed-cell", "aria-live": "polite" });
  const { text, mark } = running(view, page, choose);
  const { scroller, rows } = table(view.rows, choose);
  let chosen = -1;
  function choose(index: number): void {
    const row = view.rows[index];
    if (!row || index === chosen) return;
    chosen = index;
    mark(index);
    rows.mark(index);
    beside.replaceChildren(el("h3", {}, "Instead of ", word(row.text, 30)), likelyList(row.top, row.id), numbers(row));
  }
  const key = rootLegend(page, (theme) => grounds[theme], 1, String);
  const explained = caption(`Behind each token is how likely it was. ${ROOT}`);
  host.append(text, el("div", { class: "below" }, key, explained));
  host.append(el("div", { class: "beside aside-first" }, scroller, beside));
  choose(0);
});

/** The text, what the model wrote as tokens that can be chosen; `mark` says which is. */
function running(
  view: Choices,
  page: Page,
  choose: (index: number) => void,
): { text: HTMLElement; mark: (index: number) => void } {
  const words = view.rows.map((row, index) => chosenWord(row, () => choose(index)));
  function colour(): void {
    const table = grounds[page.theme];
    words.forEach((made, index) => {
      const entry = rootEntry(view.rows[index]!.probability, 1);
      made.style.background = css(table, entry);
      made.style.color = inkOn(table, entry);
    });
  }
  colour();
  page.onTheme(colour);
  const written = el("span", { class: "written" }, ...words);
  const keys = roving(
    written,
    () => words,
    () => 1,
  );
  const tokens = page.tokens(view.list).slice(0, view.first);
  const given = tokens.map((token) => token.text).join("");
  const text = el("p", { class: "running" }, el("bdi", { class: "quiet-text" }, given), written);
  let marked: HTMLElement | undefined;
  function mark(index: number): void {
    marked?.setAttribute("aria-current", "false");
    marked = words[index]!;
    marked.setAttribute("aria-current", "true");
    keys.to(index);
    const { offsetTop: top, offsetHeight: height } = marked;
    text.scrollTop = Math.max(Math.min(text.scrollTop, top - AROUND), top + height + AROUND - text.clientHeight);
  }
  return { text, mark };
}

/** A token in the running text: one element, for there may be thousands. */
function chosenWord(row: Choice, choose: () => void): HTMLElement {
  const made = el("bdi", { role: "button", class: "token", on: { click: choose } }, row.text || "∅");
  tip(made, () => [el("div", {}, word(row.text, 40), ` ${weight(row.probability)}`), likelyList(row.top, row.id)]);
  return made;
}

function table(choices: readonly Choice[], choose: (index: number) => void): { scroller: HTMLElement; rows: Rows } {
  const names = ["token", "probability", "rank", "entropy (nats)", "next best"];
  const heads = names.map((name) => el("div", { role: "columnheader" }, name));
  const head = el("div", { class: "choices-row head", role: "row", "aria-rowindex": 1 }, ...heads);
  const field = el("div", { class: "choices-rows", role: "rowgroup" });
  const counts = { "aria-rowcount": choices.length + 1, "aria-colcount": names.length };
  const grid = el("div", { class: "choices-table", role: "grid", "aria-label": "Choices", ...counts }, head, field);
  const scroller = el("div", { class: "choices-scroll" }, grid);
  const make = (index: number) => line(choices[index]!);
  return { scroller, rows: new Rows(scroller, field, { count: choices.length, height: HEIGHT, make, choose }) };
}

function line(row: Choice): HTMLElement {
  const other = row.top.find((one) => one.id !== row.id || one.text !== row.text);
  const cell = (...children: (Node | string)[]) => el("div", { role: "gridcell" }, ...children);
  return el(
    "div",
    { class: "choices-row", role: "row", style: { height: `${HEIGHT}px` } },
    cell(word(row.text, 24)),
    cell(bar(row.probability)),
    cell(count(row.rank)),
    cell(row.entropy.toFixed(2)),
    other ? cell(word(other.text, 16), el("span", { class: "quiet-text" }, ` ${weight(other.probability)}`)) : cell(),
  );
}

function numbers(row: Choice): HTMLElement {
  const own = `probability ${weight(row.probability)} · rank ${count(row.rank)}`;
  return el("p", { class: "caption numbers" }, `${own} · entropy ${weight(row.entropy)} nats`);
}
