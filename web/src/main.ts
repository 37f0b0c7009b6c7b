/** The page: every view but the one in three dimensions, which registers itself from space.js. */

import "./styles/base.css";
import "./styles/shell.css";
import "./styles/attention.css";
import "./styles/text.css";
import "./styles/space.css";

import "./views/architecture";
import "./views/attention";
import "./views/attribution";
import "./views/choices";
import "./views/comparison";
import "./views/influence";
import "./views/logit_lens";
import "./views/positions";
import "./views/tokens";
import "./views/who";
import "./views/window";

import { start } from "./shell";

// space.js comes after this script; by the time the document is parsed, it has run too.
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
