"""Answers to exercise 4.2, wrong and right; the exercise is in `ch04_windowed.py`.

Axes: b batch, h head, i query, s sequence length, u place in the first window, w place in the
second, d head_dim, dv size of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _places(s: int, first: int, last: int) -> Tensor:
    """(s, n): the positions i + first, ..., i + last of every query i, also outside."""
    return torch.arange(s)[:, None] + torch.arange(first, last + 1)


def _read(x: Tensor, at: Tensor) -> Tensor:
    """(b, h, s, d), (s, n) -> (b, h, s, n, d); something or other for places outside."""
    return x[:, :, at.clamp(0, x.shape[2] - 1)]


def _exists(at: Tensor) -> Tensor:
    return (at >= 0) & (at < at.shape[0])


def _attend(
    arguments: tuple[Any, ...],
    at1: Tensor,
    at2: Tensor,
    *,
    seen: Tensor | None = None,
    low: float = -math.inf,
    scale: float | None = None,
) -> Tensor:
    """One softmax over the places at1, at2; seen: (s, u, w), those that exist if None."""
    q, k1, k2, v1, v2 = arguments[:5]
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    seen = _exists(at1)[:, :, None] & _exists(at2)[:, None] if seen is None else seen
    logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", q, _read(k1, at1), _read(k2, at2)) * factor
    probs = logits.masked_fill(~seen, low).flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, _read(v1, at1), _read(v2, at2))


def _windows(arguments: tuple[Any, ...], more1: int = 0, more2: int = 0) -> tuple[Tensor, Tensor]:
    """Places of windows that are so much longer than w1 and w2; no longer than they need be."""
    s, w1, w2 = arguments[0].shape[2], arguments[5] + more1, arguments[6] + more2
    return _places(s, 1 - min(w1, s), 0), _places(s, 1 - min(w2, s), 0)


def lengths(more1: int, more2: int) -> Callable[..., Tensor]:
    return lambda *arguments: _attend(arguments, *_windows(arguments, more1, more2))


def hidden_lengths(more1: int, more2: int) -> Callable[..., Tensor]:
    """Windows that are too short, and a query with nothing to see gets NaN."""

    def answer(*arguments: Any) -> Tensor:
        at1, at2 = _windows(arguments)
        s, w1, w2 = at1.shape[0], arguments[5], arguments[6]
        i = torch.arange(s)[:, None]
        first = _exists(at1) & (i - at1 < w1 + more1)
        second = _exists(at2) & (i - at2 < w2 + more2)
        return _attend(arguments, at1, at2, seen=first[:, :, None] & second[:, None])

    return answer


def _full(s: int, w1: int, w2: int) -> Tensor:
    i = torch.arange(s)
    back = i[:, None] - i
    first, second = (back >= 0) & (back < w1), (back >= 0) & (back < w2)
    return first[:, :, None] & second[:, None]


def wrong_cube(*arguments: Any) -> Tensor:
    q, k1, k2, v1, v2, w1, w2 = arguments
    s = q.shape[2]
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) * q.shape[-1] ** -0.5
    logits = logits.masked_fill(~_full(s, w1, w2), -math.inf)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)


def wrong_one_window_cut(*arguments: Any) -> Tensor:
    """(b, h, s, s, w2): the second window is cut out, the first is masked."""
    s = arguments[0].shape[2]
    at1 = torch.arange(s).expand(s, s)
    back = torch.arange(s)[:, None] - at1
    at2 = _windows(arguments)[1]
    first = (back >= 0) & (back < arguments[5])
    return _attend(arguments, at1, at2, seen=first[:, :, None] & _exists(at2)[:, None])


def wrong_maps(*arguments: Any) -> Tensor:
    """Exercise 2.4 with windows in its mask: a map (i, j) for each second key."""
    q, k1, k2, v1, v2, w1, w2 = arguments
    s = q.shape[2]
    i, j = torch.arange(s)[:, None], torch.arange(s)
    lse, out = torch.full_like(q[..., 0], -1e30), torch.zeros_like(v1)
    for k in range(s):
        logits = (q * k2[:, :, k : k + 1]) @ k1.transpose(-1, -2) * q.shape[-1] ** -0.5
        hidden = (j > i) | (i - j >= w1) | (k > i) | (i - k >= w2)
        logits = logits.masked_fill(hidden, -math.inf)
        new = torch.logaddexp(lse, logits.logsumexp(-1))
        weights = (logits - new[..., None]).exp()
        out = out * (lse - new).exp()[..., None] + (weights @ v1) * v2[:, :, k : k + 1]
        lse = new
    return out


def wrong_kept_rows(*arguments: Any) -> Tensor:
    """Every query's logits over its whole past and a window, all kept to the end."""
    q, k1, k2, v1, v2, w1, w2 = arguments
    s, rows = q.shape[2], []
    for i in range(s):
        second = slice(max(0, i - w2 + 1), i + 1)
        merged = q[:, :, i : i + 1] * k2[:, :, second]
        logits = merged @ k1.transpose(-1, -2) * q.shape[-1] ** -0.5  # (b, h, w2, s)
        j = torch.arange(s)
        probs = logits.masked_fill((j > i) | (i - j >= w1), -math.inf).flatten(-2).softmax(-1)
        rows.append((logits, probs.view_as(logits), second))
    return torch.stack([((p @ v1) * v2[:, :, at]).sum(2) for _, p, at in rows], 2)


