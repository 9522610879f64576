"""One query of one tensor, as probabilities on the drawn square of keys, with its faults found.

Axes: j first key, k second key, n drawn keys a side, the first of them at `origin`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simplex_lib.widgets.explorer.reading import Pairs
from simplex_lib.widgets.explorer.recipes import ALL, normalise

GOOD, NAN, NEGATIVE = 0, 2, 3  # marks of an entry: fine, not finite, a negative probability


@dataclass(frozen=True)
class Faults:
    """What is wrong with the map of one query."""

    total: float  # sum of all finite entries, negative ones too
    nan: int
    infinite: int
    negative: int
    first_bad: tuple[int, int] | None  # (j, k) of the first entry that is not finite
    first_negative: tuple[int, int] | None
    future: float  # share on keys after the query
    future_pair: tuple[int, int, float] | None  # the largest of them
    future_keys: str  # "first", "second" or "both": which key goes beyond the query
    units: str  # "rows" or "columns" if each of them sums to 1, else ""


@dataclass(frozen=True)
class Look:
    p: np.ndarray  # (n, n), 0 where invisible or marked
    visible: np.ndarray
    marks: np.ndarray
    logits: np.ndarray  # NaN where unknown
    lse: np.ndarray | None
    mass: float  # sum of p over all keys, drawn or not
    faults: Faults


def look_at(pairs: Pairs, h: int, i: int, recipe: str, origin: int, n: int) -> Look:
    """Query i of head h: its probabilities on the drawn square, and what is wrong with them."""
    j0, k0, grid, seen = pairs.block(h, i)
    finite = np.isfinite(grid)
    marks = np.where(seen & ~finite, NAN, GOOD)
    if pairs.kind == "probs":
        marks = np.where(seen & finite & (grid < 0), NEGATIVE, marks)
        p, lse, logits = np.where(seen & (marks == GOOD), grid, 0), None, None
        total = float(np.where(seen & finite, grid, 0).sum())
    else:
        logits = np.where(seen & finite, grid, -np.inf)
        log_p, lse = normalise(logits, recipe)
        p = np.exp(log_p)
        total = float(p.sum())
        logits = np.where(seen & finite, grid, np.nan)

    def square(block, fill):
        out = np.full((n, n), fill, dtype=block.dtype)
        j_cut, k_cut = max(0, origin - j0), max(0, origin - k0)
        part = block[j_cut : origin + n - j0, k_cut : origin + n - k0]
        j, k = j0 + j_cut - origin, k0 + k_cut - origin
        out[j : j + part.shape[0], k : k + part.shape[1]] = part
        return out

    if lse is not None and recipe != ALL:  # one for each drawn row or column
        axis = int(recipe.startswith("first"))
        cut = max(0, origin - (j0, k0)[axis])
        part, at = lse.ravel()[cut : origin + n - (j0, k0)[axis]], (j0, k0)[axis] + cut - origin
        lse = np.full(n, np.nan)
        lse[at : at + len(part)] = part
        lse = lse[:, None] if axis == 0 else lse[None, :]
    return Look(
        p=square(p, 0.0),
        visible=square(seen, False),
        marks=square(marks, GOOD),
        logits=np.full((n, n), np.nan) if logits is None else square(logits, np.nan),
        lse=lse,
        mass=float(p.sum()),
        faults=_faults(pairs, i, j0, k0, grid, seen, marks, p, total),
    )


def _faults(pairs, i, j0, k0, grid, seen, marks, p, total) -> Faults:
    def first(mark: int) -> tuple[int, int] | None:
        at = np.argwhere(marks == mark)
        return (int(at[0][0]) + j0, int(at[0][1]) + k0) if len(at) else None

    j, k = j0 + np.arange(p.shape[0])[:, None], k0 + np.arange(p.shape[1])
    share, pair, keys = 0.0, None, ""
    if pairs.causal and p.size:
        ahead = np.where((j > i) | (k > i), p, 0)
        share = float(ahead.sum()) / max(float(p.sum()), 1e-300)
        if share > 0:
            a, b = np.unravel_index(ahead.argmax(), ahead.shape)
            pair = (int(a) + j0, int(b) + k0, float(ahead[a, b]))
            beyond = (ahead.sum(1) * (j[:, 0] > i)).sum() > 0, (ahead.sum(0) * (k > i)).sum() > 0
            keys = "both" if all(beyond) else "first" if beyond[0] else "second"
    return Faults(
        total=total,
        nan=int((seen & np.isnan(grid)).sum()),
        infinite=int((seen & np.isinf(grid)).sum()),
        negative=int((marks == NEGATIVE).sum()),
        first_bad=first(NAN),
        first_negative=first(NEGATIVE),
        future=share,
        future_pair=pair,
        future_keys=keys,
        units=_units(p, seen, marks),
    )


def _units(p: np.ndarray, seen: np.ndarray, marks: np.ndarray) -> str:
    """Which sums are units of their own, if the map as a whole is not one."""
    if abs(float(p.sum()) - 1) < 5e-4:
        return ""
    for name, axis in (("rows", 1), ("columns", 0)):
        sums = p.sum(axis)[seen.any(axis) & (marks == GOOD).all(axis)]
        if sums.size > 1 and np.abs(sums - 1).max() < 1e-3:
            return name
    return ""
