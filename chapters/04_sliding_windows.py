# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
r"""
# 04 &nbsp; Sliding windows

Chapter 02 ended with a bill. At 8,192 tokens one head has 550 billion triples to score. Its memory could be saved, its time could not: time is saved by scoring fewer pairs. Which ones may go? The answer of the 2-simplicial paper is the simplest there is. Each query looks at the *latest* keys and at no others, 512 of the one kind and 32 of the other. Much follows from these two numbers:
what can be found, what it costs, how the hardware likes it, and that a model can write for ever with a memory of fixed size.

After this chapter you can

* say which pairs a query sees through two windows, and which questions it can no longer answer,
* compute attention in windows in time $s\, w_1 w_2$, with no cube and no mask, and measure that it is so,
* count operations, caches and tiles, and check a paper's figures by counting,
* decode token after token at constant cost.

The five exercises take 5 to 20 minutes each. First two questions on earlier chapters.
"""

# %% tags=["shared"]
import math
import time

import torch
from torch import nn

from simplex_lib.course import check, hint, predict, symptoms

# %% tags=["predict"]
predict(
    "Trilinear attention, with the second key held still at k = 3. What are the logits $a_{ij3}$, as a function of the query i and the first key j?",
    {
        "Those of ordinary attention, with the query $q_i \\circ k'_3$": (
            "right",
            "$(q_i \\circ k'_3) \\cdot k_j$: the second key rewrites the query. This chapter merges the query with the keys of the shorter window in just this way.",
        ),
        "Those of ordinary attention, with the query $q_i + k'_3$": "A sum would give $q_i \\cdot k_j + k'_3 \\cdot k_j$, a sum of two dot products. The trilinear score multiplies, coordinate by coordinate.",
        "The same for every first key": "The first key still enters, as the k_j of the dot product.",
        "They cannot be had without the cube": "They are one slice of the cube, and a slice needs only $q$, $k$ and the one vector $k'_3$.",
    },
)

# %% tags=["predict"]
predict(
    "Grouped-query attention: 64 query heads share one key head. What becomes 64 times smaller than with 64 key heads?",
    {
        "The number of logits": "Every query head still scores every key with a query of its own.",
        "The time of the softmax": "There are as many rows to normalise as there are query heads, and each is as long as before.",
        "All of it": "Sharing saves what is shared: keys and values. Each query head still has its own logits.",
        "The keys and values that must be stored": (
            "right",
            "One key head in place of 64. The queries, the logits and the outputs stay as many. Both sides of this will matter below: caches, and tiles.",
        ),
    },
)

# %%
from simplex_lib.attention import costs as count
from simplex_lib.attention import pair_window, trilinear_attention, trilinear_attention_windowed
from simplex_lib.checks.ch02_memory import MemoryMeter
from simplex_lib.data import load
from simplex_lib.widgets import explore_pairs, explore_windows, plan_windows

# %% [markdown]
r"""
## Two windows

Take a query at position 9, a first window of 5 and a second window of 3. The first key comes from the latest five positions, the second from the latest three, and the query's own position counts in both:

| | 4 | 5 | 6 | 7 | 8 | **9** | 10 |
|--:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|
| first key j | | x | x | x | x | x | |
| second key k | | | | x | x | x | |

That makes 15 pairs, at position 9,000 too. In symbols (Section 6 of [arXiv:2507.02754](https://arxiv.org/abs/2507.02754); the edges are those of its listings):

$$i - w_1 < j \le i \qquad\text{and}\qquad i - w_2 < k \le i$$

Two things deserve a second look. The lower end is *excluded*, else there would be $w + 1$ keys. And each line speaks of one key only.
"""

# %% tags=["predict"]
predict(
    "Query 9, $w_1 = 5$, $w_2 = 3$. Which of these pairs (j, k) does it see?",
    {
        "(4, 8)": "4 is one too far: 9 − 5 < j excludes it. With it the window would hold six keys.",
        "(8, 6)": "k = 6 is outside the second window, which holds 7, 8 and 9. With the windows exchanged the pair would be seen.",
        "(6, 8)": (
            "right",
            "6 lies in the first window, 8 in the second. That k is later than j does not matter: nothing orders the two keys.",
        ),
        "(9, 10)": "10 is the future of query 9. Both windows end at the query.",
    },
)

# %% [markdown]
r"""
Move the query, then change the windows. Before you do: what shape has the set of pairs in the middle of the sequence, and at the very start?
"""

# %%
explore_windows(seq_len=24, w1=9, w2=4, query=15)