def wrong_zero_keys(*arguments: Any) -> Tensor:
    """Padding takes part: zeros as keys and as values."""
    s, padded = arguments[0].shape[2], []
    for x, w in zip(arguments[1:5], (arguments[5], arguments[6]) * 2, strict=True):
        padded.append(torch.nn.functional.pad(x, (0, 0, w - 1, 0)))
    at1 = _places(s, 0, arguments[5] - 1)
    at2 = _places(s, 0, arguments[6] - 1)
    seen = torch.ones(s, at1.shape[1], at2.shape[1], dtype=torch.bool)
    return _attend((arguments[0], *padded), at1, at2, seen=seen)


def wrong_zero_keys_cut(*arguments: Any) -> Tensor:
    s = arguments[0].shape[2]
    return wrong_zero_keys(*arguments[:5], min(arguments[5], s), min(arguments[6], s))


def guessed(what: str) -> Callable[..., Tensor]:
    """Padding is told by its zeros: by a logit of 0, or by a key of zeros."""

    def answer(*arguments: Any) -> Tensor:
        q = arguments[0]
        w1, w2 = (min(w, q.shape[2]) for w in arguments[5:])
        k1, k2, v1, v2 = (
            torch.nn.functional.pad(x, (0, 0, w - 1, 0)).unfold(2, w, 1).transpose(-1, -2)
            for x, w in zip(arguments[1:5], (w1, w2) * 2, strict=True)
        )  # (b, h, s, w, d)
        logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", q, k1, k2) * q.shape[-1] ** -0.5
        hidden = logits == 0
        if what == "key":
            hidden = (k1 == 0).all(-1)[..., None] | (k2 == 0).all(-1)[..., None, :]
        probs = logits.masked_fill(hidden, -math.inf).flatten(-2).softmax(-1).view_as(logits)
        return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, v1, v2)

    return answer


def multiplied(before: bool, cut: bool) -> Callable[..., Tensor]:
    """Hidden pairs, read from position 0, times 0: before the softmax or after it."""

    def answer(*arguments: Any) -> Tensor:
        q, k1, k2, v1, v2, w1, w2 = arguments
        s = q.shape[2]
        if cut:
            w1, w2 = min(w1, s), min(w2, s)
        at1, at2 = _places(s, 1 - w1, 0), _places(s, 1 - w2, 0)
        seen = (_exists(at1)[:, :, None] & _exists(at2)[:, None]).to(q.dtype)
        logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", q, _read(k1, at1), _read(k2, at2))
        logits = logits * q.shape[-1] ** -0.5 * (seen if before else 1)
        probs = logits.flatten(-2).softmax(-1).view_as(logits) * (1 if before else seen)
        return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, _read(v1, at1), _read(v2, at2))

    return answer


