/** Pictures of a pyramid's planes in tiles of 256 x 256 cells, made when first seen and kept while there is room. */

import { Pyramid, type Plane } from "./pyramid";

const SIDE = 256;
const KEPT = 192; // tiles of 256 KiB

export interface Part {
  readonly left: number; // cells of the matrix; may lie outside
  readonly top: number;
  readonly scale: number; // CSS pixels per cell
}

export class Tiles {
  private readonly kept = new Map<string, OffscreenCanvas>();

  constructor(
    private readonly pyramid: Pyramid,
    private readonly colours: Uint8ClampedArray,
  ) {}

  /** Draw what of the matrix falls into a rectangle of the canvas. */
  draw(context: CanvasRenderingContext2D, part: Part, width: number, height: number, ratio: number): void {
    const level = Math.max(0, Math.ceil(Math.log2(1 / (part.scale * ratio)))); // no cell below a pixel of the screen
    const plane = this.pyramid.at(level);
    const size = part.scale * 2 ** level; // of one of the plane's cells
    const [left, top] = [part.left * part.scale, part.top * part.scale];
    context.imageSmoothingEnabled = false;
    const span = SIDE * size;
    const lastRow = Math.min(Math.ceil(plane.rows / SIDE) - 1, Math.floor((top + height) / span));
    const lastColumn = Math.min(Math.ceil(plane.columns / SIDE) - 1, Math.floor((left + width) / span));
    for (let row = Math.max(0, Math.floor(top / span)); row <= lastRow; row++) {
      for (let column = Math.max(0, Math.floor(left / span)); column <= lastColumn; column++) {
        const tile = this.tile(level, plane, row, column);
        const [x, y] = [column * span - left, row * span - top];
        context.drawImage(tile, x, y, tile.width * size, tile.height * size);
      }
    }
  }

  private tile(level: number, plane: Plane, row: number, column: number): OffscreenCanvas {
    const key = `${level}/${row}/${column}`;
    const known = this.kept.get(key);
    const tile = known ?? painted(plane, row * SIDE, column * SIDE, SIDE, this.colours);
    this.kept.delete(key);
    this.kept.set(key, tile); // the last used stands last
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value!);
    return tile;
  }
}

/** A part of a plane in colours; smaller at the plane's end. */
export function painted(
  plane: Plane,
  top: number,
  left: number,
  side: number,
  colours: Uint8ClampedArray,
): OffscreenCanvas {
  const rows = Math.min(side, plane.rows - top);
  const columns = Math.min(side, plane.columns - left);
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const palette = new Uint32Array(colours.buffer); // a pixel's four bytes at once
  for (let row = 0; row < rows; row++) {
    const from = (top + row) * plane.columns + left;
    for (let column = 0; column < columns; column++) {
      pixels[row * columns + column] = palette[plane.data[from + column]!]!;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
