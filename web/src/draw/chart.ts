/**
 * Lines over a shared horizontal axis, in SVG; all values in reach of pointer and keys.
 *
 * Points stand in the middle of equal columns, so that a chart lies exactly below a heat map of the same width.
 */

import { categorical } from "./ramps";
import type { Page } from "../registry";
import { el, svg } from "./el";
import { powers, ticks, tickText } from "./ticks";
import { hideTip, showTip } from "./tooltip";
import type { Said } from "./words";

export interface Series {
  readonly name: string;
  readonly ys: ArrayLike<number>;
  readonly group: number; // decides its colour
  readonly between?: (x: number) => number; // the curve that the points are cut from
}

export interface ChartOptions {
  readonly label: string;
  readonly xs: readonly number[];
  readonly xName: string;
  readonly yName: string;
  readonly height?: number;
  readonly left?: number;
  readonly log?: boolean;
  readonly steps?: boolean; // flat from one value to the next
  readonly range?: readonly [low: number, high: number];
  readonly readX: (index: number) => Said;
  readonly readY: (value: number) => string;
}

const RIGHT = 12;
const [TOP, BOTTOM] = [18, 38];
const [FINE, MOST_DOTS] = [12, 128]; // steps between two points of a formula; points that are drawn as such
const MOST_READ = 8; // lines that a read-out lists; of more, it names the nearest

export class Chart {
  private readonly said = el("output", { class: "unseen" });
  private readonly picture: SVGSVGElement;
  private readonly marks = svg("g", { class: "marks" });
  private series: readonly Series[] = [];
  private at = 0;
  private line = 0;
  private width = 0;
  private low = 0;
  private high = 1;

  constructor(
    private readonly host: HTMLElement,
    private readonly page: Page,
    private readonly options: ChartOptions,
  ) {
    const { label, height = 220 } = options;
    const attributes = { role: "application", "aria-roledescription": "line chart", "aria-label": label };
    this.picture = svg("svg", { class: "chart", tabindex: 0, height, ...attributes });
    host.append(this.picture, this.said);
    new ResizeObserver(() => this.draw()).observe(host);
    page.onTheme(() => this.draw());
    this.listen();
  }

  /** Show these lines. */
  show(series: readonly Series[]): void {
    this.series = series;
    this.line = Math.min(this.line, Math.max(0, series.length - 1));
    this.draw();
  }

  /** The names of the lines beside their colours. */
  colours(): HTMLElement {
    const items = this.series.map((one) => {
      const swatch = el("span", { class: "swatch" });
      const colour = () => (swatch.style.background = categorical(this.page.theme, one.group));
      colour();
      this.page.onTheme(colour);
      return el("li", {}, swatch, one.name);
    });
    return el("ul", { class: "key" }, ...items);
  }

  private x(index: number): number {
    const left = this.options.left ?? 48;
    return left + ((index + 0.5) * (this.width - left - RIGHT)) / this.options.xs.length;
  }

  private y(value: number): number {
    const { height = 220, log } = this.options;
    const scale = log ? Math.log10 : (v: number) => v;
    const share = (scale(value) - scale(this.low)) / (scale(this.high) - scale(this.low) || 1);
    return height - BOTTOM - share * (height - TOP - BOTTOM);
  }

  private draw(): void {
    this.width = this.host.clientWidth;
    if (this.width < 80) return;
    [this.low, this.high] = this.options.range ?? extent(this.series, this.options.log ?? false);
    this.picture.setAttribute("width", String(this.width));
    this.marks.replaceChildren();
    this.picture.replaceChildren(...this.axes(), ...this.series.flatMap((one) => this.curve(one)), this.marks);
  }

  private curve({ ys, group, between }: Series): SVGElement[] {
    const stroke = categorical(this.page.theme, group);
    if (!between) return [svg("path", { class: "line", d: this.path(ys), stroke })];
    const xs = this.options.xs;
    const fine = Array.from({ length: (xs.length - 1) * FINE + 1 }, (_, i) => {
      return `${this.x(i / FINE).toFixed(1)} ${this.y(between(xs[0]! + i / FINE)).toFixed(1)}`;
    });
    const dots = xs.map((_, i) => svg("circle", { cx: this.x(i), cy: this.y(ys[i]!), r: 2, fill: stroke }));
    return [
      svg("path", { class: "line thin", d: `M${fine.join("L")}`, stroke }),
      ...(xs.length <= MOST_DOTS ? dots : []),
    ];
  }

  private path(ys: ArrayLike<number>): string {
    let [path, pen] = ["", false];
    const half = this.options.steps ? this.x(1) - this.x(0.5) : 0;
    for (let i = 0; i < ys.length; i++) {
      const value = ys[i]!;
      if (!Number.isFinite(value) || (this.options.log && value <= 0)) {
        pen = false;
        continue;
      }
      const [x, y] = [this.x(i), this.y(value).toFixed(1)];
      path += `${pen ? "L" : "M"}${(x - half).toFixed(1)} ${y}` + (half ? `L${(x + half).toFixed(1)} ${y}` : "");
      pen = true;
    }
    return path;
  }

