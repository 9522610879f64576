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
# 01 &nbsp; Dot-product attention

*Alice saw the white rabbit under the tree.* To know what "rabbit" means here, a model must fetch something from "white", and perhaps from "Alice" and "saw". It does not know beforehand which words will matter, and the answer differs
from sentence to sentence. So it cannot wire position 4 to position 3. It has to *look things up by content*, and it has to be able to learn how.

Attention is that look-up: soft, so that it can be learned, and in parallel for all words. This chapter builds it from a pocket calculator to a layer, and ends with the one trick on which every fast kernel of this course rests.

After it you can

* write attention in four lines and say why each of them is there: the scale, the mask, the softmax, the mean,
* keep it from overflowing, share keys between heads, and say what it costs in operations and in bytes,
* compute a softmax over keys that you see only a few at a time, and merge two finished halves into one.

First, two questions on what you have from chapter 00.
"""

# %% tags=["shared"]
import math

import torch
from torch import nn

from simplex_lib.attention import dot_product_attention
from simplex_lib.course import check, hint, predict

# %% tags=["predict"]
predict(
    'x has shape (3, 5) and y has shape (4, 5). What is `torch.einsum("id,jd->ij", x, y)`?',
    {
        "A table of 3 × 4 sums, each of 25 products": "The letter d stands in both inputs, so only equal positions meet: 5 products in each sum. 25 would need two different letters.",
        "A table of 3 × 4 dot products": (
            "right",
            "The letter d is shared and does not stay, so it is matched and summed: row i of x meets row j of y, for every i and j.",
        ),
        "An error: 3 and 4 do not fit": "Only axes with the same letter must have the same size. i and j are two letters.",
        "Three dot products, one for each row of x": "For that, the rows of y would need the letter i as well. Here j is a letter of its own and stays.",
    },
)

# %% tags=["predict"]
predict(
    "A reader has the weights (0.5, 0.5, 0) and the values are 2, 4 and 100. What does it get?",
    {
        "35.3": "That is the plain mean of the three values. The weights say how much each of them counts.",
        "53": "That is a half of the sum of all three. The third weight is 0.",
        "6": "Each value counts by its weight: a half of 2 and a half of 4.",
        "3": (
            "right",
            "0.5 · 2 + 0.5 · 4 + 0 · 100. A weight of 0 hides a value completely, however large it is.",
        ),
    },
)

# %% [markdown]
r"""
## A soft look-up

A Python dictionary is a hard look-up. Ask `{"cat": 10, "dog": 20, "car": 50}` for `"kitten"` and you get a `KeyError`: nothing matches exactly, so nothing comes back. There is also nothing to learn from: nudge the question a little and
the answer does not move, until it jumps.

Now let keys and question be vectors, and let every key answer, each as loudly as it matches. Match is measured by the dot product:

| entry | key | value | key · query, for the query (2, 1) |
|:--|:--|--:|--:|
| cat | (1, 0) | 10 | 2 |
| dog | (1, 1) | 20 | 3 |
| car | (0, −1) | 50 | −1 |

Scores can be negative, and a share cannot. The exponential makes them positive and keeps their order: $e^2 = 7.39$, $e^3 = 20.09$, $e^{-1} = 0.37$. Together that is 27.84, so the shares are 0.265, 0.721 and 0.013. Exponentiate and divide by
the sum: that is all a **softmax** does. The answer is the mean of the values with these shares, $0.265 \cdot 10 + 0.721 \cdot 20 + 0.013 \cdot 50 = 17.7$: mostly dog, some cat, hardly any car.

Scores before the softmax are called **logits**.
"""

# %%
from simplex_lib.attention import merge, online_softmax_attention
from simplex_lib.widgets import explore_heads, explore_online, explore_plane

query = torch.tensor([2.0, 1.0])
keys = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, -1.0]])
values = torch.tensor([10.0, 20.0, 50.0])

shares = (keys @ query).softmax(0)
answer = float(shares @ values)
print("shares", [round(x, 3) for x in shares.tolist()], " answer", round(answer, 1))
assert (keys @ query).tolist() == [2, 3, -1] and abs(answer - 17.7) < 0.05

# %% tags=["predict"]
predict(
    "Two keys score 1 and 0, so their shares are 0.73 and 0.27. Now the query is made twice as long, in the same direction. What are the shares?",
    {
        "0.73 and 0.27, since the direction is the same": "A softmax looks at differences of scores, and they have doubled. Only adding the same number to all scores would change nothing.",
        "1.46 and 0.54": "Shares always sum to 1. The scores double, not the shares.",
        "0.88 and 0.12": (
            "right",
            "Both scores double: 2 and 0. What counts is their difference, and $e^2 / (e^2 + 1) = 0.88$. A longer query is a more decided one.",
        ),
        "1 and 0": "The difference of the scores has grown from 1 to 2, no more. A share reaches 1 only when the difference has no end.",
    },
)

# %% [markdown]
r"""
Before you move the sliders, guess: **which values can the output reach, and which not?** On the left is the query with six keys, in the middle their shares, on the right the six values and the output. The dotted line is the output's path
when the query turns once. Turn the query with the angle, then set the length to 0, to 0.5 and to 6. (Before the softmax the scores are divided by $\sqrt 2$; the section after next says why.)
"""

# %%
six_keys = [(2.3, 0.8), (0.5, 1.9), (-2.2, 1.8), (-1.7, -0.6), (-0.6, -2.3), (1.7, -1.4)]
six_values = [(2.2, 0.6), (-1.8, 1.9), (0.9, -2.2), (-2.4, -0.8), (1.0, 2.4), (0.2, 0.2)]
explore_plane(angle=30, length=2, keys=six_keys, values=six_values)

# %% [markdown]
r"""
You should have seen three things.

