// Everything that is on the page, built once; afterwards only attributes and text change.

import { cubePanel } from "./cube.js";
import { editPanel } from "./edit.js";
import { factsPanel } from "./facts.js";
import { heatPanel } from "./heat.js";
import { legendPanel } from "./legend.js";
import { secondPanel } from "./second.js";
import { stripPanel } from "./strip.js";
import { tablePanel } from "./table.js";
import { trianglesPanel } from "./triangles.js";
import { choice, make } from "./words.js";

export const MODES = {
  probs: "Probability",
  logits: "Logit",
  asymmetry: "Asymmetry",
  difference: "Difference",
};
const KEYS =
  "Map of pairs: first key down, second key across. Arrow keys move through the cells, Enter holds a pair, Escape lets go.";
const title = (text) => text[0].toUpperCase() + text.slice(1);
const hint = (...parts) => make("span", { class: "x3-hint" }, ...parts);
const first = (text) => make("b", { class: "x3-first" }, text),
  second = (text) => make("b", { class: "x3-second" }, text);
const heading = (text, ...more) => make("div", { class: "x3-h" }, make("span", {}, text), ...more);

// does: change, point, cursor, hold, hands (of a map), logit, undo, cube (what its panel asks for)
export function buildParts({ start, state, id, n, words, named, queries, seconds, does }) {
  const { tokens, heads, recipes, modes, top } = start,
    pair = { point: does.point, press: does.hold, cursor: does.cursor };
  const pick = (legend, key, options, read = (value) => value) =>
    choice(id + key, legend, options, state[key], (value) => does.change({ [key]: read(value) }));
  const picks = {
    mode: pick(
      "Show",
      "mode",
      modes.map((m) => [m, MODES[m]]),
    ),
    head: pick(
      "Head",
      "head",
      heads.map((h, x) => [x, h]),
      Number,
    ),
    recipe: pick(
      "Softmax over",
      "recipe",
      recipes.map((r) => [r, title(r)]),
    ),
    scale: pick("Scale", "scale", [
      ["linear", "Linear"],
      ["log", "Log"],
    ]),
    fit: pick(
      "Range",
      "fit",
      [
        ["false", "All queries"],
        ["true", "This query"],
      ],
      (value) => value === "true",
    ),
    beside: pick("Beside the map", "beside", [
      ["pairs", "Pairs"],
      ["second", "Second map"],
      ["cube", "Cube"],
    ]),
  };
  const parts = {
    picks,
    strip: stripPanel({
      id,
      tokens,
      words,
      queries,
      causal: start.causal,
      on: { query: (query) => does.change({ query }) },
    }),
    say: make("p", { class: "x3-say", "aria-live": "polite", id: id + "say" }),
    read: make("p", { class: "x3-read", id: id + "read" }),
    map: heatPanel({
      n,
      rows: ["first key j", "x3-first"],
      cols: ["second key k", "x3-second"],
      keys: KEYS,
      describe: `${id}say ${id}read`,
      on: does.hands,
    }),
    legend: legendPanel(start),
    edit: start.edit && editPanel({ id, ...start.edit, on: { set: does.logit, reset: does.undo } }),
    triangles: trianglesPanel({ n, top, on: pair }),
    facts: factsPanel({ n, windowed: !!start.window }),
    table: tablePanel({
      top,
      has: (column) => ({ logit: modes.includes("logits"), other: start.compare })[column] ?? true,
      on: { ...pair, sort: does.sort },
    }),
    second: secondPanel({
      id,
      n,
      options: seconds.map(([key, text]) => [key, title(text)]),
      picked: state.second,
      pick: (kind) => does.change({ second: kind }),
      on: does.hands,
    }),
    cube: cubePanel({ id, s: tokens.length, words, named, whole: start.whole, on: does.cube }),
  };
  const key = hint("query, ", first("● first key"), ", ", second("◆ second key"), "; opacity: probability");
  parts.panels = {
    pairs: make(
      "div",
      { class: "x3-pairs" },
      heading("Triangles", key),
      parts.triangles.node,
      heading("More than its marginals?"),
      parts.facts.node,
      heading("Top pairs", hint("up, down: walk · enter: hold")),
      parts.table.node,
    ),
    second: parts.second.node,
    cube: parts.cube.node,
  };
  parts.right = make("div", { class: "x3-right" }, ...Object.values(parts.panels));
  const under = make(
    "div",
    { class: "x3-under" },
    parts.legend.node,
    parts.read,
    ...(parts.edit ? [parts.edit.node] : []),
  );
  const top_ = make(
    "header",
    {},
    make("span", { class: "x3-title" }, start.title),
    hint(
      "query: click a token, or ← →.  Bars: ",
      first("first key"),
      " above, ",
      second("second key"),
      " below",
    ),
  );
  // JupyterLab's single-letter shortcuts must not fire while the keyboard is in here
  parts.root = make(
    "section",
    {
      class: "x3" + (start.tall ? " x3-tall" : ""),
      "aria-label": start.title,
      "data-lm-suppress-shortcuts": "true",
    },
    top_,
    parts.strip.node,
    make(
      "div",
      { class: "x3-controls" },
      picks.mode.node,
      ...(recipes.length > 1 ? [picks.recipe.node] : []),
      ...(heads.length > 1 ? [picks.head.node] : []),
    ),
    parts.say,
    make(
      "div",
      { class: "x3-panels" },
      make("div", { class: "x3-colours" }, picks.scale.node, picks.fit.node),
      make("div", { class: "x3-left" }, parts.map.node, under),
      make("div", { class: "x3-tabs" }, picks.beside.node),
      parts.right,
    ),
  );
  return parts;
}
