/** Which wave a dimension is: sines and cosines in turn, as the paper's formula has them, or all sines first. */

export interface Wave {
  readonly pair: number; // i of the formula
  readonly wave: "sin" | "cos";
}

/**
 * Read from position 0, where every sine is 0 and every cosine 1. Models that were trained with the paper's code have
 * the sines first.
 */
export function pairing(first: readonly number[]): (dimension: number) => Wave {
  const inTurn = first.length < 2 || first[1] === 1;
  const half = Math.ceil(first.length / 2);
  return (dimension) => {
    if (inTurn) return { pair: Math.floor(dimension / 2), wave: dimension % 2 ? "cos" : "sin" };
    return dimension < half ? { pair: dimension, wave: "sin" } : { pair: dimension - half, wave: "cos" };
  };
}
