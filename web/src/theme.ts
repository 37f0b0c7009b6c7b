/** Light or dark: what the system prefers, until the reader chooses. */

import type { Theme } from "./registry";

const KEY = "clearhead-theme";

export class ThemeChoice {
  private readonly calls = new Set<(theme: Theme) => void>();
  now: Theme;

  constructor() {
    const prefersDark = matchMedia("(prefers-color-scheme: dark)");
    this.now = remembered() ?? (prefersDark.matches ? "dark" : "light");
    prefersDark.addEventListener("change", () => {
      if (!remembered()) this.set(prefersDark.matches ? "dark" : "light");
    });
    document.documentElement.dataset.theme = this.now;
  }

  set(theme: Theme): void {
    this.now = theme;
    document.documentElement.dataset.theme = theme;
    for (const call of this.calls) call(theme);
  }

  toggle(): void {
    const theme = this.now === "dark" ? "light" : "dark";
    remember(theme);
    this.set(theme);
  }

  onChange(call: (theme: Theme) => void): () => void {
    this.calls.add(call);
    return () => this.calls.delete(call);
  }
}

let chosen: Theme | undefined; // where nothing can be stored: in the frame of a notebook, which has no origin

function remembered(): Theme | undefined {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : undefined;
  } catch {
    return chosen;
  }
}

function remember(theme: Theme): void {
  chosen = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // `chosen` holds it for as long as the page is open
  }
}
