// Which logits the reader has moved, query by query, and the sentence about the last one.

import { editFrame } from "./editing.js";
import { mapOf } from "./formulas.js";
import { number, plain } from "./words.js";

// words: { edited, effect } of sentences.py
export function editBook({ n, top, named, words }) {
  const all = new Map(),
    last = new Map();
  const nameOf = ({ head, query }) => `${head}:${query}`;
  const cellOf = (frame, [j, k]) => (j - frame.origin) * n + k - frame.origin;
  const cells = (state) => [...(all.get(nameOf(state))?.keys() ?? [])];
  return {
    cells,
    apply: (frame, state) => (cells(state).length ? editFrame(frame, all.get(nameOf(state)), top) : frame),
    logit: (frame, pair) => mapOf(frame, "logits")[cellOf(frame, pair)],
    set: (frame, state, pair, logit) => {
      const name = nameOf(state);
      if (!all.has(name)) all.set(name, new Map());
      all.get(name).set(cellOf(frame, pair), logit);
      last.set(name, pair);
    },
    reset: (state) => all.delete(nameOf(state)),
    say: (before, after, state) => {
      const pair = last.get(nameOf(state)),
        at = cellOf(before, pair),
        of = (frame, mode) => mapOf(frame, mode)[at];
      const fill = {
        first: named(pair[0]),
        second: named(pair[1]),
        before: plain(of(before, "logits")),
        after: plain(of(after, "logits")),
        was: number(of(before, "probs")),
        now: number(of(after, "probs")),
      };
      return (
        words.edited.replace(/{(\w+)}/g, (_, name) => fill[name]) +
        words.effect[state.recipe] +
        ` The map sums to ${after.total.toFixed(3)}.`
      );
    },
  };
}
