"""Exercise 10.3 with a slip in it, in PyTorch: what a kernel would give, without running one.

A kernel takes a tenth of a second in the interpreter, and there are fifty mistakes to tell apart.
Here all (i, j, k) are held at once, and what a loop of a kernel reaches is a mask. Slips that touch
memory, or the layout of a tile, are kernels (ch10_first_key_kernels.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch10_first_key_runs import (
    READ,
    InTorch,
    attention,
    comparable,
)

NEW = ("dk1", "dv1")
TOP = 3.4e38  # what lies above is inf in float32


@dataclass(frozen=True)
class FirstKeySlip(InTorch):
    """everywhere: the loops go over all k and i, and only masks decide."""

    slip: str
    everywhere: bool = False

    def __call__(self, arguments: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """dk1 and dv1."""
        x, slip = read(arguments), self.slip
        weight = self.weight(arguments)
        w1, w2, scale = (arguments[name] for name in ("w1", "w2", "scale"))
        i, j, k = places(arguments)
        sees_j, sees_k = (i - j >= 0) & (i - j < w1), (i - k >= 0) & (i - k < w2)
        if slip in ("future first keys", "future second keys"):
            sees_j = (i - j < w1) & (sees_j | (slip == "future first keys"))
            sees_k = (i - k < w2) & (sees_k | (slip == "future second keys"))
        if slip in ("window w1 + 1", "both windows + 1"):
            sees_j = (i - j >= 0) & (i - j <= w1)
        if slip in ("window w2 + 1", "both windows + 1"):
            sees_k = (i - k >= 0) & (i - k <= w2)
        if slip == "window w1 - 1":
            sees_j = sees_j & (i - j < w1 - 1)
        if slip == "window w2 - 1":
            sees_k = sees_k & (i - k < w2 - 1)
        if slip == "windows exchanged":
            sees_j, sees_k = (i - j >= 0) & (i - j < w2), (i - k >= 0) & (i - k < w1)
        if slip in ("first window missing", "windows missing"):
            sees_j = i - j >= 0
        if slip in ("second window missing", "windows missing"):
            sees_k = i - k >= 0
        visible = sees_j & sees_k
        if slip == "only k up to j":
            visible = visible & (k <= j)

        q, k1, k2, v1, v2, dout = (x[name] for name in READ)
        if slip == "scale of its own":
            scale = 1 / math.sqrt(q.shape[-1])
        if slip == "first key read twice":
            k2 = k1
        if slip == "first value read twice":
            v2 = v1
        in_logits = k2 * 0 + 1 if slip == "k2 forgotten in the logits" else k2
        logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, in_logits) * scale
        if slip in ("scale forgotten in the logits", "scale forgotten everywhere"):
            logits = logits / scale
        delta = x["delta"]
        p = probabilities(slip, logits, x["lse"], visible)
        tile = (j // arguments["keys"]).flatten()
        if slip == "P of the tile":
            total = over_tiles(p, 3, tile)
            p = torch.where(total > 0, p / total, 0.0)

        plain = v2 * 0 + 1
        in_dp = plain if slip in ("v2 forgotten in dP", "v2 forgotten") else v2
        in_dv1 = plain if slip in ("v2 forgotten in dv1", "v2 forgotten") else v2
        dp = torch.einsum("bhid,bhjd,bhkd->bhijk", dout, v1, in_dp)
        if slip == "delta of the tile":
            delta = over_tiles(p * dp, 3, tile)
        ds = logit_gradients(slip, p, dp, delta, visible)

        power = {"scale twice in dk1": 2, "scale forgotten in dk1": 0}.get(slip, 1)
        power = 0 if slip == "scale forgotten everywhere" else power
        in_dk1 = k2 * 0 + 1 if slip == "k2 forgotten in dk1" else k2
        into_dv1 = ds if slip == "dS in place of P" else p
        total = "bhijk,bhid,bhkd->bhjd"
        last = self.last_step(arguments)
        in_k, in_v = (weight * last if slip == f"{name} overwritten" else weight for name in NEW)
        dk1 = torch.einsum(total, weighed(ds, in_k), q, in_dk1) * scale**power
        dv1 = torch.einsum(total, weighed(into_dv1, in_v), dout, in_dv1)
        dv1 = dv1 * (scale if slip == "scale in dv1" else 1)
        if slip == "dk1 and dv1 exchanged":
            dk1, dv1 = dv1, dk1
        return comparable(arguments, dk1, dv1)

    def weight(self, arguments: Mapping[str, Any]) -> Tensor:
        """(i, j, k): how often the loops come to each of them."""
        i, j, k = places(arguments)
        s, slip = len(i), self.slip
        keys, queries, w1, w2 = (arguments[n] for n in ("keys", "queries", "w1", "w2"))
        if self.everywhere:
            every = torch.ones(s, s, s, dtype=torch.float64)
            return every * self.last_step(arguments) if slip == "sums begun anew" else every
        first_j = j // keys * keys
        i_end = (first_j + keys - 1 + w1).clamp(max=s)
        k_from, k_end = (first_j - w2 + 1).clamp(min=0), i_end
        if slip == "second keys before the tile left out":
            k_from = first_j
        if slip == "last second key left out":
            k_end = i_end - 1
        if slip == "second keys after the tile left out":
            k_end = (first_j + keys).clamp(max=s)
        i_from, i_to = torch.maximum(first_j, k), torch.minimum(i_end, k + w2)
        if slip == "queries after the tile left out":
            i_from, i_to = first_j + 0 * k, (first_j + keys).clamp(max=s) + 0 * k
        if slip == "last tile of queries left out":
            i_to = i_to - queries
        step = {"queries one by one": 1, "queries by half a tile": queries // 2}.get(slip, queries)
        rounds = ((i_to - i_from + step - 1) // step).clamp(min=0)
        newest = torch.minimum((i - i_from) // step, rounds - 1)
        oldest = ((i - i_from - queries) // step + 1).clamp(min=0)
        weight = (newest - oldest + 1).clamp(min=0).double()
        if slip == "last query counted again":
            i_last = i_from + rounds * queries
            again = (i_last - torch.maximum(i_from, torch.tensor(s))).clamp(min=0)
            weight = weight + (i == s - 1) * again
        if slip == "sums begun anew":
            k_from = k_end - 1
        return weight * ((k >= k_from) & (k < k_end))

    def last_step(self, arguments: Mapping[str, Any]) -> Tensor:
        """(i, j, k): whether the last step of the loops comes to them."""
        i, j, k = places(arguments)
        s, keys, queries = len(i), arguments["keys"], arguments["queries"]
        if self.everywhere:
            return (k == s - 1) & (i >= (s - 1) // queries * queries)
        return k == (j // keys * keys + keys - 1 + arguments["w1"]).clamp(max=s) - 1


def read(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inputs in float64, with lse and delta as a kernel is given them."""
    x = {name: arguments[name].double() for name in READ}
    out, lse = attention(x, arguments["w1"], arguments["w2"], arguments["scale"])
    given = dict(lse=lse, delta=(out * x["dout"]).sum(-1))
    return x | {name: y.float().double()[..., None, None] for name, y in given.items()}


