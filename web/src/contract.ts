/**
 * The reader of the JSON that `clearhead.lens.payload` writes, format "clearhead-lens/1".
 *
 * Axes: H head, T query, S key. An array travels as base64 of its little-endian bytes, perhaps deflated, and is decoded
 * only when a view first asks for it.
 */

export const FORMAT = "clearhead-lens/1";
const CACHE_BYTES = 256 * 2 ** 20; // decoded arrays kept; the oldest go first, and can be decoded again

export interface Token {
  readonly text: string; // harmless: controls and what turns the direction are escaped
  readonly piece: string; // as the vocabulary spells it
  readonly id: number;
  readonly special: boolean;
  readonly generated: boolean;
}

const KINDS = { u8: Uint8Array, i32: Int32Array, f32: Float32Array, f64: Float64Array } as const;

export type Dtype = keyof typeof KINDS;
export type Numbers = Uint8Array | Int32Array | Float32Array | Float64Array;

export interface ArrayHeader {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly levels: "linear" | "sqrt"; // "sqrt": a byte b stands for the weight (b / 255)^2
  readonly encoding: "plain" | "deflate";
  readonly data?: string; // only where the payload came as one JSON text
}

export interface LensArray {
  readonly data: Numbers;
  readonly shape: readonly number[];
  readonly levels: "linear" | "sqrt";
}

/** What every view says of itself; each kind adds its own fields. */
export interface View {
  readonly type: string;
  readonly label?: string; // for a tab
  readonly title: string;
  readonly note?: string;
}

export interface Header {
  readonly format: string;
  readonly title: string;
  readonly model: Readonly<Record<string, unknown>>;
  readonly tokens: Readonly<Record<string, readonly Token[]>>;
  readonly arrays: Readonly<Record<string, ArrayHeader>>;
  readonly views: readonly View[];
}

/** The header in a page's `<script type="application/json" id="payload">`. */
export function parseHeader(text: string): Header {
  const header = JSON.parse(text) as Header;
  if (header.format !== FORMAT) {
    throw new Error(`this page reads ${FORMAT}, and its data is ${String(header.format)}`);
  }
  return header;
}

/** An array from its header and its base64; an error where its bytes are not what its shape says. */
export async function decode(key: string, header: ArrayHeader, base64: string): Promise<LensArray> {
  const kind = KINDS[header.dtype];
  if (kind === undefined) throw new Error(`array ${key} has the unknown dtype ${String(header.dtype)}`);
  const sent = fromBase64(base64.trim());
  const expected = kind.BYTES_PER_ELEMENT * header.shape.reduce((product, size) => product * size, 1);
  const name = `array ${key} of shape ${header.shape.join(" x ")}`;
  const bytes = header.encoding === "deflate" ? await inflate(sent, expected, name) : sent;
  if (bytes.byteLength !== expected) throw new Error(`${name} has ${bytes.byteLength} bytes, not ${expected}`);
  return { data: new kind(bytes.buffer), shape: header.shape, levels: header.levels };
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const direct = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (direct) return direct.call(Uint8Array, text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** At most `most` bytes: small data can swell to any size, and a page must not. */
async function inflate(sent: Uint8Array<ArrayBuffer>, most: number, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Blob([sent]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const bytes = new Uint8Array(most);
  for (let size = 0; ;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error(`${name} is damaged`);
    });
    if (done) return bytes.subarray(0, size);
    if (size + value.byteLength > most) {
      void reader.cancel();
      throw new Error(`${name} has more than ${most} bytes`);
    }
    bytes.set(value, size);
    size += value.byteLength;
  }
}

/** The arrays of a page by key, each decoded when it is first asked for. */
export class Arrays {
  private readonly decoded = new Map<string, { array: Promise<LensArray>; bytes: number }>();

  constructor(
    private readonly headers: Header["arrays"],
    private readonly text: (key: string) => string | undefined,
  ) {}

  get(key: string): Promise<LensArray> {
    const known = this.decoded.get(key);
    if (known) return known.array;
    const header = this.headers[key];
    const base64 = header && (header.data ?? this.text(key));
    if (header === undefined || base64 === undefined) return Promise.reject(new Error(`the page has no array ${key}`));
    const array = decode(key, header, base64);
    this.decoded.set(key, { array, bytes: 8 * header.shape.reduce((product, size) => product * size, 1) });
    this.forget();
    return array;
  }

  private forget(): void {
    let total = [...this.decoded.values()].reduce((sum, one) => sum + one.bytes, 0);
    for (const [key, { bytes }] of this.decoded) {
      if (total <= CACHE_BYTES || this.decoded.size === 1) return;
      this.decoded.delete(key);
      total -= bytes;
    }
  }
}

/** The number at a flat index, with levels turned into the weights they stand for. */
export function valueAt(array: LensArray, index: number): number {
  const value = array.data[index] ?? NaN;
  return array.levels === "sqrt" ? (value / 255) ** 2 : value;
}

/** All numbers, with levels turned into weights; the array's own memory where it holds floats already. */
export function values(array: LensArray): Float32Array | Float64Array {
  if (array.data instanceof Float32Array || array.data instanceof Float64Array) return array.data;
  return Float32Array.from(array.data, (_, index) => valueAt(array, index));
}

/** A matrix [T, S] out of a stack [H, T, S]. */
export function slice(array: LensArray, index: number): LensArray {
  const shape = array.shape.slice(1);
  const size = shape.reduce((product, axis) => product * axis, 1);
  return { data: array.data.subarray(index * size, (index + 1) * size), shape, levels: array.levels };
}
