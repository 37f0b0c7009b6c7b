/** Which words of the text spoke for an answer, and which against it. */

import "../styles/figures.css";
import "../styles/attribution.css";
import { values, type Token, type View } from "../contract";
import { el } from "../draw/el";
import { magnitude } from "../draw/extremes";
import { weight } from "../draw/format";
import { legend } from "../draw/legend";
import { css, diverging, inkOn } from "../draw/ramps";
import { roving } from "../draw/roving";
import { tip } from "../draw/tooltip";
import { bar, section, word } from "../draw/words";
import { signedEntry } from "../positions/matrix";
import { register, type Page } from "../registry";

interface Attribution extends View {
  readonly list: string;
  readonly target: { readonly text: string; readonly id: number; readonly probability: number };
  readonly method: string;
  readonly scoresKey: string;
}

const MOST_LISTED = 10;

register<Attribution>("attribution", async (view, page, host) => {
  const found = await page.array(view.scoresKey);
  const [scores, most] = [values(found), magnitude(found)];
  const said = el(
    "output",
    { class: "said numbers" },
    "Rest on a word, or move with the arrow keys, to read its score.",
  );
  const words = page.tokens(view.list).map((token, i) => scored(token.text, scores[i] ?? NaN, most, page, said));
  const text = el("p", { class: "running scored", role: "list" }, ...words);
  roving(
    text,
    () => words,
    () => 1,
  );
  const end = weight(most);
  const { target } = view;
  host.append(
    el(
      "p",
      { class: "caption" },
      "Scores for ",
      word(target.text, 40),
      el("span", { class: "numbers" }, ` (probability ${weight(target.probability)})`),
      `, by ${view.method}.`,
    ),
    text,
    el("div", { class: "below" }, legend(page, diverging, `−${end} against`, `for ${end}`, "0"), said),
    section("The strongest", ranked(page.tokens(view.list), scores, most)),
  );
});

/** The largest scores of either sign. */
function ranked(tokens: readonly Token[], scores: ArrayLike<number>, most: number): HTMLElement {
  const order = tokens.map((_, i) => i).sort((a, b) => Math.abs(scores[b]!) - Math.abs(scores[a]!));
  const items = order.slice(0, MOST_LISTED).map((i) => {
    const score = scores[i]!;
    return el(
      "li",
      {},
      word(tokens[i]!.text, 24),
      bar(Math.abs(score) / (most || 1), signed(score), score < 0 ? "against" : ""),
    );
  });
  return el("ol", { class: "likely narrow" }, ...items);
}

function scored(text: string, score: number, most: number, page: Page, said: HTMLElement): HTMLElement {
  const made = el("span", { class: "token", role: "listitem", tabindex: -1 }, el("bdi", {}, text || "∅"));
  const entry = signedEntry(score, most);
  function colour(): void {
    made.style.background = css(diverging(page.theme), entry);
    made.style.color = inkOn(diverging(page.theme), entry);
  }
  colour();
  page.onTheme(colour);
  const written = signed(score);
  const say = () => said.replaceChildren(word(text, 40), ` ${written}`);
  made.addEventListener("pointerenter", say);
  made.addEventListener("focus", say);
  tip(made, () => [word(text, 40), ` ${written}`]);
  return made;
}

function signed(value: number): string {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${weight(Math.abs(value))}`;
}
