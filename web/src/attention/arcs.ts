/** The chosen head as arcs over the words, or as curves between two columns where two texts meet. */

import { Arcs } from "../draw/arcs";
import { Columns } from "../draw/columns";
import { el } from "../draw/el";
import type { Link, LinkPicture, Links } from "../draw/links";
import type { Page } from "../registry";
import { rowOf, strongest, type Weights } from "./data";
import type { Desk } from "./desk";

const PER_WORD = 8; // arcs of one word
const LEAST = 0.02; // of a word's attention, 1 in all

export class ArcsMode {
  private readonly room = el("div", { class: "pictures" });
  private readonly first = el("input", { type: "checkbox", on: { change: () => this.draw() } });
  private readonly pictures = new Map<string, { host: HTMLElement; picture: LinkPicture }>();
  private weights: Weights | undefined;

  constructor(
    host: HTMLElement,
    private readonly desk: Desk,
    private readonly say: (text: string) => void,
  ) {
    const hint = "Many heads rest on the first token when they have nothing to look for; without it the others show.";
    host.append(
      this.room,
      el("label", { class: "check", title: hint }, this.first, " Without arcs to the first token"),
    );
  }

  show(weights: Weights): void {
    this.weights = weights;
    this.draw();
  }

  goTo(token: number): void {
    if (this.weights) this.current().focus(token);
  }

  private draw(): void {
    if (this.weights) this.current().show(linksOf(this.weights, this.desk.page, this.first.checked));
  }

  /** The picture for this kind of attention; the other is hidden. */
  private current(): LinkPicture {
    const kind = this.desk.module.kind;
    for (const [other, { host }] of this.pictures) host.hidden = other !== kind;
    const known = this.pictures.get(kind);
    if (known) return known.picture;
    const host = el("div", { class: kind });
    this.room.append(host);
    const make = kind === "attention" ? Arcs : Columns;
    const { page } = this.desk;
    const picture = new make(host, {
      label: "Words and what they look at: arrows isolate a word, Escape shows all",
      choose: (token) => page.select({ list: this.desk.module.queries, token }),
      say: this.say,
      onTheme: (call) => page.onTheme(call),
    });
    this.pictures.set(kind, { host, picture });
    return picture;
  }
}

/** The links of a head whose every weight is here, each word's found when it is first drawn. */
function linksOf(weights: Weights, page: Page, withoutFirst: boolean): Links {
  const { module } = weights;
  const [queries, keys] = [page.tokens(module.queries), page.tokens(module.keys)];
  const known = new Map<number, readonly Link[]>();
  const wanted = (link: Link) => !(withoutFirst && link.key === 0);
  function out(query: number): readonly Link[] {
    if (!known.has(query)) {
      known.set(
        query,
        strongest(rowOf(weights, query - module.firstQuery), PER_WORD + 1, LEAST)
          .map((one) => ({ query, ...one }))
          .filter(wanted),
      );
    }
    return known.get(query)!;
  }
  function into(key: number): readonly Link[] {
    const column = Float32Array.from(queries, (_, query) => {
      const row = query - module.firstQuery;
      return row < 0 || row >= weights.rows ? 0 : weights.at(row, key);
    });
    return strongest(column, 3 * PER_WORD, LEAST).map((one) => ({ query: one.key, key, weight: one.weight }));
  }
  return { queries, keys, out, into };
}
