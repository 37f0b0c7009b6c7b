/** The five tokens that a row looks at most. */

import { el } from "../draw/el";
import { about, quoted } from "../draw/format";
import type { Page } from "../registry";
import { span } from "./readout";
import { rowOf, strongest, type Weights } from "./data";

const MOST = 5;

export class Top {
  constructor(
    private readonly host: HTMLElement,
    private readonly pick: (column: number) => void,
  ) {
    this.clear();
  }

  clear(): void {
    this.host.replaceChildren();
  }

  show(weights: Weights, page: Page, row: number): void {
    const { module, cell } = weights;
    const first = module.firstQuery + row * cell[0];
    const [queries, keys] = [page.tokens(module.queries), page.tokens(module.keys)];
    const asker =
      cell[0] === 1 ? quoted(queries[first]?.text ?? "", 24) : `Tokens ${span(first, cell[0], queries.length)}`;
    const entries = strongest(rowOf(weights, row), MOST).map(({ key, weight: value }) => {
      const name = cell[1] === 1 ? quoted(keys[key]?.text ?? "", 24) : span(key * cell[1], cell[1], keys.length);
      return el(
        "li",
        {},
        el(
          "button",
          {
            class: "share quiet",
            type: "button",
            style: { "--share": String(value) },
            on: { click: () => this.pick(key) },
          },
          el("span", {}, name),
          el("span", { class: "numbers" }, about(value, weights.rounded)),
        ),
      );
    });
    this.host.replaceChildren(
      el("h3", {}, asker, cell[0] === 1 ? " looks most at" : " look most at"),
      el("ol", { class: "bars" }, ...entries),
    );
  }
}
