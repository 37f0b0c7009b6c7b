/** Who draws the points: WebGL, or a plain canvas where there is none. */

import type { Camera } from "./camera";

/** Of a point, where the farthest is 1 from the middle: smaller where there are many. */
export function radius(count: number): number {
  return 0.024 * Math.min(1, (60 / count) ** (1 / 3));
}

/** Red, green and blue from 0 to 1. */
export type Rgb = readonly [red: number, green: number, blue: number];

export interface Painter {
  readonly canvas: HTMLCanvasElement;
  size(width: number, height: number): void;
  /** A colour for each point, and the ground into which the far ones fade. */
  colour(colours: readonly Rgb[], ground: Rgb): void;
  /** Points to be drawn larger. */
  mark(chosen: readonly number[]): void;
  paint(camera: Camera): void;
}

/** How much of its colour a point keeps at a depth. */
export function haze(depth: number): number {
  return Math.max(0.35, Math.min(1, 1.55 - 0.22 * depth));
}

/** Any CSS colour as numbers: the browser knows them all. */
export function rgb(colour: string): Rgb {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
  return [red / 255, green / 255, blue / 255];
}
