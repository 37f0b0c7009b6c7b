/** What is drawn over the points: the three axes, and the vectors of the words that were picked. */

import { svg } from "../draw/el";
import type { Seen } from "./camera";

const REACH = 1.1; // of the axes; the farthest point is 1 away
export const AXES: readonly (readonly [number, number, number])[] = [
  [REACH, 0, 0],
  [0, REACH, 0],
  [0, 0, REACH],
];

type Project = (x: number, y: number, z: number) => Seen;

export class Lines {
  readonly below = svg("svg", { class: "space-lines", "aria-hidden": "true" }); // under the points
  readonly above = svg("svg", { class: "space-lines", "aria-hidden": "true" });

  draw(project: Project, picked: readonly Seen[], axisName: string, width: number): void {
    const axes = AXES.flatMap(([x, y, z], i) => {
      const [from, to] = [project(-x, -y, -z), project(x, y, z)];
      return [
        line("space-axis", from, to),
        svg("text", { x: Math.min(width - 34, to.x + 5), y: Math.max(14, to.y + 4) }, `${axisName} ${i + 1}`),
      ];
    });
    this.below.replaceChildren(...axes);
    const [a, b] = picked;
    const vectors = picked.map((end) => line("space-vector", project(0, 0, 0), end));
    this.above.replaceChildren(...(a && b ? [line("space-between", a, b)] : []), ...vectors);
  }
}

function line(kind: string, from: Seen, to: Seen): SVGLineElement {
  return svg("line", { class: kind, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
}