def places(arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """i, j, k along the three axes of the cube."""
    at = torch.arange(arguments["q"].shape[2])
    return at[:, None, None], at[None, :, None], at[None, None, :]


def probabilities(slip: str, logits: Tensor, lse: Tensor, visible: Tensor) -> Tensor:
    ln_2 = math.log(2)
    power = {
        "lse taken as base 2": logits - lse * ln_2,
        "logits taken as base 2": logits * ln_2 - lse,
        "exp2 of natural numbers": (logits - lse) * ln_2,
        "lse forgotten": logits,
    }.get(slip, logits - lse)
    p = power.exp()
    if slip == "quotient of exponentials":
        p = (logits.float().exp() / lse.float().exp()).double()
    p = torch.where(p > TOP, torch.inf, p)
    return p * visible if slip == "mask multiplied" else torch.where(visible, p, 0.0)


def over_tiles(x: Tensor, axis: int, tile: Tensor) -> Tensor:
    """(b, h, i, j, k): sums over what lies in one tile along this axis, in the place of each."""
    same = (tile[:, None] == tile).double()
    return (x.movedim(axis, -1) @ same).movedim(-1, axis)


def logit_gradients(slip: str, p: Tensor, dp: Tensor, delta: Tensor, visible: Tensor) -> Tensor:
    """dS."""
    if slip == "P left out of dS":
        return torch.where(visible, dp - delta, 0.0)
    if slip == "dP in place of dS":
        return torch.where(visible, dp, 0.0)
    if slip == "delta subtracted after the product":
        return p * dp - delta
    sign = {"delta forgotten": 0, "delta added": 1}.get(slip, -1)
    return p * (dp + sign * delta)


def weighed(x: Tensor, weight: Tensor) -> Tensor:
    """0 where no loop comes, whatever is there."""
    return torch.where(weight > 0, x * weight, 0.0)
