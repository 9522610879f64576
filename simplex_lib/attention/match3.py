"""Match3 in one determinant head of dimension 7, from weights written by hand.

Read from the top: `match3_head` is the paper's layout, `match3_blank_token_head` one whose
threshold 1/2 is safe; `sufficient_c` and `sufficient_c_and_tau` say how sharp the softmax must be.

With a, b, c' the angles 2 pi x / M of the query and the two keys, two determinants add up to
cos(a + b + c'), which is 1 if and only if the three numbers add up to 0 modulo M. The factor c
on the query makes the softmax choose. A blank pair of value 0 takes the softmax where nothing
matches; the output is the share that real pairs keep.

Axes: b batch, i query, j first key, k second key, s sequence length, f feature. M is called
modulus. The task itself, with inputs and right answers: `simplex_lib/tasks/match3.py`.

Source: arXiv:2507.02754, Theorem 5.1 and Appendix A.1, whose output threshold is 1/2. In exact
arithmetic a single match gives a little more than 1/2, in floating point also a little less, so
the threshold is 0.3 here. The second layout is our own.
"""

import math
import sys
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simplex_lib.attention.determinant import determinant_attention, determinant_logits
from simplex_lib.errors import DTYPES, kind, plain, require_count
from simplex_lib.tasks.match3 import check_match3, require_modulus

THRESHOLD = 0.3  # of match3_head; that of match3_blank_token_head is 1/2
MARGIN = 0.1  # above the bound, in units of the logits


class Match3Weights(NamedTuple):
    """Linear maps from features to the head, as explicit matrices."""

    wq: Float[Tensor, "7 f"]
    wk1: Float[Tensor, "7 f"]
    wk2: Float[Tensor, "7 f"]
    wv: Float[Tensor, "1 f"]  # of the first and of the second value


def match3_head(
    x: Int[Tensor, "b s"], modulus: int, *, c: float, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "b s"]:
    """The paper's layout: the share of real pairs; an answer is share > 0.3.

    Features (cos, sin, 1). One more score a query, that of the blank pair, is a plain product
    q . k_blank = c and no determinant; it enters the softmax over pairs with value 0.

    Args:
        x: tokens, (b, s), from 0 to modulus - 1.
        modulus: M, at least 2.
        c: factor on the query; `sufficient_c` gives one that is large enough.
        dtype: of weights, features and logits.

    Raises:
        ValueError, TypeError: x is not (b, s), not integers or out of range; modulus below 2; c
            is not a finite number.

    >>> match3_head(torch.tensor([[1, 2, 4]]), 8, c=sufficient_c(3, 8)) > THRESHOLD
    tensor([[False,  True,  True]])
    """
    size = check_match3(x, modulus)
    weights = match3_weights(c, dtype=dtype, device=x.device)
    features = match3_features(x, modulus, dtype)[:, None]  # one head: (b, 1, s, f)
    q, k1, k2 = (features @ w.T for w in (weights.wq, weights.wk1, weights.wk2))
    v = features @ weights.wv.T
    blank_key = torch.eye(7, dtype=dtype, device=x.device)[6]
    pairs = determinant_logits(q, k1, k2).flatten(-2)  # (b, 1, s, s * s)
    probs = torch.cat([pairs, (q @ blank_key)[..., None]], -1).softmax(-1)
    values = (v * v.mT).flatten(-2)[..., None]  # (b, 1, s * s, 1), the products v[j] v[k]
    return (probs[..., :-1] @ values).view(size["b"], size["s"])


def match3_blank_token_head(
    x: Int[Tensor, "b s"],
    modulus: int,
    *,
    c: float,
    tau: float,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "b s"]:
    """A blank token in front of the others: the share of real pairs; an answer is share > 1/2.

    Nothing but `determinant_attention`, not causal, with scale 1. Features (cos, sin, 1, 0), and
    (0, 0, 0, 1) for the blank token. The seventh coordinate is left over from the two chunks of
    three and multiplied as it is: the pair (blank, blank) scores c * tau, the 2 s pairs with one
    blank score 0, and all of these have value 0. With cos(2 pi / M) < tau < 1 the blank pair lies
    between the matches and the misses, so a match gives far more than 1/2.

    Args:
        x, modulus, dtype: as in `match3_head`.
        c, tau: `sufficient_c_and_tau` gives a pair that is large enough.

    >>> c, tau = sufficient_c_and_tau(3, 8)
    >>> match3_blank_token_head(torch.tensor([[1, 2, 4]]), 8, c=c, tau=tau) > 1 / 2
    tensor([[False,  True,  True]])
    """
    check_match3(x, modulus)
    weights = match3_blank_token_weights(c, tau, dtype=dtype, device=x.device)
    tokens = torch.nn.functional.pad(match3_features(x, modulus, dtype), (0, 1))
    blank = torch.eye(4, dtype=dtype, device=x.device)[3].expand(len(x), 1, 4)
    features = torch.cat([blank, tokens], 1)[:, None]  # one head: (b, 1, s + 1, f)
    q, k1, k2 = (features @ w.T for w in (weights.wq, weights.wk1, weights.wk2))
    v = features @ weights.wv.T
    return determinant_attention(q, k1, k2, v, v, causal=False, scale=1)[:, 0, 1:, 0]


