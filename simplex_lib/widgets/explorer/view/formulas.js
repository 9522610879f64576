// The arithmetic of the view, and no drawing: what the wire does not carry is formed here. Tests run
// this file in node and compare it with Python's wire.py, explaining.py and recipes.py.

const ZERO = 1, NAN = 2, NEGATIVE = 3, FIRST_CODE = 4;

// One packet of wire.py -> frames by query.
export function decode(header, buffer) {
  const floats = new Float32Array(buffer, 0, header.floats);
  const codes = new Uint16Array(buffer, 4 * header.floats);
  const frames = new Map();
  let at = 0;
  const take = (count) => floats.subarray(at, (at += count));
  for (const f of header.frames) {
    const rows = {}, says = {};
    header.modes.forEach((mode, m) => {
      says[mode] = f.says[m];
      if (f.tables[m] < 0) return void (rows[mode] = rows.probs);
      rows[mode] = [];
      for (let r = 0; r < f.tables[m]; r++) {
        const [first, second, prob, logit, share, product, swapped, other] = take(8);
        rows[mode].push({ rank: r + 1, first, second, prob, logit, share, product, swapped, other });
      }
    });
    const first = take(f.n), second = take(f.n);
    const lses = f.lses.length ? take(f.lses[0] * f.lses[1]) : null;
    frames.set(f.query, { ...f, recipe: header.recipe, rows, first, second, lses, lseShape: f.lses, says, maps: {}, codes });
  }
  return frames;
}

// 0 fine, 2 not finite, 3 negative: entries that are drawn as faults.
export function marksOf(frame) {
  if (frame.marks) return frame.marks;
  const { n, codes } = frame, marks = new Uint8Array(n * n), [j0, j1, k0, k1, start] = frame.grids[0];
  for (let j = j0, at = start; j < j1; j++)
    for (let k = k0; k < k1; k++, at++) if (codes[at] === NAN || codes[at] === NEGATIVE) marks[j * n + k] = codes[at];
  return (frame.marks = marks);
}

// n x n numbers of a query, NaN where nothing is known.
export function mapOf(frame, mode) {
  if (frame.maps[mode]) return frame.maps[mode];
  const { n, codes } = frame, map = new Float32Array(n * n).fill(NaN);
  const open = (grid, to) => {
    const [j0, j1, k0, k1, start, lo, step] = frame.grids[grid];
    for (let j = j0, at = start; j < j1; j++)
      for (let k = k0; k < k1; k++, at++) {
        const code = codes[at];
        if (code >= FIRST_CODE) map[j * n + k] = to(lo + (code - FIRST_CODE) * step, j, k);
        else if (code === ZERO) map[j * n + k] = to(-Infinity, j, k);
      }
  };
  if (mode === "probs") open(0, Math.exp);
  else if (mode === "other") frame.grids.length > 1 && open(1, Math.exp);
  else if (mode === "logits") open(0, (x, j, k) => x + lseAt(frame, j, k));
  else combine(frame, mode, map);
  return (frame.maps[mode] = map);
}

function combine(frame, mode, map) {
  const { n, first, second } = frame, p = mapOf(frame, "probs"), marks = marksOf(frame);
  const q = mode === "difference" ? mapOf(frame, "other") : p, known = (x) => x === x, zero = (x) => (x === x ? x : 0);
  const total = first.reduce((a, b) => a + b, 0) || 1;
  const open = { j: new Uint8Array(n), k: new Uint8Array(n) };
  for (let at = 0; at < n * n; at++) if (known(p[at]) || marks[at]) open.j[Math.floor(at / n)] = open.k[at % n] = 1;
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) {
      const at = j * n + k, back = k * n + j;
      if (mode === "product") map[at] = open.j[j] && open.k[k] ? (first[j] * second[k]) / total : NaN;
      else if (mode === "swapped") map[at] = p[back];
      else {
        const to = mode === "asymmetry" ? back : at, bad = marks[at] || (mode === "asymmetry" && marks[back]);
        if (!bad && (known(p[at]) || known(q[to]))) map[at] = zero(p[at]) - zero(q[to]);
      }
    }
}

const lseAt = ({ lses, lseShape: [rows, cols] }, j, k) => lses[rows > 1 ? j : cols > 1 ? k : 0];

export function sums(map, n) {
  const first = new Float64Array(n), second = new Float64Array(n);
  for (let at = 0; at < n * n; at++) if (map[at] === map[at]) { first[Math.floor(at / n)] += map[at]; second[at % n] += map[at]; }
  return { first, second, total: first.reduce((a, b) => a + b, 0) };
}

// A query at one first key ("j") or one second key ("k"), for all queries of a short text:
// rows are queries, columns the key that is left.
export function sliceOf(frames, way, at, s) {
  const out = new Float32Array(s * s).fill(NaN);
  for (let i = 0; i < s; i++) {
    const p = frames.has(i) ? mapOf(frames.get(i), "probs") : null;
    if (p) for (let x = 0; x < s; x++) out[i * s + x] = way === "j" ? p[at * s + x] : p[x * s + at];
  }
  return out;
}

