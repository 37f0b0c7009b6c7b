/** The model as a diagram: every part can be chosen, and says what it is, how large, computed where, and its values. */

import "../styles/figures.css";
import "../styles/architecture.css";
import type { Drawing } from "../architecture/drawing";
import { layout } from "../architecture/layout";
import { Panel } from "../architecture/panel";
import { picture, type Picture } from "../architecture/picture";
import { simplified } from "../architecture/simplified";
import type { Architecture } from "../architecture/view";
import { el } from "../draw/el";
import { count } from "../draw/format";
import { register } from "../registry";

register<Architecture>("architecture", (view, page, host) => {
  const stage = el("div", { class: "diagram-stage" });
  const panel = new Panel(view, page, (id) => {
    open("full", id);
    panel.choose(id);
  });
  const buttons = {
    full: choice("every part", () => open("full")),
    simple: choice("simplified", () => open("simple")),
  };
  let shown: Picture;
  function choose(id: string): void {
    shown.choose(id);
    panel.choose(id);
  }
  function open(which: "full" | "simple", id?: string): void {
    const { drawing, width } = which === "full" ? layout(view) : simplified(view);
    shown = picture(drawing, width, `Diagram of ${view.title}`, choose);
    stage.replaceChildren(shown.root);
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(name === which));
    const first = id ?? beginning(drawing);
    shown.choose(first);
    panel.show(first); // nobody has chosen it, so the other views stay where they are
  }
  const facts = view.facts.map(([name, value]) =>
    el("li", {}, el("span", {}, `${name} `), typeof value === "number" ? count(value) : value),
  );
  host.append(
    el(
      "div",
      { class: "above" },
      el("div", { class: "segments", role: "group", "aria-label": "Detail" }, buttons.full, buttons.simple),
      el("ul", { class: "facts" }, ...facts),
    ),
    el("div", { class: "beside diagram-and-panel" }, stage, panel.host),
  );
  open(view.begin === "simplified" ? "simple" : "full");
});

/** What is chosen at first: attention, or the first stack. */
function beginning({ boxes }: Drawing): string {
  const first = boxes.find((box) => box.kind === "attention" || box.lines[1]?.endsWith("layers")) ?? boxes[0];
  return first?.id ?? "";
}

function choice(name: string, click: () => void): HTMLElement {
  return el("button", { type: "button", on: { click } }, name);
}