def sufficient_c(s: int, modulus: int, *, threshold: float = THRESHOLD) -> float:
    """A factor c for `match3_head` that makes no mistake in exact arithmetic, for every input.

    A miss scores at most c cos(2 pi / M) and there are at most s * s of them, so together they
    weigh r <= s^2 exp(-c gap) of the blank pair, gap = 1 - cos(2 pi / M), and the output is
    r / (1 + r). It stays below the threshold t if r < t / (1 - t), that is if
    c > (2 ln s + ln((1 - t) / t)) / gap, about M^2 ln s / pi^2. A match gives 1/2 or more for
    every c > 0.

    >>> round(sufficient_c(32, 97)), round(sufficient_c(32, 194) / sufficient_c(32, 97))
    (3757, 4)
    """
    require_count(s=s)
    require_modulus(modulus)
    require_number(threshold=threshold)
    if not 0 < threshold < 0.5:
        raise ValueError(f"threshold must be above 0 and below 1/2; got {threshold}.")
    return (2 * math.log(s) + math.log((1 - threshold) / threshold) + MARGIN) / gap(modulus)


def sufficient_c_and_tau(s: int, modulus: int, *, midpoint: bool = False) -> tuple[float, float]:
    """c and tau for `match3_blank_token_head` that make no mistake in exact arithmetic.

    A miss stays below 1/2 if s^2 exp(c cos(2 pi / M)) < exp(c tau). A match goes above it if
    exp(c tau) + 2 s < exp(c). Both hold with c (1 - tau) = ln 4, c > ln 4 s and
    c = (2 ln s + ln 4) / gap and a margin. midpoint=True puts tau halfway between the matches and
    the misses, where c = 2 max(2 ln s, ln 4) / gap does it, up to twice as much.

    >>> c, tau = sufficient_c_and_tau(32, 97)
    >>> round(c), round(c * (1 - tau), 9) == round(math.log(4), 9)
    (4014, True)
    """
    require_count(s=s)
    require_modulus(modulus)
    one_blank = math.log(4 * s)  # the 2 s pairs with one blank weigh at most half a match
    if midpoint:
        c = max((2 * max(2 * math.log(s), math.log(4)) + MARGIN) / gap(modulus), one_blank)
        return c, 1 - gap(modulus) / 2
    c = max((2 * math.log(s) + math.log(4) + MARGIN) / gap(modulus), one_blank)
    return c, 1 - math.log(4) / c


def match3_features(
    x: Int[Tensor, "b s"], modulus: int, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "b s 3"]:
    """(cos, sin, 1) of the angle 2 pi x / M, computed in float64, then rounded to dtype."""
    check_match3(x, modulus)
    angle = x.double() * (2 * math.pi / modulus)
    return torch.stack([angle.cos(), angle.sin(), torch.ones_like(angle)], -1).to(dtype)


def match3_weights(
    c: float, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> Match3Weights:
    """Appendix A.1: columns cos, sin, 1; rows two chunks of three and the seventh coordinate."""
    require_number(c=c)
    o, cos, sin, one = [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]
    minus_cos, minus_sin = [-1, 0, 0], [0, -1, 0]
    wq = [cos, sin, o, minus_sin, cos, o, one]
    wk1 = [sin, cos, o, minus_sin, minus_cos, o, o]
    wk2 = [o, o, cos, o, o, minus_sin, o]
    return as_weights([wq, wk1, wk2, [one]], c, dtype=dtype, device=device)


def match3_blank_token_weights(
    c: float,
    tau: float,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> Match3Weights:
    """Columns cos, sin, 1, blank; the blank token has key (0, ..., 0, 1), query and value 0."""
    require_number(c=c, tau=tau)
    o, cos, sin, one, blank = [0, 0, 0, 0], *torch.eye(4, dtype=torch.int64).tolist()
    minus_cos, minus_sin = [-1, 0, 0, 0], [0, -1, 0, 0]
    wq = [cos, sin, o, cos, sin, o, [0, 0, tau, 0]]
    wk1 = [sin, cos, o, minus_cos, sin, o, blank]
    wk2 = [o, o, cos, o, o, minus_sin, blank]
    return as_weights([wq, wk1, wk2, [one]], c, dtype=dtype, device=device)


def as_weights(
    matrices: Sequence[Sequence[Sequence[float]]],
    c: float,
    *,
    dtype: torch.dtype,
    device: torch.device | None,
) -> Match3Weights:
    """The four matrices as tensors, the first one times c."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(plain, DTYPES))}; got {dtype}.")
    wq, *others = (torch.tensor(rows, dtype=dtype, device=device) for rows in matrices)
    wq = float(c) * wq
    if not wq.is_meta and not wq.isfinite().all():
        raise ValueError(f"c must fit {plain(dtype)}; got {c}.")
    return Match3Weights(wq, *others)


def gap(modulus: int) -> float:
    """How far a match is above the nearest miss, for c = 1: 1 - cos(2 pi / M)."""
    return 2 * math.sin(math.pi / modulus) ** 2  # the same, without the cancellation


def require_number(**numbers: float) -> None:
    for name, x in numbers.items():
        if isinstance(x, bool) or not isinstance(x, Real):
            raise TypeError(f"{name} must be a number; got {kind(x)}.")
        if not abs(x) <= sys.float_info.max:
            raise ValueError(f"{name} must be finite; got {x}.")
