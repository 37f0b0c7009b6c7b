/** At a glance: every head of every layer as a thumbnail; module rows, head columns. */

import { slice } from "../contract";
import { el } from "../draw/el";
import { fitted, font } from "../draw/label";
import { step } from "../draw/roving";
import { scroller, type Scroller } from "../draw/scroller";
import { ink } from "../draw/surface";
import { hideTip, showTip } from "../draw/tooltip";
import { groupOf, nameOf, type Desk } from "./desk";
import { toLevels, type Module } from "./data";
import { reduced } from "./pyramid";
import { painted } from "./tiles";

const GAP = 4;
const GUTTER = 26; // layer numbers
const HEADER = 20; // head numbers, always in sight
const HEADING = 24; // "decoder cross-attention"

interface Row {
  readonly module: Module;
  readonly top: number; // in the whole, below the header
  readonly heading: string | undefined; // where a new group begins
}

interface Seen {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export class Glance {
  private readonly canvas: Scroller;
  private readonly strips = new Map<Module, OffscreenCanvas[] | "coming">();
  private rows: Row[] = [];
  private side = 40;
  private at = { row: 0, column: 0 }; // where the keyboard is
  private readonly columns: number;
  private colours: Uint8ClampedArray = new Uint8ClampedArray(0);

  private readonly host = el("div");

  constructor(
    room: HTMLElement,
    private readonly desk: Desk,
    private readonly open: () => void,
    private readonly say: (text: string) => void,
  ) {
    this.columns = Math.max(...desk.modules.map((module) => module.heads.length));
    room.append(this.host);
    this.canvas = scroller(this.host, (context, seen) => this.draw(context, seen), {
      tabindex: 0,
      role: "application",
      "aria-label": "All heads at a glance: arrows move, Enter opens",
    });
    new ResizeObserver(() => this.arrange()).observe(this.host);
    desk.onChange(() => this.follow());
    desk.onColours((colours) => {
      this.colours = colours;
      this.strips.clear();
      this.canvas.invalidate();
    });
    this.listen();
    this.follow();
  }

  private arrange(): void {
    const room = this.host.clientWidth - GUTTER - 4;
    if (room <= 0) return;
    this.side = Math.max(24, Math.min(92, Math.floor(room / this.columns) - GAP));
    let [top, group] = [HEADER, ""];
    const groups = new Set(this.desk.modules.map(groupOf)).size;
    this.rows = this.desk.modules.map((module) => {
      const heading = groupOf(module) === group || groups === 1 ? undefined : groupOf(module);
      group = groupOf(module);
      if (heading) top += HEADING;
      const row = { module, top, heading };
      top += this.side + GAP;
      return row;
    });
    this.canvas.extent(GUTTER + this.columns * (this.side + GAP), top);
  }

  private draw(context: CanvasRenderingContext2D, seen: Seen): void {
    const first = Math.floor(seen.left / (this.side + GAP));
    const last = Math.min(this.columns - 1, Math.floor((seen.left + seen.width) / (this.side + GAP)));
    for (const [index, row] of this.rows.entries()) {
      const y = row.top - seen.top;
      if (y + this.side < 0 || y - HEADING > seen.height) continue;
      this.drawHeading(context, row, y, seen.width);
      for (let column = first; column <= Math.min(last, row.module.heads.length - 1); column++) {
        this.drawThumb(context, row, index, column, this.left(column) - seen.left, y);
      }
      context.fillStyle = ink("--ground");
      context.fillRect(0, y, GUTTER - 2, this.side);
      this.text(context, String(row.module.layer), GUTTER - 8, y + this.side / 2, "right");
    }
    context.fillStyle = ink("--ground");
    context.fillRect(0, 0, seen.width, HEADER - 2);
    for (let column = first; column <= last; column++) {
      const head = this.rows[0]?.module.heads[column];
      const x = this.left(column) - seen.left + this.side / 2;
      if (head !== undefined && x > GUTTER) this.text(context, String(head), x, HEADER / 2 - 1, "center");
    }
  }

  private drawHeading(context: CanvasRenderingContext2D, row: Row, y: number, width: number): void {
    if (!row.heading) return;
    context.font = font(12, 600);
    this.text(context, fitted(context, row.heading, width), 4, y - HEADING / 2 + 1, "left", 600);
  }

  private text(
    context: CanvasRenderingContext2D,
    text: string,
    x: number,
    y: number,
    align: CanvasTextAlign,
    weight = 400,
  ): void {
    context.font = font(11.5, weight);
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillStyle = ink(weight > 400 ? "--ink" : "--quiet");
    context.fillText(text, x, y);
  }