def zero_keys_of_one(first: bool, cut: bool) -> Callable[..., Tensor]:
    """One key's padding is hidden, the other's takes part as zeros."""

    def answer(*arguments: Any) -> Tensor:
        q, k1, k2, v1, v2, w1, w2 = arguments
        s = q.shape[2]
        if not cut:  # windows longer than s have that many more zeros
            w1, w2 = (w1 if first else min(w1, s)), (min(w2, s) if first else w2)
        at1, at2 = _places(s, 1 - w1, 0), _places(s, 1 - w2, 0)
        if cut:
            at1, at2 = _windows(arguments)
        open1, open2 = torch.ones_like(at1, dtype=torch.bool), torch.ones_like(at2).bool()
        seen = (open1 if first else _exists(at1))[:, :, None] & (_exists(at2) if first else open2)[
            :, None
        ]
        there1, there2 = (_exists(at)[:, :, None].to(q.dtype) for at in (at1, at2))
        scaled = q * q.shape[-1] ** -0.5
        parts = [_read(k1, at1) * there1, _read(k2, at2) * there2]
        logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", scaled, *parts)
        probs = logits.masked_fill(~seen, -math.inf).flatten(-2).softmax(-1).view_as(logits)
        values = [_read(v1, at1) * there1, _read(v2, at2) * there2]
        return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, *values)

    return answer


def wrong_clamped(*arguments: Any) -> Tensor:
    s, w1, w2 = arguments[0].shape[2], *arguments[5:]
    at1, at2 = _places(s, 1 - w1, 0), _places(s, 1 - w2, 0)
    seen = torch.ones(s, w1, w2, dtype=torch.bool)
    return _attend(arguments, at1, at2, seen=seen)


def wrong_clamped_cut(*arguments: Any) -> Tensor:
    s = arguments[0].shape[2]
    return wrong_clamped(*arguments[:5], min(arguments[5], s), min(arguments[6], s))


def wrong_wrapped(*arguments: Any) -> Tensor:
    s = arguments[0].shape[2]
    at1, at2 = (at % s for at in _windows(arguments))
    return _attend(arguments, at1, at2)


def wrong_wrapped_uncut(*arguments: Any) -> Tensor:
    s, w1, w2 = arguments[0].shape[2], *arguments[5:]
    return _attend(arguments, _places(s, 1 - w1, 0) % s, _places(s, 1 - w2, 0) % s)


def wrong_wrapped_raises(*arguments: Any) -> Tensor:
    """Negative positions count from the end, as far as the sequence is long."""
    if max(arguments[5:]) > arguments[0].shape[2]:
        raise IndexError("index is out of bounds for a window longer than the sequence")
    return wrong_wrapped(*arguments)


def wrong_both_sides(*arguments: Any) -> Tensor:
    s = arguments[0].shape[2]
    at1, at2 = (_places(s, 1 - w, w - 1) for w in arguments[5:])
    return _attend(arguments, at1, at2)


def wrong_ahead(*arguments: Any) -> Tensor:
    s, w1, w2 = arguments[0].shape[2], *arguments[5:]
    return _attend(arguments, _places(s, 0, w1 - 1), _places(s, 0, w2 - 1))


