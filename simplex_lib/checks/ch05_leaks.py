"""The attentions on which exercise 5.2 tries a learner's test: causal ones and ones that leak.

Every one takes q, k, v (b, h, s, d) of any sizes. What later tokens do to it is of order 1, or as
much smaller as its text says; a causal one may move by rounding.
Axes: b batch, h head, i query, j key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simplex_lib.checks.ch05_common import Convolve, both_sides, correlate, later_queries, past

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
ROWS, COLUMNS = 3, 5
THOUSANDTH = 1e-3
TINY = 5e-5


@dataclass(frozen=True)
class Trial:
    """says completes "an attention that ...". through: the tensors of later tokens it reads."""

    name: str
    attention: Attention
    says: str
    leaks: bool
    through: frozenset[str] = frozenset("qkv")
    needs: int = 2  # positions, to show at all
    heads: int = 1  # to show at all
    together: bool = False  # all numbers of a position move the same way


def _kernel(like: Tensor) -> Tensor:
    """Taps of either sign, another kernel for each head."""
    taps = torch.arange(like.shape[1] * ROWS * COLUMNS, dtype=torch.float64) * 2.4 + 1
    return (0.7 * taps.sin()).view(like.shape[1], ROWS, COLUMNS).to(like.dtype)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / math.sqrt(q.shape[-1])


def _soft(logits: Tensor) -> Tensor:
    return logits.masked_fill(~past(logits.shape[-1]), -math.inf).softmax(-1)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _soft(_scores(q, k)) @ v


def multi_token(
    *,
    pre: Convolve | None = correlate,
    post: Convolve | None = None,
    first: bool = True,
    second: bool = True,
    last: bool = True,
) -> Attention:
    """Its convolutions, and which of the three masks are there."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        logits, kernel = _scores(q, k), _kernel(q)
        if pre is not None:
            logits = pre(logits.tril() if first else logits, kernel)
        weights = _soft(logits) if second else logits.softmax(-1)
        if post is not None:
            weights = post(weights, kernel)
            weights = weights.tril() if last else weights
        return weights @ v

    return attention


