/**
 * One matrix at every scale: each plane is half the size of the one before, and a cell the largest of the four below it,
 * so that a lone peak among thousands of tokens stays in sight however far one is away.
 */

export interface Plane {
  readonly data: Uint8Array;
  readonly rows: number;
  readonly columns: number;
}

/** Planes, each made when it is first asked for. */
export class Pyramid {
  private readonly planes: Plane[];

  constructor(base: Plane) {
    this.planes = [base];
  }

  /** The plane whose cells are 2^level cells of the matrix wide. */
  at(level: number): Plane {
    while (this.planes.length <= level) this.planes.push(halved(this.planes.at(-1)!));
    return this.planes[level]!;
  }
}

/** The largest of each 2 x 2 cells; odd last rows and columns count alone. */
export function halved({ data, rows, columns }: Plane): Plane {
  const [halfRows, halfColumns] = [(rows + 1) >> 1, (columns + 1) >> 1];
  const half = new Uint8Array(halfRows * halfColumns);
  for (let row = 0; row < halfRows; row++) {
    const upper = 2 * row * columns;
    const lower = Math.min(2 * row + 1, rows - 1) * columns;
    for (let column = 0; column < halfColumns; column++) {
      const left = 2 * column;
      const right = left + 1 < columns ? left + 1 : left;
      const above = data[upper + left]! > data[upper + right]! ? data[upper + left]! : data[upper + right]!;
      const below = data[lower + left]! > data[lower + right]! ? data[lower + left]! : data[lower + right]!;
      half[row * halfColumns + column] = above > below ? above : below;
    }
  }
  return { data: half, rows: halfRows, columns: halfColumns };
}

/** Halved until neither side is longer than `longest`. */
export function reduced(plane: Plane, longest: number): Plane {
  return Math.max(plane.rows, plane.columns) > longest ? reduced(halved(plane), longest) : plane;
}
