/** The formula of sinusoidal positions (Vaswani et al. 2017, section 3.5), with this table's own numbers. */

import { el } from "../draw/el";

export function formula(n: number, d: number): HTMLElement {
  return el(
    "p",
    { class: "formula" },
    ...wave("sin", "2i", n, d),
    el("span", { class: "between" }),
    ...wave("cos", "2i+1", n, d),
  );
}

function wave(name: string, dimension: string, n: number, d: number): Node[] {
  const exponent = el("sup", {}, "2", el("i", {}, "i"), `/${d}`);
  const side = el("span", {}, el("i", {}, "P"), "(", el("i", {}, "k"), `, ${dimension}) = ${name}(`);
  return [el("span", { class: "wave" }, side, el("i", {}, "k"), ` / ${n.toLocaleString("en")}`, exponent, ")")];
}
