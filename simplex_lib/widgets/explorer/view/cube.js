// The cube of a head and one slice through it: which slice, the points on their stage, and the map.

import { sliceOf } from "./formulas.js";
import { heatPanel } from "./heat.js";
import { stagePanel } from "./stage.js";
import { choice, make, number } from "./words.js";

const NAMES = { i: "query i", j: "first key j", k: "second key k" };
const LEFT = { i: ["j", "k"], j: ["i", "k"], k: ["i", "j"] }; // what a slice shows: down, across
const CLASS = { i: "", j: "x3-first", k: "x3-second" };

// on: { load() -> cube, frames() -> frames by query, map(frames, i), query(i) }
export function cubePanel({ id, s, words, named, whole, on }) {
  const text = make("p", { class: "x3-cube-say", id: id + "cube" }),
    sliceText = make("p", { class: "x3-cube-say" });
  const stage = stagePanel({ s, describe: id + "cube" });
  const state = { way: "i", at: { i: 0, j: 0, k: 0 }, query: 0, key: null };
  const ways = choice(id + "way", "Slice", Object.entries(NAMES), "i", (way) => {
    state.way = way;
    moveTo(state.at[way]);
  });
  const range = make("input", {
    type: "range",
    min: 0,
    max: s - 1,
    step: 1,
    class: "x3-range",
    "aria-label": "Position of the slice",
  });
  const [back, forth] = [
    ["One slice back", "‹"],
    ["One slice on", "›"],
  ].map(([name, sign]) => make("button", { type: "button", class: "x3-step", "aria-label": name }, sign));
  const drawn = s <= whole,
    slice = heatPanel({ n: drawn ? s : 1, rows: [NAMES.j, CLASS.j], cols: [NAMES.k, CLASS.k], bars: false });
  const side = make(
    "div",
    { class: "x3-slice-side" },
    ways.node,
    make("div", { class: "x3-stepper" }, back, range, forth),
    sliceText,
    text,
  );
  const node = make(
    "div",
    { class: "x3-cube-panel" },
    stage.node,
    make("div", { class: "x3-slice" }, ...(drawn ? [slice.node] : []), side),
  );
  let show = null,
    theme = null;

  const moveTo = (at) => {
    at = Math.max(0, Math.min(s - 1, at));
    state.at[state.way] = at;
    if (state.way === "i" && at !== state.query) on.query(at);
    update();
  };
  range.addEventListener("input", () => moveTo(+range.value));
  back.addEventListener("click", () => moveTo(state.at[state.way] - 1));
  forth.addEventListener("click", () => moveTo(state.at[state.way] + 1));

  const update = async () => {
    if (!show) return;
    const { way } = state,
      at = state.at[way];
    range.value = at;
    range.setAttribute("aria-valuetext", `${NAMES[way]}: ${named(at)}`);
    back.disabled = at === 0;
    forth.disabled = at === s - 1;
    stage.draw({ way, at, query: state.query, unit: show.unit, ramp: show.ramp, theme });
    if (!drawn) {
      sliceText.textContent = `Slices along j and k need every query at once: up to ${whole} tokens. Here the slice is only marked in the cube.`;
      return;
    }
    const frames = await on.frames();
    if (way === state.way && at === state.at[way])
      drawSlice(way, at, way === "i" ? on.map(frames, at) : sliceOf(frames, way, at, s));
  };
  const drawSlice = (way, at, values) => {
    let best = -1;
    values.forEach((v, x) => {
      if (v > (best < 0 ? 0 : values[best])) best = x;
    });
    const cell = best < 0 ? null : [Math.floor(best / s), best % s],
      [down, across] = LEFT[way].map((axis) => NAMES[axis]);
    const found = cell
      ? `Largest: ${down} ${named(cell[0])}, ${across} ${named(cell[1])}, ${number(values[best])}.`
      : "Nothing here is above 0.";
    sliceText.textContent = `${NAMES[way]} = ${named(at)}: ${down} down, ${across} across. ${found}`;
    slice.rename(...LEFT[way].map((axis) => [NAMES[axis], CLASS[axis]]));
    slice.draw(
      {
        values,
        marks: null,
        unit: show.unit,
        ramp: show.ramp,
        words: [words, words],
        lead: cell ? [[cell[0]], [cell[1]]] : [[], []],
        alt: sliceText.textContent,
      },
      theme,
    );
    slice.light(cell);
  };
  return {
    node,
    layout: (width) => {
      const small = width < 430;
      node.classList.toggle("x3-small-cube", small);
      stage.layout(width, small ? 236 : 326);
      slice.layout(small ? 144 : Math.min(196, width - 230));
    },
    // next: { unit, ramp, query }; key names head and recipe, whose cube is asked for once
    draw: async (next, colours, key) => {
      [show, theme, state.query, state.at.i] = [next, colours, next.query, next.query];
      if (state.key !== key) {
        state.key = key;
        text.textContent = "Reading the cube …";
        const cube = await on.load();
        if (state.key !== key) return;
        stage.draw({ cube });
        text.textContent = cube.says;
        stage.canvas.setAttribute("aria-label", "Points of the cube. " + cube.says);
        node.dataset.points = cube.count;
      }
      await update();
    },
    light: (pair) => stage.draw({ pair }),
  };
}
