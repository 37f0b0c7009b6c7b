/** Arrow keys in a grid of elements, of which one at a time is in the tab order (WAI-ARIA's roving tabindex). */

export interface Roving {
  /** Move the tab stop, and the focus too where `focus` is true. */
  to(index: number, focus?: boolean): void;
}

/**
 * `columns()` is how many stand in a row now; Enter and Space click the element that has the focus, unless it is a
 * button, which does so by itself. Listens on `container`; `items()` are read at each key, so they may change.
 */
export function roving(container: HTMLElement, items: () => readonly HTMLElement[], columns: () => number): Roving {
  function to(index: number, focus = false): void {
    items().forEach((item, i) => (item.tabIndex = i === index ? 0 : -1));
    if (focus) items()[index]?.focus();
  }

  container.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = step(event.key, at, all.length, columns());
    if (next !== undefined) to(next, true);
    else if ((event.key === "Enter" || event.key === " ") && all[at]!.tagName !== "BUTTON") all[at]!.click();
    else return;
    event.preventDefault();
  });
  container.addEventListener("focusin", (event) => {
    const at = items().indexOf(event.target as HTMLElement);
    if (at >= 0) to(at);
  });
  to(0);
  return { to };
}

/** Where a key leads from `at` in a grid; undefined for keys that lead nowhere. */
export function step(key: string, at: number, count: number, columns: number): number | undefined {
  const moves: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const move = moves[key];
  if (move === undefined) return undefined;
  const next = at + move;
  return next < 0 || next >= count ? at : next;
}