* **Length is decision.** At length 0 all shares are equal and the output is the mean of all values. At 30° key a has 0.33 at length 0.5, 0.74 at length 2 and 0.99 at length 6. With a very long query the look-up is nearly hard again.
* **The output never leaves the hull.** It is a mean with positive shares, so it stays within the thin line round the values. At length 6 it comes to within 0.06 of the values of a (try 15°), c (140°), e (260°) and f (315°), and to 0.4 of b (75°). It never comes closer than 0.9 to the value of d (200°): key d is short, and its long neighbours c and e keep a quarter for themselves. The value of f lies inside the hull. There a mixture of others can lie too: at length 2 and 90° the output is half a unit from it, and f has no share in that at all.
* **A dot product rewards length.** At 185° the query points nearly at key d (199°) and far from key c (141°). Still c wins, with 0.54 against 0.36, because its key is longer: 2.84 against 1.80.
"""


# %%
def shares_at(angle, length):
    """The shares of the six keys."""
    radians = math.radians(angle)
    query = length * torch.tensor([math.cos(radians), math.sin(radians)])
    return (torch.tensor(six_keys) @ query / math.sqrt(2)).softmax(0).tolist()


for length, expected in ((0, 1 / 6), (0.5, 0.33), (2, 0.74), (6, 0.99)):
    print(f"at 30°, length {length:3}: key a has {shares_at(30, length)[0]:.2f}")
    assert abs(shares_at(30, length)[0] - expected) < 0.01
assert [round(x, 2) for x in shares_at(185, 2)[2:4]] == [0.54, 0.36]

for name, angle, value in zip("abcdef", (15, 75, 140, 200, 260, 315), six_values, strict=True):
    output = torch.tensor(shares_at(angle, 6)) @ torch.tensor(six_values)
    print(
        f"at {angle:3}°, length 6: {math.dist(output.tolist(), value):.2f} from the value of {name}"
    )

# %% [markdown]
r"""
## Every query meets every key

In a sentence every word asks a question of its own, so there is a query for every position, and a key and a value for every position. With $s$ positions that is a table of $s \times s$ logits: row $i$ belongs to query $i$, column $j$ to
key $j$. Several such tables live side by side, one for each head $h$ and each sentence $b$ of the batch; they never mix.

$$a_{bhij} = \frac{1}{\sqrt d}\sum_{d} q_{bhid}\; k_{bhjd}$$

As an index, $d$ counts the features of one head; under the root it is their number. You have met every part of this in the plane, where $\sqrt d$ was $\sqrt 2$. So why divide at all?

## Why divide by √d

Suppose the $d$ numbers in a query and in a key are independent, with mean 0 and variance 1, as they roughly are when training starts. One product $q_d k_d$ then has mean 0 and variance 1. A dot product adds up $d$ of them.
"""

# %% tags=["predict"]
predict(
    "The head dimension is d = 64. How far from 0 is a dot product q · k typically, that is, what is its standard deviation?",
    {
        "1": "One product has standard deviation 1. The dot product is a sum of 64 of them.",
        "8": (
            "right",
            "Variances of independent numbers add up: 64. The standard deviation is its root.",
        ),
        "64": "That is the variance. Sums of random signs partly cancel, so the spread grows with the root of their number.",
        "4096": "That is the square of 64. Nothing here is squared twice.",
    },
)

# %%
generator = torch.Generator().manual_seed(0)
bars = "▁▂▃▄▅▆▇█"
print("                 largest of 8 shares     shares of one query")
print("   d   variance   as it is  with 1/√d    as it is    with 1/√d")
for d in (4, 16, 64, 256):
    q = torch.randn(4000, d, generator=generator)
    k = torch.randn(4000, 8, d, generator=generator)  # eight keys for each query
    logits = torch.einsum("nd,njd->nj", q, k)
    both = [logits.softmax(-1), (logits / math.sqrt(d)).softmax(-1)]
    largest = [p.amax(-1).mean().item() for p in both]
    drawn = ["".join(bars[min(7, int(8 * x))] for x in p[1].tolist()) for p in both]
    numbers = f"{d:4} {logits.var():10.0f} {largest[0]:10.2f} {largest[1]:10.2f}"
    print(f"{numbers}    {drawn[0]}    {drawn[1]}")
    assert 0.9 < logits.var() / d < 1.1
assert largest[0] > 0.9 and largest[1] < 0.5

# %% [markdown]
r"""
The variance is $d$, as predicted. Look at what it does to the softmax: at $d = 256$ the largest of eight random shares is above 0.9 on average. Nothing was learned yet, and each query has already made up its mind, by chance. Worse, it can
hardly change it: the derivative of a share $p$ with respect to its own logit is $p(1-p)$, which is 0.25 at $p = 0.5$ and 0.01 at $p = 0.99$. A decided softmax passes almost no gradient on.

