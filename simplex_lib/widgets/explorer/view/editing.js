// A query's numbers after some of its logits were moved. No drawing: tests run this file in node and
// compare it with Python's recipes.py and explaining.py.

import { mapOf, marksOf, sums } from "./formulas.js";

// recipes.py: one softmax over all pairs, over k for each j, or over j for each k.
export function normalise(logits, n, recipe) {
  const groups = recipe === "all pairs" ? 1 : n,
    shape = recipe === "all pairs" ? [1, 1] : recipe === "second key only" ? [n, 1] : [1, n];
  const group = (at) => (groups === 1 ? 0 : recipe === "second key only" ? Math.floor(at / n) : at % n);
  const top = new Float64Array(groups).fill(-Infinity),
    sum = new Float64Array(groups),
    probs = new Float32Array(n * n).fill(NaN);
  for (let at = 0; at < n * n; at++)
    if (logits[at] === logits[at]) top[group(at)] = Math.max(top[group(at)], logits[at]);
  for (let at = 0; at < n * n; at++)
    if (logits[at] === logits[at]) sum[group(at)] += Math.exp(logits[at] - top[group(at)]);
  const lses = Float64Array.from(top, (t, g) => t + Math.log(sum[g]));
  for (let at = 0; at < n * n; at++)
    if (logits[at] === logits[at]) probs[at] = Math.exp(logits[at] - lses[group(at)]);
  return { probs, lses, shape };
}

// The frame of the same query after some logits were changed: edits is a Map of cell -> logit.
export function editFrame(frame, edits, top) {
  const { n } = frame,
    logits = Float32Array.from(mapOf(frame, "logits"));
  for (const [cell, logit] of edits) logits[cell] = logit;
  const { probs, lses, shape } = normalise(logits, n, frame.recipe),
    { first, second, total } = sums(probs, n);
  const next = { ...frame, lses, lseShape: shape, first, second, total, marks: marksOf(frame), edited: true };
  next.maps = { probs, logits, other: mapOf(frame, "other") };
  Object.assign(next, shapeOf(probs, first, second, total, n, frame));
  next.rows = { probs: rank(next, probs, top) };
  if (frame.rows.logits) next.rows.logits = rank(next, logits, top);
  next.rows.asymmetry = rank(
    next,
    mapOf(next, "asymmetry").map((x) => (x > 0 ? x : NaN)),
    top,
  );
  if (frame.rows.difference)
    next.rows.difference = rank(
      next,
      mapOf(next, "difference").map((x) => Math.abs(x) || NaN),
      top,
    );
  return next;
}

// explaining.py: mutual information, what it could be, and three shares of the map.
function shapeOf(probs, first, second, total, n, { window, origin }) {
  const entropy = (v) => -v.reduce((sum, x) => sum + (x > 0 ? (x / total) * Math.log(x / total) : 0), 0);
  let mutual = 0,
    moved = 0,
    swapped = 0,
    kept = window ? 0 : null;
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) {
      const p = (probs[j * n + k] || 0) / total,
        even = (first[j] * second[k]) / total / total;
      if (p > 0) mutual += p * Math.log(p / even);
      moved += Math.abs(p - even) / 2;
      swapped += Math.abs(p - (probs[k * n + j] || 0) / total) / 2;
      if (
        window &&
        j + origin >= window[0] &&
        j + origin <= window[1] &&
        k + origin >= window[2] &&
        k + origin <= window[3]
      )
        kept += p;
    }
  return {
    mutual: Math.max(0, mutual),
    mutualMax: Math.max(0, Math.min(entropy(first), entropy(second))),
    moved,
    swapped,
    kept,
  };
}

function rank(frame, score, top) {
  const { n, origin, total } = frame,
    p = mapOf(frame, "probs"),
    product = mapOf(frame, "product"),
    cells = [];
  for (let at = 0; at < n * n; at++) if (score[at] === score[at]) cells.push(at);
  cells.sort((a, b) => score[b] - score[a] || a - b);
  let share = 0;
  return cells.slice(0, top).map((at, r) => {
    const j = Math.floor(at / n),
      k = at % n;
    share += (p[at] || 0) / total;
    return {
      rank: r + 1,
      first: j + origin,
      second: k + origin,
      prob: p[at] || 0,
      logit: frame.maps.logits[at],
      share,
      product: product[at] || 0,
      swapped: p[k * n + j] || 0,
      other: frame.maps.other[at],
    };
  });
}
