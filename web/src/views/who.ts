/** "Who has the book?": which heads link one word to which other words, the strongest first. */

import { Arcs } from "../draw/arcs";
import { Columns } from "../draw/columns";
import { el } from "../draw/el";
import { about, quoted } from "../draw/format";
import type { LinkPicture } from "../draw/links";
import { register, type Page } from "../registry";
import { asked, named, Question, unitOf, wordAt, type Entry, type WhoView, type Word } from "../who/question";

const SHOWN = 40; // entries of the ranking

register<WhoView>("who", (view, page, host) => new Who(view, page, host).draw());

class Who {
  private readonly spoken = el("p", { class: "unseen", "aria-live": "polite" });
  private readonly asked = el("p", { class: "asked" });
  private readonly list = el("ol", { class: "ranking" });
  private readonly picture: LinkPicture;
  private question: Question;
  private ranked: readonly Entry[];
  private chosen: Entry | undefined;

  constructor(
    private readonly view: WhoView,
    private readonly page: Page,
    host: HTMLElement,
  ) {
    this.question = new Question(view, page, asked(view));
    this.ranked = view.ranked;
    if (view.question && view.question !== view.title) host.append(el("p", { class: "question" }, view.question));
    const { same } = this.question;
    const room = el("div", { class: same ? "picture attention" : "picture cross_attention" });
    host.append(room, this.asked, this.list, this.spoken);
    this.picture = new (same ? Arcs : Columns)(room, {
      label: "The sentence: arrows go from word to word, Enter asks about one",
      choose: (at) => void this.ask(this.question.queries[at]![0]!),
      say: (text) => (this.spoken.textContent = text),
      onTheme: (call) => page.onTheme(call),
    });
  }

  draw(): void {
    const entry = this.chosen ?? this.ranked[0];
    this.asked.replaceChildren(...this.line());
    this.list.replaceChildren(...this.ranked.slice(0, SHOWN).map((one) => this.item(one, one === entry)));
    void this.link(entry).catch((error: unknown) => console.error(error));
  }

  /** The picture, with the links of an entry's head. */
  private async link(entry: Entry | undefined): Promise<void> {
    const { question, page, view } = this;
    const links = await question.links(entry);
    if (question !== this.question) return; // something else was asked meanwhile
    const [queries, keys] = [page.tokens(view.list), page.tokens(view.keysList)];
    const own = unitOf(question.queries, question.own[0]!);
    this.picture.show({
      queries: question.queries.map((word) => named(queries, word)),
      keys: question.keys.map((word) => named(keys, word)),
      out: (query) => (query === own ? links : []),
      into: (key) => (question.same ? [] : links.filter((link) => link.key === key)),
    });
    this.picture.focus(own);
  }

  /** What is ranked, or why nothing is. */
  private line(): (string | Node)[] {
    const hint = this.view.rows ? " Choose another word to ask about it." : "";
    const own = this.placed(this.view.list, this.question.own);
    if (this.ranked.length > 0) return ["Where heads look from ", ...own, `, the strongest first.${hint}`];
    return ["Nothing to rank for ", ...own, `: ${this.question.nothing()}.${hint}`];
  }

  private async ask(token: number): Promise<void> {
    const { view, page } = this;
    const [first, own] = [asked(view), wordAt(view, token)];
    if (own !== first && !view.rows) {
      this.spoken.textContent = "The page has no ranking for another word.";
      return this.draw();
    }
    const question = new Question(view, page, own);
    const ranked = own === first ? view.ranked : await question.rank();
    [this.question, this.ranked, this.chosen] = [question, ranked, undefined];
    page.select({ list: view.list, token: own[0]! });
    this.draw();
  }

  private choose(entry: Entry): void {
    this.chosen = entry;
    const { module, head } = entry;
    this.page.select({ module, head, list: this.view.list, token: this.question.own[0]! });
    this.draw();
    this.list.querySelectorAll("button")[this.ranked.indexOf(entry)]?.focus();
  }

  private item(entry: Entry, current: boolean): HTMLElement {
    const name = `${place(entry.module)}layer ${entry.layer}, head ${entry.head}`;
    const attributes = { class: "share quiet", type: "button", "aria-pressed": String(current) };
    const bar = el(
      "button",
      { ...attributes, style: { "--share": String(entry.weight) }, on: { click: () => this.choose(entry) } },
      el("span", { class: "quiet-text" }, name),
      el("span", {}, ...this.placed(this.view.keysList, this.question.wordOf(entry))),
      el("span", { class: "numbers" }, about(entry.weight, entry.rounded ?? false)),
    );
    return el("li", {}, bar);
  }

  /** A word and where it begins, which tells it from others that say the same. */
  private placed(list: string, word: Word): Node[] {
    const text = quoted(named(this.page.tokens(list), word).text, 28);
    return [text, el("span", { class: "numbers quiet-text" }, ` (${word[0]})`)];
  }
}

/** What stands before "layer 3" where not every entry is plain self-attention of a decoder. */
function place(module: string): string {
  return module.includes("cross_attention") ? "cross-attention, " : module.startsWith("encoder") ? "encoder, " : "";
}