Divided by $\sqrt d$, the logits have variance 1 for every $d$, and the last column hardly changes from row to row. That is all that the scale is for: a fair start. A model that wants to be decided can still learn longer queries.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.1: Logits &nbsp; (5 minutes)

Turn queries and keys, both of shape (b, h, s, d), into scaled logits (b, h, s, s):

$$a_{bhij} = \frac{1}{\sqrt d}\sum_{d} q_{bhid}\; k_{bhjd}$$

Heads and sentences do not mix. One line is enough.
"""


# %% tags=["exercise"]
def attention_logits(q, k):
    """Scaled scores of every query with every key: (b, h, s, d), (b, h, s, d) -> (b, h, s, s)."""
    ### BEGIN SOLUTION
    return torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])
    ### END SOLUTION


# %% tags=["exercise"]
check("1.1", attention_logits)

# %% [markdown]
r"""
## No looking ahead

A language model learns to say the next word from the words so far. At every position it must guess without having seen what follows, or it learns to copy instead of to guess. So query $i$ may use the keys $0, \dots, i$ and no others:
attention is **causal**. Its own key it may use.

Say query 1 has the logits 1, 2, 3. Key 2 lies in its future. Here are three ways to hide it that look much alike in code:

| recipe | key 0 | key 1 | key 2 | sum |
|:--|--:|--:|--:|--:|
| logit of key 2 set to **−∞**, then softmax | 0.27 | 0.73 | 0 | 1 |
| logit of key 2 set to **0**, then softmax | 0.24 | 0.67 | **0.09** | 1 |
| softmax first, then share of key 2 set to **0** | 0.09 | 0.24 | 0 | **0.33** |

Only the first is right. In the second, 0 is a logit like any other, with $e^0 = 1$, so 9 % of the attention still goes to the future. In the third, the future got two thirds of the attention, it was taken away, and nobody got it back: the
output shrinks to a third. And how much was taken away depends on the future, so the future still shines through.
"""

# %%
row, hidden = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([False, False, True])
recipes = {
    "minus infinity, then softmax": row.masked_fill(hidden, -math.inf).softmax(0),
    "0, then softmax": row.masked_fill(hidden, 0).softmax(0),
    "softmax, then 0": row.softmax(0).masked_fill(hidden, 0),
}
for name, p in recipes.items():
    print(f"{name:30}", [round(x, 2) for x in p.tolist()], " sum", round(float(p.sum()), 2))
assert abs(float(recipes["0, then softmax"][2]) - 0.09) < 1e-3

# %% tags=["predict"]
predict(
    "In causal attention, what does query 0 return?",
    {
        "0, since it has no past": "The own position counts as visible. If it did not, query 0 would divide 0 by 0, and you would get NaN.",
        "The mean of all values": "That is what equal shares over all keys would give. Keys 1, 2, ... lie in the future of query 0.",
        "Its own value, v₀": (
            "right",
            "It sees one key, its own, and a softmax over one number is 1. The logit does not matter. This is a good first test for any attention that you write.",
        ),
        "Its own value, shrunk by its share": "Its share is 1: there is nobody to share with.",
    },
)

# %% [markdown]
r"""
## A softmax that survives large logits

There is a second trap, and it needs no mask. The largest number that float32 can hold is about $3.4 \cdot 10^{38}$, which is $e^{88.7}$. A logit of 100 is all it takes: its exponential is infinite in float32, and infinity
divided by infinity is NaN. With float16 the limit is 65,504, which is $e^{11.1}$.
"""

# %%
large = torch.tensor([1000.0, 1001.0, 1002.0])
by_definition = large.exp() / large.exp().sum()
moved_down = (large - 1002).softmax(0)
print("by the definition:", by_definition.tolist())
print("1002 subtracted:  ", [round(x, 3) for x in moved_down.tolist()])
assert by_definition.isnan().all() and torch.equal(moved_down, large.softmax(0))

# %% [markdown]
r"""
The way out needs no more digits. Only differences of logits count: if all logits of a row lose the same number $m$, numerator and denominator both lose the factor $e^m$, and the share is as before. Take $m$ to be the row's largest visible logit.
Then the largest exponential is exactly 1, nothing overflows, and the sum $l$ is at least 1, so nothing is divided by 0:

$$m = \max_j a_j \qquad l = \sum_j e^{a_j - m} \qquad p_j = \frac{e^{a_j - m}}{l}$$

Here $m = 1002$ and $l = e^{-2} + e^{-1} + 1 = 1.503$. The two numbers belong together. The true denominator is $e^m\, l$, far too large to write down, but its logarithm is harmless:

$$\text{lse} = \ln \sum_j e^{a_j} = m + \ln l = 1002 + 0.408 = 1002.408$$

