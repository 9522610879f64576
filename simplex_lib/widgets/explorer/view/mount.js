// Puts the parts together: what is chosen, where the numbers come from, what is lit.
//
// mount(element, source): source = {
//   start      what book.py's `start` holds, with queries: [..] if only some are there
//   options    { query, head, mode, recipe, pair }
//   fetch      ({ want: "frames" | "cube", head, recipe, query }) -> Promise<{ header, buffer }>
//   tell       (options) -> void, after each choice
// }

import { ramp, signed, toUnit } from "./colours.js";
import { cubePanel } from "./cube.js";
import { editPanel } from "./edit.js";
import { factsPanel } from "./facts.js";
import { decode, decodeCube, editFrame, mapOf, marksOf } from "./formulas.js";
import { heatPanel, rampStrip } from "./heat.js";
import { secondPanel, TEXTS } from "./second.js";
import { stripPanel } from "./strip.js";
import { tablePanel } from "./table.js";
import { trianglesPanel } from "./triangles.js";
import { choice, make, number, plain, same, shown } from "./words.js";

const NAMES = { probs: "Probability", logits: "Logit", asymmetry: "Asymmetry", difference: "Difference" };
const MEANS = { probs: "A[i, j, k]", logits: "logit of (i, j, k)", asymmetry: "A[i, j, k] − A[i, k, j]", difference: "this − other" };
const MAP = 380;
let instances = 0;

