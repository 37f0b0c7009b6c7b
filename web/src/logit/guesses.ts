/** The numbers of a logit lens: R rows (embedding, then layers), T tokens, the k likeliest words of each. */

import { valueAt, type Token } from "../contract";
import type { Likely } from "../draw/words";
import type { Page } from "../registry";

export interface LogitLens {
  readonly list: string;
  readonly rows: readonly string[];
  readonly idsKey: string;
  readonly probabilitiesKey: string;
  readonly entropyKey: string;
  readonly vocabulary: Readonly<Record<string, string>>;
  readonly finalIds: readonly number[] | string; // the ids themselves, or the key of an array of them
}

export interface Guesses {
  readonly rows: number;
  readonly columns: number;
  readonly tokens: readonly Token[];
  rowName(row: number): string;
  top(row: number, column: number): Likely[];
  entropy(row: number, column: number): number;
  final(column: number): number | undefined;
}

export async function read(view: LogitLens, page: Page): Promise<Guesses> {
  const keys = [view.idsKey, view.probabilitiesKey, view.entropyKey] as const;
  const [ids, probabilities, entropy] = await Promise.all([
    page.array(keys[0]),
    page.array(keys[1]),
    page.array(keys[2]),
  ]);
  const final: ArrayLike<number> =
    typeof view.finalIds === "string" ? (await page.array(view.finalIds)).data : view.finalIds;
  const [rows = 0, columns = 0, k = 0] = ids.shape;
  return {
    rows,
    columns,
    tokens: page.tokens(view.list),
    rowName: (row) => view.rows[row] ?? `row ${row}`,
    top: (row, column) =>
      Array.from({ length: k }, (_, i) => {
        const at = (row * columns + column) * k + i;
        const id = ids.data[at]!;
        return { id, text: view.vocabulary[String(id)] ?? `#${id}`, probability: valueAt(probabilities, at) };
      }),
    entropy: (row, column) => valueAt(entropy, row * columns + column),
    final: (column) => final[column],
  };
}
