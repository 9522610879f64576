// What the wire carries, opened, and the maps that it does not carry. No drawing: tests run this file
// in node and compare it with Python's wire.py and explaining.py.

const ZERO = 1,
  NAN = 2,
  NEGATIVE = 3,
  FIRST_CODE = 4;

// One packet of wire.py -> frames by query.
export function decode(header, buffer) {
  const floats = new Float32Array(buffer, 0, header.floats);
  const codes = new Uint16Array(buffer, 4 * header.floats);
  const frames = new Map();
  let at = 0;
  const take = (count) => floats.subarray(at, (at += count));
  for (const f of header.frames) {
    const rows = {},
      says = {};
    header.modes.forEach((mode, m) => {
      says[mode] = f.says[m];
      if (f.tables[m] < 0) return void (rows[mode] = rows.probs);
      rows[mode] = [];
      for (let r = 0; r < f.tables[m]; r++) {
        const [first, second, prob, logit, share, product, swapped, other] = take(8);
        rows[mode].push({ rank: r + 1, first, second, prob, logit, share, product, swapped, other });
      }
    });
    const first = take(f.n),
      second = take(f.n);
    const lses = f.lses.length ? take(f.lses[0] * f.lses[1]) : null;
    frames.set(f.query, {
      ...f,
      recipe: header.recipe,
      rows,
      first,
      second,
      lses,
      lseShape: f.lses,
      says,
      maps: {},
      codes,
    });
  }
  return frames;
}

// 0 fine, 2 not finite, 3 negative: entries that are drawn as faults.
export function marksOf(frame) {
  if (frame.marks) return frame.marks;
  const { n, codes } = frame,
    marks = new Uint8Array(n * n),
    [j0, j1, k0, k1, start] = frame.grids[0];
  for (let j = j0, at = start; j < j1; j++)
    for (let k = k0; k < k1; k++, at++)
      if (codes[at] === NAN || codes[at] === NEGATIVE) marks[j * n + k] = codes[at];
  return (frame.marks = marks);
}

// n x n numbers of a query, NaN where nothing is known.
export function mapOf(frame, mode) {
  if (frame.maps[mode]) return frame.maps[mode];
  const { n, codes } = frame,
    map = new Float32Array(n * n).fill(NaN);
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
  const { n, first, second } = frame,
    p = mapOf(frame, "probs"),
    marks = marksOf(frame);
  const q = mode === "difference" ? mapOf(frame, "other") : p,
    known = (x) => x === x,
    zero = (x) => (x === x ? x : 0);
  const total = first.reduce((a, b) => a + b, 0) || 1;
  const open = { j: new Uint8Array(n), k: new Uint8Array(n) };
  for (let at = 0; at < n * n; at++)
    if (known(p[at]) || marks[at]) open.j[Math.floor(at / n)] = open.k[at % n] = 1;
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) {
      const at = j * n + k,
        back = k * n + j;
      if (mode === "product") map[at] = open.j[j] && open.k[k] ? (first[j] * second[k]) / total : NaN;
      else if (mode === "swapped") map[at] = p[back];
      else {
        const to = mode === "asymmetry" ? back : at,
          bad = marks[at] || (mode === "asymmetry" && marks[back]);
        if (!bad && (known(p[at]) || known(q[to]))) map[at] = zero(p[at]) - zero(q[to]);
      }
    }
}

const lseAt = ({ lses, lseShape: [rows, cols] }, j, k) => lses[rows > 1 ? j : cols > 1 ? k : 0];

export function sums(map, n) {
  const first = new Float64Array(n),
    second = new Float64Array(n);
  for (let at = 0; at < n * n; at++)
    if (map[at] === map[at]) {
      first[Math.floor(at / n)] += map[at];
      second[at % n] += map[at];
    }
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
