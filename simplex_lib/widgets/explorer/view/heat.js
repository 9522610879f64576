// One map with its axes and, if asked for, its marginals: the large one, the second one, the slices.

import { label, paintMap } from "./paint.js";
import { clip, make, put } from "./words.js";

const BAR = 40,
  AXIS = 76,
  ROOMY = 42; // pixels; a cell this large holds its number

// options: n cells a side; rows and cols: [name, class]; bars; keys: false | aria-label; describe: ids
// on: { point(cell | null), press(cell), step(dj, dk), enter(), focus(), blur() }; cells are [row, column]
export function heatPanel({ n, rows, cols, bars = true, keys = null, describe = null, on = {} }) {
  const canvas = make("canvas", { class: "x3-canvas", role: "img" });
  const over = make("svg:svg", { class: "x3-over", "aria-hidden": "true" });
  const edges = ["x3-edge x3-back", "x3-edge"].map((c) => make("svg:rect", { class: c }));
  const ahead = make("svg:path", { class: "x3-ahead" }),
    cross = make("svg:path", { class: "x3-cross" });
  const boxes = ["x3-box x3-back", "x3-box"].map((c) => make("svg:rect", { class: c })),
    dots = make("svg:g");
  const figures =
    n <= 9 ? Array.from({ length: n * n }, () => make("svg:text", { class: "x3-figure", dy: ".35em" })) : [];
  over.append(...edges, ahead, ...figures, cross, ...boxes, dots);
  const map = make(
    "div",
    {
      class: "x3-map",
      ...(keys
        ? { role: "application", tabindex: "0", "aria-label": keys, "aria-describedby": describe }
        : {}),
    },
    canvas,
    over,
  );
  const texts = () =>
    Array.from({ length: n }, () => make("svg:text", { "text-anchor": "end", dy: ".35em" }));
  const rects = () => (bars ? Array.from({ length: n }, () => make("svg:rect")) : []);
  const axisJ = texts(),
    axisK = texts(),
    barJ = rects(),
    barK = rects();
  const svg = (cls, ...children) => make("svg:svg", { class: cls, "aria-hidden": "true" }, ...children);
  const axes = [svg("x3-axis x3-axis-j", ...axisJ), svg("x3-axis x3-axis-k", ...axisK)];
  const sums =
    bars && n <= 9
      ? [0, 1].map(() => Array.from({ length: n }, () => make("svg:text", { class: "x3-sum", dy: ".35em" })))
      : [[], []];
  const sides = bars
    ? [svg("x3-bars x3-bars-j", ...barJ, ...sums[0]), svg("x3-bars x3-bars-k", ...barK, ...sums[1])]
    : [];
  const peaks = bars ? ["x3-first", "x3-second"].map((c) => make("span", { class: "x3-peak " + c })) : [];
  const names = [make("span"), make("span")];
  const rename = (down, across) => {
    [names[0].textContent, names[0].className] = [across[0] + " →", "x3-name x3-name-k " + across[1]];
    [names[1].textContent, names[1].className] = ["↓ " + down[0], "x3-name x3-name-j " + down[1]];
  };
  rename(rows, cols);
  const node = make(
    "div",
    { class: "x3-plot" + (bars ? "" : " x3-bare") },
    ...names,
    ...peaks,
    ...sides,
    axes[0],
    map,
    axes[1],
  );
  let size = 0,
    cell = 0,
    last = null,
    lit = null;

  const layout = (next) => {
    if (next === size) return;
    size = next;
    cell = size / n;
    node.style.setProperty("--m", size + "px");
    put(over, { viewBox: `0 0 ${size} ${size}` });
    put(axes[0], { viewBox: `0 0 ${AXIS} ${size}` });
    put(axes[1], { viewBox: `0 0 ${size} ${AXIS}` });
    axisJ.forEach((t, x) => put(t, { x: AXIS - 5, y: (x + 0.5) * cell }));
    const roomy = cell >= ROOMY;
    axes.forEach((a) => a.classList.toggle("x3-roomy", roomy));
    axisK.forEach((t, x) =>
      put(t, {
        transform: `translate(${(x + 0.5) * cell} ${roomy ? 12 : 5})` + (roomy ? "" : " rotate(-90)"),
        "text-anchor": roomy ? "middle" : "end",
      }),
    );
    figures.forEach((t, at) => put(t, { x: ((at % n) + 0.5) * cell, y: (Math.floor(at / n) + 0.5) * cell }));
    if (bars) {
      put(sides[0], { viewBox: `0 0 ${BAR} ${size}` });
      put(sides[1], { viewBox: `0 0 ${size} ${BAR}` });
      barJ.forEach((r, x) => put(r, { x: 0, y: x * cell + 0.5, height: Math.max(1, cell - 1) }));
      barK.forEach((r, x) => put(r, { x: x * cell + 0.5, width: Math.max(1, cell - 1) }));
      sums[0].forEach((t, x) => put(t, { x: BAR / 2, y: (x + 0.5) * cell }));
      sums[1].forEach((t, x) => put(t, { x: (x + 0.5) * cell, y: BAR - 11 }));
    }
    if (last) draw(...last);
  };
  // show: { values, marks, unit, ramp, first, second, words: [rows, columns], lead: [rows, columns], edge, ahead, edited, alt }
  const draw = (show, theme) => {
    last = [show, theme];
    if (!size) return;
    paintMap(canvas, size, { ...show, n }, theme);
    canvas.setAttribute("aria-label", show.alt);
    const { edge: e } = show;
    for (const r of edges) {
      r.style.display = e ? "" : "none";
      if (e)
        put(r, {
          x: e[2] * cell + 0.75,
          y: e[0] * cell + 0.75,
          width: (e[3] - e[2] + 1) * cell - 1.5,
          height: (e[1] - e[0] + 1) * cell - 1.5,
        });
    }
    const q = show.ahead === null || show.ahead === undefined ? null : show.ahead * cell; // keys from here on are the future
    ahead.setAttribute("d", q === null ? "" : `M0 ${q}H${q}V0`);
    dots.replaceChildren(
      ...(show.edited ?? []).map((at) =>
        make("svg:circle", {
          class: "x3-edited",
          cx: ((at % n) + (cell < ROOMY ? 0.5 : 1)) * cell - (cell < ROOMY ? 0 : 10),
          cy: Math.floor(at / n) * cell + (cell < ROOMY ? cell / 2 : 10),
          r: Math.max(2, Math.min(4, cell / 5)),
        }),
      ),
    );
    if (bars) {
      const most = [show.first, show.second].map((v) => v.reduce((a, b) => Math.max(a, b), 0)),
        full = BAR - 2;
      barJ.forEach((r, x) => r.setAttribute("width", (show.first[x] / (most[0] || 1)) * full));
      barK.forEach((r, x) => {
        const h = (show.second[x] / (most[1] || 1)) * full;
        put(r, { height: h, y: BAR - h });
      });
      sums.forEach((texts, a) =>
        texts.forEach(
          (t, x) => (t.textContent = cell < ROOMY ? "" : (a ? show.second : show.first)[x].toFixed(2)),
        ),
      );
      peaks.forEach((p, x) => (p.hidden = cell >= ROOMY && n <= 9));
      peaks.forEach((p, x) => (p.textContent = most[x].toFixed(most[x] < 0.0995 ? 3 : 2)));
    }
    const every = Array.from({ length: n }, (_, x) => x);
    [axisJ, axisK].forEach((t, a) =>
      label(
        t,
        [...show.lead[a], ...every].map((x) => [
          x,
          clip(show.words[a][x] ?? "", cell < ROOMY ? 11 : a ? Math.floor(cell / 7) : 10),
        ]),
        cell,
        8.6,
      ),
    );
    drawFigures(show);
    light(lit);
  };
  // the number in each roomy cell, dark on light and light on dark
  const drawFigures = ({ values, marks, ramp, unit, text }) =>
    figures.forEach((t, at) => {
      const v = values[at],
        known = v === v && !marks?.[at] && text && cell >= ROOMY;
      t.textContent = known ? text(v) : "";
      if (!known) return;
      const pixel = ramp[Math.max(0, Math.min(255, Math.round(255 * unit(v))))];
      t.classList.toggle(
        "x3-bright",
        0.3 * (pixel & 255) + 0.59 * ((pixel >> 8) & 255) + 0.11 * ((pixel >> 16) & 255) < 125,
      );
    });
  const light = (at) => {
    lit = at;
    const inside = at && at.every((x) => x >= 0 && x < n);
    for (const b of [...boxes, cross]) b.style.display = inside ? "" : "none";
    [axisJ, axisK].forEach((t, a) =>
      t.forEach((text, x) => text.classList.toggle("x3-on", !!inside && x === at[a])),
    );
    [barJ, barK].forEach((bar, a) =>
      bar.forEach((r, x) => r.classList.toggle("x3-on", !!inside && x === at[a])),
    );
    if (!inside) return;
    const [y, x] = [at[0] * cell, at[1] * cell],
      g = 1.5;
    for (const b of boxes) put(b, { x: x - g, y: y - g, width: cell + 2 * g, height: cell + 2 * g });
    cross.setAttribute(
      "d",
      cell >= ROOMY
        ? ""
        : `M0 ${y + cell / 2}H${x - g}M${x + cell / 2} ${size}V${y + cell + g}M${x + cell + g} ${y + cell / 2}H${size}M${x + cell / 2} ${y - g}V0`,
    );
  };
  const cellAt = (e) => {
    const r = canvas.getBoundingClientRect(),
      j = Math.floor(((e.clientY - r.top) / r.height) * n),
      k = Math.floor(((e.clientX - r.left) / r.width) * n);
    return j >= 0 && k >= 0 && j < n && k < n ? [j, k] : null;
  };
  map.addEventListener("pointermove", (e) => on.point?.(cellAt(e)));
  map.addEventListener("pointerleave", () => on.point?.(null));
  map.addEventListener("click", (e) => {
    const at = cellAt(e);
    if (at) on.press?.(at);
  });
  if (keys) {
    map.addEventListener("focus", () => map.matches(":focus-visible") && on.focus?.());
    map.addEventListener("blur", () => on.blur?.());
    map.addEventListener("keydown", (e) => {
      const d = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
      if (d) {
        e.preventDefault();
        on.step?.(...d);
      } else if (e.key === "Enter" || e.key === " ") {
        e.preventDefault();
        on.enter?.();
      }
    });
  }
  return { node, layout, draw, light, rename };
}
