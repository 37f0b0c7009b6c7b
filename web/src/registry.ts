/**
 * What a view is to the shell, and the shell to a view.
 *
 * A view's file calls `register(type, render)` when it is imported. The table lies on globalThis, because space.js is a
 * bundle of its own (its entry is views/space.ts) and has another copy of this module. A view in lens.js imports its own
 * CSS file; what space.js needs stands in styles/space.css, for a page has one style sheet.
 */

import type { Header, LensArray, Token, View } from "./contract";

export type Theme = "light" | "dark";

/** What views agree to point at; each reads the fields it knows and leaves the others. */
export interface Selection {
  readonly module?: string; // the path of an attention: "decoder.layers.3.attention"
  readonly head?: number | null; // a head's own number; null is the mean of the heads
  readonly list?: string; // the token list that `token` counts in
  readonly token?: number;
  readonly path?: string; // a trace path
}

export interface Page {
  readonly header: Header;
  readonly theme: Theme;
  readonly selection: Selection;
  /** An array by key, decoded when first asked for; rejects with one clear line. */
  array(key: string): Promise<LensArray>;
  /** A token list by name; throws where there is none. */
  tokens(list: string): readonly Token[];
  /** Called whenever the theme changes (not at once): canvases must be drawn again. Returns how to stop. */
  onTheme(call: (theme: Theme) => void): () => void;
  /** Change the fields named, and tell every view. */
  select(change: Selection): void;
  /** Called after every change (not at once). Returns how to stop. */
  onSelect(call: (selection: Selection, change: Selection) => void): () => void;
  /** Bring the first view of a type to the front; false where the page has none. */
  open(type: string): boolean;
}

/**
 * Fill `host`, an empty element that is in the page and visible (its width is known). Called once, when the view's tab
 * is first opened; a tab that is left is hidden, not destroyed (`host.hidden`; a ResizeObserver sees 0 x 0).
 */
export type Render<V extends View = View> = (view: V, page: Page, host: HTMLElement) => void | Promise<void>;

const shared = globalThis as unknown as { clearheadViews?: Map<string, Render> };
const table = (shared.clearheadViews ??= new Map<string, Render>());

/** Teach the page a type of view. */
export function register<V extends View>(type: string, render: Render<V>): void {
  table.set(type, render as unknown as Render);
}

/** How a type of view is drawn; undefined where the page has never heard of it. */
export function rendererOf(type: string): Render | undefined {
  return table.get(type);
}
