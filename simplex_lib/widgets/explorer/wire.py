"""Numbers on their way to the view: a header of plain JSON, and one buffer.

The buffer holds float32 numbers, then uint16 codes of log-probabilities. Sent is what cannot be had
from the rest: the view forms exp(code), the product of the marginals, A - A transposed and A - B.
`unwire` does the same here, for the tests.
"""

from __future__ import annotations

import numpy as np

from simplex_lib.widgets.explorer.explaining import Explained
from simplex_lib.widgets.explorer.looking import GOOD
from simplex_lib.widgets.explorer.sentences import say

EMPTY, ZERO = 0, 1  # codes beside looking.NAN = 2 and NEGATIVE = 3
FIRST_CODE, LAST_CODE = 4, 65535
DEPTH = 80.0  # nats below the query's best pair under which the wire says "zero" (e^-80 = 2e-35)
NUMBERS = ("first", "second", "prob", "logit", "share", "product", "swapped", "other")


def wire(explained: list[Explained], tokens: tuple[str, ...], h: int) -> tuple[dict, bytes]:
    floats, codes, frames, at = [], [], [], 0
    for x in explained:
        tables = []
        for mode, rows in x.rows.items():
            same = mode == "logits" and rows is x.rows["probs"]
            tables.append(-1 if same else len(rows))  # -1: the rows of probs
            for r in () if same else rows:
                floats += [np.nan if (v := getattr(r, key)) is None else v for key in NUMBERS]
        floats += [*x.first, *x.second, *([] if x.lse is None else x.lse.ravel())]
        with np.errstate(divide="ignore"):
            grids = [encode(np.log(x.probs), x.marks)]
            if x.other is not None:
                grids.append(encode(np.log(x.other), np.where(x.visible, GOOD, x.marks)))
        packed = []
        for code, lo, step in grids:
            rows, cols = np.flatnonzero(code.any(1)), np.flatnonzero(code.any(0))
            box = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else (0, 0, 0, 0)
            block = code[box[0] : box[1], box[2] : box[3]]
            packed.append([*map(int, box), at, lo, step])
            codes.append(block.ravel())
            at += block.size
        scalars = dict(mutual=x.mutual, mutualMax=x.mutual_max, moved=x.moved, total=x.faults.total)
        scalars |= dict(swapped=x.swapped, kept=x.kept, drawn=x.drawn, future=x.faults.future)
        scalars = {k: None if v is None else float(f"{v:.6g}") for k, v in scalars.items()}
        where = dict(query=x.query, origin=x.origin, n=len(x.first), window=x.window, tables=tables)
        where |= dict(lses=[] if x.lse is None else list(x.lse.shape), grids=packed)
        says = [say(x, mode, tokens) for mode in x.rows]
        frames.append(where | dict(says=says, ranges=ranges(x)) | scalars)
    body = np.asarray(floats, "<f4").tobytes() + np.concatenate(codes).astype("<u2").tobytes()
    header = dict(head=h, recipe=explained[0].recipe, modes=list(explained[0].rows))
    return header | dict(floats=len(floats), frames=frames), body


def encode(log_p: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, float, float]:
    """uint16 codes: 0 invisible, 1 zero, 2 not finite, 3 negative, else lo + (code - 4) step."""
    known = log_p[np.isfinite(log_p)]
    hi = float(known.max()) if known.size else 0.0
    lo = max(float(known.min()), hi - DEPTH) if known.size else 0.0
    step = max(hi - lo, 1e-9) / (LAST_CODE - FIRST_CODE)
    with np.errstate(invalid="ignore"):
        code = FIRST_CODE + np.rint((np.clip(log_p, lo, hi) - lo) / step)
        code = np.where(log_p < lo - step, ZERO, code)
    code = np.where(np.isnan(log_p), EMPTY, code)
    return np.where(marks != GOOD, marks, code).astype(np.uint16), lo, step


def unwire(header: dict, body: bytes) -> list[dict[str, np.ndarray]]:
    """The maps as the view will see them."""
    codes, out = np.frombuffer(body, "<u2", offset=4 * header["floats"]), []
    for f in header["frames"]:
        grids = []
        for j0, j1, k0, k1, at, lo, step in f["grids"]:
            code = codes[at : at + (j1 - j0) * (k1 - k0)].reshape(j1 - j0, k1 - k0).astype(float)
            p = np.where(code == ZERO, 0, np.exp(lo + (code - FIRST_CODE) * step))
            grids.append(np.full((f["n"], f["n"]), np.nan))
            grids[-1][j0:j1, k0:k1] = np.where((code == ZERO) | (code >= FIRST_CODE), p, np.nan)
        p = grids[0]
        flat = np.nan_to_num(p)
        maps = dict(probs=p, asymmetry=np.where(np.isnan(p) & np.isnan(p.T), np.nan, flat - flat.T))
        if len(grids) > 1:
            gone = np.isnan(p) & np.isnan(grids[1])
            maps["difference"] = np.where(gone, np.nan, flat - np.nan_to_num(grids[1]))
        out.append(maps)
    return out


def ranges(x: Explained) -> dict[str, list[float]]:
    """The colour range that suits this query alone; `join_ranges` makes the one for all queries."""
    p = x.probs[np.isfinite(x.probs) & (x.probs > 0)]
    top = float(p.max()) if p.size else 1.0
    low = float(p.min()) if p.size else top
    found = dict(probs=[min(max(low, 1e-6 * top), 0.01 * top), top])  # two decades at least
    if "logits" in x.rows:
        known = x.logits[np.isfinite(x.logits)]
        found["logits"] = [float(known.min()), float(known.max())] if known.size else [0.0, 0.0]
    for mode in ("asymmetry", "difference"):
        values = getattr(x, mode)
        if values is not None:
            m = float(np.nan_to_num(np.abs(values)).max())
            found[mode] = [-m, m]
    return {k: [float(f"{v:.5g}") for v in r] for k, r in found.items()}


def join_ranges(each: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    joined = {k: [min(r[k][0] for r in each), max(r[k][1] for r in each)] for k in each[0]}
    joined["probs"][0] = max(joined["probs"][0], 1e-6 * joined["probs"][1])
    return joined
