/** A row of small buttons, each on or off: which lines of a chart are drawn. */

import { el } from "./el";
import { roving } from "./roving";

export interface Toggle {
  readonly name: string;
  readonly colour: () => string; // of its swatch, while it is on
}

/** Calls `changed` with the indices that are on. */
export function toggles(
  label: string,
  all: readonly Toggle[],
  on: ReadonlySet<number>,
  changed: (on: readonly number[]) => void,
): { host: HTMLElement; flip: (index: number) => void; recolour: () => void } {
  const chosen = new Set(on);
  const buttons = all.map((one, index) =>
    el(
      "button",
      { type: "button", class: "toggle", on: { click: () => flip(index) } },
      el("span", { class: "swatch" }),
      one.name,
    ),
  );
  function recolour(): void {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-pressed", String(chosen.has(index)));
      const swatch = button.firstElementChild as HTMLElement;
      swatch.style.background = chosen.has(index) ? all[index]!.colour() : "transparent";
    });
  }
  function flip(index: number): void {
    if (!chosen.delete(index)) chosen.add(index);
    recolour();
    changed([...chosen].sort((a, b) => a - b));
  }
  recolour();
  const host = el("div", { class: "toggles", role: "group", "aria-label": label }, ...buttons);
  roving(
    host,
    () => buttons,
    () => 1,
  );
  return { host, flip, recolour };
}
