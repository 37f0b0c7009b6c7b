/** What is known of the words that were picked: angle, distance, neighbours; and analogies. */

import { el } from "../draw/el";
import { clipped, visible } from "../draw/format";
import { categorical } from "../draw/ramps";
import { word } from "../draw/words";
import type { Page } from "../registry";
import type { Near, Words } from "./words";

export class Panel {
  readonly host = el("aside", { class: "space-panel" });
  private readonly choices: readonly HTMLSelectElement[];
  private readonly found = el("div", { "aria-live": "polite" });

  constructor(
    private readonly words: Words,
    private readonly page: Page,
    private readonly choose: (pair: readonly number[]) => void,
  ) {
    const change = () => choose(this.choices.map((one) => Number(one.value)).filter((index) => index >= 0));
    this.choices = ["First word", "Second word"].map((name) => {
      const options = words.labels.map((label, i) => el("option", { value: i }, clipped(visible(label), 32)));
      return el("select", { "aria-label": name, on: { change } }, el("option", { value: -1 }, "–"), ...options);
    });
    const pair = el("div", { class: "space-pair" }, ...this.choices);
    this.host.append(this.colours(), pair, this.found, this.analogies(), this.axes());
  }

  /** None, one or two words. */
  show(pair: readonly number[]): void {
    this.choices.forEach((one, i) => (one.value = String(pair[i] ?? -1)));
    const last = pair.at(-1);
    this.found.replaceChildren(this.relation(pair), ...(last === undefined ? [] : [this.neighbours(last)]));
  }

  /** What the colours of the points mean; only the groups that have points. */
  private colours(): HTMLElement {
    const { groups, groupNames } = this.words;
    const items = groupNames.flatMap((name, group) => {
      if (!groups.includes(group)) return [];
      const swatch = el("span", { class: "swatch" });
      const colour = () => (swatch.style.background = categorical(this.page.theme, group));
      colour();
      this.page.onTheme(colour);
      return [el("li", {}, swatch, name)];
    });
    return el("ul", { class: "key", "aria-label": "Colours", hidden: items.length === 0 }, ...items);
  }

  private relation([a, b]: readonly number[]): HTMLElement {
    if (a === undefined || b === undefined) {
      return el(
        "p",
        { class: "caption" },
        a === undefined
          ? "Click two words, or choose them here, to measure between them."
          : "Pick a second word to measure between the two.",
      );
    }
    const cosine = this.words.cosine(a, b);
    const angle = (180 / Math.PI) * Math.acos(Math.max(-1, Math.min(1, cosine)));
    const rows = [
      ["cosine", cosine.toFixed(4)],
      ["angle", `${angle.toFixed(2)}°`],
      ["distance", String(Number(this.words.distance(a, b).toPrecision(5)))],
    ];
    return el(
      "dl",
      { class: "counts numbers" },
      ...rows.flatMap(([name, value]) => [el("dt", {}, name!), el("dd", {}, value!.replace("-", "−"))]),
    );
  }

  private neighbours(of: number): HTMLElement {
    const items = (this.words.neighbours[of] ?? []).map((near) => el("li", {}, this.link(near, of), cosine(near)));
    return el(
      "section",
      { class: "part" },
      el("h3", {}, "Nearest to ", word(this.words.labels[of]!, 24)),
      el("ol", { class: "near" }, ...items),
    );
  }

  /** A neighbour that stands in the picture can be picked. */
  private link({ label }: Near, of: number): HTMLElement {
    const index = this.words.labels.indexOf(label);
    if (index < 0) return word(label, 24);
    return el(
      "button",
      { type: "button", class: "quiet", on: { click: () => this.choose([of, index]) } },
      word(label, 24),
    );
  }

  private analogies(): HTMLElement {
    const made = this.words.analogies.map(({ a, b, c, results }) =>
      el(
        "div",
        { class: "analogy" },
        el("p", {}, word(a, 20), " is to ", word(b, 20), " as ", word(c, 20), " is to"),
        el("ol", { class: "near" }, ...results.map((near) => el("li", {}, word(near.label, 24), cosine(near)))),
      ),
    );
    return el("section", { class: "part", hidden: made.length === 0 }, el("h3", {}, "Analogies"), ...made);
  }

  private axes(): HTMLElement {
    const shares = this.words.explained;
    const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
    const shown = shares
      ? `The three axes explain ${percent(sum(shares))} of the variance (${shares.map(percent).join(", ")}).`
      : "The axes of UMAP have no meaning of their own; near words stay near.";
    return el(
      "p",
      { class: "caption numbers" },
      `${shown} Cosines, angles and distances are those of all dimensions, not of the picture.`,
    );
  }
}

function cosine({ cosine: value }: Near): HTMLElement {
  return el("span", { class: "numbers" }, value.toFixed(3).replace("-", "−"));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
