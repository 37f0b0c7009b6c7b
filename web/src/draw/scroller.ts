/** A canvas behind which much lies: it stays in place while its host scrolls, and draws only what can be seen. */

import { el } from "./el";
import { surface, type Surface } from "./surface";

export type DrawPart = (
  context: CanvasRenderingContext2D,
  seen: { readonly left: number; readonly top: number; readonly width: number; readonly height: number },
) => void;

export interface Scroller extends Surface {
  readonly host: HTMLElement;
  /** How large the whole is, in CSS pixels. */
  extent(width: number, height: number): void;
  /** Scroll until a rectangle of the whole can be seen. */
  reveal(left: number, top: number, width: number, height: number): void;
}

/** `draw` gets which part of the whole is seen, and draws with the seen part's corner at 0, 0. */
export function scroller(host: HTMLElement, draw: DrawPart, attributes: Record<string, unknown> = {}): Scroller {
  const pinned = el("div", { class: "pinned" });
  const spacer = el("div", { class: "spacer" });
  host.classList.add("scroller");
  host.append(spacer, pinned);
  const inner = surface(
    pinned,
    (context, width, height) => draw(context, { left: host.scrollLeft, top: host.scrollTop, width, height }),
    attributes,
  );
  host.addEventListener("scroll", () => inner.invalidate(), { passive: true });
  new ResizeObserver(() => {
    pinned.style.width = `${host.clientWidth}px`;
    pinned.style.height = `${host.clientHeight}px`;
  }).observe(host);
  return {
    ...inner,
    host,
    extent(width, height) {
      spacer.style.width = `${width}px`;
      spacer.style.height = `${height}px`;
      inner.invalidate();
    },
    reveal(left, top, width, height) {
      host.scrollLeft = inside(host.scrollLeft, host.clientWidth, left, width);
      host.scrollTop = inside(host.scrollTop, host.clientHeight, top, height);
    },
  };
}

/** The least change of a scroll position after which a span can be seen. */
function inside(scroll: number, seen: number, start: number, size: number): number {
  return Math.max(0, start < scroll ? start : start + size > scroll + seen ? start + size - seen : scroll);
}
