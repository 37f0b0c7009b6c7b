/** The page as its views know it (`Page` in registry.ts): data, theme and what is selected. */

import { Arrays, type Header, type LensArray, type Token } from "./contract";
import type { Page, Selection, Theme } from "./registry";
import { ThemeChoice } from "./theme";

export class LensPage implements Page {
  readonly choice = new ThemeChoice();
  selection: Selection = {};
  private readonly arrays: Arrays;
  private readonly selectCalls = new Set<(selection: Selection, change: Selection) => void>();

  constructor(
    readonly header: Header,
    readonly open: (type: string) => boolean,
  ) {
    const scripts = new Map<string, HTMLElement>();
    for (const script of document.querySelectorAll<HTMLElement>("script[data-array]")) {
      scripts.set(script.dataset["array"]!, script);
    }
    this.arrays = new Arrays(header.arrays, (key) => scripts.get(key)?.textContent ?? undefined);
  }

  get theme(): Theme {
    return this.choice.now;
  }

  array(key: string): Promise<LensArray> {
    return this.arrays.get(key);
  }

  tokens(list: string): readonly Token[] {
    const tokens = this.header.tokens[list];
    if (!tokens) throw new Error(`the page has no tokens named ${list}`);
    return tokens;
  }

  onTheme(call: (theme: Theme) => void): () => void {
    return this.choice.onChange(call);
  }

  select(change: Selection): void {
    this.selection = { ...this.selection, ...change };
    for (const call of [...this.selectCalls]) call(this.selection, change);
  }

  onSelect(call: (selection: Selection, change: Selection) => void): () => void {
    this.selectCalls.add(call);
    return () => this.selectCalls.delete(call);
  }
}
