/** Which head is looked at. The page's shared selection is the only memory, so other views can choose a head, too. */

import { sequential } from "../draw/ramps";
import type { Page, Selection } from "../registry";
import { cameWhole, hasMean, load, type AttentionView, type Module, type Weights } from "./data";

export type Mode = "glance" | "matrix" | "arcs" | "generated";

export class Desk {
  /** Colours for small weights: the fourth root instead of the square root. */
  stretched = false;
  /** All modules, each kind of attention together; a trace takes a decoder's two kinds in turn. */
  readonly modules: readonly Module[];
  private readonly calls: (() => void)[] = [];
  private readonly stretchCalls: (() => void)[] = [];
  private loaded: { key: string; weights: Promise<Weights> } | undefined;

  constructor(
    readonly view: AttentionView,
    readonly page: Page,
  ) {
    const groups = [...new Set(view.modules.map(groupOf))];
    this.modules = groups.flatMap((group) => view.modules.filter((module) => groupOf(module) === group));
    if (!this.known(page.selection)) page.select(view.selected);
    page.onSelect((_, change) => {
      if (change.module !== undefined || change.head !== undefined) for (const call of this.calls) call();
    });
  }

  get module(): Module {
    return this.known(this.page.selection) ?? this.known(this.view.selected) ?? this.modules[0]!;
  }

  /** The head's number, or null for the mean of heads. */
  get head(): number | null {
    const { head } = this.page.selection;
    if (head === null && hasMean(this.module)) return null;
    return head !== null && head !== undefined && this.module.heads.includes(head) ? head : this.module.heads[0]!;
  }

  choose(module: Module, head: number | null): void {
    this.page.select({ module: module.path, head });
  }

  /** The neighbour in the list of modules, with the same head. */
  stepLayer(by: number): void {
    const next = this.modules[this.modules.indexOf(this.module) + by];
    if (next) this.choose(next, this.head);
  }

  onChange(call: () => void): void {
    this.calls.push(call);
  }

  /** The colours of levels now; called again whenever the theme or the stretching changes. */
  onColours(call: (colours: Uint8ClampedArray) => void): void {
    const tell = () => call(this.stretched ? stretched(sequential(this.page.theme)) : sequential(this.page.theme));
    this.stretchCalls.push(tell);
    this.page.onTheme(tell);
    tell();
  }

  stretch(on: boolean): void {
    this.stretched = on;
    for (const call of this.stretchCalls) call();
  }

  /** The chosen head's weights, loaded once for all who ask. */
  weights(): Promise<Weights> {
    const key = `${this.module.path}/${this.head}`;
    if (this.loaded?.key !== key) this.loaded = { key, weights: load(this.page, this.module, this.head) };
    return this.loaded.weights;
  }

  private known(selection: Selection): Module | undefined {
    return this.modules.find((module) => module.path === selection.module);
  }
}

/** A table that shows of each level the square root. */
function stretched(table: Uint8ClampedArray): Uint8ClampedArray {
  const entries = new Uint8ClampedArray(table.length);
  for (let level = 0; level < 256; level++) {
    const from = 4 * Math.round(255 * Math.sqrt(level / 255));
    entries.set(table.subarray(from, from + 4), 4 * level);
  }
  return entries;
}

/** "layer 3, head 2". */
export function nameOf(module: Module, head: number | null): string {
  return `layer ${module.layer}, ${head === null ? "mean of heads" : `head ${head}`}`;
}

const MOST_NAMED = 4; // layers; of more, the rest is an ellipsis

/** The heads whose every weight is here: "layer 3, heads 0–7; layer 5, head 2". */
export function inFull(modules: readonly Module[]): string {
  const several = new Set(modules.map(groupOf)).size > 1;
  const named = modules.flatMap((module) => {
    const heads = module.heads.filter((head) => cameWhole(module, head));
    if (heads.length === 0) return [];
    const group = several ? `${groupOf(module)}, ` : "";
    return [`${group}layer ${module.layer}, ${heads.length > 1 ? "heads" : "head"} ${runs(heads)}`];
  });
  return [...named.slice(0, MOST_NAMED), ...(named.length > MOST_NAMED ? ["…"] : [])].join("; ");
}

/** "0–3, 5" of rising numbers. */
function runs(numbers: readonly number[]): string {
  const found: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = found.at(-1);
    if (run && number === run[1] + 1) run[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join(", ");
}

/** "encoder self-attention". */
export function groupOf(module: Module): string {
  return `${module.stack} ${module.kind === "cross_attention" ? "cross-attention" : "self-attention"}`;
}