  private drawThumb(
    context: CanvasRenderingContext2D,
    row: Row,
    index: number,
    column: number,
    x: number,
    y: number,
  ): void {
    const strip = this.strip(row.module);
    const picture = strip === "coming" ? undefined : strip[column];
    context.fillStyle = ink("--raised");
    context.imageSmoothingEnabled = (picture?.width ?? 0) > this.side; // cells stay cells where they are enlarged
    if (picture) context.drawImage(picture, x, y, this.side, this.side);
    else context.fillRect(x, y, this.side, this.side);
    const chosen = row.module === this.desk.module && row.module.heads[column] === this.desk.head;
    const focused = document.activeElement === this.canvas.canvas && this.canvas.canvas.matches(":focus-visible");
    const here = focused && this.at.row === index && this.at.column === column;
    context.strokeStyle = ink(chosen || here ? "--accent" : "--line");
    context.lineWidth = chosen ? 2.5 : here ? 2 : 1;
    const out = chosen ? 1 : here ? 2 : 0;
    context.setLineDash(here && !chosen ? [3, 2] : []);
    context.strokeRect(x - out + 0.5, y - out + 0.5, this.side + 2 * out - 1, this.side + 2 * out - 1);
    context.setLineDash([]);
  }

  /** The pictures of a module's heads; made of its overview when first seen. */
  private strip(module: Module): OffscreenCanvas[] | "coming" {
    const known = this.strips.get(module);
    if (known) return known;
    this.strips.set(module, "coming");
    const colours = this.colours;
    const longest = Math.max(16, this.side * (window.devicePixelRatio || 1));
    void this.desk.page.array(module.overviewKey).then(
      (array) => {
        const pictures = module.heads.map((_, index) => {
          const head = slice(array, index);
          const plane = { data: toLevels(head), rows: head.shape[0]!, columns: head.shape[1]! };
          return painted(reduced(plane, longest), 0, 0, 4096, colours);
        });
        if (colours !== this.colours) return; // others have come meanwhile, and ask again
        this.strips.set(module, pictures);
        this.canvas.invalidate();
      },
      (error: unknown) => console.error(error),
    );
    return "coming";
  }

  private left(column: number): number {
    return GUTTER + column * (this.side + GAP);
  }

  private listen(): void {
    const { canvas } = this.canvas;
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", hideTip);
    canvas.addEventListener("click", (event) => {
      const found = this.under(event);
      if (found) this.pick(found);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.canvas.invalidate());
    canvas.addEventListener("blur", () => this.canvas.invalidate());
  }

  private under(event: MouseEvent): { row: number; column: number } | undefined {
    const box = this.canvas.canvas.getBoundingClientRect();
    if (event.clientY - box.top < HEADER) return undefined;
    const y = event.clientY - box.top + this.host.scrollTop;
    const column = Math.floor((event.clientX - box.left + this.host.scrollLeft - GUTTER) / (this.side + GAP));
    const row = this.rows.findIndex(({ top }) => y >= top && y < top + this.side);
    return row >= 0 && column >= 0 && column < this.rows[row]!.module.heads.length ? { row, column } : undefined;
  }

  private hover(event: PointerEvent): void {
    const found = this.under(event);
    this.canvas.canvas.style.cursor = found ? "pointer" : "";
    if (found) showTip(event.clientX, event.clientY, this.name(found));
    else hideTip();
  }

  private name({ row, column }: { row: number; column: number }): string {
    const { module } = this.rows[row]!;
    const group = this.rows.some((one) => one.heading) ? `${groupOf(module)}, ` : "";
    return group + nameOf(module, module.heads[column]!);
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Enter" || event.key === " ") this.pick(this.at);
    else {
      const next = step(event.key, this.at.row * this.columns + this.at.column, this.count(), this.columns);
      if (next === undefined) return;
      const row = Math.floor(next / this.columns);
      const column = Math.min(next % this.columns, this.rows[row]!.module.heads.length - 1);
      this.move({ row, column });
      this.say(this.name(this.at));
    }
    event.preventDefault();
  }

  private count(): number {
    return (this.rows.length - 1) * this.columns + (this.rows.at(-1)?.module.heads.length ?? 0);
  }

  private pick(found: { row: number; column: number }): void {
    const { module } = this.rows[found.row]!;
    this.desk.choose(module, module.heads[found.column]!);
    this.open();
  }

  private move(to: { row: number; column: number }): void {
    this.at = to;
    const top = this.rows[to.row]?.top ?? 0;
    const pitch = this.side + GAP;
    this.canvas.reveal(this.left(to.column) - GUTTER, top - HEADER - pitch, GUTTER + pitch, HEADER + 3 * pitch);
    this.canvas.invalidate();
  }

  /** Go where the chosen head is. */
  private follow(): void {
    if (this.rows.length === 0) this.arrange();
    const { module, head } = this.desk;
    const row = this.desk.modules.indexOf(module);
    this.move({ row, column: head === null ? this.at.column : module.heads.indexOf(head) });
  }
}
