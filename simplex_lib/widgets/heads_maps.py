"""Attention maps of all heads side by side, with a temperature.

`read_logits` turns what the widget got into logits, `heads_payload` these into numbers and words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simplex_lib.attention import causal_mask, dot_product_logits
from simplex_lib.errors import check_inputs, require_finite, require_flag, require_tensor
from simplex_lib.widgets.kit import require_index, require_number

MOST_HEADS, LONGEST = 16, 64  # more would be too small to read
COOLEST, HOTTEST = 0.1, 10.0
TOP = 5  # keys in the table
EQUAL = 1e-6  # weights closer than this are called equal


@dataclass(frozen=True)
class HeadsPayload:
    """All maps at one temperature, and one row of them looked at closely."""

    temperature: float
    head: int
    query: int
    tokens: list[str]
    maps: Tensor  # (h, s, s), NaN where a query does not see a key
    weights: list[float]  # of the chosen head and query, over all keys
    entropy: list[float]  # per head for this query, in nats
    most: float  # entropy of equal weights over the visible keys
    favourite: list[int]  # per head, the key with the largest weight, the first of equal ones
    alike: list[int]  # per head, how many keys have that weight
    shared: list[float]  # per head, the attention it has in common with the chosen head
    apart: tuple[int, int] | None  # the two heads that share least; None for one head
    apart_shared: float
    top: list[tuple[int, float, float]]  # key, weight, logit at T = 1; the largest first

    @property
    def sentence(self) -> str:
        """What the chosen row reads, how evenly, and which two heads differ most on it."""
        start = "Head" if self.temperature == 1 else f"At T = {self.temperature:.2g}, head"
        start += f" {self.head}, query {self.key(self.query)}, "
        (j, weight, _), *others = self.top
        if not others:
            return f"{start}sees only key {self.key(j)}: every head gives it the weight 1."
        n, alike = round(math.exp(self.most)), self.alike[self.head]
        if alike > 1:
            start += f"reads {alike} keys alike, {self.key(j)} the first, with weight {weight:.2f}"
            start += " each"
        else:
            start += f"reads key {self.key(j)} most, with weight {weight:.2f}"
        start += f"; its entropy is {self.entropy[self.head]:.2f} nats "
        start += f"(0: one key alone; {self.most:.2f}: all {n} alike)."
        if self.apart is None:
            return start
        a, b = self.apart
        return f"{start} Heads {a} and {b} differ most here: they share {self.apart_shared:.0%}."

    def reads(self, head: int) -> str:
        """The key that a head reads most, and how many others it reads as much."""
        more = self.alike[head] - 1
        return self.key(self.favourite[head]) + (
            f" and {more} others" if more > 1 else " and 1 other" if more else ""
        )

    def key(self, j: int) -> str:
        """Position and word: 4 ‘rabbit’; the position alone where there are no words."""
        return str(j) if self.tokens[j] == str(j) else f"{j} ‘{self.tokens[j]}’"


def heads_payload(
    logits: Tensor,
    *,
    tokens: Sequence[str] | None = None,
    temperature: float = 1.0,
    head: int = 0,
    query: int | None = None,
) -> HeadsPayload:
    """Everything the widget shows, from scaled logits (h, s, s), -inf where a key is hidden.

    Raises:
        ValueError: temperature is not from 0.1 to 10, head or query does not exist, or tokens are
            not one a position.
    """
    h, s, _ = logits.shape
    query = s - 1 if query is None else query
    require_number(COOLEST, HOTTEST, temperature=temperature)
    require_index(h, "one of the heads", head=head)
    require_index(s, "one of the positions", query=query)
    names = [str(n) for n in range(s)] if tokens is None else [str(token) for token in tokens]
    if len(names) != s:
        raise ValueError(f"tokens must be {s} strings, one a position; got {len(names)}.")

    probs = (logits / temperature).softmax(-1)
    row, visible = probs[:, query], logits[head, query] > -math.inf
    alike = row >= row.amax(-1, keepdim=True) - EQUAL  # (h, s)
    entropy = torch.special.entr(row).sum(-1)  # entr(p) = -p ln p, and 0 at p = 0
    common = torch.minimum(row[:, None], row).sum(-1)  # (h, h)
    pairs = [(common[a, b].item(), (a, b)) for a in range(h) for b in range(a + 1, h)]
    least, apart = min(pairs, default=(1.0, None))
    order = row[head].argsort(descending=True, stable=True).tolist()
    order = [j for j in order if visible[j]][:TOP]
    return HeadsPayload(
        temperature=float(temperature),
        head=head,
        query=query,
        tokens=names,
        maps=probs.masked_fill(logits == -math.inf, math.nan),
        weights=row[head].tolist(),
        entropy=entropy.tolist(),
        most=math.log(int(visible.sum())),
        favourite=alike.int().argmax(-1).tolist(),
        alike=alike.sum(-1).tolist(),
        shared=common[head].tolist(),
        apart=apart,
        apart_shared=least,
        top=[(j, row[head, j].item(), logits[head, query, j].item()) for j in order],
    )


def read_logits(
    q: Tensor | None,
    k: Tensor | None,
    *,
    probs: Tensor | None = None,
    batch: int = 0,
    causal: bool = True,
    scale: float | None = None,
) -> Tensor:
    """Scaled, masked logits (h, s, s) of one sequence in float64; ln probs if those are given."""
    if probs is not None and (q is not None or k is not None):
        raise ValueError("probs must stand alone, without q and k; got both.")
    if probs is not None:
        return _from_probs(probs, batch)
    require_tensor(q=q, k=k)
    assert q is not None and k is not None
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"))
    require_flag(causal=causal)
    require_index(size["b"], "one of the batch", batch=batch)
    _require_drawable("q", size["h"], size["s"])
    q, k = (x.detach().cpu().double()[batch, None] for x in (q, k))
    logits = dot_product_logits(q, k)[0] * (size["d"] ** -0.5 if scale is None else scale)
    return logits.masked_fill(~causal_mask(size["s"]), -math.inf) if causal else logits


def _from_probs(probs: Tensor, batch: int) -> Tensor:
    require_tensor(probs=probs)
    probs = probs.detach().cpu().double()
    probs = probs[None] if probs.ndim == 3 else probs
    if probs.ndim != 4 or probs.shape[-1] != probs.shape[-2] or 0 in probs.shape:
        raise ValueError(f"probs must be (b, h, s, s) or (h, s, s); got {tuple(probs.shape)}.")
    require_index(len(probs), "one of the batch", batch=batch)
    _require_drawable("probs", probs.shape[1], probs.shape[2])
    require_finite(probs=probs)
    wrong = ((probs.sum(-1) - 1).abs() > 1e-2) | (probs < 0).any(-1)
    if wrong.any():
        where = tuple(wrong.nonzero()[0].tolist())
        total = f"a row that sums to {probs[where].sum():.3g} at (b, h, i) = {where}"
        raise ValueError(f"probs must be at least 0 and sum to 1 over keys; got {total}.")
    return probs[batch].log()


def _require_drawable(name: str, h: int, s: int) -> None:
    for axis, size, most in (("h", h, MOST_HEADS), ("s", s, LONGEST)):
        if size > most:
            raise ValueError(
                f"{name} must have {axis} at most {most}, or the maps are too small to read; "
                f"got {size}. Give a part of it."
            )
