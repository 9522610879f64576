// The cube A[i, j, k] of a head: its largest entries as points, turned by drag or arrow keys, and one
// slice through it as a map. A plain canvas and a projection of our own.

import { project, sliceOf, turn } from "./formulas.js";
import { colourOf, heatPanel } from "./heat.js";
import { choice, clip, make, number } from "./words.js";

const START = { yaw: -0.5, pitch: 0.42, zoom: 1 };
const NAMES = { i: "query i", j: "first key j", k: "second key k" };

// on: { load() -> cube, slice(frames ready) -> frames, query(i) }
export function cubePanel({ id, s, words, named, whole, on }) {
  const canvas = make("canvas", { class: "x3-cube-canvas", role: "img" });
  const stage = make("div", { class: "x3-cube", role: "application", tabindex: "0", "aria-label": "The cube of all queries. Arrow keys turn it, plus and minus zoom, Home turns it back.", "aria-describedby": id + "cube" }, canvas);
  const text = make("p", { class: "x3-cube-say", id: id + "cube" }), sliceText = make("p", { class: "x3-cube-say" });
  const state = { ...START, way: "i", at: { i: 0, j: 0, k: 0 }, cube: null, pair: null, query: 0 };
  const ways = choice(id + "way", "Slice", [["i", "query i"], ["j", "first key j"], ["k", "second key k"]], "i", (way) => { state.way = way; moveTo(state.at[way]); });
  const range = make("input", { type: "range", min: 0, max: s - 1, step: 1, class: "x3-range", "aria-label": "Position of the slice" });
  const steps = [-1, 1].map((by) => make("button", { type: "button", class: "x3-step", "aria-label": by < 0 ? "One slice back" : "One slice on" }, by < 0 ? "‹" : "›"));
  const slice = heatPanel({ n: s <= whole ? s : 1, rows: ["query i", ""], cols: ["second key k", "x3-second"], bars: false });
  const side = make("div", { class: "x3-slice-side" }, ways.node, make("div", { class: "x3-stepper" }, steps[0], range, steps[1]), sliceText, text);
  const node = make("div", { class: "x3-cube-panel" }, stage, make("div", { class: "x3-slice" }, ...(s <= whole ? [slice.node] : []), side));
  let theme = null, show = null, width = 0, height = 0, queued = false;

  const moveTo = (at) => {
    at = Math.max(0, Math.min(s - 1, at));
    state.at[state.way] = at;
    if (state.way === "i" && at !== state.query) on.query(at);
    update();
  };
  range.addEventListener("input", () => moveTo(+range.value));
  steps.forEach((b, x) => b.addEventListener("click", () => moveTo(state.at[state.way] + 2 * x - 1)));
  const redraw = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; drawCube(); });
  };
  stage.addEventListener("keydown", (e) => {
    const d = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] }[e.key];
    const zoom = { "+": 1.12, "=": 1.12, "-": 1 / 1.12 }[e.key];
    if (!d && !zoom && e.key !== "Home") return;
    e.preventDefault();
    if (e.key === "Home") Object.assign(state, START);
    else if (d) turnBy(...d);
    else state.zoom = Math.max(0.6, Math.min(3, state.zoom * zoom));
    redraw();
  });
  const turnBy = (yaw, pitch) => { state.yaw += yaw; state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch + pitch)); };
  let drag = null;
  stage.addEventListener("pointerdown", (e) => { drag = [e.clientX, e.clientY]; stage.setPointerCapture(e.pointerId); });
  stage.addEventListener("pointermove", (e) => {
    if (!drag) return;
    turnBy((e.clientX - drag[0]) * 0.009, (e.clientY - drag[1]) * 0.007);
    drag = [e.clientX, e.clientY];
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (drag = null));

  // Positions 0 .. s - 1 to -1 .. 1: j down and k to the right as in the map, i towards the eye.
  const unit = (x) => (s > 1 ? (2 * x) / (s - 1) - 1 : 0);
  const place = (i, j, k) => [unit(k), unit(j), -unit(i)];

  const drawCube = () => {
    if (!theme || !width || !show) return;
    const dpr = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    const [w, h] = [Math.round(width * dpr), Math.round(height * dpr)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    pen.clearRect(0, 0, width, height);
    const m = turn(state.yaw, state.pitch), scale = state.zoom * Math.min(width / 3.6, height / (height < 300 ? 4 : 3.5));
    const at = (p) => project(p, m, scale, width / 2, height / 2);
    frameLines(pen, at);
    plane(pen, at);
    const { cube } = state;
    pen.globalAlpha = 1;
    if (!cube) return;
    const size = Math.max(1.6, Math.min(5, (scale * 1.1) / s)), order = [];
    for (let x = 0; x < cube.count; x++) {
      const [i, j, k] = cube.points.subarray(3 * x, 3 * x + 3);
      order.push([...at(place(i, j, k)), x, (state.way === "i" ? i : state.way === "j" ? j : k) === state.at[state.way]]);
    }
    order.sort((a, b) => b[2] - a[2]);
    for (const [u, v, far, x, on] of order) {
      pen.globalAlpha = 0.95 - 0.32 * (far + 1); // depth: what is far is paler and smaller
      pen.fillStyle = colourOf(show.ramp, 0.16 + 0.84 * Math.max(0, show.unit(cube.probs[x])));
      const r = size * (1.1 - 0.28 * far) * (0.7 + 0.6 * Math.max(0, Math.min(1, show.unit(cube.probs[x]))));
      pen.beginPath();
      pen.arc(u, v, r, 0, 6.2832);
      pen.fill();
      if (on) { pen.globalAlpha = 1; pen.strokeStyle = theme.ink; pen.lineWidth = 1; pen.stroke(); }
    }
    pen.globalAlpha = 1;
    if (state.pair) {
      const [u, v] = at(place(state.query, ...state.pair));
      pen.strokeStyle = theme.ink;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(u, v, 9, 0, 6.2832);
      pen.stroke();
    }
  };
  const corners = [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]];
  const edges = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
  const frameLines = (pen, at) => {
    const far = corners.map((c) => at(c)[2]), back = far.indexOf(Math.max(...far));
    pen.strokeStyle = theme.soft;
    pen.lineWidth = 1;
    for (const [a, b] of edges) {
      pen.globalAlpha = a === back || b === back ? 0.25 : 0.7;
      const [p, q] = [at(corners[a]), at(corners[b])];
      pen.beginPath(); pen.moveTo(p[0], p[1]); pen.lineTo(q[0], q[1]); pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.font = `600 12px ${theme.font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    // each axis is named on its outermost edge, away from the middle of the cube
    const start = (axis, a) => corners[a][axis] < 0 !== (axis === 2); // i begins at the far end
    for (const [name, axis, colour] of [["query i →", 2, theme.text], ["first key j →", 1, theme.first], ["second key k →", 0, theme.second]]) {
      const own = edges.filter(([a, b]) => corners[a][axis] !== corners[b][axis]).map(([a, b]) => {
        const [p, q] = [at(corners[a]), at(corners[b])];
        return { p: start(axis, a) ? p : q, q: start(axis, a) ? q : p, mid: [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2], near: -(p[2] + q[2]) };
      });
      const score = (e) => Math.hypot(e.mid[0] - width / 2, e.mid[1] - height / 2) + (axis === 1 ? -e.mid[0] * 0.4 : e.mid[1] * 0.4) + 14 * e.near;
      const e = own.reduce((x, y) => (score(y) > score(x) ? y : x));
      let angle = Math.atan2(e.q[1] - e.p[1], e.q[0] - e.p[0]), word = name;
      if (Math.abs(angle) > Math.PI / 2 + 1e-6) { angle += Math.PI; word = "← " + name.slice(0, -2); }
      const out = [e.mid[0] - width / 2, e.mid[1] - height / 2], long = Math.hypot(...out) || 1;
      pen.save();
      pen.translate(e.mid[0] + (16 * out[0]) / long, e.mid[1] + (16 * out[1]) / long);
      pen.rotate(angle);
      pen.fillStyle = colour;
      pen.fillText(word, 0, 0);
      pen.restore();
    }
  };
  const plane = (pen, at) => {
    const x = (state.way === "i" ? -1 : 1) * unit(state.at[state.way]), axis = { i: 2, j: 1, k: 0 }[state.way];
    const quad = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map((c) => { const p = [...c]; p.splice(axis, 0, x); return at(p); });
    pen.globalAlpha = 1;
    pen.fillStyle = theme.plane;
    pen.strokeStyle = theme.ink;
    pen.lineWidth = 1;
    pen.beginPath();
    quad.forEach(([u, v], y) => (y ? pen.lineTo(u, v) : pen.moveTo(u, v)));
    pen.closePath();
    pen.fill();
    pen.stroke();
  };

  const update = async () => {
    if (!show) return;
    const { way } = state, at = state.at[way];
    range.value = at;
    range.setAttribute("aria-valuetext", `${NAMES[way]}: ${named(at)}`);
    steps[0].disabled = at === 0;
    steps[1].disabled = at === s - 1;
    const kept = { i: ["first key j", "second key k"], j: ["query i", "second key k"], k: ["query i", "first key j"] }[way];
    if (s <= whole) {
      const frames = await on.frames();
      if (way !== state.way || at !== state.at[way]) return;
      const values = way === "i" ? on.map(frames, at) : sliceOf(frames, way, at, s);
      let best = -1;
      values.forEach((v, x) => { if (v > (best < 0 ? 0 : values[best])) best = x; });
      const [y, x] = [Math.floor(best / s), best % s];
      sliceText.textContent = `${NAMES[way]} = ${named(at)}: ${kept[0]} down, ${kept[1]} across. ` + (best < 0 ? "Nothing here is above 0." : `Largest: ${kept[0]} ${named(y)}, ${kept[1]} ${named(x)}, ${number(values[best])}.`);
      const cls = (name) => (name[0] === "f" ? "x3-first" : name[0] === "s" ? "x3-second" : "");
      const [across, down] = [slice.node.querySelector(".x3-name-k"), slice.node.querySelector(".x3-name-j")];
      across.textContent = kept[1] + " →"; across.className = "x3-name x3-name-k " + cls(kept[1]);
      down.textContent = "↓ " + kept[0]; down.className = "x3-name x3-name-j " + cls(kept[0]);
      slice.draw({ values, marks: null, unit: show.unit, ramp: show.ramp, words: [words, words], lead: best < 0 ? [[], []] : [[y], [x]], alt: sliceText.textContent }, theme);
      slice.light(best < 0 ? null : [y, x]);
    } else sliceText.textContent = `Slices along j and k need every query at once: up to ${whole} tokens. Here the slice is only marked in the cube.`;
    redraw();
  };
  return {
    node,
    layout: (w) => {
      const small = w < 430;
      [width, height] = [w, small ? 236 : 326];
      node.classList.toggle("x3-small-cube", small);
      stage.style.height = canvas.style.height = `${height}px`;
      slice.layout(small ? 144 : Math.min(196, w - 80 - 150));
      redraw();
    },
    // next: { unit, ramp, query }; cube is asked for once a head and recipe
    draw: async (next, colours, key) => {
      [show, theme, state.query, state.at.i] = [next, colours, next.query, next.query];
      if (state.key !== key) {
        state.key = key;
        state.cube = null;
        text.textContent = "Reading the cube …";
        const cube = await on.load();
        if (state.key !== key) return;
        state.cube = cube;
        text.textContent = cube.says;
        canvas.setAttribute("aria-label", "Points of the cube. " + cube.says);
        node.dataset.points = cube.count;
      }
      await update();
    },
    light: (pair) => { state.pair = pair; redraw(); },
  };
}
