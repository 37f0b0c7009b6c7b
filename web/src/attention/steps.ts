/** Token by token through what the model wrote: where each new token looks back, as colour behind the words. */

import type { Token } from "../contract";
import { el } from "../draw/el";
import { about, quoted, visible } from "../draw/format";
import { css, inkOn, sequential } from "../draw/ramps";
import { hideTip, showTip } from "../draw/tooltip";
import { rowOf, type Weights } from "./data";
import type { Desk } from "./desk";

const PACE = 700; // milliseconds per token

export class Steps {
  private readonly text = el("div", { class: "running-text", tabindex: 0, role: "group", "aria-label": "The text" });
  private readonly slider = el("input", { type: "range", "aria-label": "Generated token", step: 1 });
  private readonly playing = el("button", { type: "button", on: { click: () => this.play() } }, "▶ Play");
  private readonly line = el("p", { class: "readout numbers", "aria-live": "polite" });
  private readonly bar: HTMLElement;
  private words: HTMLElement[] = [];
  private list = "";
  private begun = false;
  private weights: Weights | undefined;
  private row: Float32Array = new Float32Array(0);
  private timer = 0;

  constructor(
    host: HTMLElement,
    private readonly desk: Desk,
    private readonly generatedFrom: number,
  ) {
    const back = el(
      "button",
      { type: "button", "aria-label": "Token before", on: { click: () => this.step(-1) } },
      "←",
    );
    const on = el("button", { type: "button", "aria-label": "Next token", on: { click: () => this.step(1) } }, "→");
    this.bar = el("div", { class: "stepper" }, this.playing, back, this.slider, on);
    host.append(this.bar, this.line, this.text);
    this.slider.addEventListener("input", () => this.colour());
    desk.page.onTheme(() => this.colour());
    this.text.addEventListener("pointermove", (event) => this.hover(event));
    this.text.addEventListener("pointerleave", hideTip);
    new ResizeObserver(() => host.clientWidth || this.stop()).observe(host); // hidden
  }

  show(weights: Weights): void {
    this.weights = weights;
    const { module } = weights;
    const keys = this.desk.page.tokens(module.keys);
    if (this.list !== module.keys) {
      this.list = module.keys;
      this.words = keys.map(({ text }) => el("span", {}, /^ *$/.test(text) ? text : visible(text).trimStart()));
      this.text.replaceChildren(
        ...this.words.flatMap((word, index) => [blankBefore(keys[index]!), word, lineAfter(keys[index]!)]),
      );
    }
    const queries = this.desk.page.tokens(module.queries);
    const last = queries.length - 1;
    this.bar.hidden = !queries.some((token) => token.generated);
    [this.slider.min, this.slider.max] = [String(Math.min(this.generatedFrom, last)), String(last)];
    if (!this.begun && !this.bar.hidden) this.slider.value = this.slider.min;
    this.begun ||= !this.bar.hidden;
    this.colour();
  }

  private get token(): number {
    return Number(this.slider.value);
  }

  private step(by: number): void {
    this.slider.value = String(this.token + by);
    this.colour();
  }

  private play(): void {
    if (this.timer) return this.stop();
    if (this.token >= Number(this.slider.max)) this.slider.value = this.slider.min;
    this.colour();
    this.playing.textContent = "❚❚ Pause";
    this.timer = window.setInterval(() => {
      this.step(1);
      if (this.token >= Number(this.slider.max)) this.stop();
    }, PACE);
  }

  private stop(): void {
    window.clearInterval(this.timer);
    this.timer = 0;
    this.playing.textContent = "▶ Play";
  }

  private colour(): void {
    if (!this.weights) return;
    const { module } = this.weights;
    const queries = this.desk.page.tokens(module.queries);
    if (this.bar.hidden) {
      this.line.textContent = `The ${module.stack} wrote nothing here: choose a layer of the decoder.`;
      return;
    }
    this.row = rowOf(this.weights, this.token - module.firstQuery);
    const table = sequential(this.desk.page.theme);
    this.words.forEach((word, index) => {
      const level = Math.round(255 * Math.sqrt(this.row[index] ?? 0));
      word.style.backgroundColor = level ? css(table, level) : "";
      word.style.color = level ? inkOn(table, level) : "";
      const later = module.kind === "attention" && index > this.token;
      word.className = later ? "later" : index === this.token && module.kind === "attention" ? "now" : "";
    });
    this.line.replaceChildren(...this.said(queries));
    this.words[this.token]?.scrollIntoView({ block: "nearest" });
  }

  /** Which token looks, and what for: its row computes not the token itself, but the one after it. */
  private said(queries: readonly Token[]): (string | Node)[] {
    const step = `${this.token - this.generatedFrom + 1} of ${queries.length - this.generatedFrom}`;
    const next = queries[this.token + 1];
    const own = [`Generated token ${step}: `, quoted(queries[this.token]?.text ?? "")];
    return [...own, ", whose row computes the token after it", ...(next ? [": ", quoted(next.text)] : [])];
  }

  private hover(event: PointerEvent): void {
    const index = this.words.indexOf(event.target as HTMLElement);
    const [from, to] = [this.desk.page.tokens(this.desk.module.queries)[this.token], this.words[index]];
    if (!from || !to) return hideTip();
    const parts = [
      quoted(from.text),
      " looks at ",
      quoted(to.textContent),
      `: ${about(this.row[index] ?? 0, this.weights!.rounded)}`,
    ];
    showTip(event.clientX, event.clientY, parts);
  }
}

/** A word's own blank stands before its colour, so that none ends a line. */
function blankBefore(token: Token): string {
  return /^ +(?=\S)/.exec(token.text)?.[0] ?? "";
}

/** A line ends where a token ends one, whether its text has the line end or, escaped, \n. */
function lineAfter(token: Token): string {
  return /(\n|\\n)$/.test(token.text) ? "\n" : "";
}
