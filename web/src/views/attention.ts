/** Attention: every head at a glance beside one head as a matrix, as arcs, or step by step through what was written. */

import { ArcsMode } from "../attention/arcs";
import { Desk, groupOf, inFull, nameOf, type Mode } from "../attention/desk";
import { isWhole, type AttentionView, type Weights } from "../attention/data";
import { Glance } from "../attention/glance";
import { Matrix } from "../attention/matrix";
import { pickers, shortcuts } from "../attention/pickers";
import { Steps } from "../attention/steps";
import { el } from "../draw/el";
import { register, type Page } from "../registry";

interface Picture {
  show(weights: Weights): void;
  goTo?(token: number): void;
}

register<AttentionView>("attention", (view, page, host) => {
  if (view.modules.length === 0) throw new Error("no attention weights were kept");
  new Room(view, page, host);
});

class Room {
  private readonly desk: Desk;
  private readonly spoken = el("p", { class: "unseen", "aria-live": "polite" });
  private readonly notice = el("p", { class: "notice" });
  private readonly places = {
    glance: place("glance"),
    matrix: place("matrix"),
    arcs: place("arcs"),
    generated: place("generated"),
  };
  private readonly pictures: Partial<Record<Mode, Picture>> = {};
  private mode: Mode = "matrix";

  constructor(
    private readonly view: AttentionView,
    private readonly page: Page,
    private readonly host: HTMLElement,
  ) {
    this.desk = new Desk(view, page);
    const modes: Mode[] = ["glance", "matrix", "arcs", ...(view.generatedFrom === null ? [] : ["generated" as const])];
    const { bar, choose } = pickers(this.desk, modes, (mode) => this.change(mode));
    host.append(bar, this.notice, ...Object.values(this.places), this.spoken);
    new Glance(
      this.places.glance,
      this.desk,
      () => this.mode === "glance" && choose("matrix"),
      (text) => this.say(text),
    );
    shortcuts(host, this.desk);
    this.desk.onChange(() => {
      this.say(`${groupOf(this.desk.module)}, ${nameOf(this.desk.module, this.desk.head)}`);
      void this.refresh();
    });
    page.onSelect((selection, change) => {
      if (change.token === undefined || selection.list !== this.desk.module.queries) return;
      this.pictures[this.mode]?.goTo?.(change.token);
    });
    choose("matrix");
    void this.refresh();
  }

  private say(text: string): void {
    this.spoken.textContent = text;
  }

  private change(mode: Mode): void {
    if (mode === this.mode) return;
    this.mode = mode;
    void this.refresh();
  }

  /** The picture of the mode, made when it is first shown; at a glance there is none. */
  private picture(): Picture | undefined {
    const { desk, pictures, places } = this;
    if (this.mode === "matrix") return (pictures.matrix ??= new Matrix(places.matrix, desk));
    if (this.mode === "arcs") return (pictures.arcs ??= new ArcsMode(places.arcs, desk, (text) => this.say(text)));
    if (this.mode === "glance") return undefined;
    return (pictures.generated ??= new Steps(places.generated, desk, this.view.generatedFrom ?? 0));
  }

  private get asked(): string {
    return `${this.mode} ${this.desk.module.path} ${this.desk.head}`;
  }

  private async refresh(): Promise<void> {
    this.host.dataset["mode"] = this.mode;
    const asked = this.asked;
    try {
      const weights = await this.desk.weights();
      if (asked !== this.asked) return; // something else was chosen meanwhile
      this.notice.textContent = isWhole(weights) ? "" : this.overviewLine(weights);
      const refused = LINKED[this.mode] !== undefined && !isWhole(weights);
      this.places[this.mode].hidden = refused;
      if (refused) return;
      const picture = this.picture();
      picture?.show(weights);
      const { list, token } = this.page.selection;
      if (list === this.desk.module.queries && token !== undefined) picture?.goTo?.(token);
    } catch (error) {
      console.error(error);
      this.notice.textContent = `Cannot show ${nameOf(this.desk.module, this.desk.head)}: ${(error as Error).message}.`;
    }
  }

  /** What a cell is; a picture that needs every weight says which heads have them instead. */
  private overviewLine({ cell: [tall, wide] }: Weights): string {
    const name = `Of ${nameOf(this.desk.module, this.desk.head)} only the overview is in this page`;
    const linked = LINKED[this.mode];
    if (linked === undefined) return `${name}: each cell is the largest weight among ${tall} × ${wide} tokens.`;
    const whole = inFull(this.desk.modules);
    return `${name}, and ${linked} every weight; ${whole ? `in full: ${whole}.` : "no head is here in full."}`;
  }
}

/** The pictures that draw single weights, which no overview has. */
const LINKED: Partial<Record<Mode, string>> = { arcs: "arcs need", generated: "this picture needs" };

function place(mode: Mode): HTMLElement {
  return el("div", { class: `mode ${mode}` });
}
