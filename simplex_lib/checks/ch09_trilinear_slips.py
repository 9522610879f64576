"""Mistakes of exercise 9.5, tile by tile as a kernel makes them, and in PyTorch, which is faster.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from simplex_lib.checks.ch09_attention_common import RESCALE, Slip, grow, lse_of, round_to

NAMES = ("first", "second")
BINARY = {"and": torch.logical_and, "or": torch.logical_or}


def trilinear_slip(
    *,
    scaled: str = "once",
    low: float = -math.inf,
    wider: tuple[int, int] = (0, 0),
    longer: tuple[int, int] = (0, 0),
    exchanged: bool = False,
    future: str = "",
    join: str = "and",
    order: str = "any",
    begin: str = "first query",
    stop: str = "last query",
    early: tuple[int, int] = (0, 0),
    by_one: bool = False,
    top: str = "running",
    start: float = -1e38,
    rescale: str = "both",
    exp: str = "e",
    anew: str = "never",
    logit: str = "product",
    value: str = "product",
    bias: str = "",
    advance: bool = True,
    acc_dtype: torch.dtype | None = torch.float32,
    factor_dtype: torch.dtype | None = None,
    divide: str = "once",
    lse_is: str = "natural",
    padding: str = "zeros",
) -> Slip:
    """The kernel with one thing changed.

    Args:
        scaled: once, twice, never, or by the root of d.
        low, start: what hidden logits become; where the running maximum begins.
        wider: by how much the masks and the loops reach back beyond each window.
        longer: by how much more, or less, the loops alone do.
        exchanged: w1 and w2.
        future: which keys may come after the query: "first", "second" or "first second", to the
            end of the text; with "tile", to the end of the query's tile; with "past s", the
            rows of zeros after the text count as second keys.
        join: and, or "or" for a pair of which one key is visible.
        order: any, k <= j or j <= k.
        begin, stop: which query of the tile decides where loops begin and end.
        early: by how much the loops end too early.
        by_one: the loop over k moves on by one key, and not by a tile of them.
        top: the running maximum, or none.
        rescale: a key of RESCALE.
        exp: e, or 2 for 2 ** x.
        anew: for each j a softmax of its own: added, averaged, or the last one only.
        logit: product, no k1, no k2, or sum of the keys.
        value: product, no v1, no v2, sum, exchanged, k1 for v1, or k2 for v2.
        bias: constants of the released code, "keys", "values" or "keys values".
        advance: m becomes m_new at the end of a step.
        acc_dtype, factor_dtype: what acc, and weights and values, are rounded to; None for
            acc: to the dtype of the inputs.
        divide: acc by l: once; each (step); each, and once; terms (what is added); terms, and
            once; never.
        lse_is: see lse_of.
        padding: zeros, or NaN in what a mask hides of the keys, the values, or both.
    """

    def answer(
        q: Tensor,
        k1: Tensor,
        k2: Tensor,
        v1: Tensor,
        v2: Tensor,
        w1: int,
        w2: int,
        scale: float,
        rows: int,
        keys: int,
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.float16 if q.dtype == torch.float16 else torch.float32
        b, h, s, d = q.shape
        w1, w2 = (w2, w1) if exchanged else (w1, w2)
        q, k1, k2, v1, v2 = (x.float() for x in (q, k1, k2, v1, v2))
        k2 = k2 + 1 / d if "keys" in bias else k2
        v2 = v2 + 1 if "values" in bias else v2
        columns_hidden = d & (d - 1) != 0 or d < 16  # D > d
        lost = math.nan if padding in ("keys", "both") and columns_hidden else 0.0
        past_end = math.nan if padding in ("values", "both") else 0.0
        q, k2 = (pad(x, (0, 0, 0, rows + keys)) for x in (q, k2))
        v2, v1_also = (pad(x, (0, 0, 0, rows + keys), value=past_end) for x in (v2, v1))
        factor = {"once": scale, "twice": scale * scale, "never": 1.0, "by d": d**-0.5}[scaled]
        power = torch.exp if exp == "e" else torch.exp2
        out, lse = torch.empty(b, h, s + rows, d), torch.empty(b, h, s + rows)
        for i0 in range(0, s, rows):
            i = torch.arange(i0, i0 + rows)
            m, l = torch.full((b, h, rows), start), torch.zeros(b, h, rows)  # noqa: E741
            acc, total = torch.zeros(b, h, rows, d), torch.zeros(b, h, rows, d)
            count = torch.zeros(rows)
            end = min(i0 + rows, s)
            end = i0 + 1 if stop == "first query" else end
            origin = i0 if begin == "first query" else end - 1
            ends = [s if name in future and "tile" not in future else end for name in NAMES]
            ends = [max(x - less, 0) for x, less in zip(ends, early, strict=True)]
            begins = [max(origin - w + 1 - wider[n] - longer[n], 0) for n, w in enumerate((w1, w2))]
            for j in range(begins[0], ends[0]):
                sees_j = i - w1 - wider[0] < j
                if "first" not in future:
                    sees_j = sees_j & (j <= i)
                key, val = k1[:, :, j : j + 1], v1[:, :, j : j + 1]
                merged = q[:, :, i0 : i0 + rows] * (1 if logit == "no k1" else key) * factor
                if anew != "never":
                    fresh = torch.ones_like(sees_j) if anew == "last" else sees_j
                    m, l = torch.where(fresh, start, m), torch.where(fresh, 0.0, l)  # noqa: E741
                    acc = torch.where(fresh[:, None], 0.0, acc)
                for k0 in range(begins[1], ends[1], 1 if by_one else keys):
                    k = torch.arange(k0, k0 + keys)
                    here = slice(k0, k0 + keys)
                    logits = round_to(merged, dtype) @ k2[:, :, here].mT
                    if logit == "no k2":
                        logits = merged.sum(-1, keepdim=True).expand(logits.shape)
                    if logit == "sum":
                        logits = q[:, :, i0 : i0 + rows] @ (key + k2[:, :, here]).mT * factor
                    visible = i[:, None] - w2 - wider[1] < k
                    if "past s" not in future:
                        visible = visible & (k < s)
                    if "second" not in future:
                        visible = visible & (k <= i[:, None])
                    visible = BINARY[join](sees_j[:, None], visible)
                    if order != "any":
                        visible = visible & ((k <= j) if order == "k <= j" else (j <= k))
                    logits = torch.where(visible, logits + lost, low)
                    m_new = m.maximum(logits.amax(-1)) if top == "running" else torch.zeros_like(m)
                    shrink, p = power(m - m_new), power(logits - m_new[..., None])
                    l = grow(l, p.sum(-1), shrink, RESCALE[rescale][0])  # noqa: E741
                    other = v2[:, :, here]
                    values = {
                        "product": val * other,
                        "no v1": other,
                        "no v2": val + 0 * other,
                        "sum": val + other,
                        "exchanged": v1_also[:, :, here] * v2[:, :, j : j + 1],
                        "k1 for v1": key * other,
                        "k2 for v2": val * k2[:, :, here],
                    }[value]
                    p = p / l[..., None] if divide.startswith("terms") else p
                    weights, values = round_to(p, dtype), round_to(values, dtype)
                    if factor_dtype is not None:
                        weights, values = (round_to(x, factor_dtype) for x in (weights, values))
                    acc = grow(acc, weights @ values, shrink[..., None], RESCALE[rescale][1])
                    acc = round_to(acc, acc_dtype or dtype)
                    acc = acc / l[..., None] if divide.startswith("each") else acc
                    m = m_new if advance else m
                total = total + torch.where(sees_j[:, None], acc / l[..., None], 0.0)
                count = count + sees_j
            done = acc / l[..., None] if divide.endswith("once") else acc
            done = total if anew == "added" else done
            done = total / count[:, None] if anew == "averaged" else done
            out[:, :, i0 : i0 + rows] = done
            lse[:, :, i0 : i0 + rows] = lse_of(m, l, lse_is)
        return round_to(out[:, :, :s], dtype), lse[:, :, :s]

    return Slip(answer)
