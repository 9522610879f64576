// The best pairs as triangles over the tokens: query above, first and second key on the line.

import { label } from "./paint.js";
import { clip, make, put } from "./words.js";

const TOP = 26,
  BASE = 122,
  HEIGHT = 176,
  SIDE = 14;

// on: { point(pair | null), press(pair) }
export function trianglesPanel({ n, top, on }) {
  const node = make("svg:svg", { class: "x3-tri", role: "img" });
  const triangles = Array.from({ length: top }, (_, x) => {
    const g = make("svg:g", { class: "x3-t" }),
      fill = make("svg:path", { class: "x3-fill" });
    const legs = ["j", "k"].map((key) =>
      make("svg:line", { class: "x3-leg x3-leg-" + key, y1: TOP, y2: BASE }),
    );
    g.append(fill, ...legs);
    const pair = () => {
      const r = shown?.rows[x];
      return r ? [r.first, r.second] : null;
    };
    g.addEventListener("pointerenter", () => on.point(pair()));
    g.addEventListener("pointerleave", () => on.point(null));
    g.addEventListener("click", () => on.press(pair()));
    return { g, fill, legs };
  });
  const base = make("svg:line", { class: "x3-base", y1: BASE, y2: BASE });
  const windows = [
    ["j", 4],
    ["k", 7.5],
  ].map(([key, down]) =>
    make("svg:line", { class: "x3-win x3-win-" + key, y1: BASE + down, y2: BASE + down }),
  );
  const ticks = Array.from({ length: n }, () => make("svg:circle", { class: "x3-tick", cy: BASE, r: 1.6 }));
  const texts = Array.from({ length: n }, () => make("svg:text", { class: "x3-tt" }));
  const apex = make("svg:circle", { class: "x3-apex", r: 5.5, cy: TOP }),
    apexText = make("svg:text", { class: "x3-apex-text", y: TOP - 11 });
  const litJ = make("svg:circle", { class: "x3-dot-j", cy: BASE }),
    litK = make("svg:path", { class: "x3-dot-k", d: "M0 -6.5 6.5 0 0 6.5 -6.5 0Z" });
  node.append(...windows, base, ...ticks, ...triangles.map((t) => t.g), litJ, litK, apex, apexText, ...texts);
  let width = 0,
    pitch = 0,
    slant = 0,
    shown = null,
    lit = null;
  const at = (key) => SIDE + (key - shown.origin + 0.5) * pitch;

  const layout = (next) => {
    if (next === width) return;
    width = next;
    pitch = (width - 2 * SIDE) / n;
    slant = pitch < 46 ? (pitch < 12 ? -90 : -52) : 0;
    put(node, { viewBox: `0 0 ${width} ${HEIGHT}` });
    put(base, { x1: SIDE, x2: width - SIDE });
    ticks.forEach((t, x) => t.setAttribute("cx", SIDE + (x + 0.5) * pitch));
    texts.forEach((t, x) => {
      const cx = SIDE + (x + 0.5) * pitch;
      for (const key of ["transform", "x", "y"]) t.removeAttribute(key);
      put(
        t,
        slant
          ? { transform: `translate(${cx + 3} ${BASE + 17}) rotate(${slant})`, "text-anchor": "end" }
          : { x: cx, y: BASE + 24, "text-anchor": "middle" },
      );
    });
    if (shown) draw(shown);
  };
  // show: { rows, query, origin, window, words, named, alt }
  const draw = (show) => {
    shown = show;
    if (!width) return;
    const { rows, query, origin, words } = show;
    node.setAttribute("aria-label", show.alt);
    windows.forEach((line, a) => {
      line.style.display = show.window ? "" : "none";
      if (show.window)
        put(line, {
          x1: at(Math.max(origin, show.window[2 * a])) - pitch / 2,
          x2: at(Math.max(origin, show.window[2 * a + 1])) + pitch / 2,
        });
    });
    const best = Math.max(1e-12, ...rows.map((r) => r.prob));
    const crowd = Math.min(1, 5 / rows.reduce((sum, r) => sum + r.prob / best, 1e-9)); // many alike: each paler
    triangles.forEach((t, x) => {
      const r = rows[x];
      t.g.style.display = r ? "" : "none";
      if (!r) return;
      const [q, j, k] = [query, r.first, r.second].map(at);
      t.fill.setAttribute("d", `M${q} ${TOP}L${j} ${BASE}L${k} ${BASE}Z`);
      put(t.legs[0], { x1: q, x2: j });
      put(t.legs[1], { x1: q, x2: k });
      t.g.style.setProperty("--o", Math.max(0.04, (crowd * r.prob) / best).toFixed(3));
    });
    const x = at(query),
      end = x > width - 90 ? "end" : x < 90 ? "start" : "middle";
    put(apex, { cx: x });
    put(apexText, { x: end === "end" ? x + 6 : end === "start" ? x - 6 : x, "text-anchor": end });
    apexText.textContent = `query ${show.named(query)}`;
    const lead = rows.flatMap((r) => [r.first - origin, r.second - origin]),
      every = Array.from({ length: n }, (_, y) => y);
    label(
      texts,
      [...lead, query - origin, ...every].map((y) => [y, clip(words[y + origin] ?? "", 11)]),
      pitch,
      slant ? 10.5 : 1,
    );
    light(lit);
  };
  const light = (pair) => {
    lit = pair;
    if (!shown || !width) return;
    const { rows } = shown,
      dots = pair ?? (rows[0] ? [rows[0].first, rows[0].second] : null);
    triangles.forEach((t, x) =>
      t.g.classList.toggle(
        "x3-on",
        !!(pair && rows[x] && rows[x].first === pair[0] && rows[x].second === pair[1]),
      ),
    );
    for (const d of [litJ, litK]) d.style.display = dots ? "" : "none";
    if (!dots) return;
    put(litJ, { cx: at(dots[0]), r: dots[0] === dots[1] ? 8.5 : 5 });
    put(litK, { transform: `translate(${at(dots[1])} ${BASE})` });
  };
  return { node, layout, draw, light };
}
