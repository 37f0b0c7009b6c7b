/** The logit lens (nostalgebraist 2020): what each layer would say next, were it the last. */

import "../styles/figures.css";
import "../styles/logit_lens.css";
import type { View } from "../contract";
import { LogitGrid } from "../logit/grid";
import { read, type LogitLens } from "../logit/guesses";
import { el } from "../draw/el";
import { weight } from "../draw/format";
import { legend } from "../draw/legend";
import { sequential } from "../draw/ramps";
import { caption, likelyList, word } from "../draw/words";
import { register } from "../registry";

register<View & LogitLens>("logit-lens", async (view, page, host) => {
  const guesses = await read(view, page);
  const fixed = el("aside", { class: "fixed-cell", "aria-live": "polite" });
  function fix(row: number, column: number): void {
    fixed.replaceChildren(
      el("h3", {}, guesses.rowName(row), " at ", word(guesses.tokens[column]?.text ?? "", 30)),
      likelyList(guesses.top(row, column), guesses.final(column)),
      el("p", { class: "caption numbers" }, `entropy ${weight(guesses.entropy(row, column))} nats`),
    );
  }
  const scroller = el("div", { class: "logit-scroll" });
  const key = el(
    "div",
    { class: "below" },
    legend(page, sequential, "0", "1", "0.5"),
    caption(
      "Each cell is the likeliest next word there; framed where it is already the last layer's. Click to keep a cell.",
    ),
  );
  host.append(el("div", { class: "beside" }, el("div", {}, scroller, key), fixed));
  const grid = new LogitGrid(scroller, page, guesses, fix);
  grid.choose(guesses.rows - 1, guesses.columns - 1);
});
