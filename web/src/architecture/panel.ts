/** What a part is: its sizes, its code, and what its values were. */

import type { AttentionView } from "../attention/data";
import type { Page } from "../registry";
import { el } from "../draw/el";
import { count } from "../draw/format";
import { bar } from "../draw/words";
import type { Architecture, Code, Part, Statistics } from "./view";

export class Panel {
  readonly host = el("aside", { class: "part-panel", "aria-live": "polite" });
  private layer: number;

  constructor(
    private readonly view: Architecture,
    private readonly page: Page,
    private readonly open: (id: string) => void,
  ) {
    this.layer = layerOf(page) ?? 0;
  }

  /** A part that the reader chose: it is shown, and the other views are told. */
  choose(id: string): void {
    this.show(id);
    this.select(id);
  }

  /** A part, or "block encoder" for one of the simplified diagram. */
  show(id: string): void {
    if (id.startsWith("block ")) return this.showBlock(id.slice("block ".length));
    const part = this.view.parts[id];
    if (!part) return;
    const size = part.shape ? ` · ${part.shape.map(count).join(" × ")}` : "";
    const detail = part.detail.map((line) => el("li", {}, line));
    this.host.replaceChildren(
      el("h3", {}, part.label, el("span", { class: "quiet-text numbers" }, size)),
      el("ul", { class: "detail numbers" }, ...detail),
      this.counts(part),
      ...this.values(id, part),
      ...(part.code.length ? [el("h4", {}, "The code that computes it")] : []),
      ...part.code.map((one, i) => code(one, i === 0)),
    );
  }

  private counts(part: Part): HTMLElement {
    const times = part.each > 1 ? `${count(part.parameters)} × ${part.each} = ` : "";
    const share = `${(100 * part.share).toFixed(part.share < 0.001 ? 3 : 1)} %`;
    return el(
      "dl",
      { class: "counts numbers" },
      ...[el("dt", {}, "parameters"), el("dd", {}, `${times}${count(part.parameters * part.each)}`)],
      ...[el("dt", {}, "of the model"), el("dd", {}, bar(part.share, share))],
    );
  }

  private showBlock(name: string): void {
    const ids = this.members(name).filter((id) => this.view.parts[id]);
    const total = ids.reduce((sum, id) => sum + this.view.parts[id]!.parameters * this.view.parts[id]!.each, 0);
    const share = total / (this.view.parameters || 1);
    const buttons = ids.map((id) =>
      el("button", { type: "button", on: { click: () => this.open(id) } }, this.view.parts[id]!.label),
    );
    this.host.replaceChildren(
      el("h3", {}, name),
      el("p", {}, this.view.simplified[name] ?? ""),
      el(
        "dl",
        { class: "counts numbers" },
        el("dt", {}, "of the model"),
        el("dd", {}, bar(share, `${(100 * share).toFixed(1)} %`)),
      ),
      el("h4", {}, "Its parts"),
      el("ul", { class: "made-of" }, ...buttons.map((button) => el("li", {}, button))),
    );
  }

  private members(block: string): readonly string[] {
    const stack = this.view.stacks.find((one) => one.name === block);
    if (stack) return [...stack.sublayers, stack.residual, ...stack.outside];
    return block === "embedding" ? this.view.embedding : this.view.head;
  }

