/** Weighted links between words: what the two pictures of them, a line with arcs and two columns, share. */

import type { Token } from "../contract";

export interface Link {
  readonly query: number;
  readonly key: number;
  readonly weight: number; // 0 to 1
}

/** What stands in the picture: a token, or a word of several. */
export type Named = Pick<Token, "text" | "special" | "generated">;

export interface Links {
  readonly queries: readonly Named[];
  readonly keys: readonly Named[];
  /** What a query looks at, the strongest first, few. */
  out(query: number): readonly Link[];
  /** Who looks at a key. */
  into(key: number): readonly Link[];
}

export interface LinkPicture {
  show(links: Links): void;
  /** Isolate one word; undefined shows all. */
  focus(token: number | undefined): void;
}

/** Width and opacity of a link. */
export function pen(context: CanvasRenderingContext2D, weight: number, colour: string, isolated: boolean): void {
  context.strokeStyle = colour;
  context.lineWidth = (isolated ? 1 : 0.75) + (isolated ? 7 : 5) * weight;
  context.globalAlpha = isolated ? 0.3 + 0.7 * weight : Math.min(0.9, 0.08 + 0.9 * weight);
}
