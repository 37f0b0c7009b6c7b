/**
 * A heat map on a canvas: colours for numbers, names at its edges, and every value in reach of pointer and keys.
 *
 * Cells stretch to the width there is, up to `cell` pixels; where that leaves less than `least`, the map scrolls.
 */

import type { Page, Theme } from "../registry";
import { el } from "./el";
import { fitted, font } from "./label";
import { ink, surface, type Surface } from "./surface";
import { hideTip, showTip } from "./tooltip";
import { spoken, type Said } from "./words";

export interface HeatOptions {
  readonly label: string; // what it shows, for readers who do not see it
  readonly rows: number;
  readonly columns: number;
  readonly entry: (row: number, column: number) => number; // of the table, 0 to 255
  readonly table: (theme: Theme) => Uint8ClampedArray;
  readonly read: (row: number, column: number) => Said; // what stands in a cell, in words
  readonly rowName: (row: number) => string;
  readonly columnName: (column: number) => string;
  readonly strongRow?: (row: number) => boolean; // names to be written in the accent's colour
  readonly strongColumn?: (column: number) => boolean;
  readonly cell?: number;
  readonly least?: number;
  readonly rowHeight?: number; // without it, cells are squares
  readonly upwards?: boolean; // the first row at the bottom
  readonly words?: number; // so many of the first columns have words for names, written aslant; the others numbers
  readonly left?: number; // pixels for the names of rows
  readonly onPick?: (row: number, column: number) => void;
}

/** How wide a column is: a share of the room there is, within bounds. */
export function columnWidth(room: number, columns: number, most: number, least: number): number {
  return Math.max(Math.min(least, WIDEST / columns), Math.min(most, room / Math.max(1, columns)));
}

interface Cell {
  row: number;
  column: number;
}

const [TOP, RIGHT] = [7, 12]; // the first name is taller than a thin row
const [WIDEST, LARGEST_SIDE] = [8000, 3000]; // CSS pixels of a canvas that every browser can draw; of a square one
const GAPS_FROM = 14; // pixels of a cell from which lines between cells help
const KEYS: Record<string, readonly [down: number, right: number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  PageUp: [-10, 0],
  PageDown: [10, 0],
};

export class Heat {
  private readonly frame = el("div", { class: "heat-frame" });
  private readonly said = el("output", { class: "unseen" });
  private readonly surface: Surface;
  private image: HTMLCanvasElement | undefined;
  private at: Cell | undefined;
  private last: Cell = { row: 0, column: 0 };
  private cell = { width: 0, height: 0 };
  private readonly left: number;
  private readonly bottom: number;

  constructor(
    private readonly host: HTMLElement,
    private readonly page: Page,
    private readonly options: HeatOptions,
  ) {
    this.left = options.left ?? 96;
    this.bottom = options.words ? 74 : 22;
    host.classList.add("heat");
    host.append(this.frame, this.said);
    const attributes = {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "heat map",
      "aria-label": options.label,
    };
    this.surface = surface(this.frame, (context) => this.paint(context), attributes);
    this.surface.canvas.style.touchAction = "auto";
    new ResizeObserver(() => this.size()).observe(host);
    page.onTheme(() => this.refresh());
    this.listen(this.surface.canvas);
    this.size();
  }

  /** Colour anew: the numbers have changed. */
  refresh(): void {
    this.image = undefined;
    this.surface.invalidate();
  }

  private size(): void {
    const { columns, rows, cell = 28, least = 2, rowHeight } = this.options;
    const room = this.host.clientWidth - this.left - RIGHT;
    if (room <= 0) return;
    const most = rowHeight === undefined ? LARGEST_SIDE : WIDEST;
    const width = columnWidth(room, columns, cell, Math.min(least, most / columns));
    this.cell = { width, height: rowHeight ?? width };
    this.frame.style.width = `${this.left + width * columns + RIGHT}px`;
    this.frame.style.height = `${TOP + this.cell.height * rows + this.bottom}px`;
    this.surface.invalidate();
  }

  private y(row: number): number {
    return TOP + (this.options.upwards ? this.options.rows - 1 - row : row) * this.cell.height;
  }