  /** Values held in the trace, for one layer at a time. */
  private values(id: string, part: Part): HTMLElement[] {
    const held = heldPaths(part, this.view.held);
    if (held.length === 0) return [];
    const layers = [...new Set(held.map((one) => one.layer).filter((layer) => layer !== undefined))].sort(
      (a, b) => a - b,
    );
    if (layers.length && !layers.includes(this.layer)) this.layer = layers[0]!;
    const shown = this.seen(part);
    const rows = shown.map(({ path }) => statisticsRow(path, this.view.stats[path]));
    const head = ["", "shape", "mean", "std", "min", "max"].map((name) => el("th", { scope: "col" }, name));
    const table = el("table", { class: "numbers" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
    return [
      el("h4", {}, "Values in the trace", ...this.layerChoice(id, layers)),
      el("div", { class: "scroll" }, table),
      ...this.maps(id, part),
    ];
  }

  /** A part's paths that are held, of the layer in sight. */
  private seen(part: Part): Held[] {
    return heldPaths(part, this.view.held).filter((one) => one.layer === undefined || one.layer === this.layer);
  }

  private layerChoice(id: string, layers: readonly number[]): HTMLElement[] {
    if (layers.length < 2) return [];
    const options = layers.map((layer) =>
      el("option", { value: layer, selected: layer === this.layer }, `layer ${layer}`),
    );
    const choice = el("select", { "aria-label": "Layer" }, ...options);
    choice.addEventListener("change", () => {
      this.layer = Number(choice.value);
      this.choose(id);
      this.host.querySelector("select")?.focus();
    });
    return [choice];
  }

  private maps(id: string, part: Part): HTMLElement[] {
    if (!attends(part) || !this.page.header.views.some((view) => view.type === "attention")) return [];
    const open = () => {
      this.select(id);
      this.page.open("attention");
    };
    return [el("button", { type: "button", on: { click: open } }, "Show its attention maps")];
  }

  /** Tell the other views; theirs is the module, not the part. */
  private select(id: string): void {
    const part = this.view.parts[id];
    if (!part) return;
    const shown = this.seen(part);
    const path = (shown.find((one) => one.path.endsWith(".weights")) ?? shown[0])?.path;
    if (path === undefined) return;
    const module = /^(.*\.(?:cross_)?attention)\./.exec(path)?.[1];
    this.page.select(attends(part) && module !== undefined ? { path, module } : { path });
  }
}

/** The layer that the page's attention is at, or will be when it is first opened. */
function layerOf({ selection, header }: Page): number | undefined {
  const first = header.views.find((view) => view.type === "attention") as AttentionView | undefined;
  const found = /\.layers\.(\d+)\./.exec(selection.module ?? first?.selected.module ?? "");
  return found ? Number(found[1]) : undefined;
}

function attends({ kind }: Part): boolean {
  return kind === "attention" || kind === "cross_attention";
}

interface Held {
  readonly path: string;
  readonly layer: number | undefined;
}

/** The paths of the trace that a part's patterns name. */
function heldPaths(part: Part, held: readonly string[]): Held[] {
  const patterns = part.paths.map(
    (path) =>
      new RegExp(
        `^${path
          .split(/\{i\}|\{layer\}|\*/)
          .map(escaped)
          .join("(\\d+)")}$`,
      ),
  );
  return held.flatMap((path) => {
    const found = patterns.map((pattern) => pattern.exec(path)).find((match) => match !== null);
    return found ? [{ path, layer: found[1] === undefined ? undefined : Number(found[1]) }] : [];
  });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function statisticsRow(path: string, statistics: Statistics | undefined): HTMLElement {
  const name = el("th", { scope: "row", title: path }, path.split(".").slice(-2).join("."));
  if (!statistics) return el("tr", {}, name, el("td", { colspan: 5 }, "held"));
  const { shape, mean, deviation, smallest, largest, hidden } = statistics;
  const size = shape.join(" × ") + (hidden ? `, ${count(hidden)} hidden` : "");
  const numbers = [mean, deviation, smallest, largest].map((value) => el("td", {}, number(value)));
  return el("tr", {}, name, el("td", {}, size), ...numbers);
}

function number(value: number | null): string {
  return value === null ? "–" : String(Number(value.toPrecision(4))).replace("-", "−");
}

function code({ title, file, first, last, source }: Code, open: boolean): HTMLElement {
  const place = `${file}, lines ${first}–${last}`;
  const name = el("summary", {}, title, el("span", { class: "quiet-text" }, place));
  return el("details", { class: "code", open }, name, el("pre", { tabindex: 0 }, outdented(source)));
}

/** Without the indentation that all lines share. */
function outdented(source: string): string {
  const lines = source.split("\n");
  const least = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(least)).join("\n");
}