def wrong_centred(*arguments: Any) -> Tensor:
    s = arguments[0].shape[2]
    at1, at2 = (_places(s, -(w // 2), w - 1 - w // 2) for w in arguments[5:])
    return _attend(arguments, at1, at2)


def moved(*arguments: Any) -> Tensor:
    s, w1, w2 = arguments[0].shape[2], *arguments[5:]
    return _attend(arguments, _places(s, -w1, -1), _places(s, -w2, -1))


def strict(*arguments: Any) -> Tensor:
    at1, at2 = _windows(arguments)
    past = torch.arange(at1.shape[0])[:, None]
    first, second = _exists(at1) & (at1 < past), _exists(at2) & (at2 < past)
    return _attend(arguments, at1, at2, seen=first[:, :, None] & second[:, None])


def no_nan(answer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments: answer(*arguments).nan_to_num(0.0)


def wrong_swapped(*arguments: Any) -> Tensor:
    return lengths(0, 0)(*arguments[:5], arguments[6], arguments[5])


def wrong_one_window(*arguments: Any) -> Tensor:
    return lengths(0, 0)(*arguments[:6], arguments[5])


def wrong_shorter(*arguments: Any) -> Tensor:
    return lengths(0, 0)(*arguments[:5], min(arguments[5:]), min(arguments[5:]))


def wrong_longer(*arguments: Any) -> Tensor:
    return lengths(0, 0)(*arguments[:5], max(arguments[5:]), max(arguments[5:]))


def wrong_unscaled(*arguments: Any) -> Tensor:
    return _attend(arguments, *_windows(arguments), scale=1.0)


def scaled_by_values(*arguments: Any) -> Tensor:
    return _attend(arguments, *_windows(arguments), scale=arguments[3].shape[-1] ** -0.5)


def no_maximum(*arguments: Any) -> Tensor:
    logits, v1, v2 = _parts(*arguments)
    weights = logits.exp()
    probs = weights / weights.sum((-2, -1), keepdim=True)
    return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, v1, v2)


def wrong_two_softmaxes(*arguments: Any) -> Tensor:
    logits, v1, v2 = _parts(*arguments)
    probs = (logits.softmax(-1) * logits.softmax(-2)).nan_to_num(0.0)
    return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, v1, v2)


def wrong_values_exchanged(*arguments: Any) -> Tensor:
    q, k1, k2, v1, v2, *windows = arguments
    return lengths(0, 0)(q, k1, k2, v2, v1, *windows)


def wrong_scaled_twice(*arguments: Any) -> Tensor:
    return _attend(arguments, *_windows(arguments), scale=1 / arguments[0].shape[-1])


def finite(low: float, zeros: bool) -> Callable[..., Tensor]:
    """zeros: the values of hidden places are zeros, as after padding."""

    def answer(*arguments: Any) -> Tensor:
        at1, at2 = _windows(arguments)
        q, k1, k2, v1, v2 = arguments[:5]
        if zeros:
            v1, v2 = (torch.nn.functional.pad(x, (0, 0, 1, 0)) for x in (v1, v2))
            k1, k2 = (torch.nn.functional.pad(x, (0, 0, 1, 0)) for x in (k1, k2))
            seen = _exists(at1)[:, :, None] & _exists(at2)[:, None]
            return _attend((q, k1, k2, v1, v2), at1 + 1, at2 + 1, seen=seen, low=low)
        return _attend((q, k1, k2, v1, v2), at1, at2, low=low)

    return answer


def _parts(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Right logits (b, h, i, u, w), and the windows' values."""
    q, k1, k2, v1, v2 = arguments[:5]
    at1, at2 = _windows(arguments)
    seen = _exists(at1)[:, :, None] & _exists(at2)[:, None]
    logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", q, _read(k1, at1), _read(k2, at2))
    logits = (logits * q.shape[-1] ** -0.5).masked_fill(~seen, -math.inf)
    return logits, _read(v1, at1), _read(v2, at2)


def _probs(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    logits, v1, v2 = _parts(*arguments)
    return logits.flatten(-2).softmax(-1).view_as(logits), v1, v2


def wrong_rows(*arguments: Any) -> Tensor:
    logits, v1, v2 = _parts(*arguments)
    return torch.einsum("bhiuw,bhiud,bhiwd->bhid", logits.softmax(-1).nan_to_num(0.0), v1, v2)


def wrong_columns(*arguments: Any) -> Tensor:
    logits, v1, v2 = _parts(*arguments)
    return torch.einsum("bhiuw,bhiud,bhiwd->bhid", logits.softmax(-2).nan_to_num(0.0), v1, v2)


def wrong_marginals(*arguments: Any) -> Tensor:
    probs, v1, v2 = _probs(*arguments)
    first = torch.einsum("bhiuw,bhiud->bhid", probs, v1)
    return first * torch.einsum("bhiuw,bhiwd->bhid", probs, v2)


def wrong_values_added(*arguments: Any) -> Tensor:
    probs, v1, v2 = _probs(*arguments)
    first = torch.einsum("bhiuw,bhiud->bhid", probs, v1)
    return first + torch.einsum("bhiuw,bhiwd->bhid", probs, v2)


def wrong_first_value(*arguments: Any) -> Tensor:
    probs, v1, _ = _probs(*arguments)
    return torch.einsum("bhiuw,bhiud->bhid", probs, v1)


def wrong_keys(*arguments: Any) -> Tensor:
    q, k1, k2, *rest = arguments
    return lengths(0, 0)(q, k2, k1, *rest)


Span = Callable[[int, int, int], slice]  # query, window, sequence length


def span(i: int, w: int, s: int) -> slice:
    return slice(max(0, i - w + 1), i + 1)


def past(i: int, w: int, s: int) -> slice:
    return slice(0, i + 1)


def full_at_the_start(i: int, w: int, s: int) -> slice:
    return slice(max(0, i - w + 1), max(w, i + 1))


def block(i: int, w: int, s: int) -> slice:
    return slice(i // w * w, i + 1)


def negative(i: int, w: int, s: int) -> slice:
    return slice(i - w + 1, i + 1)


def by_queries(first: Span, second: Span) -> Callable[..., Tensor]:
    """A loop over the queries; first, second: the keys of each."""

    def answer(*arguments: Any) -> Tensor:
        q, k1, k2, v1, v2, w1, w2 = arguments
        rows, s = [], q.shape[2]
        for i in range(s):
            j, k = first(i, w1, s), second(i, w2, s)
            logits = (q[:, :, i : i + 1] * k1[:, :, j]) @ k2[:, :, k].transpose(-1, -2)
            logits = logits * q.shape[-1] ** -0.5
            probs = logits.flatten(-2).softmax(-1).view_as(logits)
            rows.append(((probs @ v2[:, :, k]) * v1[:, :, j]).sum(2))
        return torch.stack(rows, dim=2)

    return answer


def right_by_queries(*arguments: Any) -> Tensor:
    return by_queries(span, span)(*arguments)


def right_unfolded(*arguments: Any) -> Tensor:
    q, k1, k2, v1, v2, w1, w2 = arguments
    s = q.shape[2]
    w1, w2 = min(w1, s), min(w2, s)
    k1, v1, k2, v2 = (
        torch.nn.functional.pad(x, (0, 0, w - 1, 0)).unfold(2, w, 1)
        for x, w in ((k1, w1), (v1, w1), (k2, w2), (v2, w2))
    )  # (b, h, s, d, w)
    real1, real2 = (_places(s, 1 - w, 0) >= 0 for w in (w1, w2))
    logits = torch.einsum("bhid,bhidu,bhidw->bhiuw", q, k1, k2) * q.shape[-1] ** -0.5
    logits = logits.masked_fill(~(real1[:, :, None] & real2[:, None]), -math.inf)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhiuw,bhidu,bhidw->bhid", probs, v1, v2)


def right_online(*arguments: Any) -> Tensor:
    """One distance i - k at a time, merged by the log-sum-exp."""
    q, k1, k2, v1, v2, _, w2 = arguments
    s, (at1, _) = q.shape[2], _windows(arguments)
    keys, values = _read(k1, at1), _read(v1, at1)
    out, lse = torch.zeros_like(v1), torch.full_like(q[..., 0], -math.inf)
    for back in range(min(w2, s)):
        here, there = slice(back, s), slice(0, s - back)
        merged = q[:, :, here] * k2[:, :, there] * q.shape[-1] ** -0.5
        logits = torch.einsum("bhid,bhiud->bhiu", merged, keys[:, :, here])
        logits = logits.masked_fill(~_exists(at1)[here], -math.inf)
        part, part_lse = logits.softmax(-1), logits.logsumexp(-1)
        new = torch.logaddexp(lse[:, :, here], part_lse)
        fresh = torch.einsum("bhiu,bhiud->bhid", part, values[:, :, here]) * v2[:, :, there]
        kept = out[:, :, here] * (lse[:, :, here] - new).exp()[..., None]
        kept = kept + fresh * (part_lse - new).exp()[..., None]
        out = torch.cat([out[:, :, :back], kept], 2)
        lse = torch.cat([lse[:, :, :back], new], 2)
    return out


def right_pairs(*arguments: Any) -> Tensor:
    """All pairs of a window as one list of keys k1 * k2 and values v1 * v2."""
    q, k1, k2, v1, v2 = arguments[:5]
    at1, at2 = _windows(arguments)
    key = (_read(k1, at1)[:, :, :, :, None] * _read(k2, at2)[:, :, :, None]).flatten(3, 4)
    value = (_read(v1, at1)[:, :, :, :, None] * _read(v2, at2)[:, :, :, None]).flatten(3, 4)
    seen = (_exists(at1)[:, :, None] & _exists(at2)[:, None]).flatten(1)
    logits = (key @ q[..., None])[..., 0] * q.shape[-1] ** -0.5
    probs = logits.masked_fill(~seen, -math.inf).softmax(-1)
    return (probs[..., None, :] @ value)[..., 0, :]
