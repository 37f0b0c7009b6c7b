/**
 * Where everything stands in the full diagram: data flows upwards, the encoder left of the decoder, as in figure 1 of
 * "Attention Is All You Need" (Vaswani et al. 2017).
 */

import { Drawing, wrapped, type Point } from "./drawing";
import { grouped, type Architecture, type Kind, type Stack, type Sublayer } from "./view";

export const [WIDTH, GUTTER] = [236, 44]; // of a stack, and between two
const [BOX, TALL, LOW, GAP, LANE, SUM] = [156, 40, 24, 16, 107, 8]; // lane: from the middle to the residual line
const STEP = 5; // from one sublayer to the next
const DETAILED: ReadonlySet<Kind> = new Set(["attention", "cross_attention", "mlp", "head"]); // they say their size

/** The whole model; its height and width come with the drawing. */
export function layout(view: Architecture): { drawing: Drawing; width: number } {
  const drawing = new Drawing();
  const tops: Point[] = [];
  view.stacks.forEach((stack, index) => {
    const x = WIDTH / 2 + index * (WIDTH + GUTTER);
    tops.push(new Column(drawing, view, stack, x).build(tops[index - 1]));
  });
  const [x, y] = tops.at(-1) ?? [WIDTH / 2, 0];
  const top = new Chain(drawing, view, x, y);
  for (const id of view.head) top.add(id);
  top.end(view.stacks.at(-1)?.name === "decoder" ? "next word" : "output");
  return { drawing, width: view.stacks.length * (WIDTH + GUTTER) - GUTTER };
}

/** Boxes above each other, an arrow into each. */
class Chain {
  constructor(
    protected readonly drawing: Drawing,
    protected readonly view: Architecture,
    protected readonly x: number,
    protected y: number,
  ) {}

  add(id: string): void {
    const height = this.kind(id) === "norm" ? LOW : TALL;
    const bottom = this.y + GAP;
    this.drawing.wire([
      [this.x, this.y],
      [this.x, bottom],
    ]);
    this.place(id, this.x, bottom, BOX, height);
    this.y = bottom + height;
  }

  end(text: string): void {
    this.drawing.wire([
      [this.x, this.y],
      [this.x, this.y + GAP],
    ]);
    this.drawing.texts.push({ at: [this.x, this.y + GAP + 6], text });
  }

  protected place(id: string, x: number, y: number, width: number, height: number): void {
    const label = this.view.parts[id]?.label ?? id;
    const lines = height === LOW ? [label] : wrapped(label, Math.floor(width / 6.6));
    const [first] = this.view.parts[id]?.detail ?? [];
    const room = lines.length === 1 && DETAILED.has(this.kind(id)) && first !== undefined && first.length * 6.3 < width;
    this.drawing.box({ id, kind: this.kind(id), lines, ...(room ? { detail: first } : {}), x, y, width, height });
  }

  protected kind(id: string): Kind {
    return this.view.parts[id]?.kind ?? "block";
  }
}

class Column extends Chain {
  constructor(
    drawing: Drawing,
    view: Architecture,
    private readonly stack: Stack,
    x: number,
  ) {
    super(drawing, view, x, 0);
  }

  /** Draws the stack; `memory` is where the encoder's output is. Returns where this one's is. */
  build(memory: Point | undefined): Point {
    const reads = this.stack.name === "decoder" ? "words so far" : "words";
    this.drawing.texts.push({ at: [this.x, 4], text: reads });
    this.y = 20;
    for (const id of this.view.embedding) this.add(id);
    const beside = this.stack.outside.filter((id) => this.kind(id) === "bias" || this.kind(id) === "rotary");
    for (const id of beside) this.advise(id);
    this.frame(memory);
    for (const id of this.stack.outside) if (!beside.includes(id)) this.add(id);
    return [this.x, this.y];
  }

