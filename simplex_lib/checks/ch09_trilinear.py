"""Exercise 9.5: 2-simplicial attention, forward, in one kernel as the paper writes it.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.

Source: arXiv:2507.02754, section 7 and Listing 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch09_attention_common import (
    AS_DRAWN,
    FAR_OFF,
    HEAVY,
    PAIR_ORDERS,
    SCALE,
    SMALLEST,
    VERY_FAR_OFF,
    ask_trilinear,
    draw_like_memory,
    make_coarse,
    orders_of,
    require_sizes,
    shift_logits,
)
from simplex_lib.checks.ch09_trilinear_kernels import (
    right_as_listed,
    right_other_loops,
    right_trilinear,
)
from simplex_lib.checks.ch09_trilinear_wrong import WRONG
from simplex_lib.checks.exercise import Draw, Exercise, Right


def trilinear_inputs(
    draw: Draw,
    *,
    b: int,
    h: int,
    s: int,
    d: int,
    w1: int,
    w2: int,
    rows: int,
    keys: int,
    logits: int,
) -> dict[str, Any]:
    require_sizes(b=b, h=h, s=s, d=d, w1=w1, w2=w2, rows=rows, keys=keys, logits=logits)
    lies = orders_of(PAIR_ORDERS, d)
    names = ("q", "k1", "k2", "v1", "v2")
    x = {name: draw_like_memory(draw, (b, h, s, d), lies[name]) for name in names}
    shift_logits(x["q"], (x["k1"], x["k2"]), logits)
    if s > 3 and b * h > 1 and not logits:
        for heavy, n in (("v1", 0), ("v2", -1)):
            add_heavy_values(x[heavy][n, n], *(x[name][n, n] for name in names))
    return x | dict(w1=w1, w2=w2, scale=SCALE, rows=rows, keys=keys)


def add_heavy_values(
    heavy: Tensor, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor
) -> None:
    """In one head, (s, d) each: one value is heavy and the next takes it back, for queries that
    see both. Queries before them see the pair (0, 0) alone.
    """
    q[:] = 0
    q[:3, 0] = 30 / SCALE
    for key in (k1, k2):
        key[:, 0] = 0
        key[0, 0] = 1
    make_coarse(v1, 2**-6)
    make_coarse(v2, 2**-6)
    heavy[1], heavy[2] = HEAVY, -HEAVY


def truth_trilinear(
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
    out, lse = torch.zeros_like(q), torch.zeros_like(q[..., 0])
    for i in range(q.shape[2]):
        js = [j for j in range(i + 1) if i - j < w1]
        ks = [k for k in range(i + 1) if i - k < w2]
        logits = [scale * (q[:, :, i] * k1[:, :, j] * k2[:, :, k]).sum(-1) for j in js for k in ks]
        values = [v1[:, :, j] * v2[:, :, k] for j in js for k in ks]
        probs = torch.stack(logits).softmax(0)
        out[:, :, i] = (probs[..., None] * torch.stack(values)).sum(0)
        lse[:, :, i] = torch.stack(logits).logsumexp(0)
    return out, lse


TRILINEAR = Exercise(
    id="9.5",
    title="2-simplicial attention in one kernel",
    minutes=40,
    inputs=trilinear_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=1, w1=1, w2=1, rows=16, keys=16, logits=AS_DRAWN),
        dict(b=1, h=1, s=5, d=3, w1=2, w2=3, rows=16, keys=16, logits=AS_DRAWN),
        dict(b=1, h=2, s=4, d=5, w1=3, w2=2, rows=16, keys=16, logits=FAR_OFF),
        dict(b=1, h=1, s=4, d=2, w1=1, w2=99, rows=16, keys=32, logits=AS_DRAWN),
        dict(b=1, h=1, s=6, d=16, w1=99, w2=1, rows=32, keys=16, logits=AS_DRAWN),
        dict(b=1, h=1, s=3, d=2, w1=1, w2=1, rows=16, keys=16, logits=VERY_FAR_OFF),
        dict(b=1, h=1, s=18, d=4, w1=2, w2=16, rows=16, keys=16, logits=AS_DRAWN),
        dict(b=2, h=3, s=4, d=20, w1=6, w2=5, rows=16, keys=32, logits=AS_DRAWN),
    ),
    truth=truth_trilinear,
    outputs=("out: b h i d", "lse: b h i"),
    wrong=WRONG,
    right=(
        Right("as the course writes it", right_trilinear),
        Right("the other loops, in base 2", right_other_loops),
        Right("as the paper lists it", right_as_listed),
    ),
    hints=(
        "Fix one j. Then q * k1[j] is an ordinary query, and its dot products with k2 are the "
        "logits of all pairs (j, k). So inside the loop over j stands what you wrote for 9.4. What "
        "are the values of these pairs? And which of m, l and acc may begin anew for the next j?",
        "j runs over single positions, from tile ROWS - w1 + 1 (or 0) to the last query of the "
        "tile; k over tiles of KEYS, from tile ROWS - w2 + 1 (or 0). k1[j] and v1[j] are vectors "
        "(D,), loaded once for each j. In the first steps some queries see nothing: what is "
        "m - m_new there?",
        "m = -1e38, l = 0, acc = 0; for j: merged = q k1[j] scale; for each tile of k: logits = "
        "dot(merged, trans(k2)), -inf unless i - w1 < j <= i and i - w2 < k <= i; m_new, rescale, "
        "p and l as in 9.4; acc = acc rescale + dot(p, v2 v1[j]); m = m_new. After both loops "
        "store acc / l and m + ln l.",
    ),
    why="For one j, merging turns pairs into an ordinary row of attention, so both products run on "
    "tensor cores; and one running maximum through both loops makes one softmax over all pairs. "
    "Neither (s, s, s) logits nor (s, s) maps are ever stored.",
    another_way="exchange the loops: tiles of j, and a single k inside or outside. The library's "
    "kernel keeps a tile of k1 and v1 while k runs, and multiplies by v2[k] after the product "
    "p v1: fewer loads and fewer multiplications, the same numbers.",
    variants=("float16",),
    tolerance=5e-5,
    ask=ask_trilinear,
    kind="kernel",
    smallest=SMALLEST,
    same_dtype=False,
)
