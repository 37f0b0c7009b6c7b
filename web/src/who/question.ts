/**
 * The arithmetic of "who looks where", the same as in `clearhead.lens.who`: a word of several tokens looks as its tokens
 * do on average, and is looked at as much as they are together. Axes: H head, T query, S key.
 */

import { slice, valueAt, type LensArray, type Token, type View } from "../contract";
import type { Link, Named } from "../draw/links";
import type { Page } from "../registry";

export type Word = readonly number[]; // its tokens

export interface Entry {
  readonly module: string;
  readonly layer: number;
  readonly head: number;
  readonly key: number; // the first token of a word
  readonly weight: number;
  readonly rounded?: boolean; // the page computed it from weights that came as bytes
}

export interface WhoView extends View {
  readonly list: string;
  readonly keysList: string;
  readonly word: number; // the first token of what was asked about
  readonly wordTokens?: Word; // all of it: a word, or a phrase
  readonly target?: Word | null; // the one word that is looked for
  readonly include?: readonly string[]; // of "self", "special", "first": what is ranked although it mostly is not
  readonly ranked: readonly Entry[];
  readonly rows: Readonly<Record<string, string>> | null; // module to the key of [H, T, S]
  readonly heads: Readonly<Record<string, readonly number[]>>;
  readonly firstQuery?: number; // which token the first row is
  readonly question: string | null;
  readonly words?: readonly Word[]; // of the keys; each token alone where absent
  readonly leftOut?: readonly number[]; // keys that are not ranked; the special ones where absent
}

const [RANKED, DRAWN] = [40, 8]; // entries of a ranking that is made here; links of one head
const LEAST = 0.01; // weight of a link that is drawn

/** A word that is asked about, and what may answer. */
export class Question {
  readonly others: readonly Word[]; // the words that are ranked
  readonly queries: readonly Word[]; // what stands in the picture
  readonly keys: readonly Word[];

  constructor(
    private readonly view: WhoView,
    private readonly page: Page,
    readonly own: Word,
  ) {
    const words = view.words ?? alone(page.tokens(view.keysList));
    this.others = view.target ? [view.target] : this.ranking(words);
    this.keys = units([...(this.same ? [own] : []), ...this.others, ...words]);
    this.queries = this.same ? this.keys : units([own, ...alone(page.tokens(view.list))]);
  }

  /** Whether the word looks at words of its own text. */
  get same(): boolean {
    return this.view.list === this.view.keysList;
  }

  /** The word that an entry is about. */
  wordOf({ key }: Entry): Word {
    return this.others.find((word) => word.includes(key)) ?? [key];
  }

  /** Every head's weights from the word to every other, the largest first. */
  async rank(): Promise<Entry[]> {
    const found: Entry[] = [];
    for (const [module, heads] of Object.entries(this.view.heads)) {
      const layer = Number(/\.layers\.(\d+)\./.exec(module)?.[1] ?? 0);
      for (const head of heads) {
        const { weights, rounded } = await this.weights(module, head);
        this.others.forEach((word, at) => {
          if (weights[at]! > 0) found.push({ module, layer, head, key: word[0]!, weight: weights[at]!, rounded });
        });
      }
    }
    return found.sort((one, other) => other.weight - one.weight).slice(0, RANKED);
  }

  /** Where the entry's head looks, as links between the picture's words; its own alone where the page has no rows. */
  async links(entry: Entry | undefined): Promise<Link[]> {
    if (!entry) return [];
    const own = { ...this.link(this.wordOf(entry)), weight: entry.weight };
    if (!this.view.rows) return [own];
    const { weights } = await this.weights(entry.module, entry.head);
    const links = this.others.map((word, at) => ({ ...this.link(word), weight: weights[at]! }));
    const rest = links.filter((link) => link.weight > LEAST && link.key !== own.key);
    return [own, ...rest.sort((one, other) => other.weight - one.weight).slice(0, DRAWN - 1)];
  }

  /** Why nothing is ranked. */
  nothing(): string {
    const { target } = this.view;
    if (target && this.same && target[0]! > Math.max(...this.own)) return "what is looked for stands after it";
    if (target) return "no head gives what is looked for any weight";
    return this.others.length === 0
      ? "every other word is left out"
      : "every word before it is left out, and it cannot look ahead";
  }

  private ranking(words: readonly Word[]): Word[] {
    const special = this.page.tokens(this.view.keysList).flatMap((key, index) => (key.special ? [index] : []));
    const hidden = new Set(this.view.leftOut ?? special);
    if (this.same && !this.view.include?.includes("self")) this.own.forEach((token) => hidden.add(token));
    return words.filter((word) => !word.some((token) => hidden.has(token)));
  }

  private link(word: Word): Omit<Link, "weight"> {
    return { query: unitOf(this.queries, this.own[0]!), key: unitOf(this.keys, word[0]!) };
  }

  /** A head's weight for each of the others. */
  private async weights(module: string, head: number): Promise<{ weights: number[]; rounded: boolean }> {
    const array = await this.page.array(this.view.rows![module]!);
    const row = meanRow(slice(array, this.view.heads[module]!.indexOf(head)), this.own, this.view.firstQuery ?? 0);
    const weights = this.others.map((word) => word.reduce((total, token) => total + (row[token] ?? 0), 0));
    return { weights, rounded: array.levels === "sqrt" };
  }
}

/** What is asked about a token: the word that it is part of, or what the page was made for where that holds the token. */
export function wordAt(view: WhoView, token: number): Word {
  const first = asked(view);
  if (first.includes(token)) return first;
  const words = view.list === view.keysList ? view.words : undefined;
  return words?.find((word) => word.includes(token)) ?? [token];
}

/** What the page was made for. */
export function asked(view: WhoView): Word {
  return view.wordTokens ?? [view.word];
}

/** The place of the word that holds a token. */
export function unitOf(words: readonly Word[], token: number): number {
  return words.findIndex((word) => word.includes(token));
}

/** A word as pictures take it. */
export function named(tokens: readonly Token[], word: Word): Named {
  const own = word.flatMap((token) => tokens[token] ?? []);
  return {
    text: own.map((token) => token.text).join(""),
    special: own.every((token) => token.special),
    generated: own.some((token) => token.generated),
  };
}

function alone(tokens: readonly Token[]): Word[] {
  return tokens.map((_, index) => [index]);
}

/** Words in the order of the text, each token in one of them: the first that holds it. */
function units(words: readonly Word[]): Word[] {
  const taken = new Set<number>();
  const made = words.map((word) => {
    const rest = word.filter((token) => !taken.has(token));
    rest.forEach((token) => taken.add(token));
    return rest;
  });
  return made.filter((word) => word.length > 0).sort((one, other) => one[0]! - other[0]!);
}

/** Where a word's tokens look on average, in a matrix [T, S]. */
function meanRow(matrix: LensArray, word: Word, firstQuery: number): Float64Array {
  const columns = matrix.shape[1]!;
  const row = new Float64Array(columns);
  for (const token of word) {
    const start = (token - firstQuery) * columns;
    for (let key = 0; key < columns; key++) row[key]! += (valueAt(matrix, start + key) || 0) / word.length;
  }
  return row;
}
