"""Any tensor that people have -> `Pairs`. A faulty tensor is shown, an impossible one refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SHAPES = "(s, s, s), (h, s, s, s) or (b, h, s, s, s)"
KINDS = ("logits", "probs")


@dataclass(frozen=True)
class Pairs:
    """One tensor made uniform. Faults stay in it: NaN, negative or future probabilities, odd sums.

    values (h, s, rows, columns) are logits or probabilities, as kind says; visible says which of
    them the query may see. compact: (w1, w2) if rows and columns count back from the query.
    """

    tokens: tuple[str, ...]
    heads: tuple[str, ...]
    values: np.ndarray
    visible: np.ndarray
    kind: str
    causal: bool
    compact: tuple[int, int] | None

    def block(self, h: int, i: int) -> tuple[int, int, np.ndarray, np.ndarray]:
        """First row's j, first column's k, the values and what is visible of them."""
        w1, w2 = self.compact or (i + 1, i + 1)
        j0, k0 = i - w1 + 1, i - w2 + 1
        cut = np.s_[max(0, -j0) :, max(0, -k0) :]
        return max(0, j0), max(0, k0), self.values[h, i][cut], self.visible[h, i][cut]


def read_pairs(
    tensor: Any,
    *,
    tokens: Any = None,
    heads: Any = None,
    name: str = "tensor",
    batch: int = 0,
    kind: str | None = None,
    w1: int | None = None,
    w2: int | None = None,
    causal: bool = True,
) -> Pairs:
    """Logits or probabilities, (s, s, s), (h, s, s, s), (b, h, s, s, s), compact (..., s, w1, w2).

    kind None: probabilities if no entry is negative and every query's entries sum to 1, or every
    row or column of every query to 0 or 1; else logits. Logits of the future are masked if causal;
    probabilities of the future are kept, and shown if they are not 0. A window hides what is
    outside it only where it is -inf or has probability 0 already.
    """
    for key, w in dict(w1=w1, w2=w2).items():
        if w is not None and w < 1:
            raise ValueError(
                f"{key} counts the query's own position, so it is at least 1; got {w}."
            )
    if kind not in (None, *KINDS):
        raise ValueError(
            f"kind must be None or one of {', '.join(map(repr, KINDS))}; got {kind!r}."
        )
    a, compact = _four_axes(tensor, name, batch, (w1, w2))
    n_heads, s, rows, cols = a.shape
    tokens = _names(tokens, s, "tokens must be as many as queries")
    heads = _names(heads, n_heads, "heads must name as many as the tensor has")

    i, j, k = np.arange(s)[:, None, None], np.arange(rows)[:, None], np.arange(cols)
    if compact:
        j, k = i - rows + 1 + j, i - cols + 1 + k
    inside = np.broadcast_to((j >= 0) & (k >= 0), a.shape)
    past = inside & (j <= i) & (k <= i)
    kind = kind or guess_kind(np.where(inside, a, 0))
    if kind == "logits":
        visible = (past if causal else inside) & (a != -np.inf)
        return Pairs(tokens, heads, a, visible, kind, causal, compact)
    first, second = i - j < (w1 or s), i - k < (w2 or s)
    if not causal:
        first, second = first & (j - i < (w1 or s)), second & (k - i < (w2 or s))
    visible = inside & ((a != 0) | (first & second & (past if causal else inside)))
    return Pairs(tokens, heads, a, visible, kind, causal, compact)


def guess_kind(a: np.ndarray) -> str:
    """ "probs" for what some softmax over (j, k), j or k may have made, else "logits"."""
    a = np.where(np.isnan(a), 0, a)
    if not np.isfinite(a).all() or (a < 0).any():
        return "logits"
    if np.abs(a.sum((-2, -1)) - 1).max() < 1e-2:
        return "probs"
    for axis in (-1, -2):  # 0: a masked row
        sums = a.sum(axis)
        if (np.minimum(np.abs(sums), np.abs(sums - 1)) < 1e-2).all() and sums.max() > 0.5:
            return "probs"
    return "logits"


def _four_axes(tensor: Any, name: str, batch: int, windows: tuple):
    """(h, s, rows, columns) in float64, and (w1, w2) if rows and columns count back."""
    detach = getattr(tensor, "detach", None)
    try:
        a = np.asarray(detach().cpu().double().numpy() if detach else tensor, dtype=float)
    except (TypeError, ValueError) as error:
        got = type(tensor).__name__
        raise ValueError(f"{name} must be a tensor of numbers, {SHAPES}; got {got}.") from error
    if a.ndim not in (3, 4, 5):
        raise ValueError(f"{name} must be {SHAPES}; got {a.shape}.")
    if not a.size:
        raise ValueError(f"{name} must hold at least one query; got {a.shape}.")
    shape = a.shape
    if a.ndim == 5:
        if not 0 <= batch < len(a):
            raise ValueError(f"batch must be at least 0 and below {len(a)}; got {batch}.")
        a = a[batch]
    a = a[None] if a.ndim == 3 else a
    s, *block = a.shape[1:]
    if block == [s, s]:
        return a, None
    if tuple(block) != windows:
        w1, w2 = windows
        raise ValueError(
            f"{name} must be (..., s, s, s), or (..., s, w1, w2) with the w1 = {w1} and "
            f"w2 = {w2} that were given; got {shape}."
        )
    return a, windows


def _names(names: Any, count: int, wish: str) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(count)))
    names = tuple(map(str, names))
    if len(names) != count:
        raise ValueError(f"{wish}, {count}; got {len(names)}.")
    return names