# %% [markdown]
r"""
You should have seen a rectangle, $w_1$ by $w_2$, whose corner sits at the pair $(i, i)$ and slides along the diagonal. Near the start it is cut: query $i$ sees $\min(i + 1, w_1) \cdot \min(i + 1, w_2)$ pairs. Caches, tiles and costs, which stand beside it, are for later.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 4.1: The pair mask &nbsp; (5 minutes)

Which pairs may each query see? Return a tensor (s, s, s) of dtype `torch.bool` over (i, j, k) that is True exactly where

$$i - w_1 < j \le i \qquad\text{and}\qquad i - w_2 < k \le i .$$

`seq_len`, `w1` and `w2` are whole numbers, at least 1; a window may exceed `seq_len`. For s = 3, $w_1 = 2$, $w_2 = 1$ query 0 sees the pair (0, 0), query 1 sees (0, 1) and (1, 1), query 2 sees (1, 2) and (2, 2).
"""


# %% tags=["exercise"]
def pair_mask(seq_len, w1, w2):
    """True where query i may see first key j and second key k: bool (i, j, k)."""
    ### BEGIN SOLUTION
    position = torch.arange(seq_len)
    back = position[:, None] - position  # i - j
    first = (back >= 0) & (back < w1)
    second = (back >= 0) & (back < w2)
    return first[:, :, None] & second[:, None, :]
    ### END SOLUTION


# %% tags=["exercise"]
check("4.1", pair_mask)

# %% [markdown]
r"""
## What a window cannot see

Fewer pairs, fewer answers. Here is the head of chapter 02 that finds the sentence with both alice and the rabbit. The question mark at the end, position 35, asks; the right pair is alice at 10 and rabbit at 13.
"""

# %%
TEXT = (
    "alice met the queen . the rabbit ran away . alice saw the rabbit . a cat saw alice . "
    "one rabbit was late . alice drank the tea . the white rabbit slept ."
)
words = [*TEXT.split(), "?"]
place = torch.tensor([words[:n].count(".") for n in range(len(words))])
place = nn.functional.one_hot(place).float()
alice, rabbit = (torch.tensor([[float(x == w)] for x in words]) for w in ("alice", "rabbit"))
one = torch.ones(len(words), 1)
first, second = torch.cat([alice, one, place], 1), torch.cat([one, rabbit, place], 1)
logits = 4.0 * (first @ second.T).expand(len(words), -1, -1)  # every query asks the same

# %%
explore_pairs(logits, tokens=words, w1=24, w2=8, title="Does the window hold the right pair?")

# %% [markdown]
r"""
The dashed outline is a window of 24 by 8. The strongest cell, (alice, rabbit), lies outside, and of all attention the window would keep 9 %. Which windows would let the question mark see the pair?
"""

# %% tags=["predict"]
predict(
    "The query is at 35, alice (the first key) at 10, rabbit (the second key) at 13. Which are the smallest windows $(w_1, w_2)$ that hold the pair?",
    {
        "(25, 22)": "These are the distances, 35 − 10 and 35 − 13. A window of 25 ends at 35 − 24 = 11, just before it reaches alice: the query's own position takes one place.",
        "(26, 23)": (
            "right",
            "35 − 26 < 10 and 35 − 23 < 13. A distance of n needs a window of n + 1.",
        ),
        "(26, 4)": "The second window is counted from the query, not from the first key. That the two words are close to each other does not help.",
        "(23, 26)": "That is the pair with its keys exchanged: rabbit would have to be the first key, but this head asks the first key for alice.",
    },
)

# %% [markdown]
r"""
This is the loss, to be said plainly: **in a layer with windows (512, 32), one of the two clues must be among the latest 32 tokens, where the second key can find it.** Two clues 100 tokens back are never seen as a pair. Such pairs are left to the
depth of the network: a query that stands near both can see them, and a later layer with a long reach can look at *its* output. In the paper's models every fourth layer is a 2-simplicial one (Section 8). How their quality depends on the windows is not reported.

## Only the pairs inside

The mask of exercise 4.1 saves nothing: the cube is computed, and nearly all of it thrown away.
"""

# %%
s, w1, w2 = 256, 32, 8
seen = count.visible_pairs(s, w1, w2)
assert seen == pair_window(s, w1, w2).sum()
print(f"{s**3:,} triples in the cube, {seen:,} of them visible: {seen / s**3:.2%}")

# %% [markdown]
r"""
Instead of hiding pairs, fetch for each query the keys of its windows. If row $i$ of a table holds the $w$ latest keys of query $i$, the logits are a tensor (s, w1, w2), and nothing of size $s^3$ exists. Six keys, named 10 to 15, and a window of 3:
"""

# %%
keys = torch.arange(10, 16)
table = nn.functional.pad(keys, (2, 0), value=-1).unfold(0, 3, 1)
assert table.shape == (6, 3)
print(table, "strides", table.stride())

