"""Answers to exercise 4.5, wrong and right; the exercise is in `ch04_decode.py`.

Axes: b batch, h head, i query, s sequence length, j place in the first cache, k place in the
second, d head_dim, dv size of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Caches = dict[str, Any]
TENSORS = ("k1", "v1", "k2", "v2")
TENSORS_IN = ("k1", "k2", "v1", "v2")  # in the order of the arguments


def _attend(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, **change: Any) -> Tensor:
    scale = change.get("scale", q.shape[-1] ** -0.5)
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) * scale
    if "low" in change:  # (n1, n2): True at places in use
        logits = logits.masked_fill(~change["seen"], change["low"])
    if "over" in change:
        probs = logits.softmax(change["over"])
    else:
        probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)


Rule = Callable[[int, int, tuple[int, int]], int]  # seen before, this window, both windows


def ring(
    *,
    place: Rule = lambda seen, w, _: seen % w,
    held: Rule = lambda seen, w, _: min(seen + 1, w),
    raised: int = 1,
    after: Callable[[int, tuple[int, int]], int] | None = None,
    order: tuple[int, int, int, int] = (0, 1, 2, 3),
    between: int = 0,
    write: bool = True,
    full: bool = True,
    values: str = "ring",
    attend: Callable[..., Tensor] = _attend,
    keep: bool = True,
) -> Callable[..., Tensor]:
    """A step with one thing changed at a time: position p at place p mod w."""

    def answer(caches: Caches, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        sizes = caches["k1"].shape[2], caches["k2"].shape[2]
        k1, k2, v1, v2 = ((k1, k2, v1, v2)[n] for n in order)
        seen, now = caches["seen"], {}
        for n, k, v in (("1", k1, v1), ("2", k2, v2)):
            w = sizes[int(n) - 1]
            if seen < w or full:
                at = place(seen, w, sizes)
                now["k" + n] = _write(caches["k" + n], at, k)
                if values == "ring":
                    now["v" + n] = _write(caches["v" + n], at, v)
                else:
                    now["v" + n] = torch.cat([caches["v" + n][:, :, 1:], v], 2)
            else:
                now["k" + n], now["v" + n] = caches["k" + n], caches["v" + n]
            now["n" + n] = held(seen, w, sizes)
            seen += between
        if keep:
            caches.update({name: now[name] for name in TENSORS})
        seen = caches["seen"]
        caches["seen"] = after(seen, sizes) if after else seen + raised
        parts = (now[name][:, :, : now["n" + name[1]]] for name in ("k1", "k2", "v1", "v2"))
        return attend(q, *parts)

    return answer


def _write(x: Tensor, place: int, new: Tensor) -> Tensor:
    x = x.clone()
    x[:, :, place] = new[:, :, 0]
    return x


def before(*, zeros: bool, new: bool) -> Callable[..., Tensor]:
    """Attends first and takes in the token afterwards. zeros: all places; new: and the token."""

    def answer(caches: Caches, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        seen, parts = caches["seen"], []
        for name, x in zip(TENSORS_IN, (k1, k2, v1, v2), strict=True):
            old = caches[name] if zeros else caches[name][:, :, :seen]
            parts.append(torch.cat([old, x], 2) if new else old)
        out = _attend(q, *parts)
        ring()(caches, q, k1, k2, v1, v2)
        return out

    return answer


def shifted(*, front: bool = False, longer: int = 0) -> Callable[..., Tensor]:
    """Moves all positions by one place and puts the newest at the end."""

    def answer(caches: Caches, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        caches["seen"], parts = caches["seen"] + 1, []
        for name, x in zip(TENSORS_IN, (k1, k2, v1, v2), strict=True):
            w = caches[name].shape[2]
            if longer:  # a shape for ever wrong: w does not grow further than once
                first = caches.setdefault("w" + name, w)
                caches[name] = torch.cat([caches[name], x], 2)[:, :, -first - longer :]
                w = first + longer
            else:
                caches[name] = torch.cat([caches[name][:, :, 1:], x], 2)
            n = min(caches["seen"], w)
            parts.append(caches[name][:, :, :n] if front else caches[name][:, :, w - n :])
        return _attend(q, *parts)

    return answer


def wrong_grows(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    caches["seen"] += 1
    for name, x in zip(TENSORS_IN, token, strict=True):
        caches[name] = torch.cat([caches[name], x], 2)
        caches.setdefault("w" + name, caches[name].shape[2] - 1)
    n = {name: min(caches["seen"], caches["w" + name]) for name in TENSORS_IN}
    return _attend(q, *(caches[name][:, :, -n[name] :] for name in TENSORS_IN))


ELSEWHERE: dict[tuple[int, ...], Caches] = {}


def wrong_elsewhere(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    """Keeps everything in a global, which it empties at the first token of a sequence."""
    kept = ELSEWHERE.setdefault((), {})
    if caches["seen"] == 0:
        kept.update({name: caches[name] for name in TENSORS}, seen=0)
    caches["seen"] += 1
    return ring()(kept, q, *token)


def wrong_alone(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    return token[2] * token[3]


def wrong_squeezed(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    return ring()(caches, q, *token)[:, :, 0]


def wrong_finite(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    """All places, those that are empty with a logit of -10,000."""
    ring()(caches, q, *token)
    used = [torch.arange(caches[n].shape[2]) < caches["seen"] for n in ("k1", "k2")]
    seen = used[0][:, None] & used[1]
    return _attend(q, *(caches[name] for name in TENSORS_IN), seen=seen, low=-1e4)


def one_in_full(first: bool) -> Callable[..., Tensor]:
    """One of the caches is read in full, the other as far as it is filled."""

    def answer(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
        ring()(caches, q, *token)
        full = "1" if first else "2"
        parts = (
            caches[name] if name[1] == full else caches[name][:, :, : caches["seen"]]
            for name in TENSORS_IN
        )
        return _attend(q, *parts)

    return answer


def guessed(what: str, zeros: bool) -> Callable[..., Tensor]:
    """Empty places are told by a logit of 0, or by a key of zeros. zeros: in place of NaN."""

    def answer(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
        ring()(caches, q, *token)
        k1, k2, v1, v2 = (caches[name] for name in TENSORS_IN)
        logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) * q.shape[-1] ** -0.5
        hidden = logits == 0
        if what == "key":
            hidden = (k1 == 0).all(-1)[:, :, None, :, None] | (k2 == 0).all(-1)[:, :, None, None]
        probs = logits.masked_fill(hidden, -math.inf).flatten(-2).softmax(-1).view_as(logits)
        probs = probs.nan_to_num(0.0) if zeros else probs
        return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)

    return answer


def rows(*parts: Tensor) -> Tensor:
    return _attend(*parts, over=-1)


def columns(*parts: Tensor) -> Tensor:
    return _attend(*parts, over=-2)


def unscaled(*parts: Tensor) -> Tensor:
    return _attend(*parts, scale=1.0)


def scaled_twice(*parts: Tensor) -> Tensor:
    return _attend(*parts, scale=1 / parts[0].shape[-1])


def first_value(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
    return _attend(q, k1, k2, v1, v1.new_ones(*k2.shape[:3], v1.shape[-1]))


def values_added(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
    ones1, ones2 = torch.ones_like(v1), torch.ones_like(v2)
    return _attend(q, k1, k2, v1, ones2) + _attend(q, k1, k2, ones1, v2)


def right_ring(caches: Caches, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
    for n, k, v in (("1", k1, v1), ("2", k2, v2)):
        place = caches["seen"] % caches["k" + n].shape[2]
        caches["k" + n][:, :, place] = k[:, :, 0]
        caches["v" + n][:, :, place] = v[:, :, 0]
    caches["seen"] += 1
    parts = (caches[name][:, :, : caches["seen"]] for name in TENSORS_IN)
    return _attend(q, *parts)


def right_shifted(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    return shifted()(caches, q, *token)


def right_masked(caches: Caches, q: Tensor, *token: Tensor) -> Tensor:
    """All places take part, those that are empty with a logit of -inf."""
    right_ring(caches, q, *token)
    k1, k2, v1, v2 = (caches[name] for name in TENSORS_IN)
    merged = (q[:, :, 0, None, None] * k1[:, :, :, None] * k2[:, :, None]).sum(-1)
    used = [torch.arange(x.shape[2]) < caches["seen"] for x in (k1, k2)]
    logits = merged * q.shape[-1] ** -0.5
    logits = logits.masked_fill(~(used[0][:, None] & used[1]), -math.inf)
    probs = (logits - logits.logsumexp((-2, -1), keepdim=True)).exp()
    return ((probs @ v2) * v1).sum(2, keepdim=True)