  private axes(): SVGElement[] {
    const { xs, xName, yName, height = 220, left = 48, log } = this.options;
    const made: SVGElement[] = [];
    const base = height - BOTTOM;
    const rows = log ? powers(this.low, this.high) : ticks(this.low, this.high, 4);
    for (const value of rows) {
      const y = this.y(value);
      made.push(svg("line", { class: "rule", x1: left, x2: this.width - RIGHT, y1: y, y2: y }));
      made.push(svg("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, tickText(value)));
    }
    const first = xs[0] ?? 0;
    for (const value of ticks(first, xs.at(-1) ?? 0, Math.min(xs.length, this.width / 70))) {
      const index = xs.indexOf(value);
      if (index >= 0)
        made.push(svg("text", { x: this.x(index), y: base + 16, "text-anchor": "middle" }, tickText(value)));
    }
    made.push(svg("text", { class: "axis", x: left, y: 10 }, yName));
    made.push(svg("text", { class: "axis", x: this.width - RIGHT, y: base + 33, "text-anchor": "end" }, xName));
    return made;
  }

  private listen(): void {
    const { picture } = this;
    picture.addEventListener("pointermove", (event) => this.point(event));
    picture.addEventListener("pointerleave", () => this.leave());
    picture.addEventListener("blur", () => this.leave());
    picture.addEventListener("focus", () => picture.matches(":focus-visible") && this.go());
    picture.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.key(event.key)) return;
      event.preventDefault();
    });
  }

  private point(event: PointerEvent): void {
    const { left = 48, xs } = this.options;
    const bounds = this.picture.getBoundingClientRect();
    const share = (event.clientX - bounds.left - left) / (this.width - left - RIGHT);
    if (share < -0.02 || share > 1.02 || this.series.length === 0) return this.leave();
    this.at = Math.max(0, Math.min(xs.length - 1, Math.floor(share * xs.length)));
    const gap = (one: Series) => Math.abs(this.y(one.ys[this.at] ?? NaN) - (event.clientY - bounds.top));
    this.line = this.series.reduce((best, one, i) => (gap(one) < gap(this.series[best]!) ? i : best), 0);
    this.mark();
    showTip(event.clientX, event.clientY, this.readout());
  }

  private key(key: string): boolean {
    const last = this.options.xs.length - 1;
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -10,
      PageDown: 10,
      Home: -last,
      End: last,
    };
    const lines: Record<string, number> = { ArrowUp: -1, ArrowDown: 1 };
    if (key === "Escape") this.leave();
    else if (key in moves) this.at = Math.max(0, Math.min(last, this.at + moves[key]!));
    else if (key in lines) this.line = Math.max(0, Math.min(this.series.length - 1, this.line + lines[key]!));
    else return false;
    if (key !== "Escape") this.go();
    return true;
  }

  private go(): void {
    const current = this.series[this.line];
    if (!current) return;
    this.mark();
    const bounds = this.picture.getBoundingClientRect();
    const height = this.y(current.ys[this.at] ?? this.low);
    showTip(bounds.left + this.x(this.at), bounds.top + (Number.isFinite(height) ? height : 0), this.readout());
    this.said.textContent = this.readout()
      .map((line) => line.textContent)
      .join(", ");
  }

  private mark(): void {
    const { height = 220 } = this.options;
    const x = this.x(this.at);
    this.marks.replaceChildren(svg("line", { class: "guide", x1: x, x2: x, y1: TOP, y2: height - BOTTOM }));
    this.series.forEach((one, i) => {
      const y = this.y(one.ys[this.at] ?? NaN);
      if (!Number.isFinite(y)) return;
      this.marks.append(
        svg("circle", { cx: x, cy: y, r: i === this.line ? 4 : 2.5, fill: categorical(this.page.theme, one.group) }),
      );
    });
  }

  private readout(): HTMLElement[] {
    const listed = this.series.length > MOST_READ ? [this.series[this.line]!] : this.series;
    const lines = listed.map((one) =>
      el(
        "div",
        { class: one === this.series[this.line] && listed.length > 1 ? "chosen" : null },
        el("span", { class: "swatch", style: { background: categorical(this.page.theme, one.group) } }),
        `${one.name}: ${this.options.readY(one.ys[this.at] ?? NaN)}`,
      ),
    );
    return [el("div", {}, ...this.options.readX(this.at)), ...lines];
  }

  private leave(): void {
    this.marks.replaceChildren();
    hideTip();
  }
}

/** The values' own range; in powers of ten for a logarithmic axis. */
function extent(series: readonly Series[], log: boolean): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const { ys } of series) {
    for (let i = 0; i < ys.length; i++) {
      const value = ys[i]!;
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  if (!(low <= high)) return log ? [0.1, 1] : [0, 1];
  if (log) return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high) + 1e-9)];
  return low === high ? [low - 1, high + 1] : [low, high];
}
