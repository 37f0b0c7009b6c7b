/** What the model chose, token by token, and what it might have said instead. */

import "../styles/figures.css";
import type { View } from "../contract";
import { el } from "../draw/el";
import { count, weight } from "../draw/format";
import { css, inkOn, sequential } from "../draw/ramps";
import { roving } from "../draw/roving";
import { tip } from "../draw/tooltip";
import { bar, likelyList, word, type Likely } from "../draw/words";
import { register, type Page } from "../registry";

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

register<Choices>("choices", (view, page, host) => {
  const beside = el("aside", { class: "fixed-cell", "aria-live": "polite" });
  const words = view.rows.map((row, index) => chosenWord(row, page, () => choose(index)));
  const lines = view.rows.map((row, index) => line(row, () => choose(index)));
  function choose(index: number): void {
    const row = view.rows[index];
    if (!row) return;
    [words, lines].forEach((all) => all.forEach((one, i) => one.setAttribute("aria-current", String(i === index))));
    beside.replaceChildren(el("h3", {}, "Instead of ", word(row.text, 30)), likelyList(row.top, row.id), numbers(row));
  }
  const written = el("span", { class: "written" }, ...words);
  roving(
    written,
    () => words,
    () => 1,
  );
  const given = page
    .tokens(view.list)
    .slice(0, view.first)
    .map((token) => token.text)
    .join("");
  const text = el("p", { class: "running" }, el("bdi", { class: "quiet-text" }, given), written);
  host.append(text, el("div", { class: "beside aside-first" }, el("div", { class: "scroll" }, table(lines)), beside));
  choose(0);
});

/** A token in the running text, on a ground as strong as it was likely. */
function chosenWord(row: Choice, page: Page, choose: () => void): HTMLElement {
  const made = el("span", { role: "button", class: "token", on: { click: choose } }, el("bdi", {}, row.text || "∅"));
  function colour(): void {
    const [table, entry] = [sequential(page.theme), 150 * Math.sqrt(row.probability)];
    made.style.background = css(table, entry);
    made.style.color = inkOn(table, entry);
  }
  colour();
  page.onTheme(colour);
  tip(made, () => [el("div", {}, word(row.text, 40), ` ${weight(row.probability)}`), likelyList(row.top, row.id)]);
  return made;
}

function table(lines: readonly HTMLElement[]): HTMLElement {
  const names = ["token", "probability", "rank", "entropy", "next best"];
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
  const made = el("table", { class: "choices-table" }, el("thead", {}, head), el("tbody", {}, ...lines));
  roving(
    made,
    () => lines,
    () => 1,
  );
  return made;
}

function line(row: Choice, choose: () => void): HTMLElement {
  const other = row.top.find((one) => one.id !== row.id || one.text !== row.text);
  return el(
    "tr",
    { on: { click: choose, focus: choose } },
    el("td", {}, word(row.text, 24)),
    el("td", {}, bar(row.probability)),
    el("td", { class: "numbers" }, count(row.rank)),
    el("td", { class: "numbers" }, row.entropy.toFixed(2)),
    el(
      "td",
      {},
      ...(other
        ? [word(other.text, 16), el("span", { class: "numbers quiet-text" }, ` ${weight(other.probability)}`)]
        : []),
    ),
  );
}

function numbers(row: Choice): HTMLElement {
  const own = `probability ${weight(row.probability)} · rank ${count(row.rank)}`;
  return el("p", { class: "caption numbers" }, `${own} · entropy ${weight(row.entropy)} nats`);
}
