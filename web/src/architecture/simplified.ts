/** One block per stack: the diagram of those who meet a Transformer for the first time. */

import { Drawing, type Point } from "./drawing";
import { GUTTER, WIDTH } from "./layout";
import type { Architecture } from "./view";

const [BLOCK, SMALL, GAP, WIDE] = [104, 40, 24, WIDTH - 24];

/** The blocks' ids are "block encoder" and so on. */
export function simplified(view: Architecture): { drawing: Drawing; width: number } {
  const drawing = new Drawing();
  let top: Point = [WIDTH / 2, 0];
  view.stacks.forEach((stack, index) => {
    const x = WIDTH / 2 + index * (WIDTH + GUTTER);
    drawing.texts.push({ at: [x, 4], text: stack.name === "decoder" ? "words so far" : "words" });
    const bottom = block(drawing, "embedding", ["embedding"], [x, 20], SMALL);
    const name = `${stack.name[0]!.toUpperCase()}${stack.name.slice(1)}`;
    const middle = bottom[1] + GAP + BLOCK / 2;
    top = block(drawing, stack.name, [name, `${stack.layers} layers`], bottom, BLOCK);
    if (index)
      drawing.wire([
        [x - WIDTH - GUTTER + WIDE / 2, middle],
        [x - WIDE / 2, middle],
      ]);
  });
  if (view.simplified["head"] !== undefined) top = block(drawing, "head", ["head"], top, SMALL);
  drawing.wire([top, [top[0], top[1] + GAP]]);
  drawing.texts.push({
    at: [top[0], top[1] + GAP + 6],
    text: view.stacks.at(-1)?.name === "decoder" ? "next word" : "output",
  });
  return { drawing, width: view.stacks.length * (WIDTH + GUTTER) - GUTTER };
}

/** An arrow and a box above a point; where the next begins. */
function block(drawing: Drawing, name: string, lines: readonly string[], [x, y]: Point, height: number): Point {
  drawing.wire([
    [x, y],
    [x, y + GAP],
  ]);
  drawing.box({ id: `block ${name}`, kind: "block", lines, x, y: y + GAP, width: WIDE, height });
  return [x, y + GAP + height];
}
