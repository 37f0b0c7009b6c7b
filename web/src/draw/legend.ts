/** The key to a heat map: a strip of its colours with the numbers below them. */

import type { Page, Theme } from "../registry";
import { el } from "./el";
import { css } from "./ramps";

type Table = (theme: Theme) => Uint8ClampedArray;

export function legend(page: Page, table: Table, low: string, high: string, middle?: string): HTMLElement {
  const said = [low, ...(middle === undefined ? [] : [middle]), high];
  const strip = el("span", { class: "strip", role: "img", "aria-label": `colours: ${said.join(", ")}` });
  function colour(): void {
    const stops = Array.from({ length: 17 }, (_, i) => css(table(page.theme), i * 16 - (i === 16 ? 1 : 0)));
    strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }
  colour();
  page.onTheme(colour);
  return el(
    "span",
    { class: "legend numbers" },
    strip,
    el("span", { class: "ends" }, ...said.map((one) => el("span", {}, one))),
  );
}

/** The key to colours that follow the square root of values from 0 to `most`: half the strip is a quarter of `most`. */
export function rootLegend(page: Page, table: Table, most: number, write: (value: number) => string): HTMLElement {
  return legend(page, table, "0", write(most), write(most / 4));
}

/** The entry of a table for a value from 0 to `most`, by its square root. */
export function rootEntry(value: number, most: number): number {
  return 255 * Math.sqrt(Math.max(0, value) / (most || 1));
}

export const ROOT = "Colours follow the square root, so that small values can be seen.";
