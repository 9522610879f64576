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
# 02 &nbsp; Trilinear attention

Some questions need two clues at the same time. *Which sentence has both Alice and the rabbit? Which three of these numbers sum to a multiple of five?* No single word answers the first, and no single number the second: it is the **pair** that
answers. Ordinary attention weighs keys one by one. This chapter builds attention that weighs pairs of keys, looks at it from all sides, and asks honestly when it adds anything.

After this chapter you can

* score every triple (query, first key, second key), and turn the scores of a query into *one* unit of attention,
* say what a score of pairs can express that scores of single keys cannot, and measure whether a head makes use of it,
* say what the cube of $s^3$ numbers costs, and compute the same attention without ever building it,
* tell the 2-simplicial attention of 2019 from the one of 2025.

The six exercises take 5 to 15 minutes each. Two questions on chapter 01 first: you will need both answers.
"""

# %% tags=["shared"]
import math
import time

import torch
from torch import nn

from simplex_lib.attention import (
    dot_product_attention,
    dot_product_attention_with_lse,
    trilinear_attention,
)
from simplex_lib.course import check, hint, predict, symptoms

# %% tags=["predict"]
predict(
    "The entries of q and k are independent, with mean 0 and variance 1, and the head dimension is 64. What is the variance of q · k, before any scale?",
    {
        "8": "That is the standard deviation. Variances add, and there are 64 of them.",
        "64": (
            "right",
            "64 independent products of variance 1 add up. The factor 1/8 brings the standard deviation, which is 8, back to 1.",
        ),
        "1": "That is the variance of a single product, or of the sum after the factor 1/8.",
        "4096": "That would be 64 squared, as if all products were one and the same number.",
    },
)

# %% tags=["predict"]
predict(
    "Online softmax: after the first block of keys the running maximum is 1 and the running sum is 2. The next block has maximum 3. By what must the old sum be multiplied before the new block is added?",
    {
        "$e^{-2}$, about 0.14": (
            "right",
            "The old sum was measured against 1, the new unit is 3: $e^{1-3}$. The accumulator is multiplied by the same factor.",
        ),
        "$e^{2}$, about 7.39": "That is the inverse. The maximum went up, so numbers measured against the old one become smaller.",
        "1, the sum only grows": "Then part of the sum would be measured against 1 and part against 3. Their units differ.",
        "1/3": "The maxima are logits. They enter through the exponential, not as factors.",
    },
)

# %%
from simplex_lib.attention import (
    MultiHeadAttention,
    TwoSimplicialAttention,
    trilinear_attention_online,
    trilinear_attention_with_lse,
    trilinear_logits,
    triple_product_logits,
)
from simplex_lib.widgets import explore_pairs

# %% [markdown]
r"""
## A question with two clues

Seven little sentences, and a question mark at the end that asks: *which sentence holds both alice and rabbit?*

> alice met the queen . the rabbit ran away . **alice saw the rabbit** . a cat saw alice . one rabbit was late . alice drank the tea . the white rabbit slept .

Give ordinary attention its best chance. The question mark's query scores a key by its word: $\beta$ for alice, $\beta$ for rabbit, 0 for all other words. Let $\beta$ be so large that the other words vanish. Eight words are left, four times
alice and four times rabbit, and two of the eight stand in the right sentence.
"""

# %% tags=["predict"]
predict(
    "How much of its attention does the query then give to the sentence *alice saw the rabbit*?",
    {
        "1.00, both words are there": "No key says *both words are here*. Each of the eight words scores for itself, and the score of alice is the same in every sentence.",
        "0.50": "That would leave 0.5 for the six others. Count the words that score: there are eight, with equal logits.",
        "0.25, twice as much as to each sentence with one of the words": (
            "right",
            "Eight equal scores, 1/8 each, and two of them in the right sentence. Each of the six sentences with one clue gets 1/8.",
        ),
        "1/7, like every sentence": "Sentences do not compete, words do. A sentence with two scoring words collects two shares.",
    },
)

# %%
TEXT = (
    "alice met the queen . the rabbit ran away . alice saw the rabbit . a cat saw alice . "
    "one rabbit was late . alice drank the tea . the white rabbit slept ."
)
words = [*TEXT.split(), "?"]
sentence = torch.tensor([words[:n].count(".") for n in range(len(words))])
is_alice = torch.tensor([word == "alice" for word in words]).double()
is_rabbit = torch.tensor([word == "rabbit" for word in words]).double()

single = (12 * (is_alice + is_rabbit)).softmax(0)
share = torch.stack([single[sentence == n].sum() for n in range(7)])
assert share.argmax() == 2 and abs(share[2] - 0.25) < 1e-4
share.round(decimals=3).tolist()

# %% [markdown]
r"""
Perhaps other weights for the two clues do better? They do not. Let an alice weigh $a$ and a rabbit weigh $r$ after the exponential. The right sentence gets

$$\frac{a + r}{4a + 4r} = \frac14, \qquad\text{whatever } a \text{ and } r.$$

Weight on any other word would not be an answer: "saw" stands in the right sentence, but that is luck of this text and says nothing of alice or the rabbit. Nor would it help if a key knew the number of its sentence: the number does not say who else is in it. Note what this shows, and what it does not. It holds for *one* look at keys that know only themselves. A second layer could read a first one that had already mixed words into their neighbours; real models do that, and
chapter 06 trains one. The claim is only that **one look at single words cannot say "and"**.

Now score *pairs*. For a first key $j$ and a second key $k$, let the score be

$$a_{jk} = \beta\,\bigl(\,[x_j = \text{alice}] + [x_k = \text{rabbit}] + [\,j \text{ and } k \text{ in the same sentence}\,]\,\bigr)$$