  private paint(context: CanvasRenderingContext2D): void {
    const { rows, columns } = this.options;
    const { width, height } = this.cell;
    this.image ??= this.coloured();
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image, this.left, TOP, columns * width, rows * height);
    if (Math.min(width, height) >= GAPS_FROM) this.paintGaps(context);
    this.paintNames(context);
    if (this.at) {
      context.strokeStyle = ink("--second");
      context.lineWidth = 2;
      context.strokeRect(
        this.left + this.at.column * width,
        this.y(this.at.row),
        Math.max(3, width),
        Math.max(3, height),
      );
    }
  }

  /** One pixel per cell, to be stretched. */
  private coloured(): HTMLCanvasElement {
    const { rows, columns, entry, table, upwards } = this.options;
    const canvas = el("canvas", { width: columns, height: rows });
    const context = canvas.getContext("2d")!;
    const pixels = context.createImageData(columns, rows);
    const colours = table(this.page.theme);
    for (let row = 0; row < rows; row++) {
      const line = upwards ? rows - 1 - row : row;
      for (let column = 0; column < columns; column++) {
        const from = 4 * Math.max(0, Math.min(255, Math.round(entry(row, column))));
        pixels.data.set(colours.subarray(from, from + 4), 4 * (line * columns + column));
      }
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  private paintGaps(context: CanvasRenderingContext2D): void {
    const { rows, columns } = this.options;
    const { width, height } = this.cell;
    context.strokeStyle = ink("--ground");
    context.lineWidth = 1;
    context.beginPath();
    for (let column = 0; column <= columns; column++) {
      context.moveTo(this.left + column * width, TOP);
      context.lineTo(this.left + column * width, TOP + rows * height);
    }
    for (let row = 0; row <= rows; row++) {
      context.moveTo(this.left, TOP + row * height);
      context.lineTo(this.left + columns * width, TOP + row * height);
    }
    context.stroke();
  }

  private paintNames(context: CanvasRenderingContext2D): void {
    const { rows, columns, rowName, strongRow, words = 0 } = this.options;
    const { width, height } = this.cell;
    context.font = font(12);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const row of spread(0, rows, 14 / height, this.at?.row, strongRow)) {
      context.fillStyle = this.nameColour(row === this.at?.row, strongRow?.(row));
      context.fillText(fitted(context, rowName(row), this.left - 8), this.left - 7, this.y(row) + height / 2);
    }
    for (const column of spread(0, words, 15 / width, this.at?.column)) this.paintColumnName(context, column, true);
    for (const column of spread(words, columns, 34 / width, this.at?.column))
      this.paintColumnName(context, column, false);
  }

  private paintColumnName(context: CanvasRenderingContext2D, column: number, slanted: boolean): void {
    const { rows, columnName, strongColumn } = this.options;
    const { width, height } = this.cell;
    context.save();
    context.translate(this.left + (column + 0.5) * width, TOP + rows * height + 11);
    if (slanted) context.rotate(-Math.PI / 4);
    context.textAlign = slanted ? "right" : "center";
    context.fillStyle = this.nameColour(column === this.at?.column, strongColumn?.(column));
    context.fillText(fitted(context, columnName(column), 86), 0, 0);
    context.restore();
  }

  private nameColour(current: boolean, strong = false): string {
    return ink(current ? "--second" : strong ? "--accent" : "--quiet");
  }

  private listen(canvas: HTMLCanvasElement): void {
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("blur", () => this.leave());
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && this.go(this.last));
    canvas.addEventListener("click", (event) => {
      this.point(event);
      if (this.at) this.options.onPick?.(this.at.row, this.at.column);
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.key(event.key)) return;
      event.preventDefault();
    });
  }

  private point(event: MouseEvent): void {
    const bounds = this.surface.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - bounds.left - this.left) / this.cell.width);
    const line = Math.floor((event.clientY - bounds.top - TOP) / this.cell.height);
    const row = this.options.upwards ? this.options.rows - 1 - line : line;
    if (row < 0 || column < 0 || row >= this.options.rows || column >= this.options.columns) return this.leave();
    this.mark({ row, column });
    showTip(event.clientX, event.clientY, this.options.read(row, column));
  }

  private key(key: string): boolean {
    const { row, column } = this.last;
    const move = KEYS[key];
    if (move) this.go({ row: row + (this.options.upwards ? -move[0] : move[0]), column: column + move[1] });
    else if (key === "Home") this.go({ row, column: 0 });
    else if (key === "End") this.go({ row, column: this.options.columns - 1 });
    else if (key === "Enter" || key === " ") this.options.onPick?.(row, column);
    else if (key === "Escape") this.leave();
    else return false;
    return true;
  }

  /** Where the keys lead: the nearest cell there is, brought into sight and read out. */
  private go(wanted: Cell): void {
    const { rows, columns, read } = this.options;
    const row = Math.max(0, Math.min(rows - 1, wanted.row));
    const column = Math.max(0, Math.min(columns - 1, wanted.column));
    this.mark({ row, column });
    const x = this.left + (column + 1) * this.cell.width;
    this.host.scrollLeft = Math.max(
      Math.min(this.host.scrollLeft, x - this.left - this.cell.width),
      x - this.host.clientWidth,
    );
    const bounds = this.surface.canvas.getBoundingClientRect();
    showTip(bounds.left + x, bounds.top + this.y(row) + this.cell.height, read(row, column));
    this.said.textContent = spoken(read(row, column));
  }

  private mark(cell: Cell): void {
    this.at = this.last = cell;
    this.surface.invalidate();
  }

  private leave(): void {
    if (!this.at) return;
    this.at = undefined;
    hideTip();
    this.surface.invalidate();
  }
}

/**
 * Which names to write, of those from `first` to before `end`, where each takes the room of `needed` cells: every one,
 * every second, fifth, tenth and so on, counted from 0; all that are `strong` where they fit; and the current one.
 */
function* spread(
  first: number,
  end: number,
  needed: number,
  current: number | undefined,
  strong?: (index: number) => boolean,
): Generator<number> {
  const apart = Math.ceil(needed);
  const stride =
    [1, 2, 5]
      .flatMap((step) => [step, 10 * step, 100 * step, 1000 * step])
      .sort((a, b) => a - b)
      .find((step) => step >= apart) ?? apart;
  let free = first;
  for (let i = first; i < end; i++) {
    const beside = current !== undefined && i !== current && Math.abs(i - current) < apart;
    const wanted = i === current || (strong?.(i) ?? false) || i % stride === 0;
    if (!wanted || beside || (i < free && i !== current)) continue;
    free = i + apart;
    yield i;
  }
}
