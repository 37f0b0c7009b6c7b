/** Rows of one height in a box that scrolls, of which only those in sight are elements: a long table stays light. */

const SPARE = 6; // rows kept ready on either side

interface Options {
  readonly count: number;
  readonly height: number; // of a row, in pixels
  /** The element of a row, without its place. */
  make(index: number): HTMLElement;
  /** Called when a row is clicked, or reached by keys. */
  choose(index: number): void;
}

export class Rows {
  private readonly made = new Map<number, HTMLElement>();
  private at = 0; // the tab stop, and the row that is marked

  /** `field`, inside `scroller`, is as high as all rows; what stands above it (a heading) stays in sight. */
  constructor(
    private readonly scroller: HTMLElement,
    private readonly field: HTMLElement,
    private readonly options: Options,
  ) {
    field.style.height = `${options.count * options.height}px`;
    scroller.addEventListener("scroll", () => this.fill(), { passive: true });
    new ResizeObserver(() => this.fill()).observe(scroller);
    field.addEventListener("keydown", (event) => this.key(event));
    this.fill();
  }

  /** Mark a row, and bring it in sight. */
  mark(index: number): void {
    this.set("-1", "false");
    this.at = index;
    const { height } = this.options;
    const [top, room] = [index * height, this.scroller.clientHeight - this.field.offsetTop - height];
    this.scroller.scrollTop = Math.max(Math.min(this.scroller.scrollTop, top), top - Math.max(0, room));
    this.fill();
    this.set("0", "true");
  }

  private set(tabindex: string, current: string): void {
    this.made.get(this.at)?.setAttribute("tabindex", tabindex);
    this.made.get(this.at)?.setAttribute("aria-current", current);
  }

  /** Make the rows in sight, drop the others; the marked one stays, for it may have the focus. */
  private fill(): void {
    const { count, height } = this.options;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - SPARE);
    const last = Math.min(count - 1, first + Math.ceil(this.scroller.clientHeight / height) + 2 * SPARE);
    for (const [index, row] of this.made) {
      if ((index >= first && index <= last) || index === this.at) continue;
      row.remove();
      this.made.delete(index);
    }
    for (let index = first; index <= last; index++) this.add(index);
    if (this.at < count) this.add(this.at);
  }

  private add(index: number): void {
    if (this.made.has(index)) return;
    const row = this.options.make(index);
    row.style.top = `${index * this.options.height}px`;
    row.tabIndex = index === this.at ? 0 : -1;
    row.setAttribute("aria-rowindex", String(index + 2)); // the heading is the first
    row.setAttribute("aria-current", String(index === this.at));
    row.addEventListener("click", () => this.options.choose(index));
    row.addEventListener("focus", () => index !== this.at && this.options.choose(index));
    this.made.set(index, row);
    const next = [...this.made.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
    this.field.insertBefore(row, next === undefined ? null : this.made.get(next)!); // read out in order
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.options.height) - 1);
    const moves: Record<string, number> = {
      ArrowUp: this.at - 1,
      ArrowDown: this.at + 1,
      PageUp: this.at - page,
      PageDown: this.at + page,
      Home: 0,
      End: this.options.count - 1,
    };
    const next = event.key === "Enter" || event.key === " " ? this.at : moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.options.choose(Math.max(0, Math.min(this.options.count - 1, next)));
    this.made.get(this.at)?.focus({ preventScroll: true });
  }
}
