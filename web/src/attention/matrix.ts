/** One head as a matrix: a row is the token that looks, a column the token looked at. */

import { el } from "../draw/el";
import { ink, surface, type Surface } from "../draw/surface";
import { hideTip, showTip } from "../draw/tooltip";
import { drawAxes, labelRoom, type Axes } from "./axes";
import { rowOf, strongest, type Weights } from "./data";
import type { Desk } from "./desk";
import { dragging } from "./gestures";
import { Pyramid } from "./pyramid";
import { readout } from "./readout";
import { Tiles } from "./tiles";
import { Top } from "./top";
import { Viewport } from "./viewport";

interface Cell {
  readonly row: number;
  readonly column: number;
}

export class Matrix {
  private readonly canvas: Surface;
  private readonly top: Top;
  private readonly line = el("p", { class: "readout numbers", "aria-live": "polite" });
  private weights: Weights | undefined;
  private colours: Uint8ClampedArray = new Uint8ClampedArray(0);
  private pyramid: Pyramid | undefined;
  private tiles: Tiles | undefined;
  private viewport = new Viewport(1, 1);
  private size = { width: 1, height: 1, left: 0, top: 0 }; // of the matrix itself, beside its labels
  private cell: Cell | undefined; // under the crosshair

  constructor(
    host: HTMLElement,
    private readonly desk: Desk,
  ) {
    const room = el("div", { class: "room" });
    const side = el("aside", { class: "side" });
    host.append(room, side, this.line);
    this.top = new Top(side, (key) => this.point({ row: this.cell?.row ?? 0, column: key }));
    this.canvas = surface(room, (context, width, height) => this.draw(context, width, height), {
      tabindex: 0,
      role: "application",
      "aria-label": "Attention matrix: arrows move, plus and minus zoom, Home shows all",
    });
    desk.onColours((colours) => {
      this.colours = colours;
      this.paint();
    });
    this.listen();
  }

  show(weights: Weights): void {
    const same = this.weights?.rows === weights.rows && this.weights.columns === weights.columns;
    this.weights = weights;
    this.pyramid = new Pyramid({ data: weights.levels, rows: weights.rows, columns: weights.columns });
    if (!same) {
      [this.viewport, this.cell] = [new Viewport(weights.rows, weights.columns), undefined];
      this.viewport.resize(this.size.width, this.size.height);
    }
    this.paint();
    this.read();
  }

  /** Bring the row of a token under the crosshair, where another view chose it. */
  goTo(token: number): void {
    if (!this.weights) return;
    const row = Math.floor((token - this.weights.module.firstQuery) / this.weights.cell[0]);
    if (row < 0 || row >= this.weights.rows || row === this.cell?.row) return;
    this.point({ row, column: strongest(rowOf(this.weights, row), 1)[0]?.key ?? 0 });
  }

  private paint(): void {
    if (!this.pyramid) return;
    this.tiles = new Tiles(this.pyramid, this.colours);
    this.canvas.invalidate();
  }

  private draw(context: CanvasRenderingContext2D, width: number, height: number): void {
    if (!this.weights || !this.tiles) return;
    const { page } = this.desk;
    const left = labelRoom(context, page.tokens(this.weights.module.queries), Math.min(120, width * 0.28));
    const top = labelRoom(context, page.tokens(this.weights.module.keys), Math.min(96, height * 0.28));
    const size = { left, top, width: width - left - 1, height: height - top - 1 };
    if (size.width !== this.size.width || size.height !== this.size.height) {
      this.viewport.resize(size.width, size.height);
    }
    this.size = size;
    const { scale } = this.viewport;
    const across = Math.min(size.width, this.weights.columns * scale);
    const down = Math.min(size.height, this.weights.rows * scale);
    context.save();
    context.translate(left, top);
    context.save();
    context.beginPath();
    context.rect(0, 0, across, down);
    context.clip();
    this.tiles.draw(context, this.viewport, across, down, window.devicePixelRatio || 1);
    this.crosshair(context, across, down);
    context.restore();
    context.strokeStyle = ink("--line");
    context.lineWidth = 1;
    context.strokeRect(-0.5, -0.5, across + 1, down + 1);
    drawAxes(context, this.axes(across, down));
    context.restore();
  }