# %% [markdown]
r"""
Row $i$ ends with key $i$. The −1 stand for keys before the beginning, which the softmax must not count. Two were put in front, and the table shows three. Why?
"""

# %% tags=["predict"]
predict(
    "`unfold` on keys (s, d) with s = 1,000, d = 64 and a window of 512 gives a tensor (1000, 64, 512). How many numbers must be stored for it?",
    {
        "32,768,000": "That is 1000 · 64 · 512, what the shape promises. Look at the strides above: one step down and one step to the right move by the same amount. Rows overlap in memory.",
        "96,704": (
            "right",
            "(1000 + 511) · 64: the padded keys, once. The tensor is a view, in which neighbouring rows share all but one of their keys. Copy it, and the 33 million come true.",
        ),
        "64,000": "Nearly. The 511 places before the beginning are stored too.",
        "512,000": "That is one number for each query and each place of its window. Each key has 64 numbers, and is stored once, however many windows it is in.",
    },
)

# %% [markdown]
r"""
The library's `trilinear_attention_windowed` works like this. It merges each query with the keys of its *shorter* window, then takes dot products with the longer one, for 64 queries at a time. `MemoryMeter` looks at every tensor that is made. First a guess: how much less memory and time, for s = 256 and windows (32, 8)?
"""


# %%
def seconds(function, *arguments, repeat=3, **options):
    """The fastest of a few runs: on a machine that does other things, the one least disturbed."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        function(*arguments, **options)
        taken.append(time.perf_counter() - start)
    return min(taken)


generator = torch.Generator().manual_seed(0)
for s in (128, 256):
    x = torch.randn(5, 1, 1, s, 32, generator=generator)
    cube, windows = MemoryMeter(), MemoryMeter()
    with cube:
        expected = trilinear_attention(*x, w1=32, w2=8)
    with windows:
        torch.testing.assert_close(trilinear_attention_windowed(*x, w1=32, w2=8), expected)
    slow = 1e3 * seconds(trilinear_attention, *x, w1=32, w2=8)
    fast = 1e3 * seconds(trilinear_attention_windowed, *x, w1=32, w2=8)
    for name, memory, t in (("cube", cube, slow), ("windows", windows, fast)):
        print(f"s = {s} {name:8}{memory.largest_numbers:11,} numbers in one tensor,{t:7.1f} ms")

# %% [markdown]
r"""
The same numbers to rounding, and the gap grows with s. At fixed windows each query brings the same work, so the new cost should grow like s. If $t = c\, s^p$, then $p$ is the slope of $\ln t$ against $\ln s$ (on a busy machine, measure again):
"""

# %%
taken = {}
for s in (2048, 4096, 8192, 16_384):
    x = torch.randn(5, 1, 1, s, 32, generator=generator)
    taken[s] = seconds(trilinear_attention_windowed, *x, w1=32, w2=8, repeat=7)
    print(f"s = {s:6,}   {1e3 * taken[s]:7.1f} ms")
spread = torch.tensor([(math.log(s), math.log(t)) for s, t in taken.items()]).T.cov()
print(f"fitted exponent {spread[0, 1] / spread[0, 0]:.2f}; for the cube it would tend to 3")

# %% [markdown] tags=["exercise"]
r"""
### Exercise 4.2: Windows without the cube &nbsp; (20 minutes)

Compute causal trilinear attention over the pairs with $i - w_1 < j \le i$ and $i - w_2 < k \le i$: scale $1/\sqrt d$, one softmax over all visible pairs of a query, values $v_j \circ v'_k$. `q`, `k1`, `k2` are (b, h, s, d), `v1`, `v2` are (b, h, s, dv); the result is (b, h, s, dv), in the dtype of `q`.
Windows are whole numbers, at least 1, and may exceed s. Change no input in place, and call nothing from `simplex_lib.attention`.

The check measures memory, with s = 120 and windows 5 and 3. No tensor made on the way, masks included, may have as many as $s^2$ numbers a head, so none has two axes of length s; all tensors alive at one time have fewer than $s^2 \min(w_1, w_2)$ a head. (b, h, s, w1, d) and (b, h, s, w1, w2) are fine, and so is a loop over queries.

