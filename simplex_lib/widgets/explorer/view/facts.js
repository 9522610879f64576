// More than its marginals? The product map beside the map, and three meters.

import { paintMap } from "./paint.js";
import { make, percent, plain } from "./words.js";

const SMALL = 124;

export function factsPanel({ n, windowed }) {
  const canvas = make("canvas", { class: "x3-small", role: "img" });
  const moved = make("b", { class: "x3-big" });
  const meter = (text) => {
    const bar = make("i"),
      value = make("span", { class: "x3-num" });
    const node = make(
      "div",
      { class: "x3-meter" },
      make("span", { class: "x3-meter-name" }, text),
      make("span", { class: "x3-track" }, bar),
      value,
    );
    return {
      node,
      set: (share, words) => {
        bar.style.width = `${100 * Math.min(1, share)}%`;
        value.textContent = words;
      },
    };
  };
  const mutual = meter("Mutual information"),
    swap = meter("Moves if keys swap"),
    kept = meter("Inside the window");
  const node = make(
    "div",
    { class: "x3-facts" },
    make("figure", {}, canvas, make("figcaption", {}, "product of the marginals")),
    make(
      "div",
      { class: "x3-more" },
      make(
        "div",
        { class: "x3-moved" },
        moved,
        make(
          "span",
          { class: "x3-sub" },
          "of the map would have to move to make it the product of its marginals",
        ),
      ),
      mutual.node,
      swap.node,
      ...(windowed ? [kept.node] : []),
    ),
  );
  const draw = (frame, values, unit, ramp, theme) => {
    paintMap(canvas, SMALL, { values, marks: null, n, unit, ramp }, theme);
    moved.textContent = percent(frame.moved);
    canvas.setAttribute(
      "aria-label",
      `Product of the two marginals: ${percent(frame.moved)} of the map would have to move to become it.`,
    );
    mutual.set(
      frame.mutual / Math.max(frame.mutualMax, 1e-9),
      `${plain(frame.mutual)} of ${plain(frame.mutualMax)} nats`,
    );
    mutual.node.style.visibility = frame.mutualMax < 0.005 ? "hidden" : ""; // 0 of 0 says nothing
    swap.set(frame.swapped, percent(frame.swapped));
    if (frame.kept !== null) kept.set(frame.kept, percent(frame.kept));
  };
  return { node, draw };
}
