// The logit of one pair under the learner's hand: a slider and a number, and back to what it was.

import { make, plain } from "./words.js";

// on: { set(logit), reset() }
export function editPanel({ id, lo, hi, step, on }) {
  const range = make("input", { type: "range", min: lo, max: hi, step, class: "x3-range", id: id + "logit" });
  const field = make("input", {
    type: "number",
    min: lo,
    max: hi,
    step,
    class: "x3-field",
    "aria-label": "Logit as a number",
  });
  const text = make("label", { class: "x3-edit-name", for: id + "logit" }),
    back = make("button", { type: "button", class: "x3-button" }, "Undo all");
  const node = make(
    "div",
    { class: "x3-edit" },
    text,
    make("div", { class: "x3-edit-row" }, range, field, back),
  );
  const change = (value) => Number.isFinite(value) && on.set(Math.max(lo, Math.min(hi, value)));
  range.addEventListener("input", () => change(+range.value));
  field.addEventListener("change", () => change(parseFloat(field.value)));
  field.addEventListener("input", () => {
    const v = parseFloat(field.value);
    if (v >= lo && v <= hi) change(v);
  });
  back.addEventListener("click", () => on.reset());
  // pair: words of the pair, or null if there is none that this query sees
  const draw = (pair, logit, count) => {
    text.textContent = pair ? `Logit of ${pair}` : "Hold a pair that this query sees, to move its logit";
    for (const input of [range, field]) input.disabled = !pair;
    back.disabled = !count;
    if (!pair) return;
    range.value = logit;
    range.setAttribute("aria-valuetext", plain(logit));
    if (document.activeElement !== field) field.value = Math.round(logit * 100) / 100;
  };
  return { node, draw };
}