where a bracket is 1 if it is true and 0 if not. Each bracket looks at one or both keys, and the sum is 3 for exactly one pair. Here is the vector that each position contributes: a flag, a constant 1, and its sentence as a one-hot vector.
Multiply the vectors of query, first key and second key coordinate by coordinate, add up, and the three brackets are there; in the last line of the function `einsum` does it for all triples at once (the letter `d` is missing after the arrow, so it is summed).
"""


# %%
def by_hand(beta, same_sentence=True):
    """Logits (s, s, s) of the scores above: for each triple, the sum over d of q * k1 * k2."""
    one = torch.ones_like(is_alice)
    place = nn.functional.one_hot(sentence).double()
    first = torch.cat([is_alice[:, None], one[:, None], place * same_sentence], dim=1)
    second = torch.cat([one[:, None], is_rabbit[:, None], place], dim=1)
    query = beta * torch.ones_like(first)
    return torch.einsum("id,jd,kd->ijk", query, first, second)


together = by_hand(4.0)
assert together[-1].max() == 12 and (together[-1] == 12).sum() == 1
assert divmod(int(together[-1].argmax()), len(words)) == (10, 13)
words[10], words[13]

# %% [markdown]
r"""
**Look at it.** The explorer below shows one query at a time, first the question mark. The large square is its map: first key downwards, second key across. On its edges stand the two *marginals*, what each key gets when you sum over the other one. On the right the strongest
pairs are drawn as triangles: the query at one corner, the two keys at the others. We hand it bare logits; it hides the future and takes the softmax over all pairs itself. Before you touch it: where do you expect the strongest cell, and what will be the second strongest?
"""

# %%
explore_pairs(
    together,
    tokens=words,
    title="Which sentence holds both?",
)

# %% [markdown]
r"""
You should have seen one pair stand out, alice (10) with rabbit (13), with about 0.48 of the attention at $\beta = 4$. The next pairs have two of the three clues only: alice and rabbit from different sentences, or alice, or rabbit, with any word of its
own sentence. Now click the word *the* (12) in the row of words, so that it becomes the query: before this rabbit has been read, the pair cannot stand out.

The panel *More than its marginals?* compares the map with the one that its two marginals alone would give, each cell a row's share times a column's; the percentage is what would have to move from cell to cell. *Mutual information* measures the same gap in nats, the unit of the natural logarithm: it is 0 if one key tells nothing of the
other. *Moves if keys swap* is the share that changes its cell when first and second key change places. A later section puts the first two to use.

## From edges to triangles