This is the **log-sum-exp**. It is worth a name, since it holds all that a row's softmax needs to know of the row: $p_j = e^{a_j - \text{lse}}$, with no second sum. You will return it from exercise 1.5, and the kernels of chapters 09 and 10 store
it so that the backward pass need not keep the shares.
"""

# %%
lse = large.logsumexp(0)
assert abs(float(lse) - 1002.408) < 1e-3
assert torch.allclose((large - lse).exp(), large.softmax(0), atol=1e-4)
print("lse:", round(float(lse), 3))

# %% tags=["predict"]
predict(
    "All logits of a query grow by 5. What happens to its shares and to its lse?",
    {
        "The shares stay, the lse grows by 5": (
            "right",
            "Every exponential grows by the same factor $e^5$, which cancels in the shares. The lse is the logarithm of their sum.",
        ),
        "Both stay": "The sum of exponentials does grow, by $e^5$. The lse remembers the level which the shares forget.",
        "The shares get sharper, the lse grows by 5": "Sharper shares need larger *differences*, as when the query gets longer. Here all differences stay.",
        "The shares stay, the lse grows by a factor of $e^5$": "The sum of exponentials grows by that factor. The lse is its logarithm.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.2: A causal softmax that does not overflow &nbsp; (10 minutes)

Turn logits (b, h, s, s) into shares of the same shape. Query $i$ sees the keys $j \le i$; hidden keys get exactly 0; every row sums to 1; logits of any size are welcome; and the result has the dtype of the input.

Once in your life, by hand: `softmax`, `log_softmax` and `logsumexp` of PyTorch may not be called here. `exp`, `amax`, `sum`, `masked_fill` and the like may. After this exercise you may use PyTorch's softmax again.
"""


# %% tags=["exercise"]
def causal_softmax(logits):
    """Each query's shares over the keys up to its own: (b, h, s, s) -> (b, h, s, s)."""
    ### BEGIN SOLUTION
    future = torch.ones_like(logits, dtype=torch.bool).triu(1)
    logits = logits.masked_fill(future, -math.inf)
    terms = (logits - logits.amax(-1, keepdim=True)).exp()
    return terms / terms.sum(-1, keepdim=True)
    ### END SOLUTION


# %% tags=["exercise"]
check("1.2", causal_softmax)

# %% [markdown]
r"""
## Attention

The rest is the mean that you know from the soft look-up, once for every query:

$$\text{out}_{bhid} = \sum_j p_{bhij}\; v_{bhjd}$$

One slip to know about: the paper on which this course rests prints this sum with the logits in place of the shares (Eq. 4 of [arXiv:2507.02754](https://arxiv.org/abs/2507.02754); [ledger](../claims/README.md#fs-eq4)). A quick test
tells which is right: if all values are 1, a mean must return 1.

And how can you know that *nothing* from the future gets in? Not by looking at the code. Change the future, and see whether the past moves:
"""

# %%
generator = torch.Generator().manual_seed(1)
q, k, v = torch.randn(3, 1, 2, 6, 4, generator=generator, dtype=torch.float64)
before = dot_product_attention(q, k, v)

other_k, other_v = k.clone(), v.clone()
other_k[..., 4:, :], other_v[..., 4:, :] = 100.0, -7.0  # positions 4 and 5 say something else
after = dot_product_attention(q, other_k, other_v)

moved = (before - after).abs().amax((0, 1, 3))
print("how far the output of each position moved:", [round(x, 3) for x in moved.tolist()])
assert (moved[:4] == 0).all() and (moved[4:] > 0).all()
assert torch.allclose(dot_product_attention(q, k, torch.ones_like(v)), torch.ones_like(v))

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.3: Attention &nbsp; (5 minutes)

From queries, keys (b, h, s, d) and values (b, h, s, dv) to outputs (b, h, s, dv): causal, with the scale $1/\sqrt d$. Values may have a width of their own. You may call your functions from 1.1 and 1.2, and PyTorch's softmax. `F.scaled_dot_product_attention` and
the library's `dot_product_attention` do not count here.
"""


# %% tags=["exercise"]
def causal_attention(q, k, v):
    """Each query's mean of the values up to its own: (b, h, s, d), same, (b, h, s, dv) -> (b, h, s, dv)."""
    ### BEGIN SOLUTION
    return causal_softmax(attention_logits(q, k)) @ v
    ### END SOLUTION


# %% tags=["exercise"]
check("1.3", causal_attention)

# %% [markdown]
r"""
## Several heads, several questions

A query has one unit of attention to hand out. If "rabbit" wants its adjective *and* its verb, it can give a half to each; then it gets the mean of the two values, and a mean of two things is neither. The remedy is to ask several questions at
once. The width of the model is cut into $h$ blocks of $d$ numbers, the **heads**; each has queries, keys and values of its own, and their outputs are laid side by side again.

Below are four heads over one sentence. They were built by hand, not learned, so that you can check what you see: each query is a pattern that a key has or has not. Before you move anything: **what does each head look for? And one of them does
not care about the temperature at all. Which one, and why?** (The temperature divides all logits. It is the query's length again, upside down. The number above each map is the **entropy** of the marked row, which says how evenly it reads: 0 nats for
one key alone, $\ln n$ for $n$ keys all alike.)
"""

# %%
words = ["Alice", "saw", "the", "white", "rabbit", "under", "the", "tree"]
s, d = len(words), 16
k = torch.zeros(1, 1, s, d)
k[0, 0, :, :s] = torch.eye(s)  # features 0 to 7 of a key: its position
k[0, 0, [0, 4, 7], 8] = 1.0  # feature 8: it is a noun

q = torch.zeros(1, 4, s, d)
q[0, 0, 1:, :s] = 16 * torch.eye(s)[:-1]
q[0, 1, :, 8] = 16.0
q[0, 2, :, 0] = 16.0

