/** "Who has the book?": which heads link one word to which other words, the strongest first. */

import { slice, valueAt, type LensArray, type Token, type View } from "../contract";
import { Arcs } from "../draw/arcs";
import { Columns } from "../draw/columns";
import { el } from "../draw/el";
import { quoted, weight } from "../draw/format";
import type { Link, LinkPicture, Links } from "../draw/links";
import { register, type Page } from "../registry";

const SHOWN = 40; // entries of the ranking
const ARCS = 8;

interface Entry {
  readonly module: string;
  readonly layer: number;
  readonly head: number;
  readonly key: number; // the first token of a word
  readonly weight: number;
}

interface WhoView extends View {
  readonly list: string;
  readonly keysList: string;
  readonly word: number; // the first token of the word asked about
  readonly ranked: readonly Entry[];
  readonly rows: Readonly<Record<string, string>> | null; // module to the key of [H, T, S]
  readonly heads: Readonly<Record<string, readonly number[]>>;
  readonly firstQuery?: number; // which token the first row is
  readonly question: string | null;
  readonly words?: readonly (readonly number[])[]; // the tokens of each word of the keys; each token alone where absent
  readonly leftOut?: readonly number[]; // keys that are not ranked; the special ones where absent
}

register<WhoView>("who", (view, page, host) => new Who(view, page, host).draw());

class Who {
  private readonly spoken = el("p", { class: "unseen", "aria-live": "polite" });
  private readonly asked = el("p", { class: "asked" });
  private readonly list = el("ol", { class: "ranking" });
  private readonly picture: LinkPicture;
  private word: number;
  private ranked: readonly Entry[];
  private chosen: Entry | undefined;

  constructor(
    private readonly view: WhoView,
    private readonly page: Page,
    host: HTMLElement,
  ) {
    [this.word, this.ranked] = [view.word, view.ranked];
    if (view.question && view.question !== view.title) host.append(el("p", { class: "question" }, view.question));
    const same = view.list === view.keysList;
    const room = el("div", { class: same ? "picture attention" : "picture cross_attention" });
    host.append(room, this.asked, this.list, this.spoken);
    this.picture = new (same ? Arcs : Columns)(room, {
      label: "The sentence: arrows go from word to word, Enter asks about one",
      choose: (token) => void this.ask(token),
      say: (text) => (this.spoken.textContent = text),
      onTheme: (call) => page.onTheme(call),
    });
  }

  draw(): void {
    const entry = this.chosen ?? this.ranked[0];
    const hint = this.view.rows ? " Choose another word to ask about it." : "";
    const asked = quoted(said(this.page.tokens(this.view.list), askedTokens(this.view, this.word)));
    this.asked.replaceChildren("Where heads look from ", asked, `, the strongest first.${hint}`);
    this.list.replaceChildren(...this.ranked.slice(0, SHOWN).map((one) => this.item(one, one === entry)));
    void linksOf(this.view, this.page, this.word, entry).then(
      (links) => {
        this.picture.show(links);
        this.picture.focus(this.word);
      },
      (error: unknown) => console.error(error),
    );
  }

  private async ask(token: number): Promise<void> {
    const { view, page } = this;
    if (token !== view.word && !view.rows) {
      this.spoken.textContent = "The page has no ranking for another word.";
      return this.picture.focus(this.word);
    }
    const ranked = token === view.word ? view.ranked : await rank(view, page, token);
    [this.word, this.ranked, this.chosen] = [token, ranked, undefined];
    page.select({ list: view.list, token });
    this.draw();
  }

  private choose(entry: Entry): void {
    this.chosen = entry;
    this.page.select({ module: entry.module, head: entry.head, list: this.view.list, token: this.word });
    this.draw();
    this.list.querySelectorAll("button")[this.ranked.indexOf(entry)]?.focus();
  }

