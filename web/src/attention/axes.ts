/** Labels beside a matrix: words where they fit, and otherwise every so many tokens a number. */

import type { Token } from "../contract";
import { fitted, font } from "../draw/label";
import { ink } from "../draw/surface";
import type { Viewport } from "./viewport";

const READABLE = 10.5; // pixels of a cell beside which a word fits

interface Axis {
  readonly tokens: readonly Token[];
  readonly first: number; // the token of cell 0
  readonly cell: number; // tokens per cell
  readonly marked: number | undefined;
}

export interface Axes {
  readonly viewport: Viewport;
  readonly width: number; // of the matrix on the screen
  readonly height: number;
  readonly left: number; // room for labels
  readonly top: number;
  readonly rows: Axis;
  readonly columns: Axis;
}

/** The context's origin is the matrix's corner. */
export function drawAxes(context: CanvasRenderingContext2D, axes: Axes): void {
  const { viewport } = axes;
  const size = labelSize(viewport.scale);
  context.textBaseline = "middle";
  along(axes.rows, viewport.top, viewport.scale, axes.height, (text, position, marked) => {
    context.font = font(size, marked ? 600 : 400);
    context.fillStyle = ink(marked ? "--ink" : "--quiet");
    context.textAlign = "right";
    context.fillText(fitted(context, text, axes.left - 14), -8, position);
  });
  along(axes.columns, viewport.left, viewport.scale, axes.width, (text, position, marked) => {
    context.save();
    context.translate(position, -8);
    context.rotate(-Math.PI / 2);
    context.font = font(size, marked ? 600 : 400);
    context.fillStyle = ink(marked ? "--ink" : "--quiet");
    context.textAlign = "left";
    context.fillText(fitted(context, text, axes.top - 12), 0, 0);
    context.restore();
  });
}

/** Room that the labels of an axis need, `most` at most; long lists are not measured. */
export function labelRoom(context: CanvasRenderingContext2D, tokens: readonly Token[], most: number): number {
  if (tokens.length > 400) return most;
  context.font = font(12, 600);
  const widest = tokens.reduce((width, { text }) => Math.max(width, context.measureText(text.slice(0, 60)).width), 30);
  return Math.min(most, Math.ceil(widest) + 18);
}

function labelSize(scale: number): number {
  return scale >= READABLE ? Math.min(12, scale - 0.5) : 12;
}

type Put = (text: string, position: number, marked: boolean) => void;

function along(axis: Axis, start: number, scale: number, length: number, put: Put): void {
  const words = scale >= READABLE && axis.cell === 1;
  const every = words ? 1 : numbered((26 * axis.cell) / scale) / axis.cell;
  const clear = words ? 0 : 13; // a marked word needs room among numbers
  const spot = (cell: number) => (cell + 0.5 - start) * scale;
  const marked = axis.marked === undefined ? undefined : spot(axis.marked);
  for (let cell = Math.ceil(start / every) * every; (cell - start) * scale < length; cell += every) {
    const index = axis.first + Math.round(cell * axis.cell);
    if (spot(cell) < 0 || spot(cell) > length || cell === axis.marked) continue;
    if (marked !== undefined && Math.abs(spot(cell) - marked) < clear) continue;
    put(words ? (axis.tokens[index]?.text ?? "") : String(index), spot(cell), false);
  }
  if (marked === undefined || marked < 0 || marked > length) return;
  const index = axis.first + axis.marked! * axis.cell;
  put(axis.cell === 1 ? (axis.tokens[index]?.text ?? "") : String(index), marked, true);
}

/** The next of 1, 2, 5, 10, 20, 50, ... */
function numbered(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least) ?? 10 * power;
}