explore_heads(q, k, tokens=words, head=1)

# %% [markdown]
r"""
You should have seen: head 0 reads the word before, head 1 reads nouns, head 2 reads the first word, and head 3 spreads its attention evenly over all that it sees. Head 3 ignores the temperature, because its query is 0 and so are all its logits:
0 divided by anything is 0. At low temperature heads 0 and 2 become hard look-ups. Head 1 does not: from "tree" it sees three nouns with the *same* logit, and equal logits stay equal at every temperature.

Did you notice the shapes? `q` has four heads, and `k` has only one. All four ask the same keys, each its own question.
"""

# %% [markdown]
r"""
## Sharing keys: GQA and MQA

That is not a trick for this page; large models do it, and the reason is memory. When a model writes text token by token, it keeps the keys and values of all tokens so far, the **KV cache**, and reads all of it for every new token. Queries are used once and
forgotten. So it is the key and value heads that are expensive, and query heads can be had almost for nothing.

* **Multi-head attention**: as many key heads as query heads.
* **Multi-query attention** (MQA, [arXiv:1911.02150](https://arxiv.org/abs/1911.02150)): one key head for all.
* **Grouped-query attention** (GQA, [arXiv:2305.13245](https://arxiv.org/abs/2305.13245)): in between. Neighbouring query heads form a group, and a group shares one key head and one value head.

With $h = 6$ query heads and $g = 2$ key heads:

| query head | 0 | 1 | 2 | 3 | 4 | 5 |
|:--|--:|--:|--:|--:|--:|--:|
| **reads key head** | 0 | 0 | 0 | 1 | 1 | 1 |
| *not* | 0 | 1 | 0 | 1 | 0 | 1 |

The second row is the mistake to avoid. It has the right shapes and runs without complaint, and weights that were trained for the first row then meet the wrong keys. What sharing saves can be counted:
"""


# %%
def cache_bytes(n_layers, n_kv_heads, head_dim, s, bytes_each=2):
    """Keys and values of s tokens in all layers."""
    return 2 * n_layers * n_kv_heads * head_dim * s * bytes_each


model = dict(n_layers=32, head_dim=128, s=8192)  # 32 query heads, bfloat16, 8,192 tokens
for name, n_kv_heads in (("multi-head", 32), ("grouped, 4 a group", 8), ("multi-query", 1)):
    size = cache_bytes(n_kv_heads=n_kv_heads, **model)
    print(f"{name:20} {n_kv_heads:2} key heads {size / 2**20:6.0f} MiB for one text")
assert cache_bytes(n_kv_heads=32, **model) == 4 * 2**30

