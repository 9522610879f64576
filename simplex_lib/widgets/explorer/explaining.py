"""Everything the explorer says about one query, in plain numbers.

Axes: i query, j first key, k second key, s sequence length, n drawn keys. A window of w is the
interval i - w < j <= i. A right map sums to 1 over all pairs; a learner's may sum to anything, so
what compares shapes (mutual, moved, swapped, kept) is taken from the map divided by its sum.
Entropies are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simplex_lib.widgets.explorer.looking import GOOD, Faults, look_at
from simplex_lib.widgets.explorer.reading import Pairs
from simplex_lib.widgets.explorer.recipes import ALL

WHOLE = 64  # a map of this many keys a side is drawn whole; of a longer text, the last ones
TOP = 24  # pairs in the table, for each mode
ROUNDING = 5e-7  # probabilities that differ by less are called alike


@dataclass(frozen=True)
class Row:
    """One pair in the table. share: of this and all higher rows; product: of the marginals."""

    first: int
    second: int
    prob: float
    logit: float | None
    share: float
    product: float
    swapped: float  # A[i, k, j]
    other: float | None  # the compared tensor's probability


@dataclass(frozen=True)
class Explained:
    """Everything the view shows about one query. Maps are (n, n), NaN where nothing is known."""

    query: int
    origin: int  # the key of row 0 and column 0
    window: tuple[int, int, int, int] | None  # j_lo, j_hi, k_lo, k_hi, both ends included
    recipe: str
    visible: np.ndarray
    marks: np.ndarray  # GOOD, NAN or NEGATIVE
    probs: np.ndarray
    logits: np.ndarray
    asymmetry: np.ndarray  # A[i, j, k] - A[i, k, j]
    product: np.ndarray  # of the two marginals, with the sum of the map
    difference: np.ndarray | None
    other: np.ndarray | None  # the compared tensor's probabilities
    other_logits: np.ndarray | None  # its logits, if it holds logits
    first: np.ndarray  # (n,) marginal over the first key
    second: np.ndarray
    lse: np.ndarray | None  # (1, 1), (n, 1) or (1, n): one for each softmax; None: probs were given
    mutual: float  # mutual information of the two keys
    mutual_max: float  # the smaller of the two entropies: the most it could be
    moved: float  # total variation between the map and the product: share that would have to move
    swapped: float  # total variation between the map and its transpose
    kept: float | None  # share inside the window
    drawn: float  # share inside the drawn keys
    faults: Faults
    rows: dict[str, tuple[Row, ...]]  # by mode


def explain(
    pairs: Pairs,
    h: int,
    i: int,
    *,
    recipe: str = ALL,
    compare: Pairs | None = None,
    w1: int | None = None,
    w2: int | None = None,
) -> Explained:
    """One query of one head, by the recipe; logits of compare are taken over all pairs."""
    s, n = len(pairs.tokens), min(len(pairs.tokens), WHOLE)
    origin = max(0, min(i - n + 1 if pairs.causal else i - n // 2, s - n))
    look = look_at(pairs, h, i, recipe, origin, n)
    p, visible, good = look.p, look.visible, look.marks == GOOD
    first, second, inside = p.sum(1), p.sum(0), float(p.sum())
    shape = p / inside if inside > 0 else p
    f, g = shape.sum(1), shape.sum(0)
    product = np.outer(first, second) / max(inside, 1e-300)
    either = (visible | visible.T) & good & good.T
    other = difference = other_logits = None
    if compare is not None:
        twin = look_at(compare, min(h, len(compare.heads) - 1), i, ALL, origin, n)
        fine = good & (twin.marks == GOOD)
        difference = np.where((visible | twin.visible) & fine, p - twin.p, np.nan)
        other_logits = twin.logits if compare.kind == pairs.kind == "logits" else None
        other = np.where(twin.visible & (twin.marks == GOOD), twin.p, np.nan)
    maps: dict[str, Any] = dict(
        probs=np.where(visible & good, p, np.nan),
        logits=look.logits,
        asymmetry=np.where(either, p - p.T, np.nan),
        product=np.where(visible.any(1, keepdims=True) & visible.any(0), product, np.nan),
        difference=difference,
        other=other,
        other_logits=other_logits,
    )
    window = key_window(i, s, w1, w2, pairs.causal)
    kept = None
    if window:
        j_lo, j_hi, k_lo, k_hi = (max(0, e - origin) for e in window)
        kept = float(shape[j_lo : j_hi + 1, k_lo : k_hi + 1].sum())
    return Explained(
        query=i,
        origin=origin,
        window=window,
        recipe=recipe,
        visible=visible,
        marks=look.marks,
        **maps,
        first=first,
        second=second,
        lse=look.lse,
        mutual=mutual_information(shape),
        mutual_max=min(_entropy(f), _entropy(g)),
        moved=float(np.abs(shape - np.outer(f, g)).sum()) / 2,
        swapped=float(np.abs(shape - shape.T).sum()) / 2,
        kept=kept,
        drawn=min(1.0, inside / look.mass) if look.mass > 0 else 1.0,
        faults=look.faults,
        rows=_rows_by_mode(maps, p, origin, look.lse is not None),
    )


def mutual_information(p: np.ndarray) -> float:
    """sum p log(p / (p_j p_k)) of a map that sums to 1, in nats."""
    product = np.outer(p.sum(1), p.sum(0))
    ratio = np.where(p > 0, p, 1) / np.where(p > 0, product, 1)
    return max(0.0, float((p * np.log(ratio)).sum()))


def key_window(i: int, s: int, w1: int | None, w2: int | None, causal: bool):
    """(j_lo, j_hi, k_lo, k_hi), both ends included; None if no window was given."""
    if w1 is None and w2 is None:
        return None
    w1, w2 = w1 or s, w2 or s
    ends = (i, i) if causal else (min(s - 1, i + w1 - 1), min(s - 1, i + w2 - 1))
    return max(0, i - w1 + 1), ends[0], max(0, i - w2 + 1), ends[1]


def _rows_by_mode(maps: dict, p: np.ndarray, origin: int, has_logits: bool) -> dict:
    def rows(score: np.ndarray) -> tuple[Row, ...]:
        order = np.argsort(-np.nan_to_num(score, nan=-np.inf).ravel(), kind="stable")[:TOP]
        found, share, mass = [], 0.0, max(float(p.sum()), 1e-300)
        for j, k in zip(*np.unravel_index(order, score.shape), strict=True):
            if not np.isfinite(score[j, k]):
                break
            share += float(p[j, k]) / mass
            logit, other = maps["logits"][j, k], maps["other"]
            found.append(
                Row(
                    first=int(j) + origin,
                    second=int(k) + origin,
                    prob=float(p[j, k]),
                    logit=float(logit) if has_logits and np.isfinite(logit) else None,
                    share=share,
                    product=float(np.nan_to_num(maps["product"][j, k])),
                    swapped=float(p[k, j]),
                    other=None if other is None else float(np.nan_to_num(other[j, k])),
                )
            )
        return tuple(found)

    by_mode = {"probs": rows(maps["probs"])}
    if has_logits:
        by_mode["logits"] = by_mode["probs"] if _same_order(maps) else rows(maps["logits"])
    lead = maps["asymmetry"]
    by_mode["asymmetry"] = rows(np.where(lead > 0, lead, np.nan))
    if maps["difference"] is not None:
        gap = np.abs(maps["difference"])
        by_mode["difference"] = rows(np.where(gap > ROUNDING, gap, np.nan))
    return by_mode


def _same_order(maps: dict) -> bool:
    """True if the largest probability is the largest logit: always so after one joint softmax."""
    p, x = maps["probs"], maps["logits"]
    known = np.isfinite(x) & np.isfinite(p)
    return not known.any() or bool((np.diff(p[known][np.argsort(x[known])]) >= -1e-12).all())


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return max(0.0, float(-(p * np.log(p)).sum()))
