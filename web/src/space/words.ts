/** What is known of the words in space. */

export interface Near {
  readonly label: string;
  readonly cosine: number;
}

export interface Words {
  readonly labels: readonly string[];
  readonly points: ArrayLike<number>; // [n, 3]
  readonly groups: readonly number[]; // decide colours; may be empty
  readonly groupNames: readonly string[]; // what each group is; empty where nobody said
  readonly method: "pca" | "umap";
  readonly neighbours: readonly (readonly Near[])[];
  readonly explained: readonly number[] | null;
  readonly analogies: readonly {
    readonly a: string;
    readonly b: string;
    readonly c: string;
    readonly results: readonly Near[];
  }[];
  cosine(a: number, b: number): number;
  distance(a: number, b: number): number;
}

/** Points around 0 whose farthest is 1 away: [n, 3]. */
export function normalised(points: ArrayLike<number>): Float32Array {
  const [made, n] = [Float32Array.from(points), points.length / 3];
  for (let axis = 0; axis < 3; axis++) {
    let mean = 0;
    for (let i = 0; i < n; i++) mean += made[3 * i + axis]! / n;
    for (let i = 0; i < n; i++) made[3 * i + axis]! -= mean;
  }
  let farthest = 1e-9;
  for (let i = 0; i < n; i++)
    farthest = Math.max(farthest, Math.hypot(made[3 * i]!, made[3 * i + 1]!, made[3 * i + 2]!));
  return made.map((value) => value / farthest);
}
