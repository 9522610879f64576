// The cube itself: points on a plain canvas, turned by drag or arrow keys, with the slice as a plane.

import { colourOf } from "./paint.js";
import { project, turn } from "./space.js";
import { make } from "./words.js";

const START = { yaw: -0.5, pitch: 0.42, zoom: 1 };
const KEYS = "The cube of all queries. Arrow keys turn it, plus and minus zoom, Home turns it back.";
const CORNERS = [
  [-1, -1, -1],
  [1, -1, -1],
  [1, 1, -1],
  [-1, 1, -1],
  [-1, -1, 1],
  [1, -1, 1],
  [1, 1, 1],
  [-1, 1, 1],
];
const EDGES = [
  [0, 1],
  [1, 2],
  [2, 3],
  [3, 0],
  [4, 5],
  [5, 6],
  [6, 7],
  [7, 4],
  [0, 4],
  [1, 5],
  [2, 6],
  [3, 7],
];
const AXIS = { k: 0, j: 1, i: 2 }; // which coordinate a position becomes

export function stagePanel({ s, describe }) {
  const canvas = make("canvas", { class: "x3-cube-canvas", role: "img" });
  const node = make(
    "div",
    {
      class: "x3-cube",
      role: "application",
      tabindex: "0",
      "aria-label": KEYS,
      "aria-describedby": describe,
    },
    canvas,
  );
  const eye = { ...START };
  let width = 0,
    height = 0,
    queued = false,
    drag = null,
    shown = null;

  const redraw = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      draw();
    });
  };
  const turnBy = (yaw, pitch) => {
    eye.yaw += yaw;
    eye.pitch = Math.max(-1.5, Math.min(1.5, eye.pitch + pitch));
    redraw();
  };
  node.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] }[
      e.key
    ];
    const zoom = { "+": 1.12, "=": 1.12, "-": 1 / 1.12 }[e.key];
    if (!by && !zoom && e.key !== "Home") return;
    e.preventDefault();
    if (e.key === "Home") Object.assign(eye, START);
    if (zoom) eye.zoom = Math.max(0.6, Math.min(3, eye.zoom * zoom));
    turnBy(...(by ?? [0, 0]));
  });
  node.addEventListener("pointerdown", (e) => {
    drag = [e.clientX, e.clientY];
    node.setPointerCapture(e.pointerId);
  });
  node.addEventListener("pointermove", (e) => {
    if (!drag) return;
    turnBy((e.clientX - drag[0]) * 0.009, (e.clientY - drag[1]) * 0.007);
    drag = [e.clientX, e.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (drag = null));

  // Positions 0 .. s - 1 to -1 .. 1: j down and k to the right as in the map, i towards the eye.
  const unit = (x) => (s > 1 ? (2 * x) / (s - 1) - 1 : 0);
  const place = (i, j, k) => [unit(k), unit(j), -unit(i)];

  // shown: { cube, way, at, pair, query, unit, ramp, theme }
  const draw = () => {
    if (!width || !shown?.theme) return;
    const dpr = window.devicePixelRatio || 1,
      pen = canvas.getContext("2d");
    const [w, h] = [Math.round(width * dpr), Math.round(height * dpr)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    pen.clearRect(0, 0, width, height);
    const m = turn(eye.yaw, eye.pitch),
      scale = eye.zoom * Math.min(width / 3.6, height / (height < 300 ? 4 : 3.75));
    const at = (p) => project(p, m, scale, width / 2, height / 2);
    drawFrame(pen, at);
    drawNames(pen, at);
    drawPlane(pen, at);
    if (shown.cube) drawPoints(pen, at, Math.max(1.6, Math.min(5, (scale * 1.1) / s)));
    if (!shown.pair) return;
    const [u, v] = at(place(shown.query, ...shown.pair));
    pen.strokeStyle = shown.theme.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(u, v, 9, 0, 6.2832);
    pen.stroke();
  };
  const drawPoints = (pen, at, size) => {
    const { cube, way } = shown,
      order = [],
      axis = "ijk".indexOf(way);
    for (let x = 0; x < cube.count; x++) {
      const triple = cube.points.subarray(3 * x, 3 * x + 3);
      order.push([...at(place(...triple)), x, triple[axis] === shown.at]);
    }
    order.sort((a, b) => b[2] - a[2]); // far ones first
    pen.strokeStyle = shown.theme.ink;
    pen.lineWidth = 1;
    for (const [u, v, far, x, inSlice] of order) {
      const value = Math.max(0, Math.min(1, shown.unit(cube.probs[x])));
      pen.globalAlpha = 0.95 - 0.32 * (far + 1); // depth: what is far is paler and smaller
      pen.fillStyle = colourOf(shown.ramp, 0.16 + 0.84 * value);
      pen.beginPath();
      pen.arc(u, v, size * (1.1 - 0.28 * far) * (0.7 + 0.6 * value), 0, 6.2832);
      pen.fill();
      pen.globalAlpha = 1;
      if (inSlice) pen.stroke();
    }
  };
  const drawFrame = (pen, at) => {
    const far = CORNERS.map((c) => at(c)[2]),
      back = far.indexOf(Math.max(...far));
    pen.strokeStyle = shown.theme.soft;
    pen.lineWidth = 1;
    for (const [a, b] of EDGES) {
      const [p, q] = [at(CORNERS[a]), at(CORNERS[b])];
      pen.globalAlpha = a === back || b === back ? 0.25 : 0.7;
      pen.beginPath();
      pen.moveTo(p[0], p[1]);
      pen.lineTo(q[0], q[1]);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  };
  // Each axis is named beside its outermost edge; the arrow shows where positions grow.
  const drawNames = (pen, at) => {
    const { theme } = shown,
      [cx, cy] = [width / 2, height / 2];
    pen.font = `600 12px ${theme.font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [name, axis, colour] of [
      ["query i", 2, theme.text],
      ["first key j", 1, theme.first],
      ["second key k", 0, theme.second],
    ]) {
      const own = EDGES.filter(([a, b]) => CORNERS[a][axis] !== CORNERS[b][axis]).map(([a, b]) => {
        const [p, q] = [at(CORNERS[a]), at(CORNERS[b])],
          forward = CORNERS[a][axis] < 0 !== (axis === AXIS.i);
        return {
          from: forward ? p : q,
          to: forward ? q : p,
          x: (p[0] + q[0]) / 2,
          y: (p[1] + q[1]) / 2,
          near: -p[2] - q[2],
        };
      });
      const score = (e) =>
        Math.hypot(e.x - cx, e.y - cy) + (axis === AXIS.j ? -e.x : e.y) * 0.4 + 14 * e.near;
      const e = own.reduce((a, b) => (score(b) > score(a) ? b : a)),
        long = Math.hypot(e.x - cx, e.y - cy) || 1;
      const angle = Math.atan2(e.to[1] - e.from[1], e.to[0] - e.from[0]),
        flip = Math.abs(angle) > Math.PI / 2 + 1e-6;
      pen.save();
      pen.translate(e.x + (16 * (e.x - cx)) / long, e.y + (16 * (e.y - cy)) / long);
      pen.rotate(flip ? angle + Math.PI : angle);
      pen.fillStyle = colour;
      pen.fillText(flip ? "← " + name : name + " →", 0, 0);
      pen.restore();
    }
  };
  const drawPlane = (pen, at) => {
    const x = (shown.way === "i" ? -1 : 1) * unit(shown.at);
    const quad = [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].map((c) => {
      const p = [...c];
      p.splice(AXIS[shown.way], 0, x);
      return at(p);
    });
    pen.fillStyle = shown.theme.plane;
    pen.strokeStyle = shown.theme.ink;
    pen.lineWidth = 1;
    pen.beginPath();
    quad.forEach(([u, v], y) => (y ? pen.lineTo(u, v) : pen.moveTo(u, v)));
    pen.closePath();
    pen.fill();
    pen.stroke();
  };
  return {
    node,
    canvas,
    layout: (w, h) => {
      [width, height] = [w, h];
      node.style.height = canvas.style.height = `${h}px`;
      redraw();
    },
    draw: (next) => {
      shown = { ...shown, ...next };
      redraw();
    },
  };
}
