"""Mistakes of exercise 9.4, tile by tile as a kernel makes them, and in PyTorch, which is faster.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from simplex_lib.checks.ch09_attention_common import Slip, round_to

LOG2_E = 1 / math.log(2)


def attention_slip(
    *,
    scaled: str = "once",
    low: float = -math.inf,
    mask: str = "causal",
    stop: str = "own tile",
    top: str = "running",
    start: float = -math.inf,
    rescale: str = "both",
    exp: str = "e",
    acc_dtype: torch.dtype = torch.float32,
    factor_dtype: torch.dtype | None = None,
    divide: str = "once",
    lse_is: str = "natural",
    padding: str = "zeros",
) -> Slip:
    """The kernel with one thing changed.

    Args:
        scaled: once, twice, never, or by the root of d.
        low, start: what hidden logits become; where the running maximum begins.
        mask: causal; tile (none, but the loop ends with the tile), none, strict,
            local, or nothing (keys past s count too).
        stop: after the own tile, before it, or with the last whole tile of keys.
        top: the running maximum, that of the tile, or none.
        rescale: both, sum, acc or none.
        exp: e, or 2 for 2 ** x.
        acc_dtype, factor_dtype: what acc, and weights and values, are rounded to.
        divide: once, each, or never.
        lse_is: natural, base 2, mixed, mixed the other way, no maximum, maximum, sum.
        padding: zeros, or NaN in what a mask hides of the keys, the values, or both.
    """

    def answer(
        q: Tensor, k: Tensor, v: Tensor, scale: float, rows: int, keys: int
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.float16 if q.dtype == torch.float16 else torch.float32
        b, h, s, d = q.shape
        columns_hidden = d & (d - 1) != 0 or d < 16  # D > d
        lost = math.nan if padding in ("keys", "both") and columns_hidden else 0.0
        past_end = math.nan if padding in ("values", "both") else 0.0
        q, k, v = (x.float() for x in (q, k, v))
        q, k = (pad(x, (0, 0, 0, rows + keys)) for x in (q, k))
        v = pad(v, (0, 0, 0, rows + keys), value=past_end)
        out, lse = torch.empty(b, h, s + rows, d), torch.empty(b, h, s + rows)
        factor = {"once": scale, "twice": scale * scale, "never": 1.0, "by d": d**-0.5}[scaled]
        power = torch.exp if exp == "e" else torch.exp2
        for i0 in range(0, s, rows):
            i = torch.arange(i0, i0 + rows)[:, None]
            m, l = torch.full((b, h, rows), start), torch.zeros(b, h, rows)  # noqa: E741
            acc = torch.zeros(b, h, rows, d)
            end = s if mask == "none" else min(i0 + rows, s)
            end = {"own tile": end, "before it": i0, "whole tiles": end // keys * keys}[stop]
            for j0 in range(0, end, keys):
                j = torch.arange(j0, j0 + keys)
                masks = dict(causal=j <= i, strict=j < i, local=(j - j0 <= i - i0) & (j < s))
                masks["nothing"] = (j >= 0).expand(rows, keys)
                visible = masks.get(mask, (j < s).expand(rows, keys))
                logits = q[:, :, i0 : i0 + rows] @ k[:, :, j0 : j0 + keys].mT * factor + lost
                logits = torch.where(visible, logits, low)
                m_new = logits.amax(-1)
                m_new = {"running": m_new.maximum(m), "tile": m_new, "none": torch.zeros_like(m)}[
                    top
                ]
                shrink, p = power(m - m_new), power(logits - m_new[..., None])
                l = l * (shrink if rescale in ("both", "sum") else 1) + p.sum(-1)  # noqa: E741
                weights, values = round_to(p, dtype), v[:, :, j0 : j0 + keys]
                if factor_dtype is not None:
                    weights, values = round_to(p, factor_dtype), round_to(values, factor_dtype)
                acc = acc * (shrink[..., None] if rescale in ("both", "acc") else 1)
                acc = round_to(acc + weights @ values, acc_dtype)
                acc = acc / l[..., None] if divide == "each" else acc
                m = m_new
            lse_here = {
                "natural": m + l.log(),
                "base 2": (m + l.log()) * LOG2_E,
                "mixed": m * LOG2_E + l.log(),
                "mixed the other way": m + l.log2(),
                "no maximum": l.log(),
                "maximum": m,
                "sum": l,
            }
            lse[:, :, i0 : i0 + rows] = lse_here[lse_is]
            out[:, :, i0 : i0 + rows] = acc / l[..., None] if divide == "once" else acc
        return round_to(out[:, :, :s], dtype), lse[:, :, :s]

    return Slip(answer)
