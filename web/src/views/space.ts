/** Words as points in space: space.js, the only script that needs three.js. Its styles come with the page's. */

import { values, type View } from "../contract";
import { el } from "../draw/el";
import { register } from "../registry";
import { Panel } from "../space/panel";
import { Stage } from "../space/stage";
import type { Words } from "../space/words";

interface Space extends View {
  readonly method: "pca" | "umap";
  readonly labels: readonly string[];
  readonly colours?: readonly number[];
  readonly groups?: { readonly names: readonly string[] };
  readonly pointsKey: string;
  readonly cosineKey: string;
  readonly distanceKey: string;
  readonly neighbours: Words["neighbours"];
  readonly explained: readonly number[] | null;
  readonly analogies?: Words["analogies"];
}

register<Space>("space", async (view, page, host) => {
  const keys = [view.pointsKey, view.cosineKey, view.distanceKey] as const;
  const [points, cosine, distance] = await Promise.all([page.array(keys[0]), page.array(keys[1]), page.array(keys[2])]);
  const n = view.labels.length;
  const [cosines, distances] = [values(cosine), values(distance)];
  const words: Words = {
    labels: view.labels,
    points: values(points),
    groups: view.colours ?? [],
    groupNames: view.groups?.names ?? [],
    method: view.method,
    neighbours: view.neighbours,
    explained: view.explained,
    analogies: view.analogies ?? [],
    cosine: (a, b) => cosines[a * n + b]!,
    distance: (a, b) => distances[a * n + b]!,
  };
  let pair: number[] = [];
  function pick(index: number): void {
    if (pair.includes(index)) pair = pair.filter((other) => other !== index);
    else pair = pair.length ? [pair[0]!, index] : [index];
    show();
  }
  function choose(next: readonly number[]): void {
    pair = [...new Set(next)];
    show();
  }
  function show(): void {
    panel.show(pair);
    stage.show(pair);
  }
  const panel = new Panel(words, page, choose);
  const stage = new Stage(words, page, { pick, clear: () => choose([]) });
  host.append(el("div", { class: "space-and-panel" }, stage.host, panel.host));
  show();
});
