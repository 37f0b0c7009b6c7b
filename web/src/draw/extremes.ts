/** The largest number of an array. A loop: arrays are longer than the arguments a function may have. */

import { valueAt, type LensArray } from "../contract";

/** The largest absolute value; 0 where there is none. */
export function magnitude(array: LensArray): number {
  let most = 0;
  for (let i = 0; i < array.data.length; i++) most = Math.max(most, Math.abs(valueAt(array, i)) || 0);
  return most;
}