  private axes(across: number, down: number): Axes {
    const { page } = this.desk;
    const { module, cell } = this.weights!;
    return {
      viewport: this.viewport,
      width: across,
      height: down,
      left: this.size.left,
      top: this.size.top,
      rows: { tokens: page.tokens(module.queries), first: module.firstQuery, cell: cell[0], marked: this.cell?.row },
      columns: { tokens: page.tokens(module.keys), first: 0, cell: cell[1], marked: this.cell?.column },
    };
  }

  private crosshair(context: CanvasRenderingContext2D, across: number, down: number): void {
    if (!this.cell) return;
    const { left, top, scale } = this.viewport;
    const [x, y] = [(this.cell.column - left) * scale, (this.cell.row - top) * scale];
    const side = Math.max(scale, 3);
    context.strokeStyle = ink("--second");
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.strokeRect(-2, y - 0.5, across + 4, side + 1);
    context.strokeRect(x - 0.5, -2, side + 1, down + 4);
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeRect(x - 0.5, y - 0.5, side + 1, side + 1);
  }

  private listen(): void {
    const { canvas } = this.canvas;
    const inner = (event: { clientX: number; clientY: number }): [number, number] => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - this.size.left, event.clientY - box.top - this.size.top];
    };
    dragging(canvas, {
      pan: (x, y) => this.moved(() => this.viewport.pan(x, y)),
      zoom: (factor, at) => this.moved(() => this.viewport.zoom(factor, ...inner(at))),
      hover: (event) => this.hover(event, this.viewport.cellAt(...inner(event))),
      click: (event) => this.pin(this.viewport.cellAt(...inner(event))),
    });
    canvas.addEventListener("pointerleave", hideTip);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => {
      if (!this.cell && canvas.matches(":focus-visible")) this.point({ row: 0, column: 0 });
    });
  }

  private moved(move: () => void): void {
    move();
    hideTip();
    this.canvas.invalidate();
  }

  private hover(event: PointerEvent, cell: Cell | undefined): void {
    if (!cell || !this.weights) return hideTip();
    this.set(cell);
    showTip(event.clientX, event.clientY, [...readout(this.weights, this.desk.page, cell.row, cell.column)]);
  }

  private pin(cell: Cell | undefined): void {
    if (!cell || !this.weights) return;
    this.set(cell);
    const {
      module,
      cell: [tall],
    } = this.weights;
    this.desk.page.select({ list: module.queries, token: module.firstQuery + cell.row * tall });
  }

  private key(event: KeyboardEvent): void {
    if (!this.weights || event.ctrlKey || event.metaKey || event.altKey) return;
    const { row, column } = this.cell ?? { row: 0, column: 0 };
    const by = event.shiftKey ? 10 : 1;
    const { left, top, scale } = this.viewport;
    const zoom = (factor: number) =>
      this.moved(() => this.viewport.zoom(factor, (column + 0.5 - left) * scale, (row + 0.5 - top) * scale));
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.point({ row, column: column - by }),
      ArrowRight: () => this.point({ row, column: column + by }),
      ArrowUp: () => this.point({ row: row - by, column }),
      ArrowDown: () => this.point({ row: row + by, column }),
      "+": () => zoom(1.5),
      "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5),
      Home: () => this.moved(() => this.viewport.fit()),
      Enter: () => this.pin(this.cell),
    };
    const action = actions[event.key];
    if (!action) return;
    action();
    event.preventDefault();
  }

  /** Put the crosshair on a cell, and the cell in sight. */
  private point(cell: Cell): void {
    if (!this.weights) return;
    const row = Math.max(0, Math.min(this.weights.rows - 1, cell.row));
    const column = Math.max(0, Math.min(this.weights.columns - 1, cell.column));
    this.viewport.reveal(row, column);
    this.set({ row, column });
  }

  private set(cell: Cell): void {
    if (cell.row === this.cell?.row && cell.column === this.cell.column) return;
    this.cell = cell;
    this.read();
    this.canvas.invalidate();
  }

  private read(): void {
    if (!this.weights || !this.cell) {
      this.line.textContent = "Point at a cell: its row is the token that looks, its column the token looked at.";
      return this.top.clear();
    }
    this.line.replaceChildren(...readout(this.weights, this.desk.page, this.cell.row, this.cell.column));
    this.top.show(this.weights, this.desk.page, this.cell.row);
  }
}