// Editing ------------------------------------------------------------------------------------------

// recipes.py: one softmax over all pairs, over k for each j, or over j for each k.
export function normalise(logits, n, recipe) {
  const groups = recipe === "all pairs" ? 1 : n, shape = recipe === "all pairs" ? [1, 1] : recipe === "second key only" ? [n, 1] : [1, n];
  const group = (at) => (groups === 1 ? 0 : recipe === "second key only" ? Math.floor(at / n) : at % n);
  const top = new Float64Array(groups).fill(-Infinity), sum = new Float64Array(groups), probs = new Float32Array(n * n).fill(NaN);
  for (let at = 0; at < n * n; at++) if (logits[at] === logits[at]) top[group(at)] = Math.max(top[group(at)], logits[at]);
  for (let at = 0; at < n * n; at++) if (logits[at] === logits[at]) sum[group(at)] += Math.exp(logits[at] - top[group(at)]);
  const lses = Float64Array.from(top, (t, g) => t + Math.log(sum[g]));
  for (let at = 0; at < n * n; at++) if (logits[at] === logits[at]) probs[at] = Math.exp(logits[at] - lses[group(at)]);
  return { probs, lses, shape };
}

// The frame of the same query after some logits were changed: edits is a Map of cell -> logit.
export function editFrame(frame, edits, top) {
  const { n } = frame, logits = Float32Array.from(mapOf(frame, "logits"));
  for (const [cell, logit] of edits) logits[cell] = logit;
  const { probs, lses, shape } = normalise(logits, n, frame.recipe), { first, second, total } = sums(probs, n);
  const next = { ...frame, lses, lseShape: shape, first, second, total, marks: marksOf(frame), edited: true };
  next.maps = { probs, logits, other: mapOf(frame, "other") };
  Object.assign(next, shapeOf(probs, first, second, total, n, frame));
  next.rows = { probs: rank(next, probs, top) };
  if (frame.rows.logits) next.rows.logits = rank(next, logits, top);
  next.rows.asymmetry = rank(next, mapOf(next, "asymmetry").map((x) => (x > 0 ? x : NaN)), top);
  if (frame.rows.difference) next.rows.difference = rank(next, mapOf(next, "difference").map((x) => Math.abs(x) || NaN), top);
  return next;
}

// explaining.py: mutual information, what it could be, and three shares of the map.
function shapeOf(probs, first, second, total, n, { window, origin }) {
  const entropy = (v) => -v.reduce((sum, x) => sum + (x > 0 ? (x / total) * Math.log(x / total) : 0), 0);
  let mutual = 0, moved = 0, swapped = 0, kept = window ? 0 : null;
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) {
      const p = (probs[j * n + k] || 0) / total, even = (first[j] * second[k]) / total / total;
      if (p > 0) mutual += p * Math.log(p / even);
      moved += Math.abs(p - even) / 2;
      swapped += Math.abs(p - (probs[k * n + j] || 0) / total) / 2;
      if (window && j + origin >= window[0] && j + origin <= window[1] && k + origin >= window[2] && k + origin <= window[3]) kept += p;
    }
  return { mutual: Math.max(0, mutual), mutualMax: Math.max(0, Math.min(entropy(first), entropy(second))), moved, swapped, kept };
}

function rank(frame, score, top) {
  const { n, origin, total } = frame, p = mapOf(frame, "probs"), product = mapOf(frame, "product"), cells = [];
  for (let at = 0; at < n * n; at++) if (score[at] === score[at]) cells.push(at);
  cells.sort((a, b) => score[b] - score[a] || a - b);
  let share = 0;
  return cells.slice(0, top).map((at, r) => {
    const j = Math.floor(at / n), k = at % n;
    share += (p[at] || 0) / total;
    return { rank: r + 1, first: j + origin, second: k + origin, prob: p[at] || 0, logit: frame.maps.logits[at], share, product: product[at] || 0, swapped: p[k * n + j] || 0, other: frame.maps.other[at] };
  });
}

// The cube ----------------------------------------------------------------------------------------

export function decodeCube(header, buffer) {
  return { ...header, probs: new Float32Array(buffer, 0, header.count), points: new Uint16Array(buffer, 4 * header.count, 3 * header.count) };
}

// Turns (x, y, z) about the vertical by yaw, then towards the eye by pitch; rows are right, down, away.
export function turn(yaw, pitch) {
  const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [[c, 0, s], [s * t, d, -c * t], [-s * d, t, c * d]];
}

// Perspective with a mild depth: points of the cube -1..1 to pixels, and how far away (-1 near, 1 far).
export function project([x, y, z], m, scale, cx, cy) {
  const [u, v, w] = m.map((row) => row[0] * x + row[1] * y + row[2] * z), near = 7 / (7 + w);
  return [cx + scale * u * near, cy + scale * v * near, w / 1.74];
}
