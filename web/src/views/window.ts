/** How full the context window is: one bar, and the numbers. */

import type { View } from "../contract";
import { el } from "../draw/el";
import { count } from "../draw/format";
import { tip } from "../draw/tooltip";
import { register } from "../registry";

interface WindowView extends View {
  readonly size: number;
  readonly used: number;
  readonly generated: number;
  readonly dropped: number;
  readonly free: number;
  readonly segments: readonly { readonly name: string; readonly tokens: number }[];
}

register<WindowView>("window", (view, _page, host) => {
  const free = { name: "free", tokens: view.free, kind: "free" };
  const parts = [...view.segments.map((one, index) => ({ ...one, kind: `part-${index % 4}` })), free];
  const bar = el("div", {
    class: "window-bar",
    role: "list",
    "aria-label": `The context window, ${count(view.size)} tokens`,
  });
  for (const { name, tokens, kind } of parts.filter((part) => part.tokens > 0)) {
    const words = `${name}: ${count(tokens)} tokens, ${share(tokens, view.size)}`;
    const attributes = { class: kind, role: "listitem", tabindex: 0, "aria-label": words };
    const segment = el("div", { ...attributes, style: { "flex-grow": String(tokens) } });
    tip(segment, () => words);
    bar.append(segment);
  }
  const dropped = `${count(view.dropped)} ${view.dropped === 1 ? "token" : "tokens"} did not fit and were dropped.`;
  host.append(
    bar,
    el("ul", { class: "window-key numbers" }, ...parts.map((part) => keyLine(part, view.size))),
    numbers(view),
    ...(view.dropped > 0 ? [el("p", { class: "failure" }, dropped)] : []),
  );
});

function keyLine(part: { name: string; tokens: number; kind: string }, size: number): HTMLElement {
  const line = `${count(part.tokens)} · ${share(part.tokens, size)}`;
  return el("li", {}, el("i", { class: part.kind }), `${part.name} `, el("span", { class: "quiet-text" }, line));
}

function numbers(view: WindowView): HTMLElement {
  const rows = [
    ["context window", view.size],
    ["used", view.used],
    ["of these generated", view.generated],
    ["free", view.free],
    ["dropped", view.dropped],
  ] as const;
  const body = rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, count(value))));
  return el(
    "table",
    { class: "window-numbers numbers" },
    el("caption", { class: "unseen" }, "Tokens"),
    el("tbody", {}, ...body),
  );
}

function share(tokens: number, size: number): string {
  const percent = (100 * tokens) / Math.max(1, size);
  return percent > 0 && percent < 0.1 ? "under 0.1 %" : `${percent.toFixed(1)} %`;
}
