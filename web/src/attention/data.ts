/** What the attention view is told, and one head's weights, wherever they come from. Axes: H head, T query, S key. */

import { slice, valueAt, values, type LensArray, type View } from "../contract";
import type { Page } from "../registry";

export interface Module {
  readonly path: string; // "decoder.layers.3.attention"
  readonly stack: string;
  readonly layer: number;
  readonly kind: "attention" | "cross_attention";
  readonly queries: string; // token lists
  readonly keys: string;
  readonly causal: boolean;
  readonly firstQuery: number; // which token of its list the first row is
  readonly heads: readonly number[]; // head numbers along H
  readonly overviewKey: string; // [H, h, w], the largest weight of each cell
  readonly cell: readonly [number, number]; // queries and keys per cell
  readonly full: Readonly<Record<string, string>>; // head number to the key of [T, S]
}

export interface AttentionView extends View {
  readonly selected: { readonly module: string; readonly head: number };
  readonly modules: readonly Module[];
  readonly generatedFrom: number | null;
}

/** The weights of one head, or the mean of a module's heads; `head` is null for the mean. */
export interface Weights {
  readonly module: Module;
  readonly head: number | null;
  readonly rows: number; // cells
  readonly columns: number;
  readonly cell: readonly [number, number]; // [1, 1] where every weight is here
  readonly rounded: boolean; // a weight was a byte
  readonly levels: Uint8Array; // [rows, columns] square roots of weights, for drawing
  at(row: number, column: number): number;
}

/** Whether all heads of a module came whole, so that their mean can be taken. */
export function hasMean(module: Module): boolean {
  return module.heads.length > 1 && module.heads.every((head) => String(head) in module.full);
}

/** Whether every weight is here, and not only the largest of each cell. */
export function isWhole({ cell }: Pick<Weights, "cell">): boolean {
  return cell[0] === 1 && cell[1] === 1;
}

/** Whether the page has every weight of a head, or of all heads of a module where `head` is null. */
export function cameWhole(module: Module, head: number | null): boolean {
  return isWhole(module) || (head === null ? hasMean(module) : String(head) in module.full);
}

/** One head's weights: whole where the page has them, else its overview. */
export async function load(page: Page, module: Module, head: number | null): Promise<Weights> {
  if (head === null) return mean(page, module);
  const key = module.full[String(head)];
  if (key !== undefined) return whole(module, head, await page.array(key));
  const index = module.heads.indexOf(head);
  if (index < 0) throw new Error(`${module.path} shows no head ${head}`);
  return weights(module, head, slice(await page.array(module.overviewKey), index), module.cell);
}

/** A row of cells, which is one query's weights where every weight is here; zeros where there is no such row. */
export function rowOf(weights: Weights, row: number): Float32Array {
  const inside = row >= 0 && row < weights.rows;
  return Float32Array.from({ length: weights.columns }, (_, column) => (inside ? weights.at(row, column) : 0));
}

/** The strongest entries of a row, strongest first: at most `most`, each more than `least`. */
export function strongest(row: Float32Array, most: number, least = 0): { key: number; weight: number }[] {
  const found: { key: number; weight: number }[] = [];
  for (let key = 0; key < row.length; key++) {
    const weight = row[key]!;
    if (weight <= least || (found.length === most && weight <= found[most - 1]!.weight)) continue;
    const place = found.findIndex((one) => one.weight < weight);
    found.splice(place < 0 ? found.length : place, 0, { key, weight });
    if (found.length > most) found.pop();
  }
  return found;
}

/** Square roots of weights as bytes, as `clearhead.lens.payload.to_levels` makes them. */
export function toLevels(array: LensArray): Uint8Array {
  if (array.data instanceof Uint8Array) return array.data;
  const { data } = array;
  const levels = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const weight = data[i]!;
    if (weight > 0) levels[i] = Math.max(1, Math.min(255, Math.round(255 * Math.sqrt(weight))));
  }
  return levels;
}

function whole(module: Module, head: number | null, array: LensArray): Weights {
  return weights(module, head, array, [1, 1]);
}

function weights(module: Module, head: number | null, array: LensArray, cell: readonly [number, number]): Weights {
  const [rows, columns] = array.shape as [number, number];
  const at = (row: number, column: number) => valueAt(array, row * columns + column);
  const rounded = array.levels === "sqrt";
  return { module, head, rows, columns, cell, rounded, levels: toLevels(array), at };
}

/** The mean of the heads; rounded where one of them is. */
async function mean(page: Page, module: Module): Promise<Weights> {
  const heads = await Promise.all(module.heads.map((head) => page.array(module.full[String(head)]!)));
  const sum = new Float32Array(heads[0]!.data.length);
  for (const head of heads) {
    const numbers = values(head);
    for (let i = 0; i < sum.length; i++) sum[i]! += numbers[i]! / heads.length;
  }
  const made = whole(module, null, { data: sum, shape: heads[0]!.shape, levels: "linear" });
  return { ...made, rounded: heads.some((head) => head.levels === "sqrt") };
}
