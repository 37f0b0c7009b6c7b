/** Rotary positions (Su et al. 2021): each pair of dimensions is a clock hand that turns as the position grows. */

import type { Page } from "../registry";
import { Chart } from "../draw/chart";
import { el, svg } from "../draw/el";
import { roving } from "../draw/roving";
import { tip } from "../draw/tooltip";
import { caption, section, word } from "../draw/words";
import { matrix, phrase, upTo } from "./matrix";

export interface Rotary {
  readonly scheme: "rotary";
  readonly head_dim: number;
  readonly base: number;
  readonly frequencies: readonly number[];
  readonly wavelengths: readonly number[];
  readonly anglesKey: string;
  readonly labels: readonly string[];
}

const RADIUS = 26;

export async function showRotary(view: Rotary, page: Page, host: HTMLElement): Promise<void> {
  const angles = matrix(await page.array(view.anglesKey));
  const labels = phrase(view.labels);
  const dials = upTo(angles.columns).map((pair) => dial(pair, view));
  const clocks = el("div", { class: "dials" }, ...dials.map((one) => one.host));
  roving(
    clocks,
    () => dials.map((one) => one.host),
    () => perRow(clocks),
  );
  const place = el("output", { class: "numbers place" });
  const slider = el("input", {
    type: "range",
    min: 0,
    max: angles.rows - 1,
    value: Math.min(1, angles.rows - 1),
    "aria-label": "Position",
  });
  function turn(): void {
    const position = Number(slider.value);
    dials.forEach((one, pair) => one.turn(angles.at(position, pair)));
    const label = labels[position];
    place.replaceChildren(String(position), ...(label === undefined ? [] : [" ", word(label, 24)]));
  }
  slider.addEventListener("input", turn);
  const waves = section("Wavelengths");
  host.append(
    section(
      "The hands at one position",
      el("label", { class: "slide" }, "position ", slider, place),
      clocks,
      caption(
        "One dial per pair of dimensions of a head: queries and keys are turned by these angles before they meet, " +
          "so that their product knows only how far apart they stand.",
      ),
    ),
    waves,
  );
  turn();
  wavelengths(view, page, waves);
}

interface Dial {
  readonly host: HTMLElement;
  turn(angle: number): void;
}

function dial(pair: number, view: Rotary): Dial {
  const [hand, sector] = [svg("line", { class: "hand", x1: 0, y1: 0 }), svg("path", { class: "sector" })];
  const face = svg(
    "svg",
    { viewBox: "-30 -30 60 60", "aria-hidden": "true" },
    svg("circle", { class: "rim", r: RADIUS }),
    sector,
    hand,
  );
  const host = el(
    "div",
    { class: "dial", role: "img", tabindex: -1 },
    face,
    el("span", { class: "numbers" }, `pair ${pair}`),
  );
  let now = 0;
  tip(host, () => [
    el("div", {}, `pair ${pair}: ${described(now)}`),
    el("div", {}, `one turn in ${round(view.wavelengths[pair]!)} positions`),
  ]);
  function turn(angle: number): void {
    now = angle;
    const [x, y] = [RADIUS * Math.cos(angle), -RADIUS * Math.sin(angle)];
    hand.setAttribute("x2", x.toFixed(2));
    hand.setAttribute("y2", y.toFixed(2));
    const rest = angle % (2 * Math.PI);
    sector.setAttribute(
      "d",
      `M0 0H${RADIUS}A${RADIUS} ${RADIUS} 0 ${rest > Math.PI ? 1 : 0} 0 ${x.toFixed(2)} ${y.toFixed(2)}Z`,
    );
    host.setAttribute("aria-label", `pair ${pair}: ${described(angle)}`);
  }
  return { host, turn };
}

function described(angle: number): string {
  const turns = angle / (2 * Math.PI);
  return `${angle.toFixed(4)} rad = ${turns < 1 ? `${(360 * turns).toFixed(2)}°` : `${turns.toFixed(2)} turns`}`;
}

/** Three digits, whatever the size. */
function round(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en");
}

/** How many dials stand in a row now. */
function perRow(clocks: HTMLElement): number {
  const [first, ...others] = clocks.children as unknown as HTMLElement[];
  return 1 + others.findIndex((one) => one.offsetTop > first!.offsetTop) || others.length + 1;
}

function wavelengths(view: Rotary, page: Page, host: HTMLElement): void {
  const plot = el("div");
  const [first, last] = [view.wavelengths[0]!, view.wavelengths.at(-1)!];
  host.append(
    plot,
    caption(`From ${round(first)} to ${round(last)} positions; base ${view.base.toLocaleString("en")}.`),
  );
  const chart = new Chart(plot, page, {
    label: "Wavelength of each pair",
    xs: upTo(view.wavelengths.length),
    xName: "pair of dimensions",
    yName: "positions per turn",
    log: true,
    readX: (index) => [`pair ${index}, ${view.frequencies[index]!.toPrecision(4)} rad per position`],
    readY: (value) => `${round(value)} positions`,
  });
  chart.show([{ name: "one turn in", group: 0, ys: view.wavelengths }]);
}
