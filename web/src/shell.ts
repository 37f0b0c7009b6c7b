/** What stands around the views: title, facts, theme, tabs. One view fills the page; several stand under tabs. */

import { parseHeader, type Header, type View } from "./contract";
import { el } from "./draw/el";
import { roving } from "./draw/roving";
import { LensPage } from "./page";
import { rendererOf, type Page } from "./registry";

/** Fill `<main id="lens">` from the payload that the page carries. */
export function start(): void {
  const root = document.getElementById("lens")!;
  try {
    const header = parseHeader(document.getElementById("payload")?.textContent ?? "");
    const panels = header.views.map((_, index) => panel(index, header.views.length));
    let open: (type: string) => boolean = () => false;
    const page = new LensPage(header, (type) => open(type));
    const show = opener(header.views, panels, page);
    root.replaceChildren(top(header, page), ...tabs(header, panels, show), ...panels);
    open = (type) => {
      const index = header.views.findIndex((view) => view.type === type);
      if (index >= 0) root.querySelectorAll<HTMLElement>("[role=tab]")[index]?.click();
      return index >= 0;
    };
    show(0);
    if (header.views.length === 0) root.append(el("p", { class: "failure" }, "This page has no views."));
  } catch (error) {
    report(root, "the page", error);
  }
}

function top(header: Header, page: LensPage): HTMLElement {
  const toggle = el("button", { class: "quiet", type: "button", on: { click: () => page.choice.toggle() } });
  function name(): void {
    toggle.textContent = page.theme === "dark" ? "☀" : "☾";
    toggle.setAttribute("aria-label", page.theme === "dark" ? "Light colours" : "Dark colours");
    toggle.title = toggle.getAttribute("aria-label")!;
  }
  name();
  page.onTheme(name);
  return el("header", { class: "top" }, el("h1", {}, header.title), facts(header), toggle);
}

function facts({ model, title }: Header): HTMLElement {
  const plain = Object.entries(model)
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .filter(([name, value]) => name !== "name" || !title.includes(String(value))); // not twice in one line
  const items = plain.map(([name, value]) => {
    const text = typeof value === "number" ? value.toLocaleString("en") : String(value);
    if (name === "name") return el("li", { class: "name" }, text);
    return el("li", {}, el("span", {}, name.replaceAll("_", " ")), ` ${text}`);
  });
  return el("ul", { class: "facts", "aria-label": "The model" }, ...items);
}

function panel(index: number, count: number): HTMLElement {
  if (count === 1) return el("section", { class: "panel", id: "panel-0" });
  const attributes = { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` };
  return el("section", { class: "panel", ...attributes, hidden: true });
}

function tabs(header: Header, panels: readonly HTMLElement[], show: (index: number) => void): HTMLElement[] {
  if (panels.length < 2) return [];
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
  const buttons = header.views.map((view, index) => {
    const attributes = { role: "tab", id: `tab-${index}`, type: "button", "aria-controls": `panel-${index}` };
    return el("button", { ...attributes, on: { click: () => choose(index) } }, labelOf(view, header.views));
  });
  list.append(...buttons);
  const keys = roving(
    list,
    () => buttons,
    () => 1,
  );
  function choose(index: number): void {
    buttons.forEach((button, i) => button.setAttribute("aria-selected", String(i === index)));
    keys.to(index);
    buttons[index]!.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(index);
  }
  list.addEventListener("focusin", (event) => {
    const index = buttons.indexOf(event.target as HTMLButtonElement); // arrows select as they move
    if (index >= 0 && buttons[index]!.getAttribute("aria-selected") !== "true") choose(index);
  });
  buttons[0]!.setAttribute("aria-selected", "true");
  return [list];
}

/** What a tab says: the view's label, or its title where another view has the same label. */
function labelOf(view: View, views: readonly View[]): string {
  const alike = views.filter((other) => other.label === view.label).length;
  return view.label && alike === 1 ? view.label : view.title;
}

/** Shows one panel, and fills it when it is first shown. */
function opener(views: readonly View[], panels: readonly HTMLElement[], page: Page): (index: number) => void {
  const filled = new Set<number>();
  return (index) => {
    panels.forEach((element, i) => (element.hidden = i !== index));
    const [view, host] = [views[index], panels[index]];
    if (!view || !host || filled.has(index)) return;
    filled.add(index);
    void fill(view, page, host, views.length === 1);
  };
}

async function fill(view: View, page: Page, host: HTMLElement, alone: boolean): Promise<void> {
  const body = el("div", { class: `view ${view.type}` });
  const tab = labelOf(view, page.header.views);
  const told = view.title === (alone ? page.header.title : tab); // by the page's title or the tab
  const heading = el("h2", { class: told ? "unseen" : null }, view.title);
  host.append(el("div", { class: "intro" }, heading, view.note ? el("p", { class: "note" }, view.note) : null), body);
  const render = rendererOf(view.type);
  try {
    if (!render) throw new Error(`this page cannot draw views of the type ${view.type}`);
    await render(view, page, body);
  } catch (error) {
    report(body, view.title, error);
  }
}

/** One line in place, and the whole error for whoever opens the console. */
export function report(host: HTMLElement, what: string, error: unknown): void {
  console.error(error);
  const line = error instanceof Error ? error.message : String(error);
  host.replaceChildren(el("p", { class: "failure", role: "alert" }, `Cannot show ${what}: ${line}.`));
}
