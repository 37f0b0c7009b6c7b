/** What a cell says, in words. */

import { about, quoted } from "../draw/format";
import type { Page } from "../registry";
import type { Weights } from "./data";

/** "‘book’ looks at ‘teacher’: 0.412", or for a cell of an overview, which tokens it stands for. */
export function readout(weights: Weights, page: Page, row: number, column: number): (string | Node)[] {
  const { module, cell } = weights;
  const query = module.firstQuery + row * cell[0];
  const key = column * cell[1];
  const ahead = module.causal && key >= query + cell[0];
  const value = ahead ? "" : `: ${about(weights.at(row, column), weights.rounded)}`;
  const [queries, keys] = [page.tokens(module.queries), page.tokens(module.keys)];
  if (cell[0] === 1 && cell[1] === 1) {
    const verb = ahead ? " cannot look ahead to " : " looks at ";
    return [quoted(queries[query]?.text ?? ""), verb, quoted(keys[key]?.text ?? ""), value, ` (${query} → ${key})`];
  }
  const verb = ahead ? "cannot look ahead to" : "look at";
  const spans = [span(query, cell[0], queries.length), span(key, cell[1], keys.length)];
  return [`Tokens ${spans[0]} ${verb} tokens ${spans[1]}${value.replace(": ", ": at most ")}`];
}

/** "800–815". */
export function span(first: number, size: number, count: number): string {
  const last = Math.min(first + size, count) - 1;
  return last > first ? `${first}–${last}` : String(first);
}
