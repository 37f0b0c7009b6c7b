/** The pieces a text was cut into: alternating grounds, ids below, bytes on demand, and where the context window ends. */

import type { Token, View } from "../contract";
import { el } from "../draw/el";
import { count, quoted, visible } from "../draw/format";
import { roving } from "../draw/roving";
import { hideTip, showTip } from "../draw/tooltip";
import { register, type Page } from "../registry";

const BLOCK = 128; // pieces per block; the browser lays out only the blocks in sight

interface TokensView extends View {
  readonly list: string;
  readonly window: number;
  readonly bytes: readonly (readonly number[])[];
  readonly dropped: number;
}

register<TokensView>("tokens", (view, page, host) => {
  const tokens = page.tokens(view.list);
  const pieces = tokens.map(piece);
  const end = Math.min(view.window, tokens.length);
  const text = el("div", { class: "pieces", role: "group", "aria-label": "Tokens: arrows move from one to the next" });
  text.append(...blocks(pieces.slice(0, end)));
  const left = tokens.length - end + view.dropped;
  if (left > 0) text.append(windowEnd(view, left), ...blocks(pieces.slice(end), "outside"));
  host.append(summary(view, tokens, left), text);

  const describe = (index: number) => details(tokens[index]!, index, view.bytes[index]);
  roving(
    text,
    () => pieces,
    () => perRow(pieces),
  );
  const under = (event: Event) => pieces.indexOf((event.target as HTMLElement).closest<HTMLElement>(".piece")!);
  text.addEventListener("pointermove", (event) => {
    const index = under(event);
    if (index >= 0) showTip(event.clientX, event.clientY, describe(index));
    else hideTip();
  });
  text.addEventListener("pointerleave", hideTip);
  text.addEventListener("focusin", (event) => {
    const index = under(event);
    if (index < 0 || !pieces[index]!.matches(":focus-visible")) return;
    const box = pieces[index]!.getBoundingClientRect();
    showTip(box.left, box.bottom - 10, describe(index));
  });
  text.addEventListener("focusout", hideTip);
  text.addEventListener("click", (event) => {
    const index = under(event);
    if (index >= 0) page.select({ list: view.list, token: index });
  });
  follow(view, page, pieces);
});

function piece(token: Token, index: number): HTMLElement {
  const kind = token.special ? " special" : token.generated ? " generated" : "";
  const name = `${visible(token.text)}, id ${token.id}${token.special ? ", special" : ""}`;
  return el(
    "span",
    { class: `piece${kind}${index % 2 ? " odd" : ""}`, tabindex: -1, role: "img", "aria-label": name },
    el("bdi", {}, visible(token.text)),
    el("small", {}, token.id),
  );
}

function blocks(pieces: readonly HTMLElement[], kind = ""): HTMLElement[] {
  const made: HTMLElement[] = [];
  for (let start = 0; start < pieces.length; start += BLOCK) {
    made.push(el("div", { class: `block ${kind}` }, ...pieces.slice(start, start + BLOCK)));
  }
  return made;
}

function summary(view: TokensView, tokens: readonly Token[], left: number): HTMLElement {
  const special = tokens.filter((token) => token.special).length;
  const parts = [`${count(tokens.length)} tokens`, special ? `${count(special)} of them special` : ""];
  const room =
    left > 0
      ? `${count(left)} past the context window of ${count(view.window)}`
      : `context window ${count(view.window)}`;
  return el("p", { class: "quiet-text numbers" }, [...parts, room].filter(Boolean).join(" · "));
}

function windowEnd(view: TokensView, left: number): HTMLElement {
  const line = `The context window of ${count(view.window)} tokens ends here; ${count(left)} more do not fit.`;
  return el("p", { class: "window-end", role: "separator", "aria-label": line }, line);
}

function details(token: Token, index: number, bytes: readonly number[] | undefined): (string | Node)[] {
  const hex = bytes
    ?.slice(0, 64)
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(" ");
  const line = (label: string, value: string | Node) =>
    el("div", {}, el("span", { class: "quiet-text" }, `${label} `), value);
  return [
    quoted(token.text, 200),
    line("token", `${index}${token.special ? ", special" : ""}${token.generated ? ", generated" : ""}`),
    line("id", String(token.id)),
    line("piece", el("bdi", {}, visible(token.piece))),
    ...(hex ? [line("bytes", `${hex}${bytes!.length > 64 ? " …" : ""}`)] : []),
  ];
}

/** How many stand in the row of the piece that has the focus, so that up and down go about where one looks. */
function perRow(pieces: readonly HTMLElement[]): number {
  const at = pieces.indexOf(document.activeElement as HTMLElement);
  const top = pieces[at]?.offsetTop;
  let [first, last] = [at, at];
  while (first > 0 && pieces[first - 1]!.offsetTop === top) first--;
  while (last < pieces.length - 1 && pieces[last + 1]!.offsetTop === top) last++;
  return Math.max(1, last - first + 1);
}

/** Mark the piece that another view chose. */
function follow(view: TokensView, page: Page, pieces: readonly HTMLElement[]): void {
  let marked: HTMLElement | undefined;
  page.onSelect((selection) => {
    marked?.removeAttribute("aria-current");
    marked = selection.list === view.list && selection.token !== undefined ? pieces[selection.token] : undefined;
    marked?.setAttribute("aria-current", "true");
  });
}