In ordinary attention a weight belongs to an *edge*, from a query to a key. Now it belongs to a *triangle* of a query and two keys. Mathematicians call a triangle a 2-simplex, hence **2-simplicial attention** ([arXiv:2507.02754](https://arxiv.org/abs/2507.02754)). The head above used the score that
this chapter is named after. In numbers, with two coordinates:

$$q = (1, 2), \quad k = (3, 1), \quad k' = (0.5, 1): \qquad q \circ k \circ k' = (1.5,\; 2), \quad\text{sum } 3.5$$

The score is *trilinear*: linear in each of the three vectors. With letters, and with the scale that you know from chapter 01 (Eq. 5 of the paper):

$$a_{ijk} = \frac{1}{\sqrt d} \sum_{l=1}^{d} q_{il}\; k_{jl}\; k'_{kl}$$

There are two useful ways to read it. A coordinate is a small **and**: it contributes only if all three vectors have something there. Or put brackets: $(q_i \circ k'_k) \cdot k_j$. The second key *rewrites the query*, and what follows is an
ordinary dot product. Keep that second reading in mind.
"""

# %%
q1, key1, key2 = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]), torch.tensor([0.5, 1.0])
assert (q1 * key1 * key2).sum() == 3.5
assert (q1 * key2) @ key1 == 3.5
round(3.5 / math.sqrt(2), 3)

# %% tags=["predict"]
predict(
    "Why is the scale still $1/\\sqrt d$, though three numbers are multiplied now and not two?",
    {
        "It should be $d^{-1/3}$, one third for each vector": "The number of factors does not matter while each has variance 1. What grows is the number of summands, and that is d.",
        "It should be $1/d$, since there is one more product": "That would make the variance 1/d and the softmax nearly flat for large d. One more factor of variance 1 changes nothing.",
        "A product of three independent numbers of variance 1 also has variance 1, and d of them are added": (
            "right",
            "Variances of independent factors with mean 0 multiply: 1 · 1 · 1. Then d of them add up, as before.",
        ),
        "There is no good reason, it is a habit": "There is one, and the next cell measures it.",
    },
)

# %%
generator = torch.Generator().manual_seed(0)
for d in (4, 64, 256):
    a, b, c = torch.randn(3, 100_000, d, generator=generator)
    two, three = (a * b).sum(-1), (a * b * c).sum(-1)
    print(f"d = {d:3}   variance of two factors {two.var():6.1f}, of three {three.var():6.1f}")
    assert abs(three.var() / d - 1) < 0.05

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.1: Logits of triples &nbsp; (5 minutes)

Score every triple, scale included (Eq. 5 of the paper):

$$a_{ijk} = \frac{1}{\sqrt d} \sum_{l} q_{il}\; k_{jl}\; k'_{kl}$$

`q`, `k1` and `k2` are (b, h, s, d), where `k1` holds $k$ and `k2` holds $k'$. The result is (b, h, i, j, k). No mask yet.
"""


# %% tags=["exercise"]
def pair_logits(q, k1, k2):
    """Trilinear logits with scale 1/sqrt(d): three times (b, h, s, d) -> (b, h, i, j, k)."""
    ### BEGIN SOLUTION
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    ### END SOLUTION


# %% tags=["exercise"]
check("2.1", pair_logits)

# %% [markdown]
r"""
### A scale that one listing forgot

The paper states the score twice. Eq. 5 has the factor $1/\sqrt d$; the pseudocode of Algorithm 1, three lines that invite copying, leaves it out; the Triton listing at the end has it again. A small slip, but worth knowing: **use the scale**.
What would happen without it?
"""

# %% tags=["predict"]
predict(
    "With d = 16 someone leaves the scale out, so all logits are 4 times too large. What changes in a query's map?",
    {
        "Nothing, the softmax divides by the sum": "Dividing by the sum removes a common *summand* of the logits, not a common factor.",
        "The order of the pairs stays; the map becomes much sharper": (
            "right",
            "The softmax keeps the order of its inputs. Ratios of probabilities are raised to the 4th power, so the strongest pair takes nearly all.",
        ),
        "Another pair comes first": "A positive factor never changes which logit is the largest.",
        "All probabilities become 4 times as large": "They sum to 1 before and after.",
    },
)

# %%
generator = torch.Generator().manual_seed(1)
q, k1, k2 = torch.randn(3, 1, 1, 12, 16, generator=generator, dtype=torch.float64)
raw = trilinear_logits(q, k1, k2)  # the library's score comes without scale
explore_pairs(
    raw[0, 0],
    compare=raw[0, 0] / math.sqrt(16),
    mode="difference",
    title="What does a missing scale do to each query's map?",
)

# %% [markdown]
r"""
The explorer takes a second tensor, `compare`, and shows where the two differ. You should have seen a few cells that gained and a whole field that lost a little: attention moved from the many to the few. In exercises the same view opens on
*your* tensor and the right one, when you press *Show me my bug* under a failed check. It takes any tensor: `explore_pairs(mine, compare=theirs)`.

## One softmax over all pairs

In chapter 01 a query had one unit of attention to hand out, and $s$ keys to hand it to. Now it has $s^2$ *pairs*. Suppose query 1 sees two first keys and two second keys, and these are its logits:

|       | k = 0 | k = 1 |
|-------|-------|-------|
| j = 0 |   2   |   0   |
| j = 1 |   0   |   0   |

One pair stands out. How much attention should it get? Two recipes look almost the same in code:

* **over all pairs**: $e^2 = 7.39$, so the total is $7.39 + 3 = 10.39$. The pair (0, 0) gets 0.71 and each of the others 0.10.
* **over the second key only**: the row j = 0 becomes 0.88, 0.12, and the row j = 1 becomes 0.50, 0.50.

Look at the second row of the second recipe. Nothing in it stands out, and still it spends a full unit. A query that normalises row by row can prefer one *second* key to another, but it can no longer prefer one *first* key to another. The whole point of pairs is lost. So the softmax runs over both axes together (Eq. 6 of the paper):

$$p_{ijk} = \frac{e^{a_{ijk}}}{\sum_{j',k'} e^{a_{ij'k'}}}$$

Below are these four logits. Choose the cell (0, 0) and slide its logit from 0 to 6, first under *all pairs*, then under *second key only*. What will the row j = 1 do?
"""

# %%
four = torch.zeros(2, 2, 2, dtype=torch.float64)
four[1, 0, 0] = 2.0
explore_pairs(
    four,
    recipe=["all pairs", "second key only"],
    edit=True,
    title="Over what does one query share its attention?",
)

# %% [markdown]
r"""
Under the first recipe the three other cells fade together: they share one unit with (0, 0). Under the second the row j = 1 does not move at all, and the map sums to 2. That sum is a good first test of any code that claims to do this.
"""

# %% tags=["predict"]
predict(
    "Query i = 3, causal, no windows. Over how many pairs does it share its one unit of attention?",
    {
        "4": "That is how many keys it sees. It chooses a first key and a second key, independently.",
        "10": "That would be right if k could not exceed j. Nothing in the definition orders the two keys.",
        "16": ("right", "Four first keys times four second keys: (i + 1)²."),
        "64": "That counts the triples of four queries with four keys each way. Every query has a unit of its own.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.2: Attention over pairs &nbsp; (8 minutes)

Turn logits (b, h, i, j, k) into probabilities of the same shape: causal in both keys, $j \le i$ and $k \le i$, and one softmax over all visible pairs of a query. A few lines are enough, if you let two axes become one for a moment.
"""


# %% tags=["exercise"]
def pair_probs(logits):
    """Causal softmax over pairs: (b, h, i, j, k) -> the same shape, every query's map sums to 1."""
    ### BEGIN SOLUTION
    s = logits.shape[-1]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past[:, :, None] & past[:, None, :]
    hidden = logits.masked_fill(~visible, float("-inf"))
    return hidden.flatten(-2).softmax(-1).view_as(logits)
    ### END SOLUTION


# %% tags=["exercise"]
check("2.2", pair_probs)

# %% [markdown]
r"""
## The value of a pair

A pair was chosen; what does it bring? Each key has a value, and the pair's value is their product, coordinate by coordinate (Eq. 7 of the paper):

$$\text{out}_i = \sum_{j,k} p_{ijk}\; v_j \circ v'_k$$

The product is what keeps the pair a pair. Take one coordinate and two equally likely pairs, (0, 0) and (1, 1), with $v = (1, 0)$ and $v' = (5, 9)$. The products are $1 \cdot 5$ and $0 \cdot 9$, so the output is $\tfrac12 (5 + 0) = 2.5$: the
first value acts as a gate that lets the second through. Had each value been averaged by itself, and the means multiplied, it would be $0.5 \cdot 7 = 3.5$, and the gate would leak.
"""

# %%
p = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
v1, v2 = torch.tensor([1.0, 0.0]), torch.tensor([5.0, 9.0])
of_products = torch.einsum("jk,j,k->", p, v1, v2)
of_means = (p.sum(1) @ v1) * (p.sum(0) @ v2)
assert (of_products, of_means) == (2.5, 3.5)

# %% tags=["predict"]
predict(
    "All second values are 1, v' = 1. What is left of the output?",
    {
        "All ones": "That needs v = 1 as well. Then every pair is worth 1, and so is every mean of them.",
        "Ordinary dot-product attention over the first keys": "The values are ordinary then, but the weights are not: they are sums over k of a softmax over pairs. A further condition is missing, and it comes in the next section but one.",
        "Zero": "Values of 1 leave the product as it is. Values of 0 would end it.",
        "An average of the first values, each weighted by its marginal, the sum of its row of the map": (
            "right",
            "Σ_k p_ijk is what first key j gets in all. The second key still has its say in that sum, through the scores; only its value is gone.",
        ),
    },
)

# %% [markdown]
r"""
Where do two keys and two values come from? From two more projections: a 2-simplicial layer makes $q$, $k$, $k'$, $v$ and $v'$ from the same input, with five matrices where a plain layer has three. With the output matrix it is six to four.
"""

# %%
plain, layer = MultiHeadAttention(64, 4), TwoSimplicialAttention(64, 4)
count = [sum(p.numel() for p in module.parameters()) for module in (plain, layer)]
assert count == [4 * 64**2, 6 * 64**2]
count

# %% [markdown]
r"""
### Windows

Pairs grow fast, so the paper lets each key look back only a little: the first over $w_1$ positions, the second over $w_2$, the query's own position included,

$$i - w_1 < j \le i \qquad\text{and}\qquad i - w_2 < k \le i.$$

Each window is counted from the query; nothing ties $k$ to $j$. The paper chose $(w_1, w_2) = (512, 32)$, so that a query far into a text sees $512 \cdot 32 = 16{,}384$ pairs, however long the text is. What the windows cost and save is the subject of chapter 04. Here they only need to be right.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.3: The output, with windows &nbsp; (12 minutes)

Put it together: logits, windows, one softmax, values,

$$\text{out}_i = \sum_{j,k} p_{ijk}\; v_j \circ v'_k \qquad\text{over the pairs with } i - w_1 < j \le i \text{ and } i - w_2 < k \le i.$$

`q`, `k1`, `k2` are (b, h, s, d), `v1`, `v2` are (b, h, s, dv), `w1` and `w2` are whole numbers, at least 1, and may exceed s. The result is (b, h, s, dv). Your `pair_logits` and `pair_probs` are welcome here.
"""


# %% tags=["exercise"]
def pair_attention(q, k1, k2, v1, v2, w1, w2):
    """Causal attention over pairs, i - w1 < j <= i and i - w2 < k <= i: -> (b, h, s, dv)."""
    ### BEGIN SOLUTION
    position = torch.arange(q.shape[2])
    back = position[:, None] - position
    outside = (back >= w1)[:, :, None] | (back >= w2)[:, None, :]
    logits = pair_logits(q, k1, k2).masked_fill(outside, float("-inf"))
    return torch.einsum("bhijk,bhjd,bhkd->bhid", pair_probs(logits), v1, v2)
    ### END SOLUTION


# %% tags=["exercise"]
check("2.3", pair_attention)

# %% [markdown]
r"""
## The old attention inside the new

A new thing should contain the old one, and say where. Set $k' = 1$ and $v' = 1$ everywhere, and let the second key see the query's own position only, $w_2 = 1$. Then the pairs of query $i$ are $(j, i)$, the score is $q_i \cdot k_j$, the value is
$v_j$: dot-product attention, exactly.
"""

# %%
generator = torch.Generator().manual_seed(2)
q, k, v = torch.randn(3, 2, 4, 10, 8, generator=generator, dtype=torch.float64)
one = torch.ones_like(k)
plain = dot_product_attention(q, k, v)
torch.testing.assert_close(trilinear_attention(q, k, one, v, one, w2=1), plain)
"the same, to rounding"

# %% tags=["predict"]
predict(
    "Still k' = 1 and v' = 1, but the second key may now look over the whole past (no w2). What comes out?",
    {
        "Dot-product attention, i + 1 times too large": "The numerator is i + 1 times as large, and so is the denominator: one softmax over all pairs.",
        "Dot-product attention again": (
            "right",
            "Query i now counts every first key i + 1 times, once for each second key. The factor stands in numerator and denominator, and cancels.",
        ),
        "A flatter map, since there are more pairs": "Each pair gets less, but each first key has i + 1 of them, and its marginal is what it was.",
        "The mean of all first values": "That would need equal scores. They are q · k, as before.",
    },
)

# %%
torch.testing.assert_close(trilinear_attention(q, k, one, v, one), plain)
"again the same"

# %% [markdown]
r"""
A good test of any implementation, your own included: it needs no loops and no reference, and it fails for a softmax over the wrong axis, for swapped keys or values, for a missing mask on the first key. It also has a blind spot, which the last question showed: any second window passes. An identity tests what it touches, so use several. Remember this one in chapter 09.

## The cube, and what it costs

Every head holds $s^3$ logits. Say it in bytes, with four bytes a number and one head:

| s | a map of pairs, $s^2$ | the cube, $s^3$ | |
|--:|--:|--:|:--|
| 128 | 66 kB | 8.4 MB | nothing |
| 1,024 | 4.2 MB | 4.3 GB | for one head of one layer |
| 8,192 | 268 MB | 2.2 TB | 28 GPUs of 80 GB each, for one head |

A causal mask hides about two thirds of the cube: query $i$ sees $(i+1)^2$ pairs, and $\sum_i (i+1)^2 \approx s^3/3$. The tensor is built whole all the same. To see its shape, go back to the first explorer and press *Cube*: its largest entries hang as points between the axes i, j and k, and a plane marks one slice, which is also drawn flat. Drag to turn it. Slice by the query, and each slice is one of the maps you know.

How does time grow? Guess the factor for twice the length, then run.
"""

# %%
for s, kilo_or_more in ((128, 8.4e6), (1024, 4.3e9), (8192, 2.2e12)):
    assert abs(4 * s**3 / kilo_or_more - 1) < 0.01
    visible = s * (s + 1) * (2 * s + 1) // 6
    print(f"s = {s:5,}   {s**3:15,} logits, of which a causal query may use {visible / s**3:.0%}")


# %%
def seconds(function, *arguments, repeat=3):
    """The fastest of a few runs; on a machine that does other things, the one least disturbed."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return min(taken)


inputs = {s: torch.randn(5, 1, 1, s, 32, generator=generator) for s in (48, 96, 192)}
cube_time = {s: seconds(trilinear_attention, *x) for s, x in inputs.items()}
for s, t in cube_time.items():
    print(f"s = {s:3}   {1e3 * t:7.1f} ms")
print(f"at this rate, s = 8,192 would take {cube_time[192] * (8192 / 192) ** 3 / 3600:.1f} hours")

# %% [markdown]
r"""
Twice the length is eight times the numbers. The times follow unevenly, since overheads and caches matter at these sizes. Time can only be saved by scoring fewer pairs: that is what windows are for. **Memory** is another matter. It can be saved without changing a single number.

## Without the cube

Hold the second key still, say $k = 3$. You read it above: $(q_i \circ k'_3) \cdot k_j$ is an ordinary dot product, with a rewritten query. So the slice of the cube that belongs to $k = 3$ is an ordinary map, $s^2$ numbers. Its values are $v_j \circ v'_3$, and $v'_3$ does not depend on $j$: it
comes out of the sum,

$$\text{out}_i \;=\; \frac{1}{Z_i}\sum_k \Bigl(\underbrace{\sum_j e^{(q_i \circ k'_k) \cdot k_j}\, v_j}_{\text{ordinary, unnormalised}}\Bigr) \circ v'_k, \qquad Z_i = \sum_k \sum_j e^{(q_i \circ k'_k) \cdot k_j}$$

(the scale left out for once, to keep the line short). The only thing that ties the slices together is the denominator $Z_i$. And denominators of parts are what chapter 01 taught you to merge: each slice reports its log-sum-exp, and the log-sum-exp of these is that of the whole. Try it on the last query, which sees everything.
"""

# %%
generator = torch.Generator().manual_seed(3)
q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 9, 4, generator=generator, dtype=torch.float64)
slices = [dot_product_attention_with_lse(q * k2[:, :, k : k + 1], k1, v1)[1] for k in range(9)]
of_slices = torch.stack(slices)[..., -1].logsumexp(0)  # last query of each head
_, of_the_cube = trilinear_attention_with_lse(q, k1, k2, v1, v2)
torch.testing.assert_close(of_slices, of_the_cube[..., -1])
of_slices

# %% tags=["predict"]
predict(
    "One head, s = 8,192, four bytes a number, one second key at a time. How much memory do the logits of one step need?",
    {
        "2.2 TB": "That is the whole cube. Only one slice of it lives at a time.",
        "32 kB": "That is one row of 8,192 numbers. A slice has one row for every query.",
        "268 MB": (
            "right",
            "8,192² numbers: one ordinary map. The cube would be 8,192 times as much.",
        ),
        "1 MB for each of the 8,192 slices": "8,192² numbers of four bytes are 268 MB. And earlier slices need not be kept: what is left of them are a maximum, a sum and an accumulator for each query.",
    },
)

# %%
torch.testing.assert_close(
    trilinear_attention_online(q, k1, k2, v1, v2), trilinear_attention(q, k1, k2, v1, v2)
)
for s in (96, 192):
    t = seconds(trilinear_attention_online, *inputs[s])
    print(
        f"s = {s:3}   cube {1e3 * cube_time[s]:7.1f} ms, one second key at a time {1e3 * t:7.1f} ms"
    )

# %% [markdown]
r"""
The same numbers, in a fraction of the memory. On a processor it takes longer, for it makes many small steps in place of a few large ones. Inside one GPU kernel the steps need no launch of their own, and the order of work is the one that suits the machine: merge the query with one second key,
then do a matrix product, which is what tensor cores are built for. Chapter 11 stands on the next exercise.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.4: Without the cube &nbsp; (15 minutes)

Compute causal attention over pairs, without windows, one second key at a time, and return two things: `out` (b, h, s, dv) and `lse` (b, h, s), the natural logarithm of each query's denominator. The check measures what you hold in memory: no tensor may have as many as $s^3$ numbers, all its axes counted and masks
included, and all tensors together never as many at one time as the cube, $b h s^3$. You may write the running maximum yourself, or call `dot_product_attention_with_lse` in each step and merge. Mind the queries that come before the second key.
"""


# %% tags=["exercise"]
def pair_attention_streamed(q, k1, k2, v1, v2):
    """The same attention with (b, h, s, s) logits at a time: -> out (b, h, s, dv), lse (b, h, s)."""
    ### BEGIN SOLUTION
    s, scale = q.shape[2], 1 / math.sqrt(q.shape[-1])
    position = torch.arange(s)
    top = torch.full_like(q[..., 0], float("-inf"))
    total, acc = torch.zeros_like(top), torch.zeros_like(v1)
    for k in range(s):
        logits = (q * k2[:, :, k : k + 1]) @ k1.transpose(-1, -2) * scale
        hidden = (position > position[:, None]) | (position[:, None] < k)
        logits = logits.masked_fill(hidden, float("-inf"))
        new = torch.maximum(top, logits.amax(-1))  # finite: k = 0 is visible to every query
        shrink, weights = (top - new).exp(), (logits - new[..., None]).exp()
        total = total * shrink + weights.sum(-1)
        acc = acc * shrink[..., None] + (weights @ v1) * v2[:, :, k : k + 1]
        top = new
    return acc / total[..., None], top + total.log()
    ### END SOLUTION


# %% tags=["exercise"]
check("2.4", pair_attention_streamed)

# %% [markdown]
r"""
## When do pairs add something?

A pair score costs $s$ times as much as a score of single keys. So it is fair to ask of any head: *did you need it?* There is an exact answer. Suppose the logits of a query split into a part for each key, $a_{jk} = f_j + g_k$. Then

$$p_{jk} = \frac{e^{f_j + g_k}}{\sum_{j',k'} e^{f_{j'} + g_{k'}}} = \frac{e^{f_j}}{\sum_{j'} e^{f_{j'}}}\cdot\frac{e^{g_k}}{\sum_{k'} e^{g_{k'}}}$$

The map is the **product of its marginals**: two ordinary heads, one for each key, would have chosen the same. If the map is *not* that product, the pairs did something that two independent choices cannot do.

Here is the smallest case of it. Alice and the rabbit meet in two sentences, A and B. Wanted: the pairs *within* a sentence score high, the pairs *across* score low.

|          | rabbit in A | rabbit in B |
|----------|:--:|:--:|
| **alice in A** | 2 | 0 |
| **alice in B** | 0 | 2 |

If the scores were $f_j + g_k$, then the sum along one diagonal, $f_A + g_A + f_B + g_B$, would equal the sum along the other, $f_A + g_B + f_B + g_A$. But $2 + 2 \ne 0 + 0$. No two scores of single keys can do it; one trilinear coordinate for each sentence can. That is a true *and*, and it is all that is claimed: not that a deep network of ordinary layers could
never get there.

To measure it, compare the map with the product of its marginals. The **total variation** is the share that would have to move to turn one into the other; the **mutual information** is $\sum p \ln \frac{p}{p_j\, p_k}$, zero for a product.
"""


# %%
def beyond_marginals(logits):
    """Total variation from the product of the marginals, and mutual information, of one map."""
    p = logits.exp() / logits.exp().sum()
    product = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    return float((p - product).abs().sum() / 2), float((p * (p / product).log()).sum())


within = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
split = torch.tensor([[2.0, 0.0], [4.0, 2.0]], dtype=torch.float64)  # f = (0, 2), g = (2, 0)
moved, mutual = beyond_marginals(within)
assert abs(moved - 0.381) < 1e-3 and beyond_marginals(split)[0] < 1e-12
print(f"within sentences: {moved:.0%} would have to move, mutual information {mutual:.3f}")

# %% [markdown]
r"""
Now the seven sentences again, as three heads: the one by hand with $\beta = 4$, the same with $\beta = 12$, and one that was not told which words share a sentence. First a guess.
"""

# %% tags=["predict"]
predict(
    "With β = 12 the pair (alice, rabbit) of the right sentence gets 0.9997 of the attention. How much of this map would have to move to make it the product of its marginals?",
    {
        "Nearly all of it, since the head solves the task": "Solving the task and differing from the marginals are two things. Write down the marginals of a map with one strong cell, and multiply them.",
        "Nearly nothing, 0.05 %": (
            "right",
            "If all the weight lies on one pair, the marginals lie on one key each, and their product is that pair again. Certainty hides how the choice was made.",
        ),
        "About half, as for β = 4": "With β = 4 it is 49 %. As the map sharpens towards one cell, its marginals sharpen with it.",
        "Exactly 0, since one pair is chosen": "Close. It would be 0 for 1.0000; the rest of 0.0003 still differs.",
    },
)

# %%
heads = {"β = 4": by_hand(4.0), "β = 12": by_hand(12.0), "no sentence": by_hand(4.0, False)}
for name, logits in heads.items():
    moved, mutual = beyond_marginals(logits[-1])
    print(f"{name:12} {moved:7.2%} would have to move, mutual information {mutual:.4f}")
assert [round(beyond_marginals(x[-1])[0], 4) for x in heads.values()] == [0.4850, 0.0005, 0.0]

# %%
explore_pairs(
    torch.stack(list(heads.values())),
    heads=list(heads),
    tokens=words,
    title="Is the map more than its two marginals?",
)

# %% [markdown]
r"""
Switch between the three heads. With $\beta = 4$ you should see one strong pair that the marginals alone do not explain: half of the map would have to move. The head without sentences is a grid, every alice with every rabbit, and exactly the product of its marginals. And with $\beta = 12$ the measure falls to nothing, though this head solves the
task best of all. **That is the trap: a one-hot map looks like a product.** A measure of zero means "these marginals would have done", not "this score was not needed to find them". To learn what a head can do, look where it hesitates, or at its logits: there the sum of one diagonal still differs from the other.

### A sum of three numbers

One more question with two clues, this time for every query. Each position holds a number from 0 to 4. Query $i$ looks for pairs with $x_i + x_j + x_k$ divisible by 5. With angles $\theta = 2\pi x / 5$, the wish is a high score where $\cos(\theta_i + \theta_j + \theta_k) = 1$, and the addition theorem makes it trilinear with four coordinates:

$$\cos(\alpha + \beta + \gamma) = \cos\alpha\cos\beta\cos\gamma - \cos\alpha\sin\beta\sin\gamma - \sin\alpha\cos\beta\sin\gamma - \sin\alpha\sin\beta\cos\gamma$$

The last query is a 2. Which cells of its map will be strong? The two keys may be the same one, or the query itself. And will any single key stand out at the edges?
"""

# %%
numbers = torch.tensor([1, 4, 2, 0, 3, 3, 1, 2])
angle = 2 * math.pi * numbers.double() / 5
cos, sin = angle.cos(), angle.sin()
query = torch.stack([cos, -cos, -sin, -sin], dim=-1)
first = torch.stack([cos, sin, cos, sin], dim=-1)
second = torch.stack([cos, sin, sin, cos], dim=-1)
logits = 6 * torch.einsum("id,jd,kd->ijk", query, first, second)

total = numbers[:, None, None] + numbers[:, None] + numbers
torch.testing.assert_close(logits, 6 * (2 * math.pi * total.double() / 5).cos(), atol=1e-5, rtol=0)
found = total[-1] % 5 == 0
p = logits[-1].exp() / logits[-1].exp().sum()
assert p.sum(0).min() > 0.07 and p.sum(0).max() < 0.155
print(
    f"the last query gives {p[found].sum():.3f} of its attention to the {found.sum()} right pairs"
)

# %%
explore_pairs(
    logits,
    tokens=[f"{n}" for n in numbers.tolist()],
    fit=True,
    title="Which two numbers make it a multiple of 5?",
)

# %% [markdown]
r"""
You should see, for the last query (a 2), strong cells where the numbers of the two keys, which may be the same one, or the query itself, sum to 3 or to 8, scattered over the map in a pattern that no row or column explains. The marginals say little: every key gets between 0.08 and 0.15 of a unit, for *each single number* has a partner somewhere, and only the pair decides. This is the seed of **Match3**, which
chapter 03 builds properly, with a way to answer "there is no such pair".

## A layer

Everything is in place for a layer that can stand wherever a multi-head layer stands: the same shapes in and out, six matrices instead of four.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.5: A 2-simplicial layer &nbsp; (8 minutes)

Write it as an `nn.Module` on (b, s, d_model). It has six `nn.Linear(d_model, d_model, bias=False)` named `wq`, `wk1`, `wk2`, `wv1`, `wv2` and `wo`. Head 0 owns the first d_model / n_heads features of each projection, head 1 the next, and so on. You may call
`trilinear_attention(q, k1, k2, v1, v2, w1=..., w2=...)` from `simplex_lib.attention`. The check loads weights of its own into your matrices, so how you initialise them is up to you.
"""


# %% tags=["exercise"]
class TwoSimplicialLayer(nn.Module):
    """Multi-head causal attention over pairs: (b, s, d_model) -> (b, s, d_model)."""

    def __init__(self, d_model, n_heads, w1=None, w2=None):
        super().__init__()
        ### BEGIN SOLUTION
        self.n_heads, self.w1, self.w2 = n_heads, w1, w2
        self.wq, self.wk1, self.wk2, self.wv1, self.wv2, self.wo = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(6)
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        projections = (self.wq, self.wk1, self.wk2, self.wv1, self.wv2)
        heads = (w(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for w in projections)
        out = trilinear_attention(*heads, w1=self.w1, w2=self.w2)
        return self.wo(out.transpose(1, 2).flatten(2))
        ### END SOLUTION


# %% tags=["exercise"]
check("2.5", TwoSimplicialLayer)

# %% [markdown]
r"""
## The older 2-simplicial Transformer

The idea is older. Clift, Doryn, Murfet and Wallbridge introduced a *2-simplicial Transformer* in 2019 ([arXiv:1909.00668](https://arxiv.org/abs/1909.00668)). The newer paper keeps the name and changes nearly everything else. Do not confuse them:

| | Clift et al., 2019 | Roy et al., 2025 |
|:--|:--|:--|
| score of a triple | unsigned scalar triple product (their Eq. 7) | trilinear product (their Eq. 5) |
| factor | none | $1/\sqrt d$ |
| made from the input | four vectors: one query, two keys, **one value** (Eq. 6) | five: query, two keys, **two values** |
| value of a pair | a learned linear map of $u_j \otimes u_k$ (Eq. 10) | $v_j \circ v'_k$ (Eq. 7) |
| kept affordable by | M *virtual entities*, the only keys: $O(N M^2)$ (Eq. 13) | sliding windows: $O(n\, w_1 w_2)$ (Section 6) |
| its output | a LayerNorm of its own, then beside the ordinary heads (Eq. 11) | a layer of its own, every fourth one (Section 8) |
| turning all vectors together | changes nothing | changes the score (Section 5) |
| tried on | a puzzle game, by reinforcement learning | language models |

Their score, for three vectors $a$, $b$, $c$, is the length of a vector:

$$\langle a, b, c\rangle = \bigl\lVert (a\cdot b)\,c - (a\cdot c)\,b + (b\cdot c)\,a \bigr\rVert$$

Try the smallest cases in your head. If $a = b = c$ has length 1, all dot products are 1 and the vector is $c - b + a = a$: the score is 1. And if the three are perpendicular to each other?
"""

# %% tags=["predict"]
predict(
    "a, b and c have length 1 and are perpendicular to each other. What is the unsigned triple product ⟨a, b, c⟩ of Clift et al.?",
    {
        "1, the volume of their cube": "That is the determinant, the *scalar triple product* of school. The names are close and the functions nearly opposite: one is largest for perpendicular vectors, the other is 0 there.",
        "$\\sqrt 3$": "That is the length of a + b + c. The three vectors enter multiplied by dot products.",
        "0": (
            "right",
            "Every term has a dot product of two different vectors in it, and these are 0. The score measures how much the three have in common.",
        ),
        "It depends on how the three are turned": "Dot products do not change when everything is turned together, and the formula holds nothing else.",
    },
)

# %%
generator = torch.Generator().manual_seed(4)
turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
a, b, c = (x.view(1, 1, 1, 3) for x in torch.eye(3, dtype=torch.float64))
assert triple_product_logits(a, b, c).item() == 0
assert triple_product_logits(a, a, a).item() == 1

for name, score in (("Clift et al.", triple_product_logits), ("trilinear", trilinear_logits)):
    before, after = score(a, a, a).item(), score(a @ turn, a @ turn, a @ turn).item()
    print(f"{name:13} before {before:.3f}, all three turned {after:.3f}")

# %% [markdown]
r"""
Three equal vectors, turned together: the score of 2019 stands still, the trilinear one does not. Rotary positions rest on that kind of stillness, so this is a problem; chapter 03 begins there.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 2.6: The unsigned triple product &nbsp; (8 minutes)

Score every triple with $a = q_i$, $b = k_j$, $c = k'_k$: three times (b, h, s, d) to (b, h, i, j, k). No scale, no mask. Both formulas give the same, Eq. 7 of the paper and Eq. 8 for its square:

$$\langle a, b, c\rangle = \bigl\lVert (a\cdot b)\,c - (a\cdot c)\,b + (b\cdot c)\,a \bigr\rVert$$

$$\langle a, b, c\rangle^2 = (a\cdot b)^2 (c\cdot c) + (b\cdot c)^2 (a\cdot a) + (a\cdot c)^2 (b\cdot b) - 2\,(a\cdot b)(a\cdot c)(b\cdot c)$$
"""


# %% tags=["exercise"]
def triple_product(q, k1, k2):
    """|(q.k1) k2 - (q.k2) k1 + (k1.k2) q| of every triple: -> (b, h, i, j, k)."""
    ### BEGIN SOLUTION
    ab = (q @ k1.transpose(-1, -2))[..., :, :, None]
    ac = (q @ k2.transpose(-1, -2))[..., :, None, :]
    bc = (k1 @ k2.transpose(-1, -2))[..., None, :, :]
    aa = q.square().sum(-1)[..., :, None, None]
    bb = k1.square().sum(-1)[..., None, :, None]
    cc = k2.square().sum(-1)[..., None, None, :]
    return (ab**2 * cc + bc**2 * aa + ac**2 * bb - 2 * ab * ac * bc).clamp(min=0).sqrt()
    ### END SOLUTION


# %% tags=["exercise"]
check("2.6", triple_product)

# %% [markdown]
r"""
## What the papers say, what we measured

*Fast and Simplex: 2-Simplicial Attention in Triton*, [arXiv:2507.02754](https://arxiv.org/abs/2507.02754):

* The logits (Eq. 5), the softmax over pairs (Eq. 6) and the output (Eq. 7) come out as written: [`fs-eq5`](../claims/README.md#fs-eq5), [`fs-eq6`](../claims/README.md#fs-eq6), [`fs-eq7`](../claims/README.md#fs-eq7).
* Two slips, easily mended. Algorithm 1 leaves out the scale that Eq. 5 has: [`fs-alg1-scale`](../claims/README.md#fs-alg1-scale). And in the review of ordinary attention, Eq. 4 prints the output as $\sum_j A_{ij} v_j$, with the logits $A$ where the probabilities $S$ of Eq. 3 are meant: [`fs-eq4`](../claims/README.md#fs-eq4).
* The layer needs two more projections, of the shapes of $W_K$ and $W_V$: counted above, [`fs-projections`](../claims/README.md#fs-projections). How heads are joined is not written for this layer; the usual concatenation and output matrix are our choice.
* The cube has $s^3$ logits, and need not exist: [`fs-cubic`](../claims/README.md#fs-cubic).

*Logic and the 2-Simplicial Transformer*, [arXiv:1909.00668](https://arxiv.org/abs/1909.00668):

* Eqs. 7 and 8 agree, and the score is 0 for perpendicular and largest for dependent vectors: [`c19-eq8`](../claims/README.md#c19-eq8), [`c19-extremes`](../claims/README.md#c19-extremes).
* That training is unstable without the extra LayerNorm (Remark 2.3) is quoted, not tested here: [`c19-layernorm`](../claims/README.md#c19-layernorm).

The hand-built heads, the 1/4 bound, the diagonal argument and the cosine with four coordinates are our own; the cells above check their numbers. Times were measured in the cell that prints them.

## In half a page

* A score of triples is $q \circ k \circ k'$, summed and divided by $\sqrt d$. Read it as a soft *and*, or as an ordinary dot product whose query was rewritten by the second key.
* Each query has **one** unit of attention for all its pairs: (i + 1)² of them, causal in both keys, with no order between the keys. If a map sums to more than 1, look at the axes of the softmax.
* The value of a pair is $v \circ v'$. A mean of products is not the product of means.
* With $k' = v' = 1$ it is dot-product attention. Test every implementation with that, and the second window with something else.
* The cube costs $s^3$; windows save time, and the online softmax over second keys saves memory: (b, h, s, s) numbers at a time.
* Pairs add something exactly where the map differs from the product of its marginals. A one-hot map hides this.
* The score of 2019 is another function with the same name; it stands still under rotations, and the trilinear one does not.

**Further reading.** [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Sections 4 and 6. [arXiv:1909.00668](https://arxiv.org/abs/1909.00668), Section 2. On what one layer of ordinary attention cannot do, with the proof: Sanford, Hsu and Telgarsky, [arXiv:2306.02896](https://arxiv.org/abs/2306.02896).
Another score of pairs that stays affordable: Strassen attention, [arXiv:2501.19215](https://arxiv.org/abs/2501.19215).

**Next:** chapter 03, determinants and rotary positions, where the three vectors start to turn.
"""