By hand: s = 3, d = dv = 1, q = 0 (all visible pairs weigh the same), `v1` = 1, 3, 5, `v2` = 1, 10, 100, $w_1 = 2$, $w_2 = 1$. The result is 1 · 1, then ½ (1 + 3) · 10, then ½ (3 + 5) · 100: 1, 20, 400.
"""


# %% tags=["exercise"]
def windowed_attention(q, k1, k2, v1, v2, w1, w2):
    """Attention over the pairs in two windows: (b, h, s, dv); no tensor has two long axes."""
    ### BEGIN SOLUTION
    s = q.shape[2]
    w1, w2 = min(w1, s), min(w2, s)

    def windows(x, w):  # (b, h, s, d, w): positions i - w + 1 to i of each query i
        return nn.functional.pad(x, (0, 0, w - 1, 0)).unfold(2, w, 1)

    def real(w):  # (s, w): False at the places that were padded
        return torch.arange(s)[:, None] - (w - 1) + torch.arange(w) >= 0

    merged = q[..., None] * windows(k2, w2) / math.sqrt(q.shape[-1])
    logits = torch.einsum("bhidk,bhidj->bhijk", merged, windows(k1, w1))
    visible = real(w1)[:, :, None] & real(w2)[:, None, :]
    logits = logits.masked_fill(~visible, float("-inf"))
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    over_j = torch.einsum("bhijk,bhidj->bhidk", probs, windows(v1, w1))
    return (over_j * windows(v2, w2)).sum(-1)
    ### END SOLUTION


# %% tags=["exercise"]
check("4.2", windowed_attention)

# %% [markdown]
r"""
## What it costs

Chapter 01 counted ordinary attention for each unit of head dimension: 2 operations for a logit, 2 for the weighted value (one multiplication and one addition each), and half of the $s^2$ pairs of query and key are visible. So a causal head costs $2 s^2$.

For pairs of keys the paper counts three products in place of two: the query with one key, the result with the other key, the probability with the value of the pair. So a query with windows 4 and 2, which sees 8 pairs, costs 8 · 3 · 2 = 48; an ordinary query with ten visible keys costs 10 · 2 · 2 = 40. The rest you can derive yourself.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 4.3: FLOPs and the break-even length &nbsp; (6 minutes)

Return three ints: what trilinear attention in windows costs, what causal dot-product attention costs, and the sequence length at which the two are equal. Count as the paper does (Section 6), for one head and one unit of head dimension:

* a multiplication and an addition are two operations, and the softmax is not counted;
* trilinear: three products for each pair of a *full* window, at the first queries too, and where a window exceeds `seq_len`;
* dot product: two products for each pair of query and key, over exactly half of all s · s.

The third number does not depend on `seq_len`. For s = 10, $w_1 = 4$, $w_2 = 2$ the three are 480, 200 and 24.
"""


# %% tags=["exercise"]
def costs(seq_len, w1, w2):
    """Operations of trilinear attention in windows, of causal dot product; break-even length."""
    ### BEGIN SOLUTION
    trilinear = 3 * 2 * seq_len * w1 * w2
    dot_product = 2 * 2 * seq_len * seq_len // 2
    return trilinear, dot_product, 3 * w1 * w2
    ### END SOLUTION


# %% tags=["exercise"]
check("4.3", costs)

# %% [markdown]
r"""
You should have found $6\, s\, w_1 w_2$ against $2 s^2$: a line against a parabola.
"""

# %% tags=["predict"]
predict(
    "Windows (512, 32), a text of s = 8,192 tokens. Compared with causal dot-product attention over the whole text, how many operations does the trilinear layer take?",
    {
        "A sixth": "The other way round. Below the break-even length the line lies above the parabola.",
        "Twice as many, 16,384 pairs a query against 8,192 keys": "A causal query sees 4,096 keys on average, half of the text, and a pair costs three products where a key costs two.",
        "8,192 times as many": "That would be the cube against the square. The windows have cut it down to a constant for each query.",
        "Six times as many": (
            "right",
            "6 · 8,192 · 16,384 against 2 · 8,192². In short: $3 w_1 w_2 / s$ = 49,152 / 8,192 = 6.",
        ),
    },
)

# %%
for s in (8_192, 16_384, 49_152, 98_304):
    ratio = count.trilinear_flops(s, 512, 32) / count.dot_product_flops(s)
    print(f"s = {s:6,}   windows (512, 32) cost {ratio:4.1f} times a causal dot product")
by_formula, counted = count.break_even_length(512, 32), count.exact_break_even_length(512, 32)
assert (by_formula, counted) == (49_152, 48_894)
print(f"break-even: {by_formula:,} = 48 x 1,024 by the formulas, {counted:,} counted pair by pair")

# %% [markdown]
r"""
The paper says that windows of (512, 32) cost about as much as dot-product attention at 48k tokens. With k = 1,024 the formulas give it to the token: $3 \cdot 512 \cdot 32 = 49{,}152$. Counted pair by pair it is 258 less, since the first queries have not filled their windows. Below that length the windows are the *dearer* of the two: they buy pairs, not speed.

## Which two windows?

