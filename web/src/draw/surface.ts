/** A canvas that fills its host, sharp at every pixel ratio, drawn at most once a frame. */

import { el } from "./el";

export type Draw = (context: CanvasRenderingContext2D, width: number, height: number) => void;

export interface Surface {
  readonly canvas: HTMLCanvasElement;
  /** Draw again before the next frame; many calls are one drawing. */
  invalidate(): void;
}

/** `draw` works in CSS pixels; the host gives the size (its CSS must), and a change of size draws again. */
export function surface(host: HTMLElement, draw: Draw, attributes: Record<string, unknown> = {}): Surface {
  const canvas = el("canvas", { class: "surface", ...attributes });
  host.append(canvas);
  const context = canvas.getContext("2d")!;
  let [width, height, due] = [0, 0, false];

  function paint(): void {
    due = false;
    if (width === 0 || height === 0) return; // hidden
    const ratio = window.devicePixelRatio || 1;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  }

  function invalidate(): void {
    if (due) return;
    due = true;
    requestAnimationFrame(paint);
  }

  new ResizeObserver(() => {
    [width, height] = [host.clientWidth, host.clientHeight];
    invalidate();
  }).observe(host);
  return { canvas, invalidate };
}

/** A CSS variable's value now, for canvases: `ink("--ink")`. */
export function ink(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