def eq4(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Only keys after query i are hidden from query i: an earlier row may read them up to i."""
    logits, kernel, s = _scores(q, k), _kernel(q), q.shape[2]
    rows = [correlate(logits * (torch.arange(s) <= i), kernel)[:, :, i] for i in range(s)]
    return _soft(torch.stack(rows, 2)) @ v


def other_rounding(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What is taken off for stability comes from later logits too, and cancels up to rounding."""
    logits = _scores(q, k)
    own = logits.masked_fill(~past(q.shape[2]), -math.inf).amax(-1, keepdim=True)
    top = torch.minimum(logits.amax(-1, keepdim=True), own + 3)
    e = (logits.minimum(own) - top).exp().tril()
    return (e / e.sum(-1, keepdim=True)) @ v


def own_token(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return v + q.tanh() * k.tanh()


def next_key(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q.shape[2]
    seen = torch.ones(s, s, dtype=torch.bool).tril(1)
    return _scores(q, k).masked_fill(~seen, -math.inf).softmax(-1) @ v


def masked_late(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _scores(q, k).softmax(-1).tril() @ v


def unmasked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _scores(q, k).softmax(-1) @ v


def _next(x: Tensor) -> Tensor:
    """Token i + 1 at position i; the last one stays."""
    return torch.cat([x[:, :, 1:], x[:, :, -1:]], 2)


def through_q(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each query is averaged with the next one."""
    return plain((q + _next(q)) / 2, k, v)


def through_v(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return plain(q, k, v) - 0.1 * v.mean(2, keepdim=True)


def thousandth(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return plain(q, k, v) + THOUSANDTH * _next(v)


def between(query: int, key: int) -> Attention:
    """One position reads one later token; places below 0 count from the end."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, s = plain(q, k, v), q.shape[2]
        i, j = query % s if query < 0 else query, key % s if key < 0 else key
        if not i < j < s:
            return out
        row = plain(q, k, v)[:, :, i] + 0.5 * v[:, :, j] * (q[:, :, i] * k[:, :, j]).tanh()
        return torch.cat([out[:, :, :i], row[:, :, None], out[:, :, i + 1 :]], 2)

    return attention


def last_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.cat([plain(q, k, v)[:, :-1], unmasked(q, k, v)[:, -1:]], 1)


def tiny(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Moves by less than 1e-4, whatever the next value is."""
    return plain(q, k, v) + TINY * _next(v).tanh()


def one_way(sign: float) -> Attention:
    """In the first sentence query 1 adds one number of token 2 everywhere.

    With the opposite sign what went up goes down: a test that forgets abs() misses one of the two.
    """

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = plain(q, k, v)
        if q.shape[2] < 3:
            return out
        first = torch.zeros_like(out)
        first[0, :, 1] = 1
        return out + sign * v[:1, :, 2].mean() * first

    return attention


def other_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    later = _next(v)
    return plain(q, k, v) + 0.1 * (later - later.mean(1, keepdim=True))


TRIALS = (
    Trial("causal", plain, "is the causal attention of chapter 1", False),
    Trial("multi-token", multi_token(), "convolves its logits between both masks", False),
    Trial(
        "multi-token after the softmax",
        multi_token(pre=None, post=correlate),
        "convolves its probabilities and masks them again",
        False,
    ),
    Trial(
        "Eq. 4",
        eq4,
        "convolves its logits as Eq. 4 says: query i reads nothing of the tokens after i",
        False,
    ),
    Trial("own token", own_token, "reads the query's own token and no other", False),
    Trial(
        "rounding",
        other_rounding,
        "is causal up to rounding: later tokens change the last digits of its sums",
        False,
    ),
    Trial("no mask", unmasked, "has no mask at all", True, frozenset("kv")),
    Trial(
        "padding on both sides",
        multi_token(pre=both_sides),
        "pads its query axis on both sides, as a widely used library does",
        True,
        frozenset("qk"),
    ),
    Trial(
        "padding behind",
        multi_token(pre=later_queries),
        "pads its query axis behind the last query",
        True,
        frozenset("qk"),
    ),
    Trial(
        "no first mask",
        multi_token(first=False),
        "lacks the mask before the convolution",
        True,
        frozenset("k"),
    ),
    Trial(
        "no second mask",
        multi_token(second=False),
        "lacks the mask after the convolution: values of later tokens come in",
        True,
        frozenset("v"),
    ),
    Trial(
        "padding on both sides after the softmax",
        multi_token(pre=None, post=both_sides),
        "convolves its probabilities with a query axis padded on both sides",
        True,
        frozenset("qk"),
    ),
    Trial(
        "no last mask",
        multi_token(pre=None, post=correlate, last=False),
        "convolves its probabilities and does not mask them again: only values of later tokens "
        "come in",
        True,
        frozenset("v"),
    ),
    Trial(
        "one key ahead", next_key, "has a mask that leaves the next key open", True, frozenset("kv")
    ),
    Trial(
        "masked late",
        masked_late,
        "masks after its softmax: only keys of later tokens come in, through the sum of a row",
        True,
        frozenset("k"),
    ),
    Trial(
        "next query",
        through_q,
        "averages each query with the next one: only queries of later tokens come in",
        True,
        frozenset("q"),
    ),
    Trial(
        "mean of the values",
        through_v,
        "takes off the mean of all values: only values of later tokens come in",
        True,
        frozenset("v"),
    ),
    Trial(
        "a thousandth",
        thousandth,
        "adds a thousandth of the next value",
        True,
        frozenset("v"),
    ),
    Trial(
        "query 2, token 3",
        between(2, 3),
        "lets query 2 read token 3, and is causal everywhere else",
        True,
        frozenset("kv"),
        4,
    ),
    Trial(
        "query 1, token 2",
        between(1, 2),
        "lets query 1 read token 2, and is causal everywhere else",
        True,
        frozenset("kv"),
        3,
    ),
    Trial(
        "query 3, token 4",
        between(3, 4),
        "lets query 3 read token 4, and is causal everywhere else",
        True,
        frozenset("kv"),
        5,
    ),
    Trial(
        "query 0, token 1",
        between(0, 1),
        "lets query 0 read token 1, and is causal everywhere else",
        True,
        frozenset("kv"),
    ),
    Trial(
        "query 1, token 5",
        between(1, 5),
        "lets query 1 read token 5, and is causal everywhere else",
        True,
        frozenset("kv"),
        6,
    ),
    Trial(
        "the last token",
        between(-2, -1),
        "lets the last but one query read the last token, and is causal everywhere else",
        True,
        frozenset("kv"),
    ),
    Trial("last head", last_head, "is causal in every head but the last", True, frozenset("kv")),
    Trial(
        "tiny",
        tiny,
        "adds 0.00005 times the tanh of the next value",
        True,
        frozenset("v"),
    ),
    *(
        Trial(
            f"one way, {word}",
            one_way(sign),
            f"{word} query 1 of the first sentence the mean of the values of token 2, the same "
            "number in all heads and features, and is causal everywhere else",
            True,
            frozenset("v"),
            3,
            together=True,
        )
        for word, sign in (("gives", 0.5), ("takes from", -0.5))
    ),
    Trial(
        "other heads",
        other_heads,
        "adds a tenth of what the next value differs from the mean of all heads",
        True,
        frozenset("v"),
        heads=2,
    ),
)
