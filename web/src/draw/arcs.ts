/**
 * Words as a line, and arcs above it from each to what it looks at. A word that is isolated shows its own arcs above the
 * line, and below it the arcs of those who look at it.
 */

import type { Theme } from "../registry";
import { quoted, visible, weight as written } from "./format";
import { fitted, font } from "./label";
import { pen, type Link, type LinkPicture, type Links } from "./links";
import { scroller, type Scroller } from "./scroller";
import { ink } from "./surface";
import { hideTip, showTip } from "./tooltip";

const WIDEST = 130; // pixels of a word
const MARGIN = 14;
const WORDS = 30; // height of the line of words

interface Options {
  readonly label: string;
  /** Called when a word is chosen by click or Enter. */
  choose(token: number): void;
  say(text: string): void;
  onTheme(call: (theme: Theme) => void): void;
}

export class Arcs implements LinkPicture {
  private readonly canvas: Scroller;
  private links: Links = { queries: [], keys: [], out: () => [], into: () => [] };
  private ends = new Float32Array(1); // where each word begins, and the last one ends
  private pinned: number | undefined;
  private hovered: number | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly options: Options,
  ) {
    this.canvas = scroller(host, (context, seen) => this.draw(context, seen.left, seen.width, seen.height), {
      tabindex: 0,
      role: "application",
      "aria-label": options.label,
    });
    options.onTheme(() => this.canvas.invalidate());
    this.listen();
  }

  show(links: Links): void {
    this.links = links;
    this.measure();
    this.canvas.invalidate();
  }

  focus(token: number | undefined): void {
    this.pinned = token;
    if (token !== undefined)
      this.canvas.reveal(this.start(token) - 60, 0, this.start(token + 1) - this.start(token) + 120, 1);
    this.canvas.invalidate();
  }

  private measure(): void {
    const context = this.canvas.canvas.getContext("2d")!;
    context.font = font(14, 600); // as wide as a word is when it is isolated
    const { queries } = this.links;
    this.ends = new Float32Array(queries.length + 1).fill(MARGIN);
    queries.forEach((token, index) => {
      const width = Math.max(12, Math.min(WIDEST, context.measureText(visible(token.text.slice(0, 200))).width));
      this.ends[index + 1] = this.ends[index]! + width + 12;
    });
    this.canvas.extent(this.ends.at(-1)! + MARGIN, 1);
  }

  private start(token: number): number {
    return this.ends[Math.max(0, Math.min(token, this.ends.length - 1))]!;
  }

  private middle(token: number): number {
    return (this.start(token) + this.start(token + 1)) / 2;
  }

  /** The word at a place along the line, by halving. */
  private at(x: number): number | undefined {
    let [low, high] = [0, this.links.queries.length];
    if (x < this.ends[0]! || x >= this.ends[high]!) return undefined;
    while (high - low > 1) {
      const half = (low + high) >> 1;
      if (this.ends[half]! <= x) low = half;
      else high = half;
    }
    return low;
  }

  private draw(context: CanvasRenderingContext2D, left: number, width: number, height: number): void {
    const line = Math.round(height * 0.68);
    const first = this.at(Math.max(left, MARGIN)) ?? 0;
    const last = this.at(Math.min(left + width, this.ends.at(-1)! - 1)) ?? -1;
    const isolated = this.hovered ?? this.pinned;
    const shift = Math.max(0, (width - this.ends.at(-1)! - MARGIN) / 2); // a short text stands in the middle
    context.translate(shift - left, 0);
    context.lineCap = "round";
    const touched = new Map<number, number>();
    if (isolated === undefined) {
      for (let query = first; query <= last; query++) {
        for (const link of this.links.out(query)) this.arc(context, link, line, -1, false);
      }
    } else {
      for (const link of this.links.into(isolated)) this.arc(context, link, line + WORDS + 12, 1, true);
      for (const link of this.links.out(isolated)) {
        this.arc(context, link, line, -1, true);
        touched.set(link.key, link.weight);
      }
    }
    for (let token = first; token <= last; token++) this.word(context, token, line, isolated, touched.get(token));
  }

  private arc(context: CanvasRenderingContext2D, link: Link, line: number, side: 1 | -1, isolated: boolean): void {
    pen(context, link.weight, ink(side < 0 ? "--accent" : "--second"), isolated);
    const [from, to] = [this.middle(link.query), this.middle(link.key)];
    const room = side < 0 ? line - 26 : this.host.clientHeight - line - 12;
    const top = line + side * (4 + Math.min(room, 10 + Math.abs(from - to) * 0.42)) * 1.32; // of the curve's handles
    context.beginPath();
    const loop = link.query === link.key ? 9 : 0;
    context.moveTo(from - loop, line + side * 2);
    context.bezierCurveTo(from - loop, top, to + loop, top, to + loop, line + side * 2);
    context.stroke();
    context.globalAlpha = 1;
  }

  private word(
    context: CanvasRenderingContext2D,
    token: number,
    line: number,
    isolated: number | undefined,
    weight?: number,
  ): void {
    const { text, special, generated } = this.links.queries[token]!;
    const [x, room] = [this.middle(token), this.start(token + 1) - this.start(token) - 8];
    if (token === isolated) {
      context.fillStyle = ink("--accent-soft");
      context.fillRect(x - room / 2 - 2, line + 2, room + 4, WORDS - 4);
    }
    const dim = isolated !== undefined && token !== isolated && weight === undefined;
    context.font = font(14, token === isolated ? 600 : 400);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = ink(dim || special ? "--quiet" : generated ? "--accent" : "--ink");
    context.fillText(fitted(context, text, room + 2), x, line + WORDS / 2);
    if (weight === undefined || weight < 0.005) return;
    context.font = font(11);
    context.fillStyle = ink("--quiet");
    context.fillText(weight.toFixed(2), x, line + WORDS + 5);
  }

  private listen(): void {
    const { canvas } = this.canvas;
    const under = (event: MouseEvent) => {
      const box = canvas.getBoundingClientRect();
      const shift = Math.max(0, (box.width - this.ends.at(-1)! - MARGIN) / 2);
      return this.at(event.clientX - box.left + this.host.scrollLeft - shift);
    };
    canvas.addEventListener("pointermove", (event) => {
      const token = under(event);
      if (token !== undefined) showTip(event.clientX, event.clientY, this.sentence(token));
      else hideTip();
      this.hover(token);
    });
    canvas.addEventListener("pointerleave", () => {
      hideTip();
      this.hover(undefined);
    });
    canvas.addEventListener("click", (event) => {
      const token = under(event);
      if (token !== undefined) this.options.choose(token);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  private hover(token: number | undefined): void {
    if (token === this.hovered) return;
    this.hovered = token;
    this.canvas.invalidate();
  }

  private key(event: KeyboardEvent): void {
    const count = this.links.queries.length;
    const at = this.pinned ?? -1;
    const moves: Record<string, number> = {
      ArrowLeft: Math.max(0, at - 1),
      ArrowRight: Math.min(count - 1, at + 1),
      Home: 0,
      End: count - 1,
    };
    const next = moves[event.key];
    if (next !== undefined) {
      this.focus(next);
      this.options.say(
        this.sentence(next)
          .map((part) => (typeof part === "string" ? part : part.textContent))
          .join(""),
      );
    } else if (event.key === "Escape") this.focus(undefined);
    else if (event.key === "Enter" && this.pinned !== undefined) this.options.choose(this.pinned);
    else return;
    event.preventDefault();
  }

  private sentence(token: number): (string | Node)[] {
    const links = this.links.out(token);
    const name = quoted(this.links.queries[token]!.text);
    if (links.length === 0) return [name];
    const ends = links
      .slice(0, 3)
      .flatMap(({ key, weight }, index) => [
        index ? ", " : "",
        quoted(this.links.keys[key]?.text ?? "", 24),
        ` ${written(weight)}`,
      ]);
    return [name, " looks at ", ...ends];
  }
}
