/** Numbers and words as a page writes them. */

import { el } from "./el";

/** A weight or probability: three digits after the point, and never a small one as 0. */
export function weight(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.0005) return value.toExponential(0).replace("e-", "e−");
  return value.toFixed(3);
}

/** A weight, marked where it was rounded to one of 255 levels. */
export function about(value: number, rounded: boolean): string {
  return `${rounded ? "≈ " : ""}${weight(value)}`;
}

/** With thin spaces between thousands. */
export function count(value: number): string {
  return value.toLocaleString("en").replaceAll(",", "\u202f");
}

/** ‘word’, shortened, in an element of its own direction, so that Arabic words do not turn what follows. */
export function quoted(text: string, longest = 40): HTMLElement {
  return el("bdi", { class: "word" }, `‘${clipped(visible(text).trim(), longest)}’`);
}

/** A text whose every character can be seen: blanks where there is nothing else, controls and lone surrogates as \u. */
export function visible(text: string): string {
  const shown = text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(UNSEEN, escaped);
  return shown.trim() === "" ? shown.replaceAll(" ", "␣") || "∅" : shown;
}

const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}]/gu; // the joiners are part of words and of emoji

function escaped(character: string): string {
  return `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`;
}

/** Cut by whole characters (never inside a surrogate pair), with an ellipsis. */
export function clipped(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const characters = Array.from(text.slice(0, 2 * longest));
  return characters.length <= longest && text.length <= 2 * longest
    ? text
    : `${characters.slice(0, longest - 1).join("")}…`;
}
