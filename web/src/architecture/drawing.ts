/** A drawing as lists of shapes, upwards from y = 0; `picture.ts` turns it into SVG. */

import type { Kind } from "./view";

export interface Box {
  readonly id: string;
  readonly kind: Kind;
  readonly lines: readonly string[];
  readonly detail?: string; // a smaller line below them
  readonly x: number; // its middle
  readonly y: number; // its bottom
  readonly width: number;
  readonly height: number;
}

export type Point = readonly [x: number, y: number];

export interface Wire {
  readonly points: readonly Point[];
  readonly arrow: boolean;
  readonly faint?: boolean; // a residual line, or what only advises
}

export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly text: string;
}

export class Drawing {
  readonly boxes: Box[] = [];
  readonly wires: Wire[] = [];
  readonly frames: Frame[] = [];
  readonly texts: { readonly at: Point; readonly text: string }[] = [];

  box(box: Box): Box {
    this.boxes.push(box);
    return box;
  }

  wire(points: readonly Point[], arrow = true, faint = false): void {
    this.wires.push({ points, arrow, faint });
  }

  get height(): number {
    const tops = [
      ...this.boxes.map((b) => b.y + b.height),
      ...this.frames.map((f) => f.y + f.height),
      ...this.texts.map((t) => t.at[1] + 14),
    ];
    return Math.max(0, ...tops);
  }
}

/** A label in lines of at most `width` characters, two of them; the rest is cut. */
export function wrapped(label: string, width: number): string[] {
  const lines = [""];
  for (const piece of label.split(" ")) {
    const longer = lines.at(-1) === "" ? piece : `${lines.at(-1)} ${piece}`;
    if (longer.length <= width || lines.at(-1) === "") lines[lines.length - 1] = longer;
    else lines.push(piece);
  }
  const kept = lines.length > 2 ? [lines[0]!, lines.slice(1).join(" ")] : lines;
  return kept.map((line) => (line.length > width + 2 ? `${line.slice(0, width)}…` : line));
}
