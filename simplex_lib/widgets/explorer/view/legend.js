// The colour scale of the map, its sum, and what hatches, crosses and lines mean.

import { signed } from "./colours.js";
import { rampStrip } from "./paint.js";
import { make, number, plain } from "./words.js";

export const MEANS = {
  probs: "A[i, j, k]",
  logits: "logit of (i, j, k)",
  asymmetry: "A[i, j, k] − A[i, k, j]",
  difference: "this − other",
};

export function legendPanel({ window: text }) {
  const strip = make("canvas", {
    class: "x3-ramp",
    width: 256,
    height: 1,
    role: "img",
    "aria-label": "Colour scale",
  });
  const ticks = [make("span"), make("span"), make("span")],
    name = make("span", { class: "x3-ramp-name" }),
    total = make("span", { class: "x3-total" });
  const key = (cls, words) => make("span", { class: "x3-key" }, make("i", { class: cls }), words);
  const faulty = key("x3-fault", "faulty"),
    ahead = key("x3-ahead-key", "after the query");
  const node = make(
    "div",
    { class: "x3-legend" },
    make(
      "div",
      { class: "x3-scale" },
      name,
      make("div", { class: "x3-ramp-box" }, strip, make("div", { class: "x3-ticks" }, ...ticks)),
    ),
    make(
      "div",
      { class: "x3-keys" },
      total,
      key("x3-blank", "not visible"),
      ...(text ? [key("x3-dash", text)] : []),
      faulty,
      ahead,
    ),
  );
  // show: { mode, range, log, ramp, total, faulty, ahead }
  const draw = ({ mode, range: [lo, hi], log, ...show }) => {
    const words = mode === "logits" ? plain : number;
    rampStrip(strip, show.ramp);
    name.textContent = MEANS[mode];
    const mid = signed(mode)
      ? "0"
      : words(mode === "probs" ? (log ? Math.sqrt(lo * hi) : hi / 2) : (lo + hi) / 2);
    [words(mode === "probs" && !log ? 0 : lo), mid, words(hi)].forEach((t, x) => (ticks[x].textContent = t));
    total.textContent = `map sums to ${show.total.toFixed(3)}`;
    total.classList.toggle("x3-wrong", Math.abs(show.total - 1) > 5e-4);
    faulty.style.display = show.faulty ? "" : "none";
    ahead.style.display = show.ahead ? "" : "none";
  };
  return { node, draw };
}
