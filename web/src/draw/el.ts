/** Elements without markup: text always goes in as text, so nothing a model says can become an element. */

type Child = Node | string | number | null | undefined | false;
type Handlers = { [E in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[E]) => void };

export interface Attributes {
  readonly on?: Handlers;
  readonly style?: Readonly<Record<string, string>>; // camel-less names: "--x", "background-color"
  readonly [name: string]: unknown; // an attribute; true is empty, false, null and undefined are left out
}

/** `el("button", {class: "quiet", "aria-label": "...", on: {click}}, "text", child)`. */
export function el<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  for (const [event, call] of Object.entries(attributes.on ?? {})) {
    element.addEventListener(event, call as EventListener);
  }
  for (const [name, value] of Object.entries(attributes.style ?? {})) element.style.setProperty(name, value);
  set(element, attributes);
  append(element, children);
  return element;
}

/** The same for SVG. */
export function svg<T extends keyof SVGElementTagNameMap>(
  tag: T,
  attributes: Readonly<Record<string, unknown>> = {},
  ...children: Child[]
): SVGElementTagNameMap[T] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  append(element, children);
  return element;
}

function set(element: Element, attributes: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on" || name === "style" || value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
}
