/** The key to a heat map: a strip of its colours with the numbers at its ends. */

import type { Page, Theme } from "../registry";
import { el } from "./el";
import { css } from "./ramps";

type Table = (theme: Theme) => Uint8ClampedArray;

export function legend(page: Page, table: Table, low: string, high: string, middle?: string): HTMLElement {
  const strip = el("span", { class: "strip", role: "img", "aria-label": `colours from ${low} to ${high}` });
  function colour(): void {
    const stops = Array.from({ length: 17 }, (_, i) => css(table(page.theme), i * 16 - (i === 16 ? 1 : 0)));
    strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }
  colour();
  page.onTheme(colour);
  const names = [low, ...(middle === undefined ? [] : [middle]), high].map((name) => el("span", {}, name));
  return el("span", { class: "legend numbers" }, strip, el("span", { class: "ends" }, ...names));
}
