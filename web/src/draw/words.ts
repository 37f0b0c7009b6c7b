/** Words and small figures of them, as several views write them. */

import { clipped, visible, weight } from "./format";
import { el } from "./el";

/** A token's text in an element that keeps its direction to itself, so that no mark in it turns what follows. */
export function word(text: string, longest = 40): HTMLElement {
  return el("bdi", { class: "word", title: text.length > longest ? text : null }, clipped(visible(text), longest));
}

/** A bar of `share` (0 to 1) of its track, with its number beside it. */
export function bar(share: number, text = weight(share), kind = ""): HTMLElement {
  const width = `${100 * Math.max(0, Math.min(1, share))}%`;
  const track = el("span", { class: "track" }, el("span", { class: "bar", style: { width } }));
  return el("span", { class: `measure ${kind}` }, track, el("span", { class: "numbers" }, text));
}

/** What stands in a table of likely words. */
export interface Likely {
  readonly id: number;
  readonly text: string;
  readonly probability: number;
}

/** Likely words with their bars; the one whose id is `chosen` is marked. */
export function likelyList(top: readonly Likely[], chosen?: number): HTMLElement {
  const items = top.map((one) =>
    el("li", { class: one.id === chosen ? "chosen" : null }, word(one.text, 24), bar(one.probability)),
  );
  return el("ol", { class: "likely" }, ...items);
}

/** A read-out: words in elements of their own among plain text. */
export type Said = readonly (string | Node)[];

/** A read-out as one text, for labels and for whoever listens. */
export function spoken(said: Said): string {
  return said.map((piece) => (typeof piece === "string" ? piece : (piece.textContent ?? ""))).join("");
}

/** A titled part of a figure. */
export function section(title: string, ...children: (Node | string | null)[]): HTMLElement {
  return el("section", { class: "part" }, el("h3", {}, title), ...children);
}

/** A small text below a figure. */
export function caption(...children: (Node | string)[]): HTMLElement {
  return el("p", { class: "caption" }, ...children);
}
