/** Two columns of words, those that look and those looked at, with curves between: cross-attention, alignments. */

import type { Theme } from "../registry";
import { quoted, weight as written } from "./format";
import { fitted, font } from "./label";
import { pen, type Link, type LinkPicture, type Links } from "./links";
import { scroller, type Scroller } from "./scroller";
import { ink } from "./surface";
import { hideTip, showTip } from "./tooltip";

const ROW = 26;
const MARGIN = 26; // the columns' headings

interface Options {
  readonly label: string;
  choose(token: number): void;
  say(text: string): void;
  onTheme(call: (theme: Theme) => void): void;
}

interface Word {
  readonly side: "query" | "key";
  readonly index: number;
}

export class Columns implements LinkPicture {
  private readonly canvas: Scroller;
  private links: Links = { queries: [], keys: [], out: () => [], into: () => [] };
  private pinned: Word | undefined;
  private hovered: Word | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly options: Options,
  ) {
    this.canvas = scroller(host, (context, seen) => this.draw(context, seen.top, seen.width, seen.height), {
      tabindex: 0,
      role: "application",
      "aria-label": options.label,
    });
    options.onTheme(() => this.canvas.invalidate());
    this.listen();
  }

  show(links: Links): void {
    this.links = links;
    this.canvas.extent(1, MARGIN + ROW * Math.max(links.queries.length, links.keys.length) + 8);
  }

  focus(token: number | undefined): void {
    this.pinned = token === undefined ? undefined : { side: "query", index: token };
    if (token !== undefined) this.canvas.reveal(0, this.y(token) - 2 * ROW, 1, 4 * ROW);
    this.canvas.invalidate();
  }

  private y(index: number): number {
    return MARGIN + ROW * (index + 0.5);
  }

  private draw(context: CanvasRenderingContext2D, top: number, width: number, height: number): void {
    const [left, right] = [Math.round(width * 0.34), Math.round(width * 0.66)];
    const first = Math.max(0, Math.floor((top - MARGIN) / ROW));
    const last = Math.ceil((top + height - MARGIN) / ROW);
    const isolated = this.hovered ?? this.pinned;
    context.translate(0, -top);
    const touched = { query: new Map<number, number>(), key: new Map<number, number>() };
    for (const link of this.drawn(isolated, first, last)) {
      this.curve(context, link, left, right, isolated !== undefined);
      touched.query.set(link.query, link.weight);
      touched.key.set(link.key, link.weight);
    }
    for (const side of ["query", "key"] as const) {
      const tokens = side === "query" ? this.links.queries : this.links.keys;
      for (let index = first; index < Math.min(tokens.length, last + 1); index++) {
        const chosen = isolated?.side === side && isolated.index === index;
        const dim = isolated !== undefined && !touched[side].has(index) && !chosen;
        context.font = font(14, chosen ? 600 : 400);
        context.textAlign = side === "query" ? "right" : "left";
        context.textBaseline = "middle";
        context.fillStyle = ink(chosen ? "--accent" : dim ? "--quiet" : "--ink");
        const x = side === "query" ? left - 10 : right + 10;
        context.fillText(fitted(context, tokens[index]!.text, left - 24), x, this.y(index));
      }
    }
    context.font = font(11.5, 600);
    context.fillStyle = ink("--quiet");
    context.textAlign = "right";
    context.fillText("looks", left - 10, MARGIN / 2);
    context.textAlign = "left";
    context.fillText("is looked at", right + 10, MARGIN / 2);
  }

  private drawn(isolated: Word | undefined, first: number, last: number): readonly Link[] {
    if (isolated) return isolated.side === "query" ? this.links.out(isolated.index) : this.links.into(isolated.index);
    const all: Link[] = [];
    for (let query = first; query <= Math.min(last, this.links.queries.length - 1); query++) {
      all.push(...this.links.out(query));
    }
    return all;
  }

  private curve(context: CanvasRenderingContext2D, link: Link, left: number, right: number, isolated: boolean): void {
    const bend = (right - left) * 0.45;
    const [from, to] = [this.y(link.query), this.y(link.key)];
    pen(context, link.weight, ink("--accent"), isolated);
    context.beginPath();
    context.moveTo(left, from);
    context.bezierCurveTo(left + bend, from, right - bend, to, right, to);
    context.stroke();
    context.globalAlpha = 1;
  }

  private listen(): void {
    const { canvas } = this.canvas;
    const under = (event: MouseEvent): Word | undefined => {
      const box = canvas.getBoundingClientRect();
      const index = Math.floor((event.clientY - box.top + this.host.scrollTop - MARGIN) / ROW);
      const side = event.clientX - box.left < box.width / 2 ? "query" : "key";
      const tokens = side === "query" ? this.links.queries : this.links.keys;
      return index >= 0 && index < tokens.length ? { side, index } : undefined;
    };
    canvas.addEventListener("pointermove", (event) => {
      this.hovered = under(event);
      if (this.hovered) showTip(event.clientX, event.clientY, this.sentence(this.hovered));
      else hideTip();
      this.canvas.invalidate();
    });
    canvas.addEventListener("pointerleave", () => {
      this.hovered = undefined;
      hideTip();
      this.canvas.invalidate();
    });
    canvas.addEventListener("click", (event) => {
      const word = under(event);
      if (word?.side === "query") this.options.choose(word.index);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  private key(event: KeyboardEvent): void {
    const at = this.pinned?.index ?? -1;
    const last = this.links.queries.length - 1;
    const moves: Record<string, number> = {
      ArrowUp: Math.max(0, at - 1),
      ArrowDown: Math.min(last, at + 1),
      Home: 0,
      End: last,
    };
    const next = moves[event.key];
    if (next !== undefined) {
      this.focus(next);
      const parts = this.sentence({ side: "query", index: next });
      this.options.say(parts.map((part) => (typeof part === "string" ? part : part.textContent)).join(""));
    } else if (event.key === "Escape") this.focus(undefined);
    else if (event.key === "Enter" && at >= 0) this.options.choose(at);
    else return;
    event.preventDefault();
  }

  private sentence({ side, index }: Word): (string | Node)[] {
    const links = (side === "query" ? this.links.out(index) : this.links.into(index)).slice(0, 3);
    const own = quoted((side === "query" ? this.links.queries : this.links.keys)[index]!.text);
    if (links.length === 0) return [own];
    const ends = links.flatMap(({ query, key, weight }, at) => {
      const text = side === "query" ? this.links.keys[key]?.text : this.links.queries[query]?.text;
      return [at ? ", " : "", quoted(text ?? "", 24), ` ${written(weight)}`];
    });
    return [own, side === "query" ? " looks at " : " is looked at by ", ...ends];
  }
}
