/** Words on a canvas. */

import { visible } from "./format";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** The page's own letters at a size in CSS pixels. */
export function font(size: number, weight = 400): string {
  return `${weight} ${size}px ${FONT}`;
}

const fitting = new Map<string, string>();

/** A text without blanks around it, cut with an ellipsis to a width under the context's font; remembered, since labels are drawn each frame. */
export function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  const key = `${context.font}|${Math.round(width)}|${text}`;
  const known = fitting.get(key);
  if (known !== undefined) return known;
  if (fitting.size > 20_000) fitting.clear();
  const cut = shortened(context, visible(text).trim(), width);
  fitting.set(key, cut);
  return cut;
}

function shortened(context: CanvasRenderingContext2D, text: string, width: number): string {
  const characters = Array.from(text.slice(0, 400));
  if (text.length <= 400 && context.measureText(text).width <= width) return text;
  let [fits, fails] = [0, characters.length];
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    if (context.measureText(`${characters.slice(0, middle).join("")}…`).width <= width) fits = middle;
    else fails = middle;
  }
  return `${characters.slice(0, fits).join("")}…`;
}