export function mount(host, source) {
  const { start } = source, { tokens, heads, recipes, palette } = start, s = tokens.length;
  const words = tokens.map(shown), named = (at) => (tokens[at] === String(at) ? words[at] : `${words[at]} (${at})`);
  const id = `x3-${instances++}-`, n = Math.min(s, start.whole), queries = start.queries ?? tokens.map((_, i) => i);
  const seconds = [
    ...(start.compare ? [["other", TEXTS.other]] : []),
    ...(recipes.length > 1 ? recipes.map((r) => ["recipe:" + r, r[0].toUpperCase() + r.slice(1)]) : []),
    ["product", TEXTS.product], ["swapped", TEXTS.swapped],
  ];
  const state = {
    ...source.options, scale: start.scale, fit: start.fit, beside: start.beside ?? "pairs", hover: null, cursor: null, sort: ["rank", 1], edits: new Map(),
    pin: source.options.pair ?? null, second: recipes.length > 1 ? "recipe:" + recipes.find((r) => r !== source.options.recipe) : seconds[0][0],
  };
  const packets = new Map(), cubes = new Map();
  let frame = null, base = null, twin = null, spans = null, theme = null, ticket = 0;

  // the parts, built once; afterwards only attributes and text change
  // JupyterLab's single-letter shortcuts must not fire while the keyboard is in here
  const root = make("section", { class: "x3" + (start.tall ? " x3-tall" : ""), "aria-label": start.title, "data-lm-suppress-shortcuts": "true" });
  const point = (pair) => lightUp({ hover: pair }), cursor = (pair) => lightUp({ cursor: pair });
  const hold = (pair) => { lightUp({ pin: same(pair, state.pin) ? null : pair, cursor: pair && state.cursor }); drawEdit(); tell(); };
  const strip = stripPanel({ id, tokens, words, queries, causal: start.causal, on: { query: (query) => change({ query }) } });
  const pick = (legend, key, options) => choice(id + key, legend, options, state[key], (value) => change({ [key]: key === "head" ? +value : key === "fit" ? value === "true" : value }));
  const title = (text) => text[0].toUpperCase() + text.slice(1);
  const picks = {
    mode: pick("Show", "mode", start.modes.map((m) => [m, NAMES[m]])),
    head: pick("Head", "head", heads.map((h, x) => [x, h])),
    recipe: pick("Softmax over", "recipe", recipes.map((r) => [r, title(r)])),
    scale: pick("Scale", "scale", [["linear", "Linear"], ["log", "Log"]]),
    fit: pick("Range", "fit", [["false", "All queries"], ["true", "This query"]]),
    beside: pick("Beside the map", "beside", [["pairs", "Pairs"], ["second", "Second map"], ["cube", "Cube"]]),
  };
  const controls = make("div", { class: "x3-controls" }, picks.mode.node, ...(recipes.length > 1 ? [picks.recipe.node] : []), ...(heads.length > 1 ? [picks.head.node] : []));
  const say = make("p", { class: "x3-say", "aria-live": "polite", id: id + "say" }), read = make("p", { class: "x3-read", id: id + "read" });

  const key = (at) => at && at.map((x) => x + frame.origin), local = (pair) => pair && pair.map((x) => x - frame.origin);
  const best = () => { const r = frame.rows[state.mode][0]; return r ? [r.first, r.second] : [frame.query, frame.query]; };
  const hands = {
    point: (at) => frame && point(key(at)), press: (at) => frame && hold(key(at)), enter: () => state.cursor && hold(state.cursor),
    focus: () => frame && cursor(state.pin ?? best()), blur: () => cursor(null),
    step: (dj, dk) => { const o = frame.origin, at = state.cursor ?? best(), to = (x) => Math.max(o, Math.min(o + n - 1, x)); cursor([to(at[0] + dj), to(at[1] + dk)]); },
  };
  const main = heatPanel({
    n, rows: ["first key j", "x3-first"], cols: ["second key k", "x3-second"], describe: `${id}say ${id}read`, on: hands,
    keys: "Map of pairs: first key down, second key across. Arrow keys move through the cells, Enter holds a pair, Escape lets go.",
  });
  const scaleBar = make("canvas", { class: "x3-ramp", width: 256, height: 1, role: "img", "aria-label": "Colour scale" });
  const ticks = [make("span"), make("span"), make("span")], scaleName = make("span", { class: "x3-ramp-name" }), total = make("span", { class: "x3-total" });
  const legendKey = (cls, text) => make("span", { class: "x3-key" }, make("i", { class: cls }), text);
  const faultKey = legendKey("x3-fault", "faulty"), aheadKey = legendKey("x3-ahead-key", "after the query");
  const legend = make("div", { class: "x3-legend" }, make("div", { class: "x3-scale" }, scaleName, make("div", { class: "x3-ramp-box" }, scaleBar, make("div", { class: "x3-ticks" }, ...ticks))),
    make("div", { class: "x3-keys" }, total, legendKey("x3-blank", "not visible"), ...(start.window ? [legendKey("x3-dash", start.window)] : []), faultKey, aheadKey));
  const edit = start.edit && editPanel({
    id, ...start.edit,
    on: { set: (logit) => setLogit(logit), reset: () => { state.edits.delete(`${state.head}:${state.query}`); change({}); } },
  });
  const under = make("div", { class: "x3-under" }, legend, read, ...(edit ? [edit.node] : []));
  const left = make("div", { class: "x3-left" }, main.node, under);

  const triangles = trianglesPanel({ n, top: start.top, on: { point, press: hold } });
  const facts = factsPanel({ n, windowed: !!start.window });
  const has = (column) => ({ logit: start.modes.includes("logits"), other: start.compare })[column] ?? true;
  const table = tablePanel({ top: start.top, has, on: { point, cursor, press: hold, sort: (column, way) => change({ sort: [column, state.sort[0] === column ? -state.sort[1] : way] }) } });
  const hint = (...parts) => make("span", { class: "x3-hint" }, ...parts), first = (text) => make("b", { class: "x3-first" }, text), other = (text) => make("b", { class: "x3-second" }, text);
  const heading = (text, ...more) => make("div", { class: "x3-h" }, make("span", {}, text), ...more);
  const panels = {
    pairs: make("div", { class: "x3-pairs" },
      heading("Triangles", hint("query, ", first("● first key"), ", ", other("◆ second key"), "; opacity: probability")), triangles.node,
      heading("More than its marginals?"), facts.node, heading("Top pairs", hint("up, down: walk · enter: hold")), table.node),
  };
  const second = secondPanel({ id, n, options: seconds, picked: state.second, pick: (kind) => change({ second: kind }), on: hands });
  const cube = cubePanel({
    id, s, words, named, whole: start.whole,
    on: {
      query: (query) => queries.includes(query) && change({ query }), load: () => cubeOf(state.head, state.recipe), frames: () => framesOf(state.head, state.recipe, state.query),
      map: (frames, i) => (i === frame.query ? mapOf(frame, "probs") : frames.has(i) ? mapOf(frames.get(i), "probs") : new Float32Array(n * n).fill(NaN)),
    },
  });
  Object.assign(panels, { second: second.node, cube: cube.node });
  const right = make("div", { class: "x3-right" }, ...Object.values(panels));
  const colours = make("div", { class: "x3-colours" }, picks.scale.node, picks.fit.node), tabs = make("div", { class: "x3-tabs" }, picks.beside.node);
  root.append(
    make("header", {}, make("span", { class: "x3-title" }, start.title), hint("query: click a token, or ← →.  Bars: ", first("first key"), " above, ", other("second key"), " below")),
    strip.node, controls, say, make("div", { class: "x3-panels" }, colours, left, tabs, right));
  host.append(root);

  // numbers ----------------------------------------------------------------------------------------
  const framesOf = (head, recipe, query) => {
    const group = start.chunk ? Math.floor(query / start.chunk) : 0, name = `${head}:${recipe}:${group}`;
    if (!packets.has(name)) packets.set(name, source.fetch({ want: "frames", head, recipe, query }).then(({ header, buffer }) => Object.assign(decode(header, buffer), { ranges: header.ranges })));
    return packets.get(name);
  };
  const cubeOf = (head, recipe) => {
    const name = `${head}:${recipe}`;
    if (!cubes.has(name)) cubes.set(name, source.fetch({ want: "cube", head, recipe, query: 0 }).then(({ header, buffer }) => decodeCube(header, buffer)));
    return cubes.get(name);
  };
  const editsNow = () => state.edits.get(`${state.head}:${state.query}`);
  const withEdits = (from) => (start.edit && editsNow()?.size ? editFrame(from, editsNow(), start.top) : from);
  const cellOf = ([j, k]) => (j - base.origin) * n + k - base.origin;
  const editable = () => { const pair = state.pin ?? (base.rows.probs[0] && [base.rows.probs[0].first, base.rows.probs[0].second]); return pair && mapOf(base, "logits")[cellOf(pair)] === mapOf(base, "logits")[cellOf(pair)] ? pair : null; };
  const setLogit = (logit) => {
    const pair = editable(), name = `${state.head}:${state.query}`;
    if (!pair) return;
    if (!state.edits.has(name)) state.edits.set(name, new Map());
    state.edits.get(name).set(cellOf(pair), logit);
    state.last = pair;
    if (!state.pin) state.pin = pair;
    change({});
  };

  // drawing ----------------------------------------------------------------------------------------
  const range = (mode) => {
    let [lo, hi] = (state.fit ? frame.ranges : spans)[mode];
    if (twin && mode === "probs") hi = Math.max(hi, (state.fit ? twin.ranges : twin.spans)[mode][1]);
    return start.edit && mode === "probs" ? [lo, Math.max(1, hi)] : [lo, hi];
  };
  const sentence = () => {
    const changed = editsNow();
    if (!changed?.size) return frame.says[state.mode];
    const pair = state.last && changed.has(cellOf(state.last)) ? state.last : [...changed.keys()].slice(-1).map((c) => [Math.floor(c / n) + base.origin, (c % n) + base.origin])[0];
    const at = cellOf(pair), fill = { first: named(pair[0]), second: named(pair[1]), before: plain(mapOf(base, "logits")[at]), after: plain(mapOf(frame, "logits")[at]), was: number(mapOf(base, "probs")[at]), now: number(mapOf(frame, "probs")[at]) };
    return start.edit.edited.replace(/{(\w+)}/g, (_, name) => fill[name]) + start.edit.effect[state.recipe] + ` The map sums to ${frame.total.toFixed(3)}.`;
  };
  const drawFrame = () => {
    if (!theme) return;
    const { mode, query } = { ...state, query: frame.query }, log = state.scale === "log", rows = frame.rows[mode], o = frame.origin;
    const hues = theme.ramps[signed(mode) ? "diverging" : "sequential"], unit = toUnit(mode, range(mode), log), words_ = sentence();
    const unitP = toUnit("probs", range("probs"), log), marks = marksOf(frame), lead = (which) => [...rows.slice(0, 6).map((r) => r[which] - o), query - o];
    const here = words.slice(o, o + n);
    const show = {
      values: mapOf(frame, mode), marks, unit, ramp: hues, text: mode === "logits" ? plain : number, first: frame.first, second: frame.second, words: [here, here], lead: [lead("first"), lead("second")],
      edge: frame.window && frame.window.map((w) => Math.max(0, w - o)), ahead: frame.future > 0 && query + 1 - o < n ? query + 1 - o : null, edited: editsNow() ? [...editsNow().keys()] : [],
      alt: `${NAMES[mode]}, ${MEANS[mode]}. ${words_}`,
    };
    if (say.textContent !== words_) say.textContent = words_;
    main.draw(show, theme);
    strip.draw(frame, s);
    drawLegend(marks);
    if (state.beside === "pairs") {
      triangles.draw({ rows, query, origin: o, window: frame.window, words, named, alt: `Triangles of the ${rows.length} top pairs. ${words_}` });
      facts.draw(frame, mapOf(frame, "product"), unitP, theme.ramps.sequential, theme);
      table.draw(rows, mode, state.sort, named);
    } else if (state.beside === "second") second.draw(frame, twin, state.second, { ...show, unit: unitP, ramp: theme.ramps.sequential, text: number, edited: [] }, theme);
    else cube.draw({ unit: unitP, ramp: theme.ramps.sequential, query }, theme, `${state.head}:${state.recipe}`);
    drawLit();
    drawEdit();
    requestAnimationFrame(() => { if (say.scrollHeight > say.clientHeight + 1) say.tabIndex = 0; else say.removeAttribute("tabindex"); });
  };
  const drawEdit = () => {
    if (!edit || !frame) return;
    const pair = editable();
    edit.draw(pair && `${named(pair[0])} with ${named(pair[1])}`, pair && mapOf(frame, "logits")[cellOf(pair)], editsNow()?.size ?? 0);
  };
  const drawLegend = (marks) => {
    const { mode } = state, [lo, hi] = range(mode), log = state.scale === "log", text = mode === "logits" ? plain : number;
    rampStrip(scaleBar, theme.ramps[signed(mode) ? "diverging" : "sequential"]);
    scaleName.textContent = MEANS[mode];
    const mid = signed(mode) ? "0" : text(mode === "probs" ? (log ? Math.sqrt(lo * hi) : hi / 2) : (lo + hi) / 2);
    [text(mode === "probs" && !log ? 0 : lo), mid, text(hi)].forEach((t, x) => (ticks[x].textContent = t));
    total.textContent = `map sums to ${frame.total.toFixed(3)}`;
    total.classList.toggle("x3-wrong", Math.abs(frame.total - 1) > 5e-4);
    faultKey.style.display = marks.some((m) => m) ? "" : "none";
    aheadKey.style.display = frame.future > 0 ? "" : "none";
  };
  const drawLit = () => {
    const lit = state.hover ?? state.cursor ?? state.pin, at = local(lit), inside = at && at.every((x) => x >= 0 && x < n);
    root.classList.toggle("x3-has", !!lit);
    main.light(at);
    strip.light(lit);
    if (state.beside === "pairs") { table.light(lit, state.pin); triangles.light(lit); }
    else if (state.beside === "second") second.light(at);
    else cube.light(lit);
    if (!inside) { read.textContent = "Point at a cell, a row or a triangle to light the pair everywhere."; return; }
    const { mode } = state, cell = at[0] * n + at[1], p = mapOf(frame, "probs")[cell], value = mapOf(frame, mode)[cell], mark = marksOf(frame)[cell], logit = start.modes.includes("logits") ? mapOf(frame, "logits")[cell] : NaN;
    const parts = [`probability ${number(p !== p ? 0 : p)}`, ...(logit === logit ? [`logit ${plain(logit)}`] : []), signed(mode) ? `${NAMES[mode].toLowerCase()} ${number(value)}` : `product of the marginals ${number(mapOf(frame, "product")[cell])}`];
    read.textContent = `${named(lit[0])} with ${named(lit[1])}: ` + (mark === 2 ? "not a finite number" : mark === 3 ? "a negative number" : p !== p && value !== value ? "not visible to this query" : parts.join(", "));
  };

  // changing ---------------------------------------------------------------------------------------
  const tell = () => source.tell?.({ query: state.query, head: state.head, mode: state.mode, recipe: state.recipe, pair: state.pin });
  async function change(next, telling = true) {
    const asked = ++ticket, before = { ...state };
    Object.assign(state, next);
    for (const [name, p] of Object.entries(picks)) if (name in next) p.set(state[name]);
    if ("query" in next || "mode" in next) state.hover = state.cursor = null;
    if ("recipe" in next && state.second === "recipe:" + state.recipe) { // two maps, two recipes
      state.second = "recipe:" + recipes.find((r) => r !== state.recipe);
      second.set(state.second);
    }
    if ("beside" in next) showPanel();
    const frames = await framesOf(state.head, state.recipe, state.query);
    const kind = state.beside === "second" && state.second.startsWith("recipe:") ? state.second.slice(7) : null;
    const others = kind ? await framesOf(state.head, kind, state.query) : null;
    if (asked !== ticket) return;
    if (!frames.has(state.query)) return void Object.assign(state, { query: before.query });
    base = frames.get(state.query);
    spans = frames.ranges;
    twin = others ? Object.assign(withEdits(others.get(state.query)), { spans: others.ranges }) : null;
    frame = withEdits(base);
    drawFrame();
    Object.assign(root.dataset, { query: state.query, mode: state.mode, head: state.head, recipe: state.recipe, beside: state.beside });
    if (telling) tell();
  }
  const lightUp = (next) => { Object.assign(state, next); if (frame && theme) drawLit(); };
  root.addEventListener("keydown", (e) => { if (e.key === "Escape" && (state.pin || state.hover || state.cursor)) { lightUp({ pin: null, hover: null, cursor: null }); drawEdit(); tell(); } });

  const showPanel = () => { for (const [name, node] of Object.entries(panels)) node.hidden = name !== state.beside; resize(); };
  const resize = () => {
    const width = root.clientWidth - 32;
    if (width <= 0) return;
    // two columns while both fit; two maps side by side are alike
    const beside = state.beside === "second" ? Math.floor(width / 2) - 136 : width - 16 - 128 - 330;
    const size = width > 1010 ? MAP : width > 680 ? Math.max(200, Math.min(MAP, beside)) : Math.max(140, Math.min(MAP, width - 126));
    main.layout(size);
    root.style.setProperty("--under", size + "px");
    const room = right.clientWidth;
    if (state.beside === "pairs") triangles.layout(Math.max(240, room));
    if (state.beside === "second") second.heat.layout(Math.max(140, Math.min(MAP, room - 126)));
    if (state.beside === "cube") cube.layout(room);
  };
  const colour = (force) => {
    const flag = document.body.dataset.jpThemeLight, dark = flag ? flag === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
    if (!root.isConnected || (theme && theme.dark === dark && !force)) return;
    root.classList.toggle("x3-dark", dark);
    const style = getComputedStyle(root), of = (name) => style.getPropertyValue("--x3-" + name).trim();
    theme = { dark, font: style.fontFamily, badFill: of("bad-fill"), ramps: Object.fromEntries(Object.entries(palette[dark ? "dark" : "light"]).map(([k, stops]) => [k, ramp(stops)])) };
    for (const name of ["hatch", "grid", "bad", "ink", "soft", "text", "first", "second", "plane"]) theme[name] = of(name);
    if (frame) drawFrame();
  };
  const watch = new MutationObserver(() => colour()), media = matchMedia("(prefers-color-scheme: dark)"), again = () => colour();
  const sized = new ResizeObserver(() => { colour(); resize(); });
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  media.addEventListener("change", again);
  sized.observe(root);
  showPanel();
  colour();
  change({}, false);
  return { root, state, change, hold: (pair) => { state.pin = pair; if (frame) { drawLit(); drawEdit(); } }, close: () => { watch.disconnect(); sized.disconnect(); media.removeEventListener("change", again); root.remove(); } };
}
