/** Likely words before and after on either side of their names. */

import type { View } from "../contract";
import { el } from "../draw/el";
import { weight } from "../draw/format";
import { word, type Likely } from "../draw/words";

export interface Comparison extends View {
  readonly list: string;
  readonly names: readonly [string, string];
  readonly positions: readonly number[];
  readonly before: readonly (readonly Likely[])[];
  readonly after: readonly (readonly Likely[])[];
  readonly divergence: readonly number[];
  readonly changeKey: string;
  readonly rows: readonly string[];
  readonly edits: readonly string[];
}

interface Pair {
  readonly text: string;
  readonly before: number | undefined; // undefined: not among the words listed
  readonly after: number | undefined;
}

export function sideBySide(view: Comparison, index: number, names: readonly string[], host: HTMLElement): void {
  const pairs = joined(view.before[index] ?? [], view.after[index] ?? []);
  const most = Math.max(...pairs.flatMap((pair) => [pair.before ?? 0, pair.after ?? 0]), 1e-9);
  const head = ["", view.names[0], "next word", view.names[1], "difference"].slice(1);
  const rows = pairs.map((pair) => row(pair, most));
  host.replaceChildren(
    el("h3", {}, "After ", word(names[view.positions[index] ?? -1] ?? "", 30)),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "pairs" },
        el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...rows),
      ),
    ),
  );
}

/** Every word of either list once, the likeliest first. */
function joined(before: readonly Likely[], after: readonly Likely[]): Pair[] {
  const later = new Map(after.map((one) => [one.id, one]));
  const earlier = new Map(before.map((one) => [one.id, one]));
  const ids = [...new Set([...earlier.keys(), ...later.keys()])];
  const pairs = ids.map((id) => ({
    text: (earlier.get(id) ?? later.get(id))!.text,
    before: earlier.get(id)?.probability,
    after: later.get(id)?.probability,
  }));
  return pairs.sort((a, b) => Math.max(b.before ?? 0, b.after ?? 0) - Math.max(a.before ?? 0, a.after ?? 0));
}

function row(pair: Pair, most: number): HTMLElement {
  const known = pair.before !== undefined && pair.after !== undefined;
  const difference = known ? pair.after! - pair.before! : NaN;
  const sign = difference > 0 ? "+" : difference < 0 ? "−" : "";
  const text = known ? `${sign}${weight(Math.abs(difference))}` : "–";
  return el(
    "tr",
    {},
    el("td", { class: "left" }, side(pair.before, most)),
    el("th", { scope: "row" }, word(pair.text, 20)),
    el("td", {}, side(pair.after, most)),
    el("td", { class: `numbers ${difference > 0 ? "more" : difference < 0 ? "less" : "quiet-text"}` }, text),
  );
}

function side(probability: number | undefined, most: number): HTMLElement {
  if (probability === undefined) return el("span", { class: "measure quiet-text" }, "not listed");
  const share = el("span", { class: "bar", style: { width: `${(100 * probability) / most}%` } });
  return el(
    "span",
    { class: "measure" },
    el("span", { class: "track" }, share),
    el("span", { class: "numbers" }, weight(probability)),
  );
}
