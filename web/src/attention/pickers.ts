/** Which layer, which head, which picture: selects, buttons and keys. */

import { el } from "../draw/el";
import { css } from "../draw/ramps";
import { roving } from "../draw/roving";
import { hasMean, type Module } from "./data";
import { groupOf, type Desk, type Mode } from "./desk";

const NAMES: Record<Mode, string> = { glance: "At a glance", matrix: "Matrix", arcs: "Arcs", generated: "Generated" };

/** The bar above the pictures; `choose` also marks the mode that something else chose. */
export function pickers(
  desk: Desk,
  modes: readonly Mode[],
  onMode: (mode: Mode) => void,
): { bar: HTMLElement; choose: (mode: Mode) => void } {
  const layer = el("select", { "aria-label": "Layer", title: "[ and ] step through the layers" });
  const head = el("select", { "aria-label": "Head", title: "Type a head's number to choose it" });
  const { modules } = desk;
  for (const group of new Set(modules.map(groupOf))) {
    const own = modules.filter((module) => groupOf(module) === group);
    layer.append(el("optgroup", { label: group }, ...own.map((one) => layerOption(one, modules.indexOf(one)))));
  }
  layer.addEventListener("change", () => desk.choose(modules[Number(layer.value)]!, desk.head));
  head.addEventListener("change", () => desk.choose(desk.module, head.value === "mean" ? null : Number(head.value)));
  function follow(): void {
    layer.value = String(modules.indexOf(desk.module));
    const options = desk.module.heads.map((number) => el("option", { value: number }, `head ${number}`));
    const mean = hasMean(desk.module) ? el("option", { value: "mean" }, "mean of heads") : null;
    head.replaceChildren(...options, ...(mean ? [mean] : []));
    head.value = desk.head === null ? "mean" : String(desk.head);
  }
  desk.onChange(follow);
  follow();
  const { group, choose } = segments(modes, onMode);
  return { bar: el("div", { class: "choices-bar" }, group, layer, head, scale(desk)), choose };
}

/** What the colours mean, and the choice to see more of small weights. */
function scale(desk: Desk): HTMLElement {
  const strip = el("span", { class: "ramp" });
  const middle = el("span", { class: "middle" });
  desk.onColours((colours) => {
    const power = desk.stretched ? 2 : 1; // so that the strip's colours stay even, and its numbers say the stretching
    const stops = Array.from({ length: 18 }, (_, index) => css(colours, 255 * (index / 17) ** power));
    strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    middle.textContent = desk.stretched ? "0.06" : "0.25";
  });
  const stretch = el("input", { type: "checkbox", on: { change: () => desk.stretch(stretch.checked) } });
  const key = el(
    "span",
    { class: "weights-key numbers", "aria-hidden": "true" },
    "0",
    el("span", { class: "ramp-room" }, strip, middle),
    "1",
  );
  return el("span", { class: "scale" }, key, el("label", { class: "check" }, stretch, "Stretch small weights"));
}

function layerOption(module: Module, index: number): HTMLElement {
  return el("option", { value: index }, `layer ${module.layer}`);
}

function segments(
  modes: readonly Mode[],
  onMode: (mode: Mode) => void,
): { group: HTMLElement; choose: (mode: Mode) => void } {
  const buttons = modes.map((mode) =>
    el("button", { type: "button", role: "radio", "data-mode": mode, on: { click: () => choose(mode) } }, NAMES[mode]),
  );
  const group = el("div", { class: "segments", role: "radiogroup", "aria-label": "Picture" }, ...buttons);
  const keys = roving(
    group,
    () => buttons,
    () => 1,
  );
  group.addEventListener("focusin", (event) => {
    const mode = (event.target as HTMLElement).dataset["mode"] as Mode | undefined;
    if (mode) choose(mode);
  });
  function choose(mode: Mode): void {
    buttons.forEach((button, index) => button.setAttribute("aria-checked", String(modes[index] === mode)));
    keys.to(modes.indexOf(mode));
    onMode(mode);
  }
  return { group, choose };
}

/** [ ] step through layers, numbers choose heads, wherever in the page the keyboard is but in a field. */
export function shortcuts(host: HTMLElement, desk: Desk): void {
  const type = typing(desk);
  document.addEventListener("keydown", (event) => {
    const field = (event.target as HTMLElement).matches?.("input:not([type=range], [type=checkbox]), select, textarea");
    if (field || event.ctrlKey || event.metaKey || event.altKey || host.clientWidth === 0) return;
    if (event.key === "[") desk.stepLayer(-1);
    else if (event.key === "]") desk.stepLayer(1);
    else if (/^[0-9]$/.test(event.key)) type(event.key, event.timeStamp);
    else return;
    event.preventDefault();
  });
}

const PAUSE = 600; // milliseconds after which a digit begins another number

/** Takes digits; those that follow each other soon are one number where there is such a head. */
function typing(desk: Desk): (digit: string, at: number) => void {
  let [typed, last] = ["", -Infinity];
  return (digit, at) => {
    const longer = at - last < PAUSE ? typed + digit : digit;
    const found = [longer, digit].find((number) => desk.module.heads.includes(Number(number)));
    [typed, last] = [found ?? longer, at];
    if (found !== undefined) desk.choose(desk.module, Number(found));
  };
}