  private item(entry: Entry, current: boolean): HTMLElement {
    const name = `${place(entry.module)}layer ${entry.layer}, head ${entry.head}`;
    const word = this.view.words?.find((tokens) => tokens[0] === entry.key) ?? [entry.key];
    const attributes = { class: "share quiet", type: "button", "aria-pressed": String(current) };
    const bar = el(
      "button",
      { ...attributes, style: { "--share": String(entry.weight) }, on: { click: () => this.choose(entry) } },
      el("span", { class: "quiet-text" }, name),
      quoted(said(this.page.tokens(this.view.keysList), word), 28),
      el("span", { class: "numbers" }, weight(entry.weight)),
    );
    return el("li", {}, bar);
  }
}

/** What stands before "layer 3" where not every entry is plain self-attention of a decoder. */
function place(module: string): string {
  return module.includes("cross_attention") ? "cross-attention, " : module.startsWith("encoder") ? "encoder, " : "";
}

function said(tokens: readonly Token[], word: readonly number[]): string {
  return word.map((token) => tokens[token]?.text ?? "").join("");
}

/** The tokens of the word that a token of the queries is part of. */
function askedTokens(view: WhoView, token: number): readonly number[] {
  const words = view.list === view.keysList ? view.words : undefined;
  return words?.find((tokens) => tokens.includes(token)) ?? [token];
}

/** Every head's weights from a token's word to every other word, the largest first, as `clearhead.lens.who` ranks them. */
async function rank(view: WhoView, page: Page, token: number): Promise<Entry[]> {
  const keys = page.tokens(view.keysList);
  const own = askedTokens(view, token);
  const special = keys.flatMap((key, index) => (key.special ? [index] : []));
  const hidden = new Set([...(view.leftOut ?? special), ...(view.list === view.keysList ? own : [])]);
  const words = (view.words ?? keys.map((_, index) => [index])).filter((word) => !word.some((key) => hidden.has(key)));
  const found: Entry[] = [];
  for (const [module, key] of Object.entries(view.rows ?? {})) {
    const array = await page.array(key);
    const layer = Number(/\.layers\.(\d+)\./.exec(module)?.[1] ?? 0);
    view.heads[module]?.forEach((head, index) => {
      const row = meanRow(slice(array, index), own, view.firstQuery ?? 0);
      for (const word of words) {
        const sum = word.reduce((total, at) => total + row[at]!, 0);
        if (sum > 0) found.push({ module, layer, head, key: word[0]!, weight: sum });
      }
    });
  }
  return found.sort((one, other) => other.weight - one.weight).slice(0, SHOWN);
}

/** Where a word's tokens look on average, in a matrix [T, S]. */
function meanRow(matrix: LensArray, word: readonly number[], firstQuery: number): Float64Array {
  const columns = matrix.shape[1]!;
  const row = new Float64Array(columns);
  for (const token of word) {
    const start = (token - firstQuery) * columns;
    for (let key = 0; key < columns; key++) row[key]! += (valueAt(matrix, start + key) || 0) / word.length;
  }
  return row;
}

/** Where the chosen entry's head looks from the word; only the entry's own link where the page has no rows. */
async function linksOf(view: WhoView, page: Page, word: number, entry: Entry | undefined): Promise<Links> {
  const [queries, keys] = [page.tokens(view.list), page.tokens(view.keysList)];
  let links: Link[] = entry ? [{ query: word, key: entry.key, weight: entry.weight }] : [];
  const rows = entry && view.rows?.[entry.module];
  if (entry && rows) {
    const matrix = slice(await page.array(rows), view.heads[entry.module]!.indexOf(entry.head));
    const row = meanRow(matrix, askedTokens(view, word), view.firstQuery ?? 0);
    links = Array.from(row, (value, key) => ({ query: word, key, weight: value }));
    links = links.sort((one, other) => other.weight - one.weight).slice(0, ARCS);
  }
  return { queries, keys, out: (query) => (query === word ? links : []), into: () => [] };
}
