/** How a model knows where a word stands: one figure per scheme. */

import "../styles/figures.css";
import "../styles/positions.css";
import type { View } from "../contract";
import { showAlibi, type Alibi } from "../positions/alibi";
import { showLearned, type Learned } from "../positions/learned";
import { showRelative, type Relative } from "../positions/relative";
import { showRotary, type Rotary } from "../positions/rotary";
import { showSinusoidal, type Sinusoidal } from "../positions/sinusoidal";
import { register, type Page } from "../registry";

type Positions = View & { readonly type: "positions" } & (Sinusoidal | Learned | Rotary | Alibi | Relative);

register<Positions>("positions", (view, page: Page, host) => {
  switch (view.scheme) {
    case "sinusoidal":
      return showSinusoidal(view, page, host);
    case "learned":
      return showLearned(view, page, host);
    case "rotary":
      return showRotary(view, page, host);
    case "alibi":
      return showAlibi(view, page, host);
    case "relative":
      return showRelative(view, page, host);
    default:
      throw new Error(`positions of the scheme ${String((view as { scheme: unknown }).scheme)} are unknown here`);
  }
});
