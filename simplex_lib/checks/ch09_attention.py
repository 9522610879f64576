"""Exercise 9.4: causal dot-product attention in one kernel, with an online softmax.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch09_attention_common import (
    AS_DRAWN,
    FAR_OFF,
    HEAVY,
    ORDERS,
    SCALE,
    SMALLEST,
    VERY_FAR_OFF,
    ask_attention,
    draw_like_memory,
    make_coarse,
    orders_of,
    require_sizes,
    shift_logits,
)
from simplex_lib.checks.ch09_attention_kernels import (
    careless,
    right_attention,
    right_from_the_end,
    right_merged,
)
from simplex_lib.checks.ch09_attention_slips import attention_slip
from simplex_lib.checks.ch09_attention_wrong import common_wrong, slips_first
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def attention_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, rows: int, keys: int, logits: int
) -> dict[str, Any]:
    require_sizes(b=b, h=h, s=s, d=d, rows=rows, keys=keys, logits=logits)
    lies = orders_of(ORDERS, d)
    q, k, v = (draw_like_memory(draw, (b, h, s, d), lies[name]) for name in "qkv")
    shift_logits(q, (k,), logits)
    if s > 2 * BLOCK and keys == BLOCK and not logits:
        add_heavy_values(q[0, 0], k[0, 0], v[0, 0])
    return dict(q=q, k=k, v=v, scale=SCALE, rows=rows, keys=keys)


BLOCK = 16


def add_heavy_values(q: Tensor, k: Tensor, v: Tensor) -> None:
    """In one head, (s, d) each: the values of one tile of keys are heavy and those of the next
    take it back, for queries of the third and later tiles. Queries before them see key 0 alone.
    """
    q[:] = 0
    q[: 2 * BLOCK, 0] = 30 / SCALE
    k[:, 0] = 0
    k[0, 0] = 1
    make_coarse(v, 2**-7)
    v[1:BLOCK], v[BLOCK + 1 : 2 * BLOCK] = HEAVY, -HEAVY


def truth_attention(
    q: Tensor, k: Tensor, v: Tensor, scale: float, rows: int, keys: int
) -> tuple[Tensor, Tensor]:
    out, lse = torch.zeros_like(q), torch.zeros_like(q[..., 0])
    b, h, s, d = q.shape
    for n in range(b):
        for m in range(h):
            qs, ks, vs = (x[n, m].tolist() for x in (q, k, v))
            for i in range(s):
                logits = [scale * sum(map(float.__mul__, qs[i], ks[j])) for j in range(i + 1)]
                top = max(logits)
                weights = [math.exp(x - top) for x in logits]
                total = sum(weights)
                lse[n, m, i] = top + math.log(total)
                for c in range(d):
                    out[n, m, i, c] = sum(w * vs[j][c] for j, w in enumerate(weights)) / total
    return out, lse


WRONG = slips_first(
    Wrong(
        "no rescaling",
        attention_slip(rescale="none"),
        "When a later tile brings a larger maximum, l and acc are still measured against the old "
        "one. Your sums mix two units: both have to be multiplied by exp(m - m_new) first.",
    ),
    Wrong(
        "maximum of the tile",
        attention_slip(top="tile"),
        "Your m is the maximum of the newest tile, and not of all tiles so far. Where a tile "
        "hides all its keys from a query, that maximum is -inf, and -inf - (-inf) is NaN.",
    ),
    Wrong(
        "maximum not below 0",
        attention_slip(start=0.0),
        "It is right for ordinary logits. Where all logits of a query lie far below 0 it gives "
        "NaN, as 0 / 0 does: every weight rounds to 0 if the number subtracted is far above them. "
        "That is so where the maximum begins at 0, or takes in hidden keys or other queries.",
    ),
    Wrong(
        "maximum from a finite number",
        attention_slip(start=-1e4),
        "It gives NaN, as 0 / 0 does, for queries whose logits all lie near minus two billion: "
        "every weight rounds to 0 if the number subtracted is far above them. A running maximum "
        "that begins at a finite number has to begin lower; the paper's is -1e38.",
    ),
    Wrong(
        "hidden logits 0",
        attention_slip(low=0.0),
        "Your hidden logits are 0. That is an ordinary logit, with the weight exp(0 - m): keys of "
        "the future get it.",
    ),
    Wrong(
        "hidden logits -10,000",
        attention_slip(low=-1e4),
        "Hidden logits were set to some finite number. It is an ordinary logit: where all visible "
        "logits lie lower, the hidden keys get everything.",
    ),
    Wrong(
        "hidden logits -1,000,000",
        attention_slip(low=-1e6),
        "Hidden logits were set to some finite number near minus a million. Where all visible "
        "logits lie lower, the hidden keys get everything.",
    ),
    Wrong(
        "hidden logits -1,000,000,000",
        attention_slip(low=-1e9),
        "Hidden logits were set to some finite number, low but not low enough: here the visible "
        "logits of some queries lie near minus two billion, and the hidden keys get everything.",
    ),
    Wrong(
        "future",
        attention_slip(mask="none"),
        "Your queries read all s keys, those after them too. Key j is visible where j <= i.",
    ),
    Wrong(
        "future inside the loop",
        attention_slip(mask="tile"),
        "Your loop ends where it should, but a tile of keys also holds keys that come after some "
        "of the queries, and those are read. Inside the tile j <= i has to be asked too.",
    ),
    Wrong(
        "no mask",
        attention_slip(mask="nothing"),
        "Nothing is hidden from your queries: in their tile they read keys that come after them, "
        "and the rows of zeros past s, whose logits are 0, count as keys. Both end with j <= i.",
    ),
    Wrong(
        "own key hidden",
        attention_slip(mask="strict"),
        "Your queries do not see their own key: the mask is j < i. It should be j <= i. Query 0 "
        "is left with nothing, and so with NaN.",
    ),
    Wrong(
        "place inside the tile",
        attention_slip(mask="local"),
        "Your mask compares the places of key and query inside their tiles. That is right for the "
        "first tiles only: i and j have to count from the beginning of the text.",
    ),
    Wrong(
        "whole tiles only",
        attention_slip(stop="whole tiles"),
        "Keys that fill no whole tile are left out: the number of tiles has to be rounded up, not "
        "down.",
    ),
    Wrong(
        "own tile left out",
        attention_slip(stop="before it"),
        "Your loop ends before the first query of the program, so no query sees the keys of its "
        "own tile, its own key among them. The last query of the tile decides where the loop "
        "ends.",
    ),
    Wrong(
        "last tile left out",
        attention_slip(stop="one tile early"),
        "Your loop ends one tile of keys early: the newest keys of every query are left out. "
        "Where one tile holds all keys nothing is left, and 0 / 0 is NaN.",
    ),
    Wrong(
        "loop ends with the first query",
        attention_slip(stop="first query"),
        "Your loop ends with the first query of the tile. Later queries of the tile see later "
        "keys: the last query decides where the loop ends.",
    ),
    Wrong(
        "loop begins at the own tile",
        attention_slip(begin="own tile"),
        "Your loop begins with the first query of the program's tile. Without a window every "
        "query sees keys from 0 on.",
    ),
    Wrong(
        "loop moves on by 1",
        attention_slip(by_one=True),
        "Your loop moves on by one key and takes KEYS of them each time, so that most keys are "
        "counted several times. It needs the step KEYS.",
    ),
    Wrong(
        "mask the other way round",
        attention_slip(mask="reversed"),
        "Your mask is j >= i: a query sees its own key and those after it, and none before. It "
        "should be j <= i.",
    ),
    Wrong(
        "keys for values",
        attention_slip(value="k"),
        "lse is right. Your out is the average of the keys: where v belongs stands k.",
    ),
    Wrong(
        "two passes",
        careless(PASSES="two"),
        "You go over the keys twice, as a softmax does that looks for the maximum first.",
    ),
    Wrong(
        "values without other",
        attention_slip(padding="values"),
        "The load of v has a mask and no other=0.0. What a masked lane holds is then undefined, "
        "here it is NaN, and a weight of 0 times NaN is NaN.",
    ),
    Wrong(
        "queries and keys without other",
        attention_slip(padding="keys"),
        "Your numbers are right where d fills all D columns, and NaN elsewhere. That is what "
        "comes of a load of q or k with a mask and no other=0.0: the dot product adds what the "
        "masked columns hold.",
    ),
    Wrong(
        "not divided",
        attention_slip(divide="never"),
        "Your out is acc as the loop leaves it: the division by l is missing.",
    ),
    Wrong(
        "divided in every step",
        attention_slip(divide="each"),
        "It is right where one tile holds all keys. You divide acc by l in every step, and then "
        "the next step adds to it what is not divided yet. Divide once, after the loop.",
    ),
    Wrong(
        "weights in half precision",
        attention_slip(factor_dtype=torch.float16),
        "Your weights and values are rounded to float16 before they are multiplied, though the "
        "inputs are float32. p.to(v.dtype) follows the inputs.",
    ),
    Wrong(
        "rows past the end",
        careless(UNMASKED="rows"),
        "Your loads ask for rows past s: only the columns are masked.",
    ),
    Wrong(
        "columns past the end",
        careless(UNMASKED="columns"),
        "Your loads ask for columns past d: D is d rounded up to a power of two, and only the "
        "rows are masked.",
    ),
    Wrong(
        "strides of q",
        careless(STRIDES="of q"),
        "Your kernel takes the strides of q for all tensors. Each has its own.",
    ),
    Wrong(
        "lse is l",
        attention_slip(lse_is="sum"),
        "out is right. Your lse is l, the sum itself, where m + ln l is asked for.",
    ),
    *common_wrong(attention_slip, careless),
)

ATTENTION = Exercise(
    id="9.4",
    title="Attention in one kernel",
    minutes=30,
    inputs=attention_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=1, rows=16, keys=16, logits=AS_DRAWN),
        dict(b=1, h=1, s=5, d=3, rows=16, keys=16, logits=AS_DRAWN),
        dict(b=1, h=2, s=6, d=4, rows=16, keys=16, logits=FAR_OFF),
        dict(b=1, h=1, s=20, d=16, rows=32, keys=16, logits=AS_DRAWN),
        dict(b=2, h=1, s=35, d=5, rows=16, keys=32, logits=AS_DRAWN),
        dict(b=1, h=1, s=11, d=2, rows=32, keys=16, logits=VERY_FAR_OFF),
        dict(b=2, h=3, s=37, d=20, rows=32, keys=16, logits=AS_DRAWN),
    ),
    truth=truth_attention,
    outputs=("out: b h i d", "lse: b h i"),
    wrong=WRONG,
    right=(
        Right("with a running maximum", right_attention),
        Right("from the last tile, in base 2", right_from_the_end),
        Right("merge tiles by their lse", right_merged),
    ),
    hints=(
        "A program has ROWS queries and can hold one tile of keys and values at a time. What does "
        "it have to remember of the tiles it has seen? Exercise 1.5 merged blocks of keys with "
        "three things: a maximum, a sum and an accumulator.",
        "The loop runs over first = 0, KEYS, 2 KEYS, ... and ends where no query of the tile can "
        "see any more: at min((tile + 1) ROWS, s). Everything in it is a tile: logits are "
        "(ROWS, KEYS), m and l (ROWS,), acc (ROWS, D). Loads want a mask and other=0.0.",
        "q = tile of queries; m = -inf, l = 0, acc = 0; for each tile of keys: k, v = its rows, 0 "
        "past s and past d; logits = dot(q, trans(k)) scale, -inf where j > i; m_new = max(m, max "
        "over j); p = exp(logits - m_new); l = l exp(m - m_new) + sum(p); acc = acc exp(m - m_new) "
        "+ dot(p, v); m = m_new. After the loop store acc / l and m + ln l.",
    ),
    why="The (s, s) map never exists: a program holds one tile of it at a time, and three small "
    "things are enough to go on as if it had seen all tiles at once. Memory grows with s, not "
    "with its square.",
    another_way="work in base 2: multiply the logits by scale * log2(e), take exp2, which is one "
    "instruction on a GPU, and multiply m + log2(l) by ln 2 at the end. The library's kernel does.",
    variants=("float16",),
    tolerance=5e-5,
    ask=ask_attention,
    kind="kernel",
    smallest=SMALLEST,
    same_dtype=False,
)
