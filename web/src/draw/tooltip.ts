/** One small box beside the pointer, or beside what the keyboard is on. */

import { el } from "./el";

type Content = string | Node | readonly (string | Node)[];

let box: HTMLElement | undefined;

/** Show it at a point of the window; it stays inside. */
export function showTip(x: number, y: number, content: Content): void {
  box ??= document.body.appendChild(el("div", { class: "tip", role: "tooltip", id: "tip" }));
  box.replaceChildren(...(Array.isArray(content) ? content : [content as string | Node]));
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = x + 14 + width > window.innerWidth - 4 ? x - 14 - width : x + 14;
  const top = y + 16 + height > window.innerHeight - 4 ? y - 12 - height : y + 16;
  box.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

/** Take it away. */
export function hideTip(): void {
  if (box) box.hidden = true;
}

/** A tooltip for an element, by pointer and by focus; Escape hides it. */
export function tip(element: HTMLElement | SVGElement, content: () => Content): void {
  element.addEventListener("pointermove", (event) => {
    const pointer = event as PointerEvent;
    showTip(pointer.clientX, pointer.clientY, content());
  });
  element.addEventListener("pointerleave", hideTip);
  element.addEventListener("focus", () => {
    if (!element.matches(":focus-visible")) return;
    const { left, bottom } = element.getBoundingClientRect();
    showTip(left, bottom - 10, content());
  });
  element.addEventListener("blur", hideTip);
  element.addEventListener("keydown", (event) => {
    if ((event as KeyboardEvent).key === "Escape") hideTip();
  });
}
