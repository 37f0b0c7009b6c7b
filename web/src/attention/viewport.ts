/** Which part of a matrix is seen, and how large. Cells are the unit; `scale` is CSS pixels per cell. */

const LARGEST = 56; // pixels of a cell

export class Viewport {
  left = 0;
  top = 0;
  scale = 1;
  private width = 1;
  private height = 1;
  private fitted = true; // as it opened: then a new size fits again

  constructor(
    private rows: number,
    private columns: number,
  ) {}

  resize(width: number, height: number): void {
    [this.width, this.height] = [Math.max(1, width), Math.max(1, height)];
    if (this.fitted) this.fit();
    else this.hold();
  }

  /** All of the matrix, as large as it can be. */
  fit(): void {
    this.scale = this.smallest();
    [this.left, this.top, this.fitted] = [0, 0, true];
  }

  /** Zoom by a factor around a point of the screen, which stays where it is. */
  zoom(factor: number, x: number, y: number): void {
    const before = this.scale;
    this.scale = Math.max(this.smallest(), Math.min(LARGEST, before * factor));
    this.left += x / before - x / this.scale;
    this.top += y / before - y / this.scale;
    this.fitted = false;
    this.hold();
  }

  /** Move by pixels of the screen. */
  pan(x: number, y: number): void {
    this.left -= x / this.scale;
    this.top -= y / this.scale;
    this.fitted = false;
    this.hold();
  }

  /** Move until a cell can be seen. */
  reveal(row: number, column: number): void {
    const [across, down] = [this.width / this.scale, this.height / this.scale];
    this.left = Math.max(Math.min(this.left, column), column + 1 - across);
    this.top = Math.max(Math.min(this.top, row), row + 1 - down);
    this.hold();
  }

  /** The cell at a point of the screen; undefined beside the matrix. */
  cellAt(x: number, y: number): { row: number; column: number } | undefined {
    const column = Math.floor(this.left + x / this.scale);
    const row = Math.floor(this.top + y / this.scale);
    const inside = x >= 0 && y >= 0 && column >= 0 && row >= 0 && column < this.columns && row < this.rows;
    return inside ? { row, column } : undefined;
  }

  private smallest(): number {
    return Math.min(LARGEST, this.width / this.columns, this.height / this.rows);
  }

  /** Never past the matrix's ends. */
  private hold(): void {
    this.left = Math.max(0, Math.min(this.left, this.columns - this.width / this.scale));
    this.top = Math.max(0, Math.min(this.top, this.rows - this.height / this.scale));
  }
}
