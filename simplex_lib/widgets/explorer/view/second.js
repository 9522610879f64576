// A second map of the same size beside the first: the other tensor, another recipe, the product of the
// marginals, or the map with its keys swapped. Same colours, and the same cell is lit in both.

import { mapOf, marksOf, sums } from "./formulas.js";
import { heatPanel } from "./heat.js";
import { choice, make } from "./words.js";

export const TEXTS = { other: "other tensor", product: "product of marginals", swapped: "keys swapped" };

// options: [key, text]; a key is one of TEXTS or "recipe:" and its name
export function secondPanel({ id, n, options, picked, pick, on }) {
  const pickers = choice(id + "second", "Second map", options, picked, pick);
  const heat = heatPanel({ n, rows: ["first key j", "x3-first"], cols: ["second key k", "x3-second"], on });
  const text = make("p", { class: "x3-second-say" });
  const node = make("div", { class: "x3-second-panel" }, heat.node, text, pickers.node);
  // main: what the large map shows; twin: the frame of the other recipe, else null
  const draw = (frame, twin, kind, main, theme) => {
    const own = twin ?? frame,
      values = mapOf(own, twin ? "probs" : kind),
      found = sums(values, n);
    const sum = `It sums to ${found.total.toFixed(3)}.`;
    text.textContent =
      {
        other: `The other tensor, for the same query. ${sum}`,
        product: `What the map would be if its two keys were chosen apart. ${sum}`,
        swapped: `The same map with first and second key exchanged. ${sum}`,
      }[kind] ?? `The softmax over ${kind.slice(7)}. ${sum}`;
    const marks = twin ? marksOf(twin) : null;
    heat.draw(
      { ...main, values, marks, first: found.first, second: found.second, alt: text.textContent },
      theme,
    );
  };
  return { node, heat, draw, light: heat.light, set: pickers.set };
}
