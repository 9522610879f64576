"""Mistakes of exercise 9.4, tile by tile as a kernel makes them, and in PyTorch, which is faster.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from simplex_lib.checks.ch09_attention_common import RESCALE, Slip, grow, lse_of, round_to


def attention_slip(
    *,
    scaled: str = "once",
    low: float = -math.inf,
    mask: str = "causal",
    begin: str = "text",
    stop: str = "own tile",
    by_one: bool = False,
    top: str = "running",
    start: float = -math.inf,
    rescale: str = "both",
    exp: str = "e",
    advance: bool = True,
    acc_dtype: torch.dtype | None = torch.float32,
    factor_dtype: torch.dtype | None = None,
    divide: str = "once",
    lse_is: str = "natural",
    value: str = "v",
    padding: str = "zeros",
) -> Slip:
    """The kernel with one thing changed.

    Args:
        scaled: once, twice, never, or by the root of d.
        low, start: what hidden logits become; where the running maximum begins.
        mask: causal; tile (none, but the loop ends with the tile), none, strict,
            local, reversed (j >= i), or nothing (keys past s count too).
        begin: with the text, or with the own tile.
        stop: after the own tile, before it, after its first query, with the last whole tile of
            keys, or one tile of keys early.
        by_one: the loop moves on by one key, and not by a tile of them.
        top: the running maximum, that of the tile, or none.
        rescale: a key of RESCALE.
        exp: e, or 2 for 2 ** x.
        advance: m becomes m_new at the end of a step.
        acc_dtype, factor_dtype: what acc, and weights and values, are rounded to; None for
            acc: to the dtype of the inputs.
        divide: once; each; each, and once; terms (what is added); terms, and once; never.
        lse_is: see lse_of.
        value: v, or k in its place.
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
        q, k, v = (x.float() for x in (q, k, k if value == "k" else v))
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
            ends = {"own tile": end, "before it": i0, "whole tiles": end // keys * keys}
            ends |= {"first query": i0 + 1, "one tile early": (end - 1) // keys * keys}
            for j0 in range(i0 if begin == "own tile" else 0, ends[stop], 1 if by_one else keys):
                j = torch.arange(j0, j0 + keys)
                masks = dict(causal=j <= i, strict=j < i, local=(j - j0 <= i - i0) & (j < s))
                masks["reversed"] = j >= i
                masks["nothing"] = (j >= 0).expand(rows, keys)
                visible = masks.get(mask, (j < s).expand(rows, keys))
                logits = q[:, :, i0 : i0 + rows] @ k[:, :, j0 : j0 + keys].mT * factor + lost
                logits = torch.where(visible, logits, low)
                m_new = logits.amax(-1)
                m_new = {"running": m_new.maximum(m), "tile": m_new, "none": torch.zeros_like(m)}[
                    top
                ]
                shrink, p = power(m - m_new), power(logits - m_new[..., None])
                l = grow(l, p.sum(-1), shrink, RESCALE[rescale][0])  # noqa: E741
                if divide.startswith("terms"):
                    p = p / l[..., None]
                weights, values = round_to(p, dtype), v[:, :, j0 : j0 + keys]
                if factor_dtype is not None:
                    weights, values = round_to(p, factor_dtype), round_to(values, factor_dtype)
                acc = grow(acc, weights @ values, shrink[..., None], RESCALE[rescale][1])
                acc = round_to(acc, acc_dtype or dtype)
                acc = acc / l[..., None] if divide.startswith("each") else acc
                m = m_new if advance else m
            lse[:, :, i0 : i0 + rows] = lse_of(m, l, lse_is)
            acc = acc / l[..., None] if divide.endswith("once") else acc
            out[:, :, i0 : i0 + rows] = acc
        return round_to(out[:, :, :s], dtype), lse[:, :, :s]

    return Slip(answer)
