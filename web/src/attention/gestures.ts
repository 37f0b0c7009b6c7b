/** Drag, wheel and pinch on a canvas. */

import { passes } from "../draw/wheel";

interface Point {
  readonly clientX: number;
  readonly clientY: number;
}

export interface Gestures {
  pan(x: number, y: number): void;
  zoom(factor: number, at: Point): void;
  hover(event: PointerEvent): void;
  click(event: PointerEvent): void;
}

const CLICK = 4; // pixels that a click may slip

export function dragging(canvas: HTMLCanvasElement, gestures: Gestures): void {
  const down = new Map<number, PointerEvent>();
  let slipped = 0;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    down.set(event.pointerId, event);
    slipped = down.size > 1 ? Infinity : 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return gestures.hover(event);
    slipped += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    const other = [...down.values()].find((one) => one.pointerId !== event.pointerId);
    if (other) gestures.zoom(apart(event, other) / Math.max(1, apart(before, other)), middle(event, other));
    if (slipped > CLICK) {
      const share = other ? 0.5 : 1; // the middle of two fingers moves half as far as one of them
      gestures.pan(share * (event.clientX - before.clientX), share * (event.clientY - before.clientY));
    }
    down.set(event.pointerId, event);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (down.delete(event.pointerId) && slipped <= CLICK) gestures.click(event);
  });
  canvas.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (passes(event, canvas)) return;
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      gestures.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event); // ctrl: a trackpad's pinch
    },
    { passive: false },
  );
}

function apart(one: Point, other: Point): number {
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}

function middle(one: Point, other: Point): Point {
  return { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
}
