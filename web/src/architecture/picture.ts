/** A drawing in SVG: its boxes are buttons, and arrow keys lead from one to the nearest in that direction. */

import { svg } from "../draw/el";
import type { Box, Drawing, Point, Wire } from "./drawing";

const MARGIN = 10;

export interface Picture {
  readonly root: SVGSVGElement;
  choose(id: string): void;
}

export function picture(drawing: Drawing, width: number, label: string, chosen: (id: string) => void): Picture {
  const height = drawing.height;
  const box = `${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`;
  const size = { viewBox: box, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
  const root = svg("svg", { class: "diagram", role: "group", "aria-label": label, ...size });
  const up = (y: number) => height - y;
  root.append(arrowhead());
  for (const frame of drawing.frames) {
    root.append(
      svg("rect", {
        class: "frame",
        x: frame.x,
        y: up(frame.y + frame.height),
        width: frame.width,
        height: frame.height,
        rx: 12,
      }),
      svg(
        "text",
        { class: "times", x: frame.x + frame.width - 10, y: up(frame.y) - 10, "text-anchor": "end" },
        frame.text,
      ),
    );
  }
  for (const wire of drawing.wires) root.append(line(wire, up));
  for (const { at, text } of drawing.texts)
    root.append(svg("text", { class: "end", x: at[0], y: up(at[1]), "text-anchor": "middle" }, text));
  const groups = drawing.boxes.map((one) => boxed(one, up, () => chosen(one.id)));
  root.append(...groups);
  root.addEventListener("keydown", (event) => key(event, drawing.boxes, groups, chosen));
  function choose(id: string): void {
    const stop = drawing.boxes.findIndex((one) => one.id === id);
    groups.forEach((group, i) => {
      group.setAttribute("aria-pressed", String(drawing.boxes[i]!.id === id));
      group.setAttribute("tabindex", i === Math.max(0, stop) ? "0" : "-1");
    });
  }
  return { root, choose };
}

function boxed(box: Box, up: (y: number) => number, click: () => void): SVGGElement {
  const [x, y] = [box.x - box.width / 2, up(box.y + box.height)];
  const middle = y + box.height / 2 - (box.lines.length - (box.detail === undefined ? 1 : 0)) * 7.5 + 4;
  const lines = [...box.lines, ...(box.detail === undefined ? [] : [box.detail])].map((text, i) =>
    svg(
      "text",
      { class: i >= box.lines.length ? "detail" : null, x: box.x, y: middle + 15 * i, "text-anchor": "middle" },
      text,
    ),
  );
  const group = svg(
    "g",
    {
      class: `box ${box.kind}${box.width < 120 ? " small" : ""}`,
      role: "button",
      "aria-label": box.lines.join(" "),
      "data-part": box.id,
      tabindex: -1,
    },
    ...(box.kind === "residual"
      ? plus(box.x, y + box.height / 2)
      : [svg("rect", { x, y, width: box.width, height: box.height, rx: 5 }), ...lines]),
  );
  group.addEventListener("click", click);
  return group;
}

function line(wire: Wire, up: (y: number) => number): SVGPathElement {
  const d = rounded(wire.points.map(([x, y]): Point => [x, up(y)]));
  return svg("path", { class: wire.faint ? "wire faint" : "wire", d, "marker-end": wire.arrow ? "url(#arrow)" : null });
}

/** A path through points whose corners are round. */
function rounded(points: readonly Point[]): string {
  const [start, ...rest] = points;
  let path = `M${start![0]} ${start![1]}`;
  rest.forEach((corner, i) => {
    const [before, after] = [points[i]!, rest[i + 1]];
    if (!after) {
      path += `L${corner[0]} ${corner[1]}`;
      return;
    }
    const [a, b] = [toward(corner, before, 7), toward(corner, after, 7)];
    path += `L${a[0]} ${a[1]}Q${corner[0]} ${corner[1]} ${b[0]} ${b[1]}`;
  });
  return path;
}

/** The point at most `by` from `from` on the way to `to`. */
function toward(from: Point, to: Point, by: number): Point {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
  const share = Math.min(by, length / 2) / length;
  return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
}

function plus(x: number, y: number): SVGElement[] {
  return [svg("circle", { cx: x, cy: y, r: 8 }), svg("path", { d: `M${x - 4.5} ${y}h9M${x} ${y - 4.5}v9` })];
}

function arrowhead(): SVGDefsElement {
  const shape = svg("path", { d: "M0 0L8 4L0 8z" });
  const size = { viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6.5, markerHeight: 6.5, orient: "auto" };
  return svg("defs", {}, svg("marker", { id: "arrow", class: "arrowhead", ...size }, shape));
}

const WAYS: Record<string, Point> = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function key(
  event: KeyboardEvent,
  boxes: readonly Box[],
  groups: readonly SVGGElement[],
  chosen: (id: string) => void,
): void {
  const at = groups.indexOf(document.activeElement as unknown as SVGGElement);
  const way = WAYS[event.key];
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") chosen(boxes[at]!.id);
  else if (way) {
    const next = nearest(boxes, at, way);
    groups.forEach((group, i) => group.setAttribute("tabindex", i === next ? "0" : "-1"));
    groups[next]!.focus();
  } else return;
  event.preventDefault();
}

/** The box nearest in a direction; what lies aside counts as farther. */
function nearest(boxes: readonly Box[], at: number, [right, up]: Point): number {
  const middle = (box: Box): Point => [box.x, box.y + box.height / 2];
  const from = middle(boxes[at]!);
  let [best, least] = [at, Infinity];
  boxes.forEach((box, i) => {
    const [x, y] = middle(box);
    const [dx, dy] = [x - from[0], y - from[1]];
    const along = dx * right + dy * up;
    const aside = Math.abs(dx * up) + Math.abs(dy * right);
    if (along > 1 && along + 3 * aside < least) [best, least] = [i, along + 3 * aside];
  });
  return best;
}
