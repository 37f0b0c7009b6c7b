/**
 * The grid of a logit lens: layers from bottom to top, a column per token, of which only those in sight are elements.
 *
 * A long text has tens of thousands of cells. Columns are made as they come into sight and dropped as they leave it.
 */

import type { Page } from "../registry";
import { el } from "../draw/el";
import { clipped, visible, weight } from "../draw/format";
import { css, inkOn, sequential } from "../draw/ramps";
import { hideTip, showTip } from "../draw/tooltip";
import { likelyList, word } from "../draw/words";
import type { Guesses } from "./guesses";

const [WIDTH, HEIGHT, NAMES] = [88, 25, 92]; // of a cell, and of the names of rows
const SPARE = 3; // columns kept ready on either side

export class LogitGrid {
  private readonly field: HTMLElement;
  private readonly columns = new Map<number, HTMLElement>();
  private at = { row: 0, column: 0 };

  constructor(
    private readonly host: HTMLElement,
    private readonly page: Page,
    private readonly guesses: Guesses,
    private readonly fix: (row: number, column: number) => void,
  ) {
    const { rows, columns } = guesses;
    const size = { width: `${columns * WIDTH}px`, height: `${(rows + 1) * HEIGHT}px` };
    this.field = el("div", { class: "logit-field", style: size });
    const counts = { "aria-rowcount": rows + 1, "aria-colcount": columns + 1 };
    const names = Array.from({ length: rows + 1 }, (_, i) =>
      el("div", {}, i < rows ? guesses.rowName(rows - 1 - i) : ""),
    );
    host.append(
      el(
        "div",
        { class: "logit-grid", role: "grid", "aria-label": "Likeliest next word by layer and token", ...counts },
        el("div", { class: "logit-names", style: { "--cell": `${HEIGHT}px`, width: `${NAMES}px` } }, ...names),
        this.field,
      ),
    );
    host.addEventListener("scroll", () => this.fill(), { passive: true });
    new ResizeObserver(() => this.fill()).observe(host);
    page.onTheme(() => this.refill());
    this.listen();
  }

  /** Move the tab stop and the mark there, and show the cell's words beside the grid. */
  choose(row: number, column: number): void {
    this.move(row, column);
    for (const old of this.field.querySelectorAll("[aria-selected=true]")) old.setAttribute("aria-selected", "false");
    this.cell(row, column)?.setAttribute("aria-selected", "true");
    this.fix(row, column);
  }