Operations depend on the product $w_1 w_2$ only. Are (512, 32), (128, 128) and (1024, 16) equally fast? Here is the paper's Table 1 as data, with a column of our own: milliseconds for each 1,024 pairs that a query sees.
"""

# %%
table1 = load("table1")
for row in table1["rows"]:
    w1, w2, ms = row["w1"], row["w2"], row["latency_ms"]
    each = ms / (w1 * w2 / 1024)
    print(f"{row['label']:>4}  ({w1:4}, {w2:3}) {ms:7.1f} ms   {each:.2f} ms for each 1,024 pairs")
print("not stated:", *table1["not_stated"], sep="\n  ")

# %% [markdown]
r"""
"16k" is the product of the windows, not a length of text. The last column goes from 3.25 to 3.70: latency follows the product, and the square window is the slowest of its group. But read the last lines too. Without machine, batch and length these times compare with each other and with nothing else, and nobody can repeat them.

Then why $w_1$ large and $w_2$ small? Three reasons, ours and not the paper's. **Reach**: at equal cost, one of the two clues may lie 511 back in place of 127. **The merge**: a query is merged with each key of the *short* window, and what follows is a matrix product with the long one, which is what the hardware does best (chapter 11).
**The backward pass** can do without atomic additions if $w_2$ is small (the paper's Algorithm 2, chapter 10). There is a price as well.
"""

# %% tags=["predict"]
predict(
    "A model that writes token by token keeps the keys and values that later queries can still see. Which pair of windows needs more of this memory, (512, 32) or (128, 128)?",
    {
        "The same, since the products are equal": "The product counts pairs. Pairs are made when they are needed; what is kept are single keys.",
        "(512, 32), about twice as much": (
            "right",
            "512 + 32 = 544 keys against 128 + 128 = 256. At equal product the sum is smallest for equal windows.",
        ),
        "(128, 128), since both windows are long": "Add them up: 256 keys against 544.",
        "Neither needs any, a window is computed on the fly": "The window of the next query holds keys of earlier tokens. They must be kept, or computed again.",
    },
)

# %% [markdown]
r"""
Now plan. In the plane below, windows on the green line cost as many operations as dot-product attention over 49,152 tokens, those on the blue curve have equal caches, and the diamonds are Table 1. Go to half that length, 24,576: which of the paper's windows still fit?
"""

# %%
plan_windows()

# %% [markdown]
r"""
You should be left with (256, 32) alone: dot-product attention over half the length needs a quarter of the operations, so each query may see half as many pairs. And along the green line the operations stay while the caches change: smallest for equal windows, too large for this budget at (1024, 16).

## Tiles

A GPU does not compute pair by pair. It multiplies matrices in blocks, *tiles*, and a tile is computed as a whole or not at all: if one row needs a column, all rows get it, and what a row did not want is masked away. Where the window slides with the query, this has a price. The lower maps below show it, grey for what is computed in vain.
The frame on the right is one tile: eight neighbouring queries with a window of four second keys. Count: every row wants 4 keys, together they want 11, so 32 of 88 cells are useful. Which way will the grey go with taller tiles, and which way with longer windows?
"""

# %%
explore_windows(seq_len=40, w1=16, w2=4, query=27, tile=8, kv_block=8)

# %% [markdown]
r"""
The band is narrow, and the tile is wide: taller tiles waste more, longer windows less. It is the *short* window that suffers. Real tiles are larger; the rest is arithmetic.
"""

# %% tags=["predict"]
predict(
    "64 neighbouring queries, a window of 32 second keys. How many different second keys does the tile need?",
    {
        "32": "That is what one query needs. The next one needs a key that the first does not.",
        "64": "That would be right for a window of 1.",
        "95": (
            "right",
            "64 + 32 − 1. Each query wants 32 of the 95, one third.",
        ),
        "2,048": "64 · 32 counts shared keys again and again. Neighbours share all but one.",
    },
)

# %% [markdown]
r"""
So on the second key one third is useful, 32/95. On the first key the tile needs 64 + 512 − 1 = 575 keys; they come in blocks of 128, so 640 are computed, and each query wants 512: 80 %. The two multiply:

$$\frac{32}{95} \cdot \frac{512}{640} = 0.27$$

**73 percent of the tile is thrown away**, and with 128 queries it is 84.

The way out is to fill the tile with other rows. In the paper's models 64 query heads share one head of keys and values. All 64 stand at *one* position, so their windows are the same, every cell is wanted, and no element-wise mask is needed. Switch the explorer above to query heads: the grey of the short window is gone. A little is left at the start of a text, where a query with 5 visible keys pays for a whole block.
Counted over 8,192 queries, beside the figures that the authors' public script prints:
"""

# %%
for tiling, rows in (("sequence", 64), ("sequence", 128), ("heads", 64)):
    ours, printed = (
        1 - count.useful_share(8192, 512, 32, tiling=tiling, tile=rows, kv_block=128, count=kind)
        for kind in ("exact", "published")
    )
    print(f"rows: {rows:3} of the {tiling:8}  wasted {ours:7.2%} counted, {printed:7.2%} published")

# %% [markdown]
r"""
The published figures are a little higher, since the script counts too few useful pairs: it drops 32 queries, and takes a quarter for the first ones where it is a third. (A trap for readers of code: it calls the *short* window w1.) The price of the way out: all 64 query heads look at the same keys.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 4.4: The useful share of a tile &nbsp; (15 minutes)

Count it: visible pairs over computed pairs, summed over all tiles, as a float.

* A query i has $\min(i + 1, w_1) \cdot \min(i + 1, w_2)$ visible pairs.
* A tile computes each of its `rows` rows against the same keys: all that at least one row sees. Positions below 0 do not exist.
* Of the *shorter* of the two windows it takes the keys one by one; of the *longer* in whole blocks of `kv_block`, counted from the first key that is seen and rounded up.
* `tiling="sequence"`: neighbouring queries of one head; tiles begin at 0, rows, 2 rows, and so on. Rows of the last one that are past the end are computed too, and see no keys.
* `tiling="heads"`: one tile a position; its rows, query heads, all see the same, so `rows` cancels.

For `useful_share(4, 2, 1, 2, 2, "sequence")`: visible are 1 + 2 + 2 + 2 = 7. The tile of queries 0 and 1 needs the short keys 0, 1 and the long keys 0, 1, one block of 2: 2 rows · 2 · 2 = 8. That of queries 2 and 3 needs the short keys 2, 3 and the long keys 1, 2, 3, two blocks: 2 · 2 · 4 = 16. The share is 7/24. With `"heads"` it is 7/8.
"""


# %% tags=["exercise"]
def useful_share(seq_len, w1, w2, rows, kv_block, tiling):
    """Visible pairs over the pairs that tiles compute; tiling is "sequence" or "heads"."""
    ### BEGIN SOLUTION
    short, long = min(w1, w2), max(w1, w2)
    visible = sum(min(i + 1, w1) * min(i + 1, w2) for i in range(seq_len))
    queries = rows if tiling == "sequence" else 1  # positions in a tile
    computed = 0
    for start in range(0, seq_len, queries):
        end = min(start + queries, seq_len)
        singles = end - max(start - short + 1, 0)
        blocks = math.ceil((end - max(start - long + 1, 0)) / kv_block)
        computed += queries * singles * blocks * kv_block
    return visible / computed
    ### END SOLUTION


# %% tags=["exercise"]
check("4.4", useful_share)

# %% [markdown]
r"""
## Writing token by token

A model that writes keeps the keys and values of all earlier tokens, the KV cache of chapter 01. For dot-product attention it grows with the text, and so does the work for each token. Windows end both. When the next token comes, one key of each kind falls out of sight, *for ever*.
So its place can be given to the newcomer. In a cache of $w$ places, position $p$ stands at place $p \bmod w$. Five tokens enter a cache of three:
"""

# %%
places = ["-"] * 3
for p in range(5):
    places[p % 3] = str(p)
    print(f"token {p} enters: {' '.join(places)}")

# %% tags=["predict"]
predict(
    "Token 5 enters the cache above. What does it overwrite, and is the result still right, now that the positions stand in the order 3, 4, 5?",
    {
        "It overwrites 4, the last one written": "5 mod 3 = 2. Look at what stands at place 2.",
        "It overwrites 2; right, but only because they happen to be in order again": "The order never matters. After token 4 it was 3, 4, 2, and that was right too.",
        "It overwrites 2; wrong, the keys would have to be sorted first": "A softmax and a weighted sum run over a set of keys. Nothing in them asks which came first; where a position matters, it is turned into the key itself.",
        "It overwrites 2; right, in whatever order they stand": (
            "right",
            "Place 5 mod 3 = 2 held position 2, which query 5 can no longer see. Sums over keys do not know an order; the value stands beside its key.",
        ),
    },
)

# %% [markdown]
r"""
The library's `PairCache` holds two such caches. Every step must give the row that the full pass gives, in the same time however much came before. (Move the query in the first explorer: the two rings turn.) How much does the memory differ at 49,152 tokens?
"""

# %%
from simplex_lib.attention import PairCache, determinant_decode, trilinear_decode

q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 60, 8, generator=generator, dtype=torch.float64)
whole = trilinear_attention(q, k1, k2, v1, v2, w1=12, w2=4)
cache = PairCache.empty(b=1, g=2, d=8, w1=12, w2=4, dtype=torch.float64)
for i in range(60):
    token = (x[:, :, i : i + 1] for x in (q, k1, k2, v1, v2))
    torch.testing.assert_close(trilinear_decode(cache, *token), whole[:, :, i : i + 1])

for tokens in (1_000, 10_000, 100_000):
    cache = PairCache.empty(b=1, g=1, d=64, w1=512, w2=32)
    cache.add(*torch.randn(4, 1, 1, tokens, 64, generator=generator))
    token = torch.randn(5, 1, 1, 1, 64, generator=generator)
    t = seconds(trilinear_decode, cache, *token, repeat=50)
    print(f"{tokens:7,} tokens before: {1e3 * t:5.2f} ms for the next one")

all_keys = count.cache_bytes(49_152, None, g=1, d=128)
in_windows = count.cache_bytes(49_152, 512, 32, g=1, d=128)
print(f"a head at 49,152 tokens: {all_keys / 1e6:.1f} MB, in windows {in_windows / 1e6:.2f} MB")

# %% tags=["predict"]
predict(
    "Count operations again, 4 for each key of a dot product and 6 for each pair. From which position on is *one decoding step* with windows (512, 32) cheaper than one of dot-product attention?",
    {
        "From 49,152, as before": "That compares whole texts. A step at position i sees all of its i keys, not half of the text.",
        "From about 24,576": (
            "right",
            "4 i = 6 · 512 · 32. Half of the break-even length, since a query in the middle of a text sees only half of it: the late steps are the dear ones.",
        ),
        "From 16,384, where there are as many keys as pairs": "Nearly. A pair costs three products, a key two.",
        "From the first one, a window is always cheaper": "At position 1,000 a dot product sees 1,000 keys, and the windows hold 16,384 pairs.",
    },
)

# %% [markdown]
r"""
So one layer writes for ever at a constant cost. A whole model does so only if its other layers have windows too; whether those of the paper's models have is not stated.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 4.5: One decoding step &nbsp; (15 minutes)

Take in the newest token and attend from it. `q`, `k1`, `k2` are (b, h, 1, d), `v1`, `v2` are (b, h, 1, dv); return (b, h, 1, dv), in the dtype of `q`. Scale $1/\sqrt d$, one softmax over the visible pairs, and the newest token is in its own windows.

`caches` is a dict: `"k1"` (b, h, w1, d), `"v1"` (b, h, w1, dv), `"k2"` (b, h, w2, d), `"v2"` (b, h, w2, dv), zeros before the first token, and `"seen"`, how many tokens were taken in before this one, 0 at first. Read the windows off the shapes. Your step changes `caches` and nothing else; the four tensors keep their shapes, and all that you remember stands in the dict (you may add numbers to it). Where a position stands in its cache is your choice. A place that is not filled yet must get no attention: a key of zeros is a key like any other. Call nothing from `simplex_lib.attention`.

By hand: $w_1 = 2$, $w_2 = 1$, d = dv = 1, and three tokens with q = 0, `v1` = 1, 3, 5 and `v2` = 1, 10, 100 give 1, 20, 400.
"""


# %% tags=["exercise"]
def decode_step(caches, q, k1, k2, v1, v2):
    """Take the newest token into both caches, and attend from it: (b, h, 1, dv)."""
    ### BEGIN SOLUTION
    for n, k, v in (("1", k1, v1), ("2", k2, v2)):
        oldest = caches["seen"] % caches["k" + n].shape[2]
        caches["k" + n][:, :, oldest] = k[:, :, 0]
        caches["v" + n][:, :, oldest] = v[:, :, 0]
    caches["seen"] += 1
    k1, v1, k2, v2 = (caches[name][:, :, : caches["seen"]] for name in ("k1", "v1", "k2", "v2"))
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)
    ### END SOLUTION


# %% tags=["exercise"]
check("4.5", decode_step)

# %% [markdown]
r"""
## Determinants and positions in a cache

Order is lost in a cache, so positions must be in the keys. Chapter 03 builds a score for that: a determinant of query, first and second key, each turned by its own position about a fixed axis. Two facts from there. A determinant is two trilinear products, so all of this chapter holds for it, with the same windows and caches. And it does not change when all three turn together, so it sees the offsets $j - i$ and $k - i$ only.
"""

# %% tags=["predict"]
predict(
    "The key of token 9,990 was turned by 9,990 steps when it entered the cache. Now query 10,000 comes. What has to be done to the cached key?",
    {
        "Nothing, now and for as long as it is kept": (
            "right",
            "Each vector is turned once, by its own position, when it enters. The distance to any later query comes out right, for the score sees differences only.",
        ),
        "It must be turned on by 10 steps, to its new distance": "The query is turned by 10,000 and the key by 9,990. The score sees the difference, 10, by itself.",
        "It must be turned back to 0": "Then the score would see a distance of 10,000.",
        "All keys in the cache must be turned by one step, at every token": "That would be needed if keys were turned by their distance to the newest query. They are turned by their own position, which never changes.",
    },
)

# %%
from simplex_lib.attention import determinant_attention_windowed, rotary_triples

q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 40, 9, generator=generator, dtype=torch.float64)
early = [rotary_triples(x) for x in (q, k1, k2)]  # positions 0, 1, 2, ...
late = [rotary_triples(x, 1_000_000 + torch.arange(40)) for x in (q, k1, k2)]

whole = determinant_attention_windowed(*early, v1, v2, w1=12, w2=4)
cache = PairCache.empty(b=1, g=2, d=9, w1=12, w2=4, dtype=torch.float64)
for i in range(40):
    token = (x[:, :, i : i + 1] for x in (*late, v1, v2))
    torch.testing.assert_close(determinant_decode(cache, *token), whole[:, :, i : i + 1])

moved = trilinear_attention(*late, v1, v2, w1=12, w2=4)
moved = (moved - trilinear_attention(*early, v1, v2, w1=12, w2=4)).abs().max()
print(f"determinants: no change at position 1,000,000; the trilinear score: up to {moved:.2f}")

# %% [markdown]
r"""
Decoded at position 1,000,000, with each key turned once, every row is that of the full pass at 0. The last line is the warning: with the *trilinear* score the same turning does not give offsets, so the output depends on where the text stands. Its cache is as exact; its score is not relative.

## What the papers say, what we measured

*Fast and Simplex: 2-Simplicial Attention in Triton*, [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 6 and appendix:

* The windows and the linear cost: [`fs-window`](../claims/README.md#fs-window), [`fs-window-cost`](../claims/README.md#fs-window-cost). A public reimplementation has windows of $w + 1$ keys: [`window-off-by-one`](../claims/README.md#window-off-by-one).
* Six operations a pair is a convention; the authors' public benchmark counts four, without the product that is shared: [`fs-six-flops`](../claims/README.md#fs-six-flops). The 48k, exactly: [`fs-48k`](../claims/README.md#fs-48k).
* Table 1 follows the product of the windows, and cannot be repeated: [`fs-table1-product`](../claims/README.md#fs-table1-product), [`fs-table1`](../claims/README.md#fs-table1).
* The text gives each query $w_1 + w_2 - 1$ "different" pairs. It sees $w_1 w_2$; the other number is how many are *new* from one query to the next, and neighbours share 97 %: [`fs-new-pairs`](../claims/README.md#fs-new-pairs), [`fs-few-shared`](../claims/README.md#fs-few-shared).
* Tiles over heads need no mask; the printed listing still tiles 64 positions: [`fs-head-tiles`](../claims/README.md#fs-head-tiles), [`fs-listing-tiles`](../claims/README.md#fs-listing-tiles), [`fs-gqa64`](../claims/README.md#fs-gqa64). The published waste, counted anew: [`waste-sequence`](../claims/README.md#waste-sequence), [`waste-heads`](../claims/README.md#waste-heads), [`waste-count`](../claims/README.md#waste-count).

The paper does not treat decoding; that two rolling caches are exact is ours, and tested: [`window-cache`](../claims/README.md#window-cache). Times were measured in the cells that print them; recorded runs, with gradients, are in `simplex_lib/data/windowed_benchmark.json`.

## In half a page

* A query sees the pairs with $i - w_1 < j \le i$ and $i - w_2 < k \le i$: a rectangle; nothing orders j and k. A distance of n needs a window of n + 1.
* Two clues beyond the short window are never seen as a pair, by that layer.
* Do not mask the cube; fetch the windows. They are a view of the padded keys, and time is linear in s.
* $6\, s\, w_1 w_2$ against $2 s^2$: break-even at $3 w_1 w_2$, which is 49,152 for (512, 32). Below, the windows cost more. For one decoding step it is half of that.
* Operations follow the product of the windows, caches their sum, reach the longer one.
* Tiles of neighbouring queries waste 73 to 84 %, tiles of query heads that share keys about 1 %.
* Decoding keeps $w_1 + w_2$ keys in two rings, at constant cost. Turn a key once, when it enters; with determinants that is all.

**Further reading.** [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 6. Windows for ordinary attention: Longformer, [arXiv:2004.05150](https://arxiv.org/abs/2004.05150); with a rolling cache: Mistral 7B, [arXiv:2310.06825](https://arxiv.org/abs/2310.06825). Tiles over the heads of a group, which the paper took over: Native Sparse Attention, [arXiv:2502.11089](https://arxiv.org/abs/2502.11089).

**Next:** chapter 05, Multi-Token Attention, which widens query and key in place of adding a third vector.
"""
