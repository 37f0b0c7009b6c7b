/** The architecture view as it comes: what its parts are, and in which stacks they stand. */

import type { View } from "../contract";

export interface Code {
  readonly title: string;
  readonly file: string;
  readonly first: number;
  readonly last: number;
  readonly source: string;
}

export type Kind =
  | ("tokens" | "positions" | "token_types" | "norm" | "attention" | "cross_attention" | "mlp" | "residual" | "bias")
  | ("rotary" | "pooler" | "head" | "block"); // a block stands for several parts, in the simplified diagram

export interface Part {
  readonly kind: Kind;
  readonly label: string;
  readonly detail: readonly string[];
  readonly shape: readonly number[] | null;
  readonly parameters: number; // of one
  readonly each: number; // how many times it stands in the model
  readonly share: number; // of all parameters, 0 to 1
  readonly paths: readonly string[]; // of a trace, "{i}" for the layer
  readonly code: readonly Code[];
}

export interface Stack {
  readonly name: string;
  readonly layers: number;
  readonly sublayers: readonly string[];
  readonly outside: readonly string[];
  readonly residual: string; // the part that the lines around sublayers are
}

export interface Statistics {
  readonly mean: number | null; // null: nothing finite
  readonly deviation: number | null;
  readonly smallest: number | null;
  readonly largest: number | null;
  readonly hidden?: number; // places of a score bias where a key is hidden, which the others leave out
  readonly shape: readonly number[];
}

export interface Architecture extends View {
  readonly stacks: readonly Stack[];
  readonly parts: Readonly<Record<string, Part>>;
  readonly embedding: readonly string[];
  readonly head: readonly string[];
  readonly simplified: Readonly<Record<string, string>>; // a line for each block: "embedding", stacks, "head"
  readonly begin?: "simplified" | "full";
  readonly parameters: number;
  readonly residual: "sequential" | "parallel";
  readonly placement: "pre" | "post";
  readonly facts: readonly (readonly [string, string | number])[];
  readonly held: readonly string[];
  readonly stats: Readonly<Record<string, Statistics>>;
}

/** The sublayers of one layer, each with the norm that carries its name; a norm without one goes to its neighbour. */
export function grouped(view: Architecture, stack: Stack): Sublayer[] {
  const kind = (id: string) => view.parts[id]?.kind;
  const mains = stack.sublayers.filter((id) => kind(id) !== "norm");
  const norms = new Map<string, string>();
  stack.sublayers.forEach((id, at) => {
    if (kind(id) !== "norm") return;
    const own = mains.find((main) => main === id.replace(/[._]norm$/, ""));
    const others = view.placement === "pre" ? stack.sublayers.slice(at) : stack.sublayers.slice(0, at).reverse();
    const main = own ?? others.find((other) => kind(other) !== "norm");
    if (main !== undefined) norms.set(main, id);
  });
  return mains.map((main) => ({ main, norm: norms.get(main) }));
}

export interface Sublayer {
  readonly main: string;
  readonly norm: string | undefined;
}