  private move(row: number, column: number): void {
    const { rows, columns } = this.guesses;
    this.cell(this.at.row, this.at.column)?.setAttribute("tabindex", "-1");
    this.at = { row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column)) };
    const left = this.at.column * WIDTH;
    const room = this.host.clientWidth - NAMES - WIDTH;
    this.host.scrollLeft = Math.max(Math.min(this.host.scrollLeft, left), left - Math.max(0, room));
    this.fill();
    this.cell(this.at.row, this.at.column)?.setAttribute("tabindex", "0");
  }

  private cell(row: number, column: number): HTMLElement | null {
    return this.columns.get(column)?.querySelector<HTMLElement>(`[data-row="${row}"]`) ?? null;
  }

  private refill(): void {
    for (const column of this.columns.values()) column.remove();
    this.columns.clear();
    this.fill();
  }

  /** Make the columns in sight, drop the others; the one with the focus stays. */
  private fill(): void {
    const first = Math.max(0, Math.floor(this.host.scrollLeft / WIDTH) - SPARE);
    const last = Math.min(this.guesses.columns - 1, first + Math.ceil(this.host.clientWidth / WIDTH) + 2 * SPARE);
    for (const [index, column] of this.columns) {
      if ((index >= first && index <= last) || index === this.at.column) continue;
      column.remove();
      this.columns.delete(index);
    }
    const wanted = [this.at.column, ...Array.from({ length: last - first + 1 }, (_, i) => first + i)];
    for (const index of wanted) {
      if (this.columns.has(index)) continue;
      const made = this.column(index);
      this.columns.set(index, made);
      this.field.append(made);
    }
  }

  private column(index: number): HTMLElement {
    const { rows, tokens } = this.guesses;
    const cells = Array.from({ length: rows }, (_, i) => this.made(rows - 1 - i, index));
    const name = el("div", { class: "logit-token", role: "columnheader" }, word(tokens[index]?.text ?? "", 14));
    return el(
      "div",
      { class: "logit-column", style: { left: `${index * WIDTH}px`, width: `${WIDTH}px`, "--cell": `${HEIGHT}px` } },
      ...cells,
      name,
    );
  }

  private made(row: number, column: number): HTMLElement {
    const [best] = this.guesses.top(row, column);
    const chance = best?.probability ?? 0;
    const entry = 255 * chance;
    const table = sequential(this.page.theme);
    const now = row === this.at.row && column === this.at.column;
    const attributes = {
      class: best?.id === this.guesses.final(column) ? "logit-cell final" : "logit-cell",
      role: "gridcell",
      "data-row": row,
      "data-column": column,
      tabindex: now ? 0 : -1,
      "aria-selected": now,
      "aria-label": `${this.guesses.rowName(row)}: ${clipped(best?.text ?? "", 40)} ${weight(chance)}`,
      style: { background: css(table, entry), color: inkOn(table, entry) },
    };
    return el("div", attributes, el("bdi", {}, clipped(visible(best?.text ?? ""), 13)));
  }

  private listen(): void {
    const { field } = this;
    field.addEventListener("pointermove", (event) => {
      const cell = place(event.target);
      if (cell) showTip(event.clientX, event.clientY, this.readout(cell.row, cell.column));
      else hideTip();
    });
    field.addEventListener("pointerleave", hideTip);
    field.addEventListener("focusout", hideTip);
    field.addEventListener("click", (event) => {
      const cell = place(event.target);
      if (cell) this.choose(cell.row, cell.column);
    });
    field.addEventListener("focusin", (event) => {
      const element = event.target as HTMLElement;
      const cell = place(element);
      if (cell && element.matches(":focus-visible")) this.tipAt(element, cell.row, cell.column);
    });
    field.addEventListener("keydown", (event) => this.key(event));
  }

  private key(event: KeyboardEvent): void {
    const { row, column } = this.at;
    const moves: Record<string, readonly [number, number]> = {
      ArrowUp: [row + 1, column],
      ArrowDown: [row - 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [row, 0],
      End: [row, this.guesses.columns - 1],
    };
    const to = moves[event.key];
    if (event.key === "Escape") return hideTip();
    if (event.key === "Enter" || event.key === " ") this.choose(row, column);
    else if (to) this.focus(...to);
    else return;
    event.preventDefault();
  }

  private focus(row: number, column: number): void {
    this.move(row, column);
    const cell = this.cell(this.at.row, this.at.column);
    cell?.focus({ preventScroll: true });
  }

  private tipAt(element: HTMLElement, row: number, column: number): void {
    const { left, bottom } = element.getBoundingClientRect();
    showTip(left + 20, bottom - 8, this.readout(row, column));
  }

  private readout(row: number, column: number): HTMLElement[] {
    return [
      el("div", {}, this.guesses.rowName(row), " at ", word(this.guesses.tokens[column]?.text ?? "", 24)),
      likelyList(this.guesses.top(row, column), this.guesses.final(column)),
      el("div", {}, `entropy ${weight(this.guesses.entropy(row, column))} nats`),
    ];
  }
}

/** The cell that an event happened in. */
function place(target: EventTarget | null): { row: number; column: number } | undefined {
  const cell = (target as Element | null)?.closest<HTMLElement>("[data-row]");
  return cell ? { row: Number(cell.dataset["row"]), column: Number(cell.dataset["column"]) } : undefined;
}
