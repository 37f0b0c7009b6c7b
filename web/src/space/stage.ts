/** The picture itself: points, words and lines under one camera, drawn when something changes and at no other time. */

import { el } from "../draw/el";
import { quoted } from "../draw/format";
import { categorical } from "../draw/ramps";
import { ink } from "../draw/surface";
import { hideTip, showTip } from "../draw/tooltip";
import type { Page } from "../registry";
import { Camera, type Seen } from "./camera";
import { flat } from "./flat";
import { Labels } from "./labels";
import { Lines } from "./lines";
import { rgb, type Painter } from "./painter";
import { webgl } from "./webgl";
import { normalised, type Words } from "./words";

interface Calls {
  pick(index: number): void;
  clear(): void;
}

const NEAR = 14; // pixels between a click and the point it means

export class Stage {
  readonly host: HTMLElement;
  private readonly points: Float32Array;
  private readonly labels: Labels;
  private readonly lines = new Lines();
  private readonly camera: Camera;
  private painter: Painter;
  private seen: readonly Seen[] = [];
  private pair: readonly number[] = [];
  private pressed = { x: 0, y: 0 };
  private size = { width: 0, height: 0 };
  private due = false;

  constructor(
    private readonly words: Words,
    private readonly page: Page,
    private readonly calls: Calls,
  ) {
    this.points = normalised(words.points);
    const attributes = {
      role: "application",
      "aria-roledescription": "words in space",
      "aria-label": HELP,
      tabindex: 0,
    };
    this.labels = new Labels(words.labels, calls.pick);
    this.painter = webgl(this.points, () => this.replace()) ?? flat(this.points);
    this.host = el(
      "div",
      { class: "space-stage", ...attributes },
      this.lines.below,
      this.painter.canvas,
      this.lines.above,
      this.labels.host,
    );
    this.camera = new Camera(this.host, () => this.invalidate());
    this.colour();
    page.onTheme(() => this.colour());
    new ResizeObserver(() => this.resize()).observe(this.host);
    this.listen();
  }

  /** Mark these words, draw their vectors. */
  show(pair: readonly number[]): void {
    this.pair = pair;
    this.painter.mark(pair);
    this.invalidate();
  }

  private colour(): void {
    const known = new Map<number, ReturnType<typeof rgb>>();
    const colours = this.words.labels.map((_, i) => {
      const group = this.words.groups[i] ?? 0;
      if (!known.has(group)) known.set(group, rgb(categorical(this.page.theme, group)));
      return known.get(group)!;
    });
    this.painter.colour(colours, rgb(ink("--surface")));
    this.invalidate();
  }

  /** The graphics card went away: go on without it. */
  private replace(): void {
    const old = this.painter;
    this.painter = flat(this.points);
    old.canvas.replaceWith(this.painter.canvas);
    this.colour();
    this.resize();
    this.show(this.pair);
  }

  private resize(): void {
    this.size = { width: this.host.clientWidth, height: this.host.clientHeight };
    if (this.size.width === 0 || this.size.height === 0) return; // hidden
    this.camera.size(this.size.width, this.size.height);
    this.painter.size(this.size.width, this.size.height);
    this.invalidate();
  }

  private invalidate(): void {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.due = false;
    const { width, height } = this.size;
    if (width === 0) return;
    this.camera.eye.updateMatrixWorld();
    const at = (i: number) =>
      this.camera.project(this.points[3 * i]!, this.points[3 * i + 1]!, this.points[3 * i + 2]!);
    this.seen = this.words.labels.map((_, i) => at(i));
    this.painter.paint(this.camera);
    this.labels.place(this.seen, this.pair, width, height);
    const project = (x: number, y: number, z: number) => this.camera.project(x, y, z);
    this.lines.draw(
      project,
      this.pair.map((i) => this.seen[i]!),
      this.words.method === "pca" ? "PC" : "axis",
      width,
    );
  }

  private listen(): void {
    const { host } = this;
    host.addEventListener("pointerdown", (event) => (this.pressed = { x: event.clientX, y: event.clientY }));
    host.addEventListener("click", (event) => {
      const moved = Math.hypot(event.clientX - this.pressed.x, event.clientY - this.pressed.y);
      const index = this.at(event);
      if (event.detail > 0 && moved < 5 && index !== undefined) this.calls.pick(index);
    });
    host.addEventListener("pointermove", (event) => this.hover(event));
    host.addEventListener("pointerleave", hideTip);
    host.addEventListener("focusin", () => this.invalidate());
    host.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") this.calls.clear();
      else if (!this.camera.key(event.key)) return;
      this.invalidate();
      event.preventDefault();
    });
  }

  private hover(event: PointerEvent): void {
    const index = event.buttons ? undefined : this.at(event);
    this.host.classList.toggle("over", index !== undefined);
    if (index === undefined) return hideTip();
    const [first] = this.pair;
    const alone = first === undefined || first === index;
    const beside = alone
      ? []
      : [", cosine with ", quoted(this.words.labels[first]!), ` ${this.words.cosine(first, index).toFixed(4)}`];
    showTip(event.clientX, event.clientY, [quoted(this.words.labels[index]!), ...beside]);
  }

  /** The word at the pointer: by its label, else the nearest point. */
  private at(event: MouseEvent): number | undefined {
    const bounds = this.host.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const labelled = this.labels.under(x, y);
    if (labelled !== undefined) return labelled;
    let [best, least]: [number | undefined, number] = [undefined, NEAR];
    this.seen.forEach((point, i) => {
      const away = Math.hypot(point.x - x, point.y - y);
      if (away < least) [best, least] = [i, away];
    });
    return best;
  }
}

const HELP = "Words as points. Arrow keys turn, plus and minus zoom, 0 begins again; Tab and Enter pick two words.";
