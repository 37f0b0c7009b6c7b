/** Words beside their points: HTML above the picture, the nearest first, and none over another. */

import { el } from "../draw/el";
import { clipped, visible } from "../draw/format";
import type { Seen } from "./camera";

const [LONGEST, HEIGHT, AWAY] = [18, 18, 10]; // characters, and pixels: of a line, and from the point to its word
const MOST_STOPS = 60; // words that Tab leads through; of more, the lists beside the picture choose

interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
}

export class Labels {
  readonly host = el("div", { class: "space-labels" });
  private readonly elements: readonly HTMLButtonElement[];
  private readonly shown = new Map<number, Rectangle>();
  private widths: number[] = [];

  constructor(labels: readonly string[], pick: (index: number) => void) {
    this.elements = labels.map((label, index) => {
      const tabindex = labels.length > MOST_STOPS ? -1 : 0;
      return el(
        "button",
        { type: "button", tabindex, on: { click: () => pick(index) } },
        el("bdi", {}, clipped(visible(label), LONGEST)),
      );
    });
    this.host.append(...this.elements);
  }

  /** Put every word beside its point; those `first` keep their place before all others. */
  place(seen: readonly Seen[], first: readonly number[], width: number, height: number): void {
    if (this.widths.length === 0) this.widths = this.elements.map((element) => element.offsetWidth);
    this.shown.clear();
    const focused = this.elements.indexOf(document.activeElement as HTMLButtonElement);
    const urgent = new Set([...first, ...(focused >= 0 ? [focused] : [])]);
    const order = seen
      .map((_, i) => i)
      .sort((a, b) => Number(urgent.has(b)) - Number(urgent.has(a)) || seen[a]!.depth - seen[b]!.depth);
    for (const i of order) {
      const { x, y, depth } = seen[i]!;
      const fits = x + AWAY + this.widths[i]! < width; // at the edge, words stand on the other side
      const left = fits ? x + AWAY : x - AWAY - this.widths[i]!;
      const box = { left, top: y - HEIGHT / 2, right: left + this.widths[i]! };
      const outside = x < 0 || y < 0 || x > width || y > height;
      const free = !outside && ![...this.shown.values()].some((other) => overlap(box, other));
      const visible = urgent.has(i) || free;
      if (visible) this.shown.set(i, box);
      const { style } = this.elements[i]!;
      style.transform = `translate(${box.left.toFixed(1)}px, ${box.top.toFixed(1)}px)`;
      style.opacity = visible ? String(urgent.has(i) ? 1 : Math.max(0.55, Math.min(1, 1.75 - 0.25 * depth))) : "0";
      this.elements[i]!.classList.toggle("chosen", first.includes(i));
    }
  }

  /** The word whose label lies under a point of the picture. */
  under(x: number, y: number): number | undefined {
    for (const [i, box] of this.shown) {
      if (x >= box.left && x <= box.right && y >= box.top && y <= box.top + HEIGHT) return i;
    }
    return undefined;
  }
}

function overlap(a: Rectangle, b: Rectangle): boolean {
  return a.left < b.right + 2 && b.left < a.right + 2 && Math.abs(a.top - b.top) < HEIGHT;
}
