/** One bar per position: how far what is said next has moved. */

import { el } from "../draw/el";
import { quoted, weight } from "../draw/format";
import { columnWidth } from "../draw/heat";
import { roving } from "../draw/roving";
import { tip } from "../draw/tooltip";
import { spoken } from "../draw/words";
import type { Page } from "../registry";
import type { Comparison } from "./pairs";

interface Given {
  readonly view: Comparison;
  readonly page: Page;
  readonly names: readonly string[];
  readonly left: number;
  readonly choose: (index: number) => void;
}

const RIGHT = 12;
export const [WIDEST, NARROWEST] = [56, 6]; // pixels of a column, of the bars and of the map below

export function divergenceBars({ view, names, left, choose }: Given): {
  host: HTMLElement;
  draw: () => void;
  choose: (index: number) => void;
} {
  const most = Math.max(...view.divergence, 1e-12);
  const bars = view.positions.map((position, index) => {
    const value = view.divergence[index] ?? 0;
    const said = () => [quoted(names[position] ?? ""), ` (${position}): ${weight(value)} nats`];
    const fill = el("span", { class: "fill", style: { height: `${(100 * value) / most}%` } });
    const made = el(
      "button",
      { type: "button", class: "column", "aria-label": spoken(said()), on: { click: () => choose(index) } },
      fill,
    );
    tip(made, said);
    return made;
  });
  const top = el("span", { class: "most numbers", style: { width: `${left - 7}px` } }, `${weight(most)} nats`);
  const field = el("div", { class: "columns" }, ...bars);
  const host = el("div", { class: "divergence" }, top, field);
  roving(
    field,
    () => bars,
    () => 1,
  );

  /** The width of the map's cells below. */
  function draw(): void {
    new ResizeObserver(() => {
      const room = host.clientWidth - left - RIGHT;
      const width = columnWidth(room, names.length, WIDEST, NARROWEST);
      field.style.width = `${width * names.length}px`;
      bars.forEach((bar, i) => {
        bar.style.left = `${width * view.positions[i]!}px`;
        bar.style.width = `${width}px`;
      });
    }).observe(host);
  }
  const mark = (index: number) => bars.forEach((bar, i) => bar.setAttribute("aria-pressed", String(i === index)));
  return { host, draw, choose: mark };
}
