/** One line per head over distance, with buttons to choose the heads. */

import type { Page } from "../registry";
import { Chart } from "../draw/chart";
import { el } from "../draw/el";
import { categorical } from "../draw/ramps";
import { toggles } from "../draw/toggles";
import { upTo, type Matrix } from "./matrix";

export interface HeadLines {
  readonly label: string;
  readonly values: Matrix; // [H, distances]
  readonly xs: readonly number[];
  readonly xName: string;
  readonly name: (head: number) => string;
  readonly steps?: boolean;
}

export function headLines(page: Page, host: HTMLElement, given: HeadLines): void {
  const { values, name } = given;
  const plot = el("div");
  const line = (head: number) => ({ name: name(head), group: head, ys: values.row(head) });
  const heads = upTo(values.rows);
  const choice = toggles(
    "Heads drawn",
    heads.map((head) => ({ name: `head ${head}`, colour: () => categorical(page.theme, head) })),
    new Set(heads),
    (on) => chart.show(on.map(line)),
  );
  page.onTheme(choice.recolour);
  host.append(choice.host, plot);
  const chart = new Chart(plot, page, {
    label: given.label,
    xs: given.xs,
    xName: given.xName,
    yName: "added to the score",
    height: 300,
    steps: given.steps ?? false,
    readX: (index) => [`distance ${given.xs[index]}`],
    readY: (value) => value.toFixed(4).replace("-", "−"),
  });
  chart.show(heads.map(line));
}
