/** Matrices as the figures of positions read them, and the names of positions. */

import type { LensArray } from "../contract";
import { valueAt } from "../contract";
import { word, type Said } from "../draw/words";

/** A matrix by row and column. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  at(row: number, column: number): number;
  row(row: number): number[];
}

export function matrix(array: LensArray): Matrix {
  const [rows = 0, columns = 0] = array.shape;
  const at = (row: number, column: number) => valueAt(array, row * columns + column);
  return { rows, columns, at, row: (row) => Array.from({ length: columns }, (_, column) => at(row, column)) };
}

/** "3 robot" where the phrase has a word at that position, else "3". */
export function positionName(labels: readonly string[], position: number): Said {
  const label = labels[position];
  return label === undefined ? [String(position)] : [`${position} `, word(label, 24)];
}

/** The words among the labels of positions: those from the last word on that are only numbers are left out. */
export function phrase(labels: readonly string[]): string[] {
  const last = labels.findLastIndex((label, position) => label !== String(position));
  return labels.slice(0, last + 1);
}

/** The entry of a diverging table for a value within -most to most. */
export function signedEntry(value: number, most: number): number {
  return 128 + 127 * Math.max(-1, Math.min(1, value / (most || 1)));
}

/** The largest absolute value. */
export function largest(of: Matrix): number {
  let most = 0;
  for (let row = 0; row < of.rows; row++) {
    for (let column = 0; column < of.columns; column++) most = Math.max(most, Math.abs(of.at(row, column)));
  }
  return most;
}

/** `count` whole numbers from 0. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
