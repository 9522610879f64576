// The tokens in reading order: one is the query, bars above and below say how much it reads of each.

import { make } from "./words.js";

const MOVES = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ArrowUp: -1,
  ArrowDown: 1,
  PageUp: -8,
  PageDown: 8,
  Home: -1e9,
  End: 1e9,
};

export function stripPanel({ id, tokens, words, queries, causal, on }) {
  const numbered = tokens.every((token, i) => token === String(i)); // else "2" may be a token or a place
  const available = new Set(queries);
  const chips = tokens.map((_, i) =>
    make(
      "div",
      {
        role: "option",
        id: `${id}t${i}`,
        class: "x3-chip",
        "aria-selected": "false",
        tabindex: "-1",
        ...(available.has(i) ? {} : { "aria-disabled": "true" }),
      },
      make("i", { class: "x3-j" }),
      make("span", { class: "x3-word" }, words[i]),
      make("span", { class: "x3-at" }, numbered ? "" : String(i)),
      make("i", { class: "x3-k" }),
    ),
  );
  const node = make(
    "div",
    {
      role: "listbox",
      class: "x3-strip",
      "aria-label": "Query: arrow keys move it",
      "aria-orientation": "horizontal",
    },
    ...chips,
  );
  let query = queries[0];
  node.addEventListener("click", (e) => {
    const i = chips.indexOf(e.target.closest(".x3-chip"));
    if (i >= 0 && available.has(i)) {
      chips[i].focus({ preventScroll: true });
      on.query(i);
    }
  });
  node.addEventListener("keydown", (e) => {
    const move = MOVES[e.key];
    if (!move) return;
    e.preventDefault();
    const to = queries[Math.max(0, Math.min(queries.length - 1, queries.indexOf(query) + move))];
    on.query(to);
    chips[to].tabIndex = 0;
    chips[to].focus({ preventScroll: true });
  });
  const draw = (frame) => {
    query = frame.query;
    const most = [frame.first, frame.second].map((v) => v.reduce((a, b) => Math.max(a, b), 1e-12));
    chips.forEach((chip, i) => {
      const at = i - frame.origin,
        share = at >= 0 && at < frame.n ? [frame.first[at] / most[0], frame.second[at] / most[1]] : [0, 0];
      chip.firstChild.style.transform = `scaleX(${share[0] > 0.01 ? share[0] : 0})`;
      chip.lastChild.style.transform = `scaleX(${share[1] > 0.01 ? share[1] : 0})`;
      const on = i === query;
      if ((chip.getAttribute("aria-selected") === "true") !== on) {
        chip.setAttribute("aria-selected", on);
        chip.tabIndex = on ? 0 : -1;
      }
      chip.classList.toggle("x3-later", causal && i > query);
    });
  };
  const light = (pair) =>
    chips.forEach((c, i) => {
      c.classList.toggle("x3-is-j", !!pair && i === pair[0]);
      c.classList.toggle("x3-is-k", !!pair && i === pair[1]);
    });
  return { node, draw, light };
}