# %% tags=["predict"]
predict(
    "32 query heads, 8 key heads instead of 32. What becomes four times smaller?",
    {
        "The number of multiplications in the logits": "Every query head still meets every key of its group's key head: 32 tables of s × s logits, as before.",
        "The table of logits": "There is one table for each *query* head, and there are still 32 of them.",
        "The KV cache": (
            "right",
            "Keys and values are kept for 8 heads in place of 32. Each of the 32 query heads still scores every key.",
        ),
        "All three": "Only what is counted by key heads shrinks. Logits are counted by query heads.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.4: Query heads that share keys &nbsp; (5 minutes)

Causal attention with `q` of shape (b, h, s, d), and `k` and `v` of shape (b, g, s, d), where g divides h. Neighbouring query heads share a key head and a value head: with 6 query heads and 2 key heads, query heads 0, 1, 2 read key head 0, and
3, 4, 5 read key head 1. Output: (b, h, s, d). You may call your `causal_attention`; `F.scaled_dot_product_attention` and the library's `dot_product_attention` do not count here either.
"""


# %% tags=["exercise"]
def grouped_attention(q, k, v):
    """Causal attention whose query heads share keys: (b, h, s, d), (b, g, s, d) twice -> (b, h, s, d)."""
    ### BEGIN SOLUTION
    group_size = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group_size, dim=1) for x in (k, v))
    return causal_attention(q, k, v)
    ### END SOLUTION


# %% tags=["exercise"]
check("1.4", grouped_attention)

# %% [markdown]
r"""
## What it costs

Count for one head. Query $i$ sees $i + 1$ keys, so $s$ queries see $1 + 2 + \dots + s = s(s+1)/2$ pairs, about half of the square. Each pair costs $d$ multiplications and $d$ additions in its logit, and as many in the weighted sum of values:
$4d$ together. That makes

$$\tfrac12\, s^2 \cdot 4 d = 2\, s^2 d$$

operations for a head, or $2 s^2$ *for each unit of head dimension*. That is the unit in which the paper counts (section 6), and in which we will compare pairs with triples in chapter 04.
"""


# %%
def operations(s, d):
    """Multiplications and additions of causal attention, one head, counted pair by pair."""
    total = 0
    for i in range(s):
        for _ in range(i + 1):  # keys that query i sees
            total += 2 * d + 2 * d  # logit, then weighted value
    return total


s, d = 200, 64
print(f"counted {operations(s, d):,}, the formula 2 s² d says {2 * s**2 * d:,}")
assert operations(s, d) == 2 * s * (s + 1) * d
assert abs(operations(s, d) / (2 * s**2 * d) - 1) < 1 / 100

# %% tags=["predict"]
predict(
    "One head at s = 1,024 holds its table of logits in 4 MiB (float32). How much does it need at s = 65,536?",
    {
        "256 MiB": "That is 64 times as much, one factor of 64 for the length. The table has the length on both sides.",
        "16 GiB": (
            "right",
            "The length is 64 times as large, and the table 64² = 4,096 times: 4 MiB · 4,096.",
        ),
        "1 TiB": "That would be 64³ times as much. A table of *triples* grows like that: chapter 02.",
    },
)

# %%
print("     s    q, k, v, out (d = 128)       logits")
for s in (1024, 4096, 16384):
    linear, square = 4 * s * 128 * 4, s * s * 4  # bytes, float32, one head
    print(f"{s:6,}    {linear / 2**20:18.0f} MiB {square / 2**20:8,.0f} MiB")
assert 16384**2 * 4 == 2**30

# %% [markdown]
r"""
This table is the reason for the rest of the chapter. What goes in and what comes out grows like $s$. The logits in between grow like $s^2$, and nobody wants them: each is made, exponentiated, used once and thrown away. For triples the table becomes
a cube. So: can we get the output without ever having the whole row of logits?

## One block of keys at a time

A sum can be taken in pieces. The trouble is the maximum: to subtract it, we would have to see all logits first. The way out is to subtract the largest logit *so far*, and to mend what we have when a larger one turns up.

One query, four keys, in two blocks of two:

| | logits | values |
|:--|:--|:--|
| block A | 2, 1 | 2, 4 |
| block B | 4, 1 | 1, 3 |

We keep three numbers: the largest logit so far, $m$; the sum of exponentials measured from it, $l$; and the sum of values weighted with the same exponentials, acc.

**Block A.** $m = 2$. The terms are $e^{2-2} = 1$ and $e^{1-2} = 0.368$. So $l = 1.368$ and acc $= 1 \cdot 2 + 0.368 \cdot 4 = 3.472$.

**Block B.** It brings a 4, so $m$ becomes 4. Its own terms are $e^{4-4} = 1$ and $e^{1-4} = 0.050$. And what we have from A was measured from 2, not from 4. In the new unit every old term is smaller by the same factor, $e^{2-4} = 0.135$:

* $l = 0.135 \cdot 1.368 + 1 + 0.050 = 1.235$
* acc $= 0.135 \cdot 3.472 + 1 \cdot 1 + 0.050 \cdot 3 = 1.619$

**At the end** the output is acc $/\, l = 1.619 / 1.235 = 1.311$, and lse $= m + \ln l = 4 + 0.211 = 4.211$. All four keys at once give the same:
"""

# %%
logits = torch.tensor([2.0, 1.0, 4.0, 1.0], dtype=torch.float64)
values = torch.tensor([2.0, 4.0, 1.0, 3.0], dtype=torch.float64)
whole = float(logits.softmax(0) @ values), float(logits.logsumexp(0))
print("all four at once: output", round(whole[0], 3), " lse", round(whole[1], 3))
assert abs(whole[0] - 1.619 / 1.235) < 1e-3 and abs(whole[1] - 4.211) < 1e-3

# %% [markdown]
r"""
Now a longer row: 14 keys in blocks of 4, whose logits you can read off the picture. One block is read, and $m$ is 2. **Before each step, say to yourself: will this block raise m? And if it does, what must shrink, and by which factor?** At the end,
add 100 to all logits with the offset: what will change?
"""

# %%
row = [1, 0, 2, 1, 0, 1, 1, -1, 4, 2, 0, 1, 3, 5]
k = torch.tensor(row, dtype=torch.float64).reshape(1, 1, -1, 1)
q, v = torch.ones_like(k), torch.arange(14.0, dtype=torch.float64).reshape(1, 1, -1, 1)
explore_online(q, k, v, block_size=4, step=1)  # logit j is 1 · row[j], the value is j

# %% [markdown]
r"""
You should have seen that $m$ never falls. Block 2 has nothing above 2: factor 1, it just adds. Block 3 brings a 4, so $l$ and acc both shrink by the *same* factor, $e^{2-4} = 0.135$; block 4 brings a 5, and the factor is $e^{4-5} = 0.368$. At
every moment acc $/\, l$ is the exact attention over the keys read so far. With the offset, $m$ and lse grow by 100, and $l$, acc and the output do not move at all; without $m$, the sum overflows in float32 and the output is NaN.
"""

# %% tags=["predict"]
predict(
    "All logits of a row lie between −3 and 3. Somebody never updates m and keeps m = 0 all along. What is wrong with out and lse?",
    {
        "out is right, lse is wrong": "lse = m + ln l, and with m = 0 the sum l is not scaled down, so ln l alone is the lse.",
        "Both are wrong, by the factor e to the largest logit": "That factor is in acc and in l. It cancels in acc / l, and in the lse it is made up for by m.",
        "Nothing": (
            "right",
            "m is only the unit in which l and acc are kept, and it cancels in acc / l and in m + ln l. It matters when exponentials would overflow or vanish, and between e⁻³ and e³ they do not.",
        ),
        "lse is right, out is wrong": "out = acc / l, and both are measured from the same m = 0.",
    },
)

# %% [markdown]
r"""
### The merge

Look at the same thing from further off. Block A alone has the output $3.472 / 1.368 = 2.538$ and an lse of $2 + \ln 1.368 = 2.313$. Block B alone has 1.095 and 4.049. From these four numbers, without going back to any key, one gets the attention
over both:

$$\text{lse} = \ln\left(e^{\text{lse}_A} + e^{\text{lse}_B}\right) = 4.211$$

$$\text{out} = e^{\text{lse}_A - \text{lse}}\, \text{out}_A + e^{\text{lse}_B - \text{lse}}\, \text{out}_B = 0.150 \cdot 2.538 + 0.850 \cdot 1.095 = 1.311$$

It is a softmax over *parts*, with their lse as logits. A pair (out, lse) is all that one needs to know of any set of keys; the parts may be of any size, come in any order, and be computed on different machines. The library calls this `merge`:
"""


# %%
out_a, out_b = torch.tensor([2.538, 1.095]).reshape(2, 1, 1, 1, 1)  # (b, h, s, dv), all 1
lse_a, lse_b = torch.tensor([2.313, 4.049]).reshape(2, 1, 1, 1)
out, lse = merge(out_a, lse_a, out_b, lse_b)
print("merged: output", round(out.item(), 3), " lse", round(lse.item(), 3))
assert abs(out.item() - whole[0]) < 1e-3 and abs(lse.item() - whole[1]) < 1e-3

# %% [markdown]
r"""
Everything later rests on this. In chapter 02 the parts are second keys, and the merge lets you compute a sum over all pairs without the cube. In chapters 09 and 11 they are tiles of a kernel, and lse is what the backward pass of chapter 10 starts
from. FlashAttention ([arXiv:2205.14135](https://arxiv.org/abs/2205.14135)) is this loop in tiles, so that the table of logits never goes to the GPU's main memory. The library's version reads as many keys at a time as you like, and
the result does not depend on it:
"""

# %%
generator = torch.Generator().manual_seed(2)
q, k, v = torch.randn(3, 1, 2, 300, 16, generator=generator, dtype=torch.float64)
at_once = dot_product_attention(q, k, v)
for block_size in (1, 64, 300):
    in_blocks, _ = online_softmax_attention(q, k, v, block_size=block_size)
    print(f"blocks of {block_size:3}: largest difference {(in_blocks - at_once).abs().max():.0e}")
    assert torch.allclose(in_blocks, at_once, atol=1e-12)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.5: Online softmax &nbsp; (15 minutes)

Attention over all keys, *without a causal mask*, that reads `block` keys at a time; the last block may be shorter. `q` is (b, h, s, d), and `k` and `v` are (b, h, n, d): without a mask there may be more keys than queries, or fewer. Return two things:
`out` (b, h, s, d) and the natural-log `lse` (b, h, s) of the logits scaled with $1/\sqrt d$.

You never hold more than (s, block) logits of a head, and never all logits of a query: the check watches what your answer makes. Inside a block PyTorch may do what it likes.
"""


# %% tags=["exercise"]
def online_attention(q, k, v, block):
    """Attention over all keys, `block` of them at a time: returns out (b, h, s, d) and lse (b, h, s)."""
    ### BEGIN SOLUTION
    m = torch.full_like(q[..., 0], -math.inf)
    l, acc = torch.zeros_like(m), torch.zeros_like(q)  # noqa: E741
    for start in range(0, k.shape[-2], block):
        k_block, v_block = (x[..., start : start + block, :] for x in (k, v))
        logits = q @ k_block.mT / math.sqrt(q.shape[-1])
        m_old, m = m, torch.maximum(m, logits.amax(-1))
        factor, terms = (m_old - m).exp(), (logits - m[..., None]).exp()
        l = factor * l + terms.sum(-1)  # noqa: E741
        acc = factor[..., None] * acc + terms @ v_block
    return acc / l[..., None], m + l.log()
    ### END SOLUTION


# %% tags=["exercise"]
check("1.5", online_attention)

# %% [markdown]
r"""
## A layer

So far queries, keys and values fell from the sky. In a model they are three views of one stream $x$ of shape (b, s, d_model), each through a learned matrix; a fourth matrix mixes what the heads have found:

| step | shape |
|:--|:--|
| $x$ | (b, s, d_model) |
| three projections `wq`, `wk`, `wv` | (b, s, h · d), and (b, s, g · d) twice |
| cut into heads | (b, h, s, d), and (b, g, s, d) twice |
| attention | (b, h, s, d) |
| heads side by side | (b, s, h · d) |
| output projection `wo` | (b, s, d_model) |

The third step has a trap. Take two positions, each with four numbers, to be cut into two heads of two. Position 0 holds 0, 1, 2, 3 and position 1 holds 10, 11, 12, 13. Head 0 should get the first two numbers of *each position*:

| | position 0 | position 1 |
|:--|:--|:--|
| head 0 should be | 0, 1 | 10, 11 |
| head 1 should be | 2, 3 | 12, 13 |
| head 0 after a bare `reshape` to (h, s, d) | 0, 1 | **2, 3** |
| head 1 after a bare `reshape` to (h, s, d) | **10, 11** | **12, 13** |

A reshape never moves a number; it only draws the lines elsewhere. Here head 0 is all of position 0, and head 1 is all of position 1. All shapes fit, nothing complains, and the layer is a different one.
"""

# %%
x = torch.tensor([[0, 1, 2, 3], [10, 11, 12, 13]])
print("after a bare reshape, head 0:", x.reshape(2, 2, 2)[0].tolist())
print("head 0 as it should be:      ", x[:, :2].tolist())
assert x.reshape(2, 2, 2)[0].tolist() != x[:, :2].tolist()

# %% tags=["predict"]
predict(
    "d_model = 512, 8 query heads, 2 key heads, head dimension 64, no biases. How many numbers does the layer learn?",
    {
        "1,048,576": "That is four full matrices of 512 · 512. With two key heads, wk and wv are four times narrower.",
        "786,432": "That is three full matrices: wo is the fourth, and wk and wv are not full.",
        "655,360": (
            "right",
            "wq and wo have 512 · 512 each. wk and wv lead to 2 · 64 = 128 numbers, so 512 · 128 each.",
        ),
        "327,680": "That is half of it. Did you count wq without wo, and wk without wv?",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 1.6: A multi-head layer &nbsp; (10 minutes)

Write the layer as an `nn.Module`, causal, with grouped queries: project, cut into heads, attend, put the heads side by side, project back.

* `MultiHeadAttention(d_model, n_heads, n_kv_heads)`; a head has width `d_model // n_heads`.
* Four `nn.Linear` without bias, named `wq`, `wk`, `wv`, `wo`. `wq` and `wo` are square; `wk` and `wv` lead to `n_kv_heads` heads.
* Head 0 is the first block of neighbouring features, head 1 the second, and so on.
* `forward(x)` takes and returns (b, s, d_model).

For the attention itself call your own, or the library's `dot_product_attention(q, k, v)`, which is causal and shares keys as in 1.4.
"""


# %% tags=["exercise"]
class MultiHeadAttention(nn.Module):
    """Causal attention on a stream (b, s, d_model) with n_heads query heads and n_kv_heads key heads."""

    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__()
        ### BEGIN SOLUTION
        self.head_dim = d_model // n_heads
        self.wq = nn.Linear(d_model, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, d_model, bias=False)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        q, k, v = (
            w(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for w in (self.wq, self.wk, self.wv)
        )
        return self.wo(dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
        ### END SOLUTION


# %% tags=["exercise"]
check("1.6", MultiHeadAttention)

# %% [markdown]
r"""
## What the papers say, what we measured

* *Logits $QK^\top/\sqrt d$ and one softmax for each query* (arXiv:2507.02754, Eqs. 2 and 3): reproduced, equal to plain loops. The variance of $q \cdot k$ came out as $d$ above. [fs-eq2](../claims/README.md#fs-eq2), [fs-eq3](../claims/README.md#fs-eq3)
* *The output is the sum of values weighted with the logits* (Eq. 4 as printed): corrected. It is weighted with the shares. [fs-eq4](../claims/README.md#fs-eq4)
* *$2n^2$ operations for each unit of head dimension* (section 6): reproduced. Counted pair by pair it is $2n(n+1)$. [dot-flops](../claims/README.md#dot-flops)
* *Grouping query heads shrinks the cache by the ratio of the heads*: reproduced, by counting bytes. [gqa-cache](../claims/README.md#gqa-cache)
* *Online softmax over blocks, with lse = m + ln l* (arXiv:2407.08608, Algorithm 1): reproduced for every block size that we tried. [online-softmax](../claims/README.md#online-softmax)
* *The old sum is divided by $e^{m_\text{old} - m}$* (line 21 of the same listing): corrected. It is multiplied by it, as we did by hand above: 3.472 became $0.135 \cdot 3.472$. [fa3-line21](../claims/README.md#fa3-line21)

## In half a page

* Attention is a soft look-up: score every key, softmax, mean of the values. The output stays inside the hull of the values.
* $1/\sqrt d$ keeps the variance of a logit at 1, so that no softmax is decided before anything was learned.
* Hide with −∞ *before* the softmax. Query 0 returns its own value; changing the future must not move the past.
* Subtract each row's largest visible logit before you exponentiate. lse $= m + \ln l$ keeps what the shares forget, and $p_j = e^{a_j - \text{lse}}$.
* Heads are blocks of neighbouring features, and each has one unit of attention. Groups of neighbouring query heads may share a key head; that shrinks the KV cache, not the number of logits.
* Causal attention costs $2 s^2 d$ operations a head, and $s^2$ logits if one holds them.
* One does not have to: keep (m, l, acc), and when m grows, shrink l and acc by $e^{m_\text{old} - m}$. Two finished parts merge with the softmax of their lse.

**Further reading.** Multi-query attention: [arXiv:1911.02150](https://arxiv.org/abs/1911.02150). Grouped-query attention: [arXiv:2305.13245](https://arxiv.org/abs/2305.13245). FlashAttention, in three papers: [arXiv:2205.14135](https://arxiv.org/abs/2205.14135),
[arXiv:2307.08691](https://arxiv.org/abs/2307.08691), [arXiv:2407.08608](https://arxiv.org/abs/2407.08608). Read the first of the three for the idea; chapter 11 comes back to the others.

**Next:** [02 Trilinear attention](02_trilinear.ipynb), where a query looks at two keys at once.
"""
