"""Exercise 10.4 with a slip in it, in PyTorch: what a kernel would give, without running one.

As in ch10_first_key_slips.py. Slips that touch memory, or the order of launches, are kernels
(ch10_second_key_kernels.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch10_first_key_runs import READ, InTorch, comparable
from simplex_lib.checks.ch10_first_key_slips import (
    logit_gradients,
    over_tiles,
    places,
    probabilities,
    read,
    weighed,
)

NEW = ("dk2", "dv2")


@dataclass(frozen=True)
class SecondKeySlip(InTorch):
    """everywhere: the loop goes over all j, and only masks decide."""

    slip: str
    everywhere: bool = False

    def __call__(self, arguments: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """dq, dk2 and dv2."""
        x, slip = read(arguments), self.slip
        w1, w2, scale = (arguments[name] for name in ("w1", "w2", "scale"))
        i, j, k = places(arguments)
        first_i = i // w2 * w2
        sees_j, sees_k = (i - j >= 0) & (i - j < w1), (i - k >= 0) & (i - k < w2)
        if slip == "future first keys":
            sees_j = i - j < w1
        if slip == "window w1 + 1":
            sees_j = (i - j >= 0) & (i - j <= w1)
        if slip == "window w1 - 1":
            sees_j = sees_j & (i - j < w1 - 1)
        if slip == "first window missing":
            sees_j = i - j >= 0
        if slip == "future second keys":
            sees_k = i - k < w2
        if slip == "window w2 + 1":
            sees_k = (i - k >= 0) & (i - k <= w2)
        if slip == "window w2 - 1":
            sees_k = sees_k & (i - k < w2 - 1)
        if slip == "second window missing":
            sees_k = i - k >= 0
        if slip == "previous tile left out":
            sees_k = sees_k & (k >= first_i)
        if slip == "own tile left out":
            sees_k = sees_k & (k < first_i)
        visible = sees_j & sees_k
        if slip == "only k up to j":
            visible = visible & (k <= j)
        if slip == "only k from j on":
            visible = visible & (k >= j)

        q, k1, k2, v1, v2, dout = (x[name] for name in READ)
        if slip == "scale of its own":
            scale = 1 / math.sqrt(q.shape[-1])
        if slip == "second key read twice":
            k1 = k2
        if slip == "second value read twice":
            v1 = v2
        one = k1 * 0 + 1
        in_logits = one if slip == "k1 forgotten in the logits" else k1
        logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, in_logits, k2) * scale
        if slip in ("scale forgotten in the logits", "scale forgotten everywhere"):
            logits = logits / scale
        delta = x["delta"]
        p = probabilities(slip, logits, x["lse"], visible)
        all_k = torch.zeros(len(i))
        if slip == "P of the tile":
            total = over_tiles(p, 4, all_k)
            p = torch.where(total > 0, p / total, 0.0)
        in_dp = one if slip in ("v1 forgotten in dP", "v1 forgotten") else v1
        dp = torch.einsum("bhid,bhjd,bhkd->bhijk", dout, in_dp, v2)
        if slip == "delta of the tile":
            delta = over_tiles(p * dp, 4, all_k)
        ds = logit_gradients(slip, p, dp, delta, visible)

        reached, weight = self.weights(arguments)
        none = ("scale forgotten in dq and dk2", "scale forgotten everywhere")
        power = {"scale twice in dq": 2, "scale forgotten in dq": 0}.get(slip, 1)
        last = self.last_step(arguments)
        in_dq = reached * last if slip == "dq overwritten" else reached
        dq = torch.einsum(
            "bhijk,bhjd,bhkd->bhid",
            weighed(ds, in_dq),
            one if slip == "k1 forgotten in dq" else k1,
            one if slip == "k2 forgotten in dq" else k2,
        )
        dq = dq * scale ** (0 if slip in none else power)
        power = {"scale twice in dk2": 2, "scale forgotten in dk2": 0}.get(slip, 1)
        factor = scale ** (0 if slip in none else power)
        into_dv2 = ds if slip == "dS in place of P" else p
        in_dk2 = one if slip == "k1 forgotten in dk2" else k1
        in_dv2 = one if slip in ("v1 forgotten in dv2", "v1 forgotten") else v1
        odd = i // w2 % 2 == 1
        dk2, dv2 = [], []
        for stage in (~odd, odd):
            total, part = "bhijk,bhid,bhjd->bhkd", weight * stage
            in_k, in_v = (part * last if slip == f"{n} overwritten" else part for n in NEW)
            dk2.append(torch.einsum(total, weighed(ds, in_k), q, in_dk2) * factor)
            dv2.append(torch.einsum(total, weighed(into_dv2, in_v), dout, in_dv2))
            dv2[-1] = dv2[-1] * (scale if slip == "scale in dv2" else 1)

        if slip == "dk2 and dv2 exchanged at the store":
            again = touched_by_odd(arguments)  # exchanged once more, as they are loaded
            ones = torch.where(again, dk2[0], dv2[0]), torch.where(again, dv2[0], dk2[0])
            (dk2[0], dv2[0]), dk2[1], dv2[1] = ones, dv2[1], dk2[1]
        kept = self.kept_of_stage_0(arguments)
        both = kept * 0 + 1
        dk2 = weighed(dk2[0], kept if slip != "odd tiles overwrite dv2" else both) + dk2[1]
        dv2 = weighed(dv2[0], kept if slip != "odd tiles overwrite dk2" else both) + dv2[1]
        if slip == "dk2 and dv2 exchanged":
            dk2, dv2 = dv2, dk2
        if slip == "dq added to what is there":
            dq = dq * torch.nan
        if slip == "dq of even tiles only":
            dq = torch.where(odd[:, :, 0], torch.nan, dq)
        return comparable(arguments, dq, dk2, dv2)

    def weights(self, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """(i, j, k): what the loop comes to, and how often it counts in dk2 and dv2."""
        i, j, k = places(arguments)
        s, w1, w2, slip = len(i), arguments["w1"], arguments["w2"], self.slip
        first_i = i // w2 * w2
        j_from, j_end = (first_i - w1 + 1).clamp(min=0), (first_i + w2).clamp(max=s)
        if slip == "first keys before the tile left out":
            j_from = first_i
        if self.everywhere:
            j_from, j_end = 0 * first_i, 0 * first_i + s
        if slip == "first keys of the tile left out":
            j_end = first_i
        if slip == "last first key left out":
            j_end = j_end - 1
        last = self.last_step(arguments) | (slip != "sums begun anew")
        reached = last & (j >= j_from) & (j < j_end) & (k >= first_i - w2) & (k < first_i + w2)
        weight = reached.double()
        if slip == "last query counted again":
            weight = weight * torch.where(i == s - 1, 1 - s % -w2, 1)
        odd = i // w2 % 2 == 1
        own, before = k >= first_i, k < first_i
        stored = {
            "own tile alone stored": own,
            "own tile alone stored by odd tiles": own | ~odd,
            "previous tile alone stored": before,
            "previous tile alone stored by odd tiles": before | ~odd,
        }.get(slip, own | before)
        return reached.double(), weight * stored

    def last_step(self, arguments: Mapping[str, Any]) -> Tensor:
        """(i, j, k): whether the last step of the loop comes to them."""
        i, j, _ = places(arguments)
        s, w2 = len(i), arguments["w2"]
        return j == (s if self.everywhere else (i // w2 * w2 + w2).clamp(max=s)) - 1

    def kept_of_stage_0(self, arguments: Mapping[str, Any]) -> Tensor:
        """(k, 1): 1 where the odd tiles leave what the even ones stored, or add to it."""
        kept = not self.slip.startswith("odd tiles overwrite")
        return (~touched_by_odd(arguments) | kept).double()


def touched_by_odd(arguments: Mapping[str, Any]) -> Tensor:
    """(k, 1): whether an odd tile stores this row of dk2 and dv2."""
    s, w2 = arguments["q"].shape[2], arguments["w2"]
    tile = torch.arange(s)[:, None] // w2
    return (tile % 2 == 1) | (tile + 1 < -(-s // w2))  # its own, or the next one