  /** A box that nothing flows through: what it holds is used inside the layers. */
  private advise(id: string): void {
    const [width, bottom] = [WIDTH / 2 - 18, this.y + GAP];
    const x = this.x - 12 - width / 2;
    this.place(id, x, bottom, width, TALL);
    this.drawing.wire(
      [
        [x, bottom + TALL],
        [x, bottom + TALL + GAP],
      ],
      true,
      true,
    );
    this.drawing.wire(
      [
        [this.x, this.y],
        [this.x, bottom + TALL + 2],
      ],
      false,
    );
    this.y = bottom + TALL + 2;
  }

  private frame(memory: Point | undefined): void {
    const bottom = this.y + GAP - 2;
    this.drawing.wire(
      [
        [this.x, this.y],
        [this.x, bottom + GAP],
      ],
      false,
    );
    this.y = bottom + GAP - 6;
    const found = grouped(this.view, this.stack);
    if (this.view.residual === "parallel") this.parallel(found);
    else found.forEach((sub) => this.sequential(sub, memory));
    this.drawing.wire(
      [
        [this.x, this.y],
        [this.x, this.y + 12],
      ],
      false,
    );
    this.y += 12;
    const size = { x: this.x - WIDTH / 2, y: bottom, width: WIDTH, height: this.y - bottom };
    this.drawing.frames.push({ ...size, text: `${this.stack.layers} ×` });
  }

  /** One sublayer: its norm before it (pre) or after the sum (post), and a line around it to the sum. */
  private sequential(sub: Sublayer, memory: Point | undefined): void {
    const tap = this.y;
    if (this.view.placement === "pre" && sub.norm) this.add(sub.norm);
    const bottom = this.y + GAP;
    this.add(sub.main);
    if (this.kind(sub.main) === "cross_attention" && memory) this.attend(memory, bottom + TALL / 2);
    this.sum(tap);
    if (this.view.placement === "post" && sub.norm) this.add(sub.norm);
    this.drawing.wire(
      [
        [this.x, this.y],
        [this.x, this.y + STEP],
      ],
      false,
    );
    this.y += STEP;
  }

  /** Attention and MLP side by side over one norm, one sum for both (PaLM, Chowdhery et al. 2022, section 2). */
  private parallel(found: readonly Sublayer[]): void {
    const [tap, width] = [this.y, (2 * (LANE - 9) - 10 * (found.length - 1)) / found.length];
    const norm = found.find((sub) => sub.norm)?.norm;
    if (norm) this.add(norm);
    const [split, bottom] = [this.y + 8, this.y + 8 + GAP];
    const join = bottom + TALL + 10;
    found.forEach((sub, i) => {
      const x = this.x + (i - (found.length - 1) / 2) * (width + 10);
      this.drawing.wire([
        [this.x, this.y],
        [this.x, split],
        [x, split],
        [x, bottom],
      ]);
      this.place(sub.main, x, bottom, width, TALL);
      this.drawing.wire(
        [
          [x, bottom + TALL],
          [x, join],
          [this.x, join],
        ],
        false,
      );
    });
    this.y = join;
    this.sum(tap);
  }

  private sum(tap: number): void {
    const middle = this.y + GAP + SUM;
    this.drawing.wire([
      [this.x, this.y],
      [this.x, middle - SUM],
    ]);
    const size = { x: this.x, y: middle - SUM, width: 2 * SUM, height: 2 * SUM };
    this.drawing.box({
      id: this.stack.residual,
      kind: "residual",
      lines: [this.view.parts[this.stack.residual]?.label ?? "sum"],
      ...size,
    });
    const lane = this.x - LANE;
    this.drawing.wire(
      [
        [this.x, tap],
        [lane, tap],
        [lane, middle],
        [this.x - SUM, middle],
      ],
      true,
      true,
    );
    this.y = middle + SUM;
  }

  /** From the encoder's output into the side of cross-attention. */
  private attend([fromX, fromY]: Point, y: number): void {
    const lane = this.x - WIDTH / 2 - GUTTER / 2;
    this.drawing.wire([
      [fromX, fromY],
      [fromX, fromY + GAP],
      [lane, fromY + GAP],
      [lane, y],
      [this.x - BOX / 2, y],
    ]);
  }
}
