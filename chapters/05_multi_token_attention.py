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
# 05 &nbsp; Multi-Token Attention

*Where did Alice see the rabbit?* The question has two clues, and its answer is the place in a text where both are near each other. A weight of ordinary attention is made of one query and one key, so it looks for Alice or for the rabbit; one query can carry both words only at the price of its capacity for each. Chapter 02 added a third vector. This chapter leaves the vectors alone and does something simpler:
**it lets each logit look at its neighbours**, at those of earlier queries, of nearby keys, and of other heads. That is Multi-Token Attention, or MTA. It adds 0.0034 percent to the parameters of a language model, and rather more to its running time.

After this chapter you can

* convolve a map of logits by hand and in code, so that nothing of the future comes in,
* write the test that finds the leak in a widely used library,
* say what changes when the same step comes after the softmax, and what heads do when they are mixed,
* build the layer, count it, decode with it, and rewrite its convolution as ordinary dot products.

The eight exercises take 6 to 20 minutes each. Two questions on chapter 01 first; you will need both answers.
"""

# %% tags=["shared"]
import math

import torch
import torch.nn.functional as F
from torch import nn

from simplex_lib.course import check, hint, predict, symptoms

# %% tags=["predict"]
predict(
    "Two keys are visible, with logits 0 and 0. Two more lie in the future, and somebody hides them by setting their logits to 0, then takes the softmax over all four. How much attention goes to the future?",
    {
        "None, their logits are 0": "A logit of 0 is not a weight of 0. The softmax exponentiates first.",
        "A half": (
            "right",
            "$e^0 = 1$ for all four. Only $e^{-\\infty}$ is 0, so what must get nothing needs −∞. This chapter uses both masks, one after the other, and each has its place.",
        ),
        "It depends on the scale": "A factor on the logits changes nothing here: all four are 0.",
        "All of it": "The visible keys have the same logit, so they get as much.",
    },
)

# %% tags=["predict"]
predict(
    "Two heads of one layer look at the same text. Where do their attention maps meet?",
    {
        "In the softmax": "Each head has a softmax of its own, over its own logits.",
        "In the keys and values, if heads share these": "With grouped queries heads share keys. Their maps are still made apart, and neither knows the other's.",
        "In the output matrix, when both maps are already done": (
            "right",
            "Each head's output is finished before the heads are joined. No weight of one head ever depends on a weight of another, until a later layer.",
        ),
        "Nowhere, heads never meet": "Their outputs are added up, through the output matrix. The maps themselves are done by then.",
    },
)

# %%
from simplex_lib.attention import MultiHeadAttention, MultiTokenAttention, multi_token_attention
from simplex_lib.attention import multi_token_costs as cost
from simplex_lib.attention.multi_token import key_query_convolution, mix_heads
from simplex_lib.widgets import compare_pre_post, edit_kernel, edit_mixing

# %% [markdown]
r"""
## One pair is too narrow

> Alice saw the white rabbit under the tree . the rabbit was late . Where did **Alice** see the **rabbit**

Let a query and a key score 1 if their words are equal, and 0 if not. Here are four rows of the map, over the first sentence and a piece of the second:

| query \ key | Alice | saw | the | white | rabbit | under | the | tree | . | the | rabbit | was |
|--:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|
| **Alice** | **1** | · | · | · | · | · | · | · | · | · | · | · |
| see | · | · | · | · | · | · | · | · | · | · | · | · |
| the | · | · | 1 | · | · | · | 1 | · | · | 1 | · | · |
| **rabbit** | · | · | · | · | **1** | · | · | · | · | · | **1** | · |

The last row is the one that answers. It knows two rabbits and cannot prefer either. What it lacks is in the map already, three rows higher: there another query found Alice. A softmax of each row never brings the two together, and neither does a second head, as you have just recalled.

So cut a frame out of paper, 4 rows tall and 5 columns wide, and lay it on the map with its bottom row on *rabbit* and its middle column on the first *the*: it shows two bold ones. (The third, the rabbit of the second sentence, lies six columns to the right of the frame.) Add up what its top and bottom row show, and write the sum, 2, under the middle of its bottom row. Everywhere else in the text it is 1 or 0. That sum is the new logit. The frame with its weights is a **kernel**, and sliding it over the map is a **convolution**.

The frame has to be 4 tall, since *see the* lies between the two clues of the question: $c_q = 4$ queries. And 5 wide, since *saw the white* lies between the two words of the text: $c_k = 5$ keys. This is the paper's own example ([arXiv:2504.00927](https://arxiv.org/abs/2504.00927), Section 3).
"""

# %%
TEXT = "Alice saw the white rabbit under the tree . the rabbit was late ."
words = f"{TEXT} Where did Alice see the rabbit".split()
same = torch.tensor([[float(a == b) for b in words] for a in words])[None, None]  # (b, h, s, s)
frame = torch.zeros(1, 4, 5)  # (h, c_q, c_k)
frame[0, [0, 3]] = 1  # the top row and the bottom row
new = key_query_convolution(same, frame)
for row, name in ((same[0, 0, -1], "before"), (new[0, 0, -1], "after")):
    print(f"{name:7}", *(f"{w}:{int(x)}" for w, x in zip(words[:14], row, strict=False)))
assert (new[0, 0, -1, :14] == 2).nonzero().flatten().tolist() == [2]

# %% [markdown]
r"""
Only one entry is 2, in the right sentence. (The question holds both words too; chapter 06 deals with that.) Below is the first sentence with the same kernel. Equal words score 4 here, and the words of the question are not looked for. *rabbit* gives 90 % of its attention to the middle of Alice and rabbit; without the kernel it is 1.5 %. **What will be left of the 90 % if the kernel has only 3 rows, or only 3 columns?**
"""

# %%
edit_kernel()

# %% [markdown]
r"""
With 3 rows *the* keeps a fifth of the whole row, 0.195: only *rabbit* is found, and the five words round it get alike. With 3 columns *the* keeps 0.004: neither word reaches the middle any more, and the neighbours of both, five words again, share the row.
"""

# %% tags=["predict"]
predict(
    "The question now reads *Where did Alice meet the late white rabbit*. How many queries must the kernel span?",
    {
        "4, as before": "That reaches from *rabbit* back to *the*. Alice stands two words higher.",
        "4, the number of words in between": "*meet the late white* are four, and both ends count as well.",
        "6": (
            "right",
            "Alice, meet, the, late, white, rabbit. A kernel of fixed size sees clues up to a fixed distance. Beyond it another layer must carry them.",
        ),
        "8, the whole question": "*Where did* holds no clue. The kernel must span the clues and what lies between.",
    },
)

# %% [markdown]
r"""
## Convolution by hand

Now slowly, and with numbers that differ. On the left is a map of four queries, its future left empty; on the right a kernel with $c_q = 2$ and $c_k = 3$:

```
         key  0  1  2  3                   key  j−1  j  j+1
 query 0      2  ·  ·  ·        query i − 1      1   0   0
 query 1      1  3  ·  ·        query i          0   1   2
 query 2      5  1  2  ·
 query 3      4  0  1  1
```

Its **last row** belongs to the query itself, the row above to the query before; its **middle column** is the key itself. For entry (3, 1), lay it on rows 2 and 3 and columns 0 to 2. There it covers 5 1 2 and 4 0 1, and only three taps are not 0:

$$1 \cdot 5 + 1 \cdot 0 + 2 \cdot 1 = 7$$

Past the edge of the map there are zeros. A kernel holds earlier queries and no later ones, but keys on both sides: key $j + 1$ may well be known to query $i$.
"""

# %% tags=["predict"]
predict(
    "The same kernel. What is the new entry (2, 1)?",
    {
        "5": "That is the last row of the kernel alone: 1 · 1 + 2 · 2. Its first row has a tap too, and it lies on query 1 and key 0.",
        "6": (
            "right",
            "1 · 1 from (1, 0), 1 · 1 from (2, 1), 2 · 2 from (2, 2).",
        ),
        "7": "You turned the kernel by 180°, as mathematics does when it says convolution. PyTorch's `conv2d` lays it down as printed, and so does this course.",
        "12": "That is the sum of all six numbers under the kernel. Each has to be multiplied by its tap.",
    },
)

# %% [markdown]
r"""
### Two masks

Look at entry (1, 1). Its tap of 2 lies on (1, 2), a logit of query 1 with a key of the future. The dot product $q_1 \cdot k_2$ exists, say 9, and $2 \cdot 9$ would come in. So the future is masked **before** the convolution. And once more **after** it: whatever number stands there then, a softmax would give it attention. Chapter 01 hid things with −∞. Try that for the first mask.
"""

# %% tags=["predict"]
predict(
    "The first mask sets the future to −∞ instead of 0. What is the new entry (1, 1), where the kernel's first row lies on 2, −∞, −∞ and its second on 1, 3, −∞?",
    {
        "5, as with 0": "With 0 it is 1 · 2 + 1 · 3 + 2 · 0 = 5. Now the last product is 2 · (−∞), and there are others.",
        "−∞": "That is what the tap of 2 gives. But two taps are 0, and they lie on −∞ as well.",
        "NaN": (
            "right",
            "0 · (−∞) is NaN, and a single NaN spoils the sum. Even a kernel without zeros would turn visible entries near the diagonal into ±∞ or NaN: a negative tap gives +∞, and both signs together NaN.",
        ),
        "0": "Nothing here makes the sum 0.",
    },
)

# %% [markdown]
r"""
Hence two masks: **0 before**, since a tap on nothing should add nothing, and **−∞ after**, since the softmax exponentiates. With $\hat A = QK^\top/\sqrt d$ this is Eq. 5 of the paper:

$$A = \text{softmax}\Bigl(\text{Mask}_{-\infty}\bigl(\text{Conv}\bigl(\text{Mask}_0(\hat A)\bigr)\bigr)\Bigr)$$

Every head has a kernel of its own. Below are the map and the kernel from above, and entry (3, 1). Check your (2, 1); then choose an entry on the diagonal. **Which of its taps are marked as future?**
"""

# %%
by_hand = torch.tensor([[2.0, 0, 0, 0], [1, 3, 0, 0], [5, 1, 2, 0], [4, 0, 1, 1]])
taps = torch.tensor([[1.0, 0, 0], [0, 1, 2]])
edit_kernel(by_hand, torch.eye(4), taps, scale=1.0, entry=(3, 1))

# %% [markdown]
r"""
On the diagonal the tap at $j + 1$ is cut, and so are two of the row above. The presets show what heads learn, according to the paper: many stay near the *identity*; a *diagonal* answers where a sequence of queries meets a sequence of keys; *look back* takes over what earlier queries found at the same key; an *edge* subtracts neighbours, and keeps what changes.

### What the double mask loses

One more look, at entry (3, 2). The tap above its right-hand neighbour would read query 2 with key 3. Key 3 is no secret to query 3. But for query *2* it is the future, so the first mask sets it to 0.
"""

# %% tags=["predict"]
predict(
    "A kernel with all taps in use, $c_q = 2$ and $c_k = 3$, at entry (4, 4). Eq. 5 zeroes which of these raw logits, although query 4 may know the key?",
    {
        "(3, 4)": (
            "right",
            "Key 4 is visible to query 4, but the logit belongs to query 3, for which it lies in the future. An earlier query meets a key between itself and i: that is what gets lost.",
        ),
        "(4, 5)": "Key 5 is the future of query 4 too. Nobody may read that one.",
        "(3, 3)": "Key 3 is visible to query 3, so the mask keeps it.",
        "None": "The first mask hides everything above the diagonal. One such entry has a key that query 4 knows.",
    },
)

# %% [markdown]
r"""
The paper's Eq. 4 writes the sum without this loss, with $i'$ queries back and $j'$ keys back:

$$a_{ij} = \sum_{i'=0}^{c_q - 1}\; \sum_{j'=-\lfloor c_k/2 \rfloor}^{\lceil c_k/2 \rceil - 1} \mathbf 1[\,i \ge j - j'\,]\;\theta_{i'j'}\; \frac{q_{i-i'} \cdot k_{j-j'}}{\sqrt d}$$

Its indicator asks whether *query i* may know the key. Eq. 5 asks it of each earlier query, and so loses the terms with $i - i' < j - j' \le i$; it is the one that is used. How much is lost? Count the lost terms for $c_q = 3$, $c_k = 5$. **Where do you expect zeros?**
"""

# %%
for i in range(8):
    taps_of = [[(i - a, j + b) for a in range(3) for b in range(-2, 3)] for j in range(i + 1)]
    print(*(sum(0 <= query < key <= i for query, key in pairs) for pairs in taps_of))

# %% [markdown]
r"""
A band along the diagonal, $c_q - 1 + \lfloor c_k/2 \rfloor = 4$ wide, and nothing below it. Remember the band: it comes back.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.1: The convolution before the softmax &nbsp; (15 minutes)

`logits` is (b, h, s, s), raw but already scaled, with ordinary numbers above the diagonal too. `kernel` is (h, c_q, c_k), one for each head, c_k odd; either size may exceed s. The last row of a kernel belongs to query i, the row above it to i − 1; its middle column is key j, the one on its left j − 1. Return (b, h, s, s), in three steps:

1. entries with j > i become 0;
2. each entry becomes the sum of the taps times the entries under them; outside the map there are zeros;
3. entries with j > i become −∞, really −∞ and no large number.

No softmax, and the inputs stay as they are. `conv2d` of PyTorch is welcome. Example, one head: the logits `[[1, 9, 9], [2, 3, 9], [4, 5, 6]]` and the kernel `[[1, 0, 0], [0, 1, 10]]` give row 0: 1; row 1: 2 + 30 = 32, 3 + 1 = 4; row 2: 4 + 50 = 54, 5 + 60 + 2 = 67, 6 + 3 = 9; and −∞ elsewhere.
"""


# %% tags=["exercise"]
def convolve_logits(logits, kernel):
    """Mask with 0, convolve over queries and keys, mask with -inf: (b, h, s, s) -> the same."""
    ### BEGIN SOLUTION
    h, c_q, c_k = kernel.shape
    padded = F.pad(logits.tril(), (c_k // 2, c_k // 2, c_q - 1, 0))  # queries in the past only
    new = F.conv2d(padded, kernel[:, None], groups=h)
    future = torch.ones_like(new, dtype=torch.bool).triu(1)
    return new.masked_fill(future, float("-inf"))
    ### END SOLUTION


# %% tags=["exercise"]
check("5.1", convolve_logits)

# %% [markdown]
r"""
## A mask that does not help

Programs with convolutions often pad equally on all sides. For a 3 by 3 kernel that is one row of zeros above and one *below*, and the kernel's rows lie on queries $i-1$, $i$ and $i+1$. But are not both masks still there? Take the map from above; only row 3 will change, as if the last word were another.
"""

# %% tags=["predict"]
predict(
    "Mask 0, convolve with a 3 × 3 kernel padded by one on all four sides, mask. Row 3, the last one, is replaced. Which rows of the result can change?",
    {
        "Row 3 only, both masks hide the future": "The masks hide *columns*: keys later than the query of their row. Entry (3, 1) is in nobody's future by that rule, and stays.",
        "Rows 2 and 3": (
            "right",
            "Row 2 now reads row 3 at keys 0 to 3. These logits are legal for query 3, so no mask touches them, but query 3 itself is the future of query 2.",
        ),
        "All rows": "One step of convolution reaches one row up. A second layer would carry it on.",
        "None": "At least row 3 reads itself.",
    },
)

# %%
other = by_hand.clone()
other[3] = torch.tensor([0.0, 2, 2, 5])
for name, (above, below) in {"both sides": (1, 1), "past only": (2, 0)}.items():
    results = []
    for logits in (by_hand, other):
        padded = F.pad(logits.tril()[None, None], (1, 1, above, below))
        results.append(F.conv2d(padded, torch.ones(1, 1, 3, 3))[0, 0].tril())
    changed = (results[0] != results[1]).any(-1).nonzero().flatten().tolist()
    print(f"padding on {name}: rows {changed} changed")

# %% [markdown]
r"""
Row 2 changed, and it must not: query 2 cannot know what is written after it. **The mask hides future keys. It cannot hide future queries**, and what came in from below looks like any other number. In training such a model sees a little of the answer; when it writes, there is no next row to look at.

This is not made up. A widely used library, Liger-Kernel, has a Multi-Token Attention whose tests pad the queries on both sides, with a mask of 0 after the convolution. The reference in these tests pads in the same way, so the two agree. (Read in its source; the padding above is our re-creation.) **Agreement with a reference is not causality.** The property itself must be tested.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.2: A test that exposes the leak &nbsp; (15 minutes)

Write the test. `attention(q, k, v)` takes three tensors (b, h, s, d), of any sizes, in float32 or float64, and returns a fourth of that shape; the same inputs give the same output. Return True if the output at some position i changes by more than 1e-5 when q, k or v at positions *after* i change, else False. Smaller moves are rounding. Choose the inputs yourself, at least 2 heads and 6 positions, and keep them
finite. Return the answer; do not assert it.

Your test is run on attentions that are causal and on others that leak, each in a way of its own: through q, k or v alone, in one head only, at one position only, only where there are several heads, or by less than 0.0001. Examples: `lambda q, k, v: v` is causal, False. `lambda q, k, v: v.flip(2)` is not, and neither is `lambda q, k, v: v + 0.001 * v.roll(-1, 2)`: True.
"""


# %% tags=["exercise"]
def sees_the_future(attention):
    """True if an output of attention(q, k, v) moves when only later tokens change."""
    ### BEGIN SOLUTION
    q, k, v = torch.randn(3, 2, 3, 8, 4, dtype=torch.float64)
    before = attention(q, k, v)
    for cut in range(1, q.shape[2]):
        later = [torch.cat([x[:, :, :cut], torch.randn_like(x[:, :, cut:])], 2) for x in (q, k, v)]
        moved = (attention(*later) - before)[:, :, :cut].abs().max()
        if moved > 1e-5:
            return True
    return False
    ### END SOLUTION


# %% tags=["exercise"]
check("5.2", sees_the_future)

# %% [markdown]
r"""
## After the softmax

The same kernel can be laid on the *probabilities* instead (Eq. 6):

$$A = \text{Mask}_0\bigl(\text{Conv}\bigl(\text{softmax}(\text{Mask}_{-\infty}(\hat A))\bigr)\bigr)$$

The future already has probability 0, so one mask of 0 at the end is enough. Take three queries, and a kernel of one row, $(-1, 1, 0)$: each key less the one before it.

| | probabilities | sum | convolved | sum |
|:--|:--|:-:|:--|:-:|
| query 0 | 1 | 1 | 1 | 1 |
| query 1 | 0.5, 0.5 | 1 | 0.5, 0 | 0.5 |
| query 2 | 0.6, 0.3, 0.1 | 1 | 0.6, −0.3, −0.2 | **0.1** |

Weights can be negative, and rows no longer sum to 1. **Nothing is normalised again**: that is not an oversight but the definition. Even a kernel whose taps sum to 1 loses something. With $(1, 0, 0)$ each key gets the weight of the key before it, query 0 is left with nothing, and what moved past the diagonal is cut off. So we call them *weights* from here on.

And the two sides of the softmax do different things with the same taps. Let a kernel have two taps of 1, on query $i$ and on query $i-1$. Before the softmax logits add up, so **probabilities multiply**: on the keys that both queries know the row is proportional to $p_{i}\, p_{i-1}$. (On key $i$, which query $i-1$ does not know, the first mask put a 0, and the second factor is 1.) After it **probabilities add**.
"""

# %% tags=["predict"]
predict(
    "Over three keys, query i − 1 has the probabilities 0.45, 0.10, 0.45 and query i has 0.10, 0.45, 0.45. With these two taps of 1 *before* the softmax, what does the third key get?",
    {
        "0.45": "Each query alone gives it that. Together they agree on this key, and on no other.",
        "0.90": "That is the sum, which two taps of 1 give *after* the softmax; there the first two keys get 0.55 each.",
        "0.69": (
            "right",
            "The products are 0.045, 0.045 and 0.2025, and 0.2025 of 0.2925 is 0.69. Before the softmax taps say *and*. After it they say *or*: 0.55, 0.55, 0.90.",
        ),
        "0.20": "That is the product 0.45 · 0.45. The softmax normalises once more.",
    },
)

# %%
p = torch.tensor([[0.45, 0.10, 0.45], [0.10, 0.45, 0.45]])
torch.testing.assert_close(p.log().sum(0).softmax(0), p.prod(0) / p.prod(0).sum())
p.log().sum(0).softmax(0), p.sum(0)

# %% [markdown]
r"""
Here is the kernel for Alice and the rabbit again, on both sides. **The word between them got 90 % before the softmax. How far will it stand out after it?**
"""

# %%
compare_pre_post()

# %% [markdown]
r"""
After the softmax the row sums to 8.15, and *the* has 1.83 of it, not twice as much as the next word. Choose *edge*: only there do negative entries appear. Before the softmax a negative tap makes a small probability; after it, it takes attention away. The language models of the paper do both, in every fourth layer, with 6 queries and 11 keys.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.3: The convolution after the softmax &nbsp; (8 minutes)

`probs` is (b, h, s, s): rows sum to 1, and entries with j > i are 0. `kernel` is (h, c_q, c_k), as in 5.1, and may be larger than the map. Return the weights, (b, h, s, s): convolve, then entries with j > i become 0. Nothing is normalised. Example, one head: the probabilities `[[1, 0], [0.25, 0.75]]` and the kernel `[[0, 2, 0], [-1, 1, 0]]` give 1 in row 0, and in row 1 0.25 + 2 · 1 = 2.25 and 0.75 − 0.25 + 2 · 0 = 0.5. At (0, 1) the taps make −1, which is masked.
"""


# %% tags=["exercise"]
def convolve_probs(probs, kernel):
    """Convolve over queries and keys, then mask with 0: (b, h, s, s) -> the same."""
    ### BEGIN SOLUTION
    h, c_q, c_k = kernel.shape
    padded = F.pad(probs, (c_k // 2, c_k // 2, c_q - 1, 0))
    return F.conv2d(padded, kernel[:, None], groups=h).tril()
    ### END SOLUTION


# %% tags=["exercise"]
check("5.3", convolve_probs)

# %% [markdown]
r"""
## Heads that talk

A kernel brings queries and keys together, inside one head. The last neighbours are the **other heads**. Let one head look for what is white, and a second for animals:

| logits | rose | cat | rabbit | tree |
|:--|:-:|:-:|:-:|:-:|
| head 1, white? | 2 | 0 | 2 | 0 |
| head 2, animal? | 0 | 2 | 2 | 0 |
| sum | 2 | 2 | **4** | 0 |
| head 1 − head 2 | **2** | −2 | 0 | 0 |

The sum says *and*: in its softmax the rabbit gets 0.78, where each head alone gave it 0.44. The difference is a **contrast**, white but no animal: what both heads see cancels. After the softmax, on weights, mixing adds as the convolution did: in the mean of the two maps the rabbit has 0.44 again.

In general each new map is a weighted sum of the old ones (Eq. 7), with two heads

$$A^1_{\text{new}} = w_{11} A^1 + w_{12} A^2, \qquad A^2_{\text{new}} = w_{21} A^1 + w_{22} A^2$$

Heads are cut into groups of $c$ neighbours, each with its own $c \times c$ matrix. Here a mixing tensor is `[group, new head, old head]`; the authors' code stores the transpose. In the editor both new heads are the sum of both old ones. **Move the mixing behind the softmax: how much of its row will the rabbit keep?**
"""

# %%
edit_mixing()

# %% [markdown]
r"""
Before the softmax it is 93 %. After it, 0.65 in a row that sums to 2: a third. *Contrast* after the softmax gives negative weights. Mixing at these two places is older than MTA; its name is *talking heads*.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.4: Head mixing &nbsp; (6 minutes)

`maps` is (b, h, s, s), `mixing` is (n, c, c) with n · c = h. Group g holds the c neighbouring heads g·c to g·c + c − 1, and its new head number o is $\sum_e$ `mixing[g, o, e]` times its old head number e. Return (b, h, s, s). It serves logits and weights alike, so no mask and no normalisation. Example, four heads with a single entry each, 1, 2, 3, 4: the matrices `[[1, -1], [0, 2]]` and `[[0, 1], [1, 0]]` make −1, 4, 4, 3 of them.
"""


# %% tags=["exercise"]
def mix_heads(maps, mixing):
    """New heads as weighted sums of the old ones of their group: (b, h, s, s) -> the same."""
    ### BEGIN SOLUTION
    groups = maps.unflatten(1, mixing.shape[:2])
    return torch.einsum("goe,bgeij->bgoij", mixing, groups).flatten(1, 2)
    ### END SOLUTION


# %% tags=["exercise"]
check("5.4", mix_heads)

# %% [markdown]
r"""
### Both at once

A convolution adds over nearby queries and keys, mixing adds over heads. One after the other, on the same side of the softmax, they add over a small box of *heads, queries and keys*: one convolution in three dimensions, with the kernel

$$\Theta_{o,e}[\,a, b\,] = w_{oe}\;\theta_e[\,a, b\,]$$

for new head $o$ and old head $e$: for each old head the same taps, only scaled. A group of 16 heads with 6 by 11 taps has $16 \cdot 66 + 16^2 = 1{,}312$ numbers to learn, a free kernel of that size $16^2 \cdot 66 = 16{,}896$.
"""

# %%
from simplex_lib.attention.multi_token import joint_convolution, joint_kernel

generator = torch.Generator().manual_seed(5)
maps = torch.randn(1, 4, 9, 9, generator=generator).double()
kernel, mixing = (torch.randn(*n, generator=generator).double() for n in ((4, 2, 3), (2, 2, 2)))
in_two_steps = mix_heads(key_query_convolution(maps, kernel), mixing)
torch.testing.assert_close(joint_convolution(maps, joint_kernel(kernel, mixing)), in_two_steps)
tuple(joint_kernel(kernel, mixing).shape)  # (h, c, c_q, c_k)

# %% tags=["predict"]
predict(
    "Somebody mixes first and convolves afterwards. When is the result the same?",
    {
        "Always, both steps are linear": "Linear steps need not commute. After mixing, new head o is convolved with the kernel of *o*, and not with those of the heads it was made of.",
        "Never": "There is a simple case in which it does not matter which head's kernel is used.",
        "When the heads of each group share one kernel": (
            "right",
            "Then $w_{oe}\\,\\theta$ is the same either way. In general it is $w_{oe}\\,\\theta_e$ against $w_{oe}\\,\\theta_o$. The authors' code convolves first.",
        ),
        "When the mixing matrices are symmetric": "The order in which kernels and weights meet stays wrong. Try two heads whose kernels differ.",
    },
)

# %% [markdown]
r"""
## A norm and a gate

Weights that sum to 0.1 or to 7 leave a head's output without a natural size. Without a norm the kernels of the paper's models grow with depth. Its remedy comes from the DIFF Transformer: **each head's output is normalised by itself**. Take an output of two numbers, (3, 4). Its root mean square is $\sqrt{(9 + 16)/2} = 3.54$, and the normalised output is (0.85, 1.13). Had the attention weights been ten times as large, it would be the same, but for a tiny $10^{-5}$ that is added under the root. A learned factor for each of the $d$ coordinates, shared by all heads of a layer, comes on top.

What follows the norm differs between versions:

* **Depth scaling**, in DIFF and, according to summaries of it, in the first version of the paper: times $1 - \lambda_{\text{init}}$ with $\lambda_{\text{init}} = 0.8 - 0.6\, e^{-0.3\,\ell}$ in layer $\ell = 0, 1, \dots$ That is 0.8 in the first layer and 0.2 deep down.
* **A sigmoid gate**, in the second version and the final models: times $\sigma(w \cdot y + \text{bias})$, where $y$ is the normalised output. One number for each token and head, so a head can be silent. $w$ and bias are shared by the heads of a layer.

The paper has no equation for this; the form is that of the authors' code.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.5: Norm, depth and gate &nbsp; (8 minutes)

`heads` is (b, h, s, d), `weight` is (d,). Return (b, h, s, d), from up to three steps:

1. each head and token alone: $y = x \,/ \sqrt{\text{mean}(x^2) + 10^{-5}}$, times `weight`. No mean is subtracted;
2. if `layer` is given: times $1 - \lambda$ with $\lambda = 0.8 - 0.6\,e^{-0.3 \cdot \text{layer}}$, layers counted from 0;
3. if `gate` is given, a pair (w, bias) with w (d,) and bias a tensor with one number: times $\sigma(w \cdot y + \text{bias})$, one number a token and head, made from the $y$ of the steps before.

Each of the two may be None, and both may be given. A head of zeros gives zeros. Example: (3, 4) with weight (1, 2) gives (0.8485, 2.2627); with layer 0 it is (0.6788, 1.8102); with the gate ((1, 0), 0) alone, times σ(0.8485) = 0.7003, it is (0.5942, 1.5845).
"""


# %% tags=["exercise"]
def head_norm(heads, weight, layer=None, gate=None):
    """RMSNorm of each head alone, then the factor of depth, the gate, both or neither."""
    ### BEGIN SOLUTION
    y = heads * (heads.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight
    if layer is not None:
        y = y * (1 - (0.8 - 0.6 * math.exp(-0.3 * layer)))
    if gate is not None:
        w, bias = gate
        y = y * (y @ w + bias).sigmoid()[..., None]
    return y
    ### END SOLUTION


# %% tags=["exercise"]
check("5.5", head_norm)

# %% [markdown]
r"""
## The layer

All parts in their order, as in the authors' code:

> logits → mask 0 → **convolve** → **mix heads** → mask −∞ → softmax → **convolve** → mask 0 → **mix heads** → times values → **norm, gate** → join heads → output matrix

Where should training start? With kernels that are 1 at the query and key itself and 0 elsewhere, and mixing matrices that are the identity. Then **the layer is ordinary attention, exactly**, and learning departs from there. So MTA can also be put into a trained model (the paper's Table 10), and equality with plain attention is the first test of any implementation. Its blind spot: it tries no other tap.
"""

# %%
plain = MultiHeadAttention(32, 4).double()
layer = MultiTokenAttention(32, 4, c_q=6, c_k=11, where="both", mix=4).double()
layer.load_state_dict(plain.state_dict(), strict=False)  # the projections; the rest starts as is
x = torch.randn(2, 20, 32, generator=generator).double()
torch.testing.assert_close(layer(x), plain(x))
"the same, to rounding"

# %% tags=["predict"]
predict(
    "The same layer with identity kernels and identity mixing, but with its norm and its gate switched on, bias 0 and w = 0. Is it still ordinary attention?",
    {
        "Yes, the gate starts at 1": "σ(0) is 0.5. And the norm comes before it.",
        "Yes, up to a factor of one half": "The gate alone would give that. The norm divides every head's output by its own size, which differs from token to token.",
        "No": (
            "right",
            "The norm gives every head's output of every token the same size, whatever it was. So the test of equality has to run with norm and gate off.",
        ),
        "Only after training": "Training moves it further away. The question is what the parts do at the start.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.6: The whole layer &nbsp; (20 minutes)

Write it as an `nn.Module`, (b, s, d_model) → (b, s, d_model), causal, with d = d_model / n_heads and `mix` heads in a group. Your functions of 5.1 to 5.5 are welcome. Parameters, with these names and no others:

* `wq`, `wk`, `wv`, `wo`: `nn.Linear(d_model, d_model, bias=False)`; head 0 owns the first d features of q, k and v, and so on;
* `pre_kernel`, `post_kernel`: `nn.Parameter` (n_heads, c_q, c_k), 1 for query i and key j and 0 elsewhere at the start;
* `pre_mixing`, `post_mixing`: `nn.Parameter` (n_heads / mix, mix, mix), identity matrices at the start;
* only with `norm=True`: `norm_weight`, `nn.Parameter` (d,) of ones, and `gate`, `nn.Linear(d, 1)`.

Order: scaled logits → convolution as in 5.1 → `pre_mixing` → −∞ above the diagonal, softmax → convolution as in 5.3 → `post_mixing` → times v → with norm, norm and gate as in 5.5, no depth factor → heads side by side → `wo`. Maps with −∞ cannot be mixed: 0 · (−∞) is NaN, in the gradient too. With zeros in the future they can. With norm off and fresh parameters your layer must be multi-head
attention. Example: `MultiTokenLayer(4, 2, 2, 3, 2).pre_kernel[0]` is `[[0, 0, 0], [0, 1, 0]]`.
"""


# %% tags=["exercise"]
class MultiTokenLayer(nn.Module):
    """Multi-Token Attention with both convolutions and mixings: (b, s, d_model) -> the same."""

    def __init__(self, d_model, n_heads, c_q, c_k, mix, norm=False):
        super().__init__()
        ### BEGIN SOLUTION
        self.n_heads, self.norm = n_heads, norm
        self.wq, self.wk, self.wv, self.wo = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )
        one = torch.zeros(n_heads, c_q, c_k)
        one[:, -1, c_k // 2] = 1
        self.pre_kernel, self.post_kernel = nn.Parameter(one), nn.Parameter(one.clone())
        eye = torch.eye(mix).repeat(n_heads // mix, 1, 1)
        self.pre_mixing, self.post_mixing = nn.Parameter(eye), nn.Parameter(eye.clone())
        if norm:
            self.norm_weight = nn.Parameter(torch.ones(d_model // n_heads))
            self.gate = nn.Linear(d_model // n_heads, 1)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        projections = (self.wq, self.wk, self.wv)
        q, k, v = (w(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for w in projections)
        logits = convolve_logits(q @ k.mT / math.sqrt(q.shape[-1]), self.pre_kernel)
        logits = mix_heads(logits.tril(), self.pre_mixing)  # 0 for -inf: 0 * -inf would be NaN
        future = torch.ones_like(logits, dtype=torch.bool).triu(1)
        probs = logits.masked_fill(future, float("-inf")).softmax(-1)
        heads = mix_heads(convolve_probs(probs, self.post_kernel), self.post_mixing) @ v
        if self.norm:
            heads = head_norm(heads, self.norm_weight, gate=(self.gate.weight[0], self.gate.bias))
        return self.wo(heads.transpose(1, 2).flatten(2))
        ### END SOLUTION


# %% tags=["exercise"]
check("5.6", MultiTokenLayer)

# %% [markdown]
r"""
## What it costs, what it brings

Count the parameters first. The paper's model of 880 million has 24 layers and 16 heads of $d = 96$. Kernels of 6 by 11 taps stand in 6 of the layers, before and after the softmax.
"""

# %% tags=["predict"]
predict(
    "How many numbers are in all these kernels together?",
    {
        "792": "66 taps, 6 layers, 2 sides. But every head has a kernel of its own.",
        "6,336": "66 · 6 · 16. The kernels after the softmax are others than those before.",
        "12,672": (
            "right",
            "66 taps · 16 heads · 2 sides · 6 layers. One row of one of the model's matrices has 1,536.",
        ),
        "50,688": "That would be kernels in all 24 layers.",
    },
)

# %% [markdown]
r"""
Mixing matrices stand in all 24 layers, two of $16 \cdot 16$ in each: 12,288. Norm and gate take $2d + 1 = 193$ in each: 4,632. Together 29,592.
"""

# %%
assert cost.extra_parameters("multi-token") == 12_672 + 12_288 + 4_632
for kind in cost.KINDS:
    share = cost.extra_parameters(kind) / cost.parameters()
    print(f"{kind:14} {cost.parameters(kind):11,} parameters, {share:.4%} more")

# %% [markdown]
r"""
These are the totals of the paper's Table 8, to the unit. MTA adds **0.0034 percent**. The paper's text says 0.001, and that DIFF adds more than MTA; its own table says otherwise.

Few parameters do not mean little work. To be convolved and mixed, the maps must exist, (h, s, s) numbers, so the fused kernels that make attention fast cannot be used. Training the 880M model on 32 H200 (Table 9, quoted, the authors' unoptimised code):

| | memory, GB | tokens a second, thousands | slower than plain |
|:--|--:|--:|--:|
| Transformer | 17.5 | 54.3 | |
| DIFF | 21.6 | 17.6 | 3.1 times |
| talking heads | 63.0 | 14.6 | 3.7 times |
| MTA | 73.8 | 5.7 | **9.5 times** |

Most of the memory is needed for head mixing alone already. Whether it must be so slow is the question of chapter 12.

And which part helps? Validation perplexity of that model, lower is better (Tables 2 and 5, quoted):

| | perplexity |
|:--|:-:|
| plain Transformer (Table 2) | 11.25 |
| with everything, sigmoid gate (Table 5) | 10.90 |
| with everything, depth scaling (Table 5) | 10.92 |
"""

# %% tags=["predict"]
predict(
    "From 11.25 to 10.90. Key-query convolution before the softmax alone (with depth scaling), and head mixing alone (without norm or gate): what did they reach?",
    {
        "11.04 with convolution, 11.23 with mixing": "The other way round, which surprises most readers of a paper whose title speaks of tokens.",
        "11.23 with convolution, 11.04 with mixing": (
            "right",
            "In these models most of the gain comes from heads that talk, an older idea. Kernels, norm and gate together add the rest: 11.04 to 10.90.",
        ),
        "11.08 each, half and half": "They are far from equal.",
        "10.90 with convolution, mixing adds nothing": "That is the number for all parts together.",
    },
)

# %% [markdown]
r"""
**On average text, most of the gain comes from mixing heads**: 11.04 with talking heads alone, which have neither norm nor gate. Kernels, norm and gate together add the rest: 11.04 to 10.90. It is 11.23 with kernels before the softmax alone (depth scaling); both kernels without mixing were not measured. Kernels matter where two clues must meet, as in the paper's task of chapter 06, where they do the work alone. (Table 2 prints means of two runs: 11.25, 11.04, and 10.91 for the full model. 10.90, 10.92 and 11.23 are from Table 5, which prints one number each; a difference of 0.02 says little.)

## The convolution without a map

What does the frame of paper really do? Take vectors of one number, and a kernel with a single row, (1, 2, 0). The convolved logit is

$$a_{ij} = 1 \cdot q_i\, k_{j-1} + 2 \cdot q_i\, k_j = q_i\,(k_{j-1} + 2\, k_j)$$

A dot product is linear in the key, so **instead of convolving logits we may filter the keys**. With $k = (1, 3, 0, 2)$ the filtered keys are $(2, 7, 3, 4)$, and each logit is one ordinary product again. A kernel with $c_q$ rows has $c_q$ filters, one for each query row:

$$a_{ij} = \sum_{a=0}^{c_q-1} q_{i-a} \cdot \tilde k^{\,(a)}_j, \qquad \tilde k^{\,(a)}_j = \sum_b \text{kernel}[\text{row of } i - a,\ \text{column of } j + b]\; k_{j+b}$$

No map is convolved, or even needed: this is attention with a query of $c_q \cdot d$ numbers, $q_i, q_{i-1}, \dots$ in a row, and a key of as many. It can run block by block, with the online softmax of chapter 01. There is one catch, and you know it already. **Where will the two differ?**
"""

# %%
from simplex_lib.attention.multi_token_features import band_correction, logits_by_features

q, k = torch.randint(-3, 4, (2, 1, 1, 9, 2), generator=generator).double()
kernel = torch.randint(1, 4, (1, 2, 5), generator=generator).double()
difference = logits_by_features(q, k, kernel) - key_query_convolution(q @ k.mT, kernel)
torch.testing.assert_close(difference.tril(), band_correction(q, k, kernel).tril())
for i, row in enumerate(difference[0, 0].int().tolist()):
    print(*(f"{x:4}" for x in row[: i + 1]))

# %% [markdown]
r"""
Only near the diagonal. A filtered key $\tilde k_j$ has keys later than $j$ mixed in; near the diagonal some are later than their query, and the first mask would have hidden them. A sum of dot products has no place for that mask. Off the band nothing is hidden, and the sum is **exact**.
"""

# %% tags=["predict"]
predict(
    "A tap reads query i − a and key j + b, and is hidden if j + b > i − a. For $c_q = 6$ and $c_k = 11$, from which distance i − j on is no tap hidden?",
    {
        "11": "Nearly. Find the largest a + b: a is at most 5, and so is b.",
        "10": (
            "right",
            "A tap is hidden if i − j < a + b, and a + b is at most 5 + 5. In a text of 2,048 tokens all but ten diagonals of the map are plain dot products.",
        ),
        "6": "That counts the query rows. Keys to the right matter as well.",
        "66": "That is the number of taps. It is the farthest one that decides.",
    },
)

# %% [markdown]
r"""
So but for a narrow band, the map of convolved logits is a matrix of rank $c_q d$ at most. That saves no multiplications: $6 \cdot 96$ for a logit in place of $96 + 66$. It saves the map, and turns a strange operation into one that hardware likes. The paper counts MTA as incompatible with fused kernels; chapter 12 builds one on this.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.7: The convolution as dot products &nbsp; (15 minutes)

`q` and `k` are (b, h, s, d), `kernel` is (h, c_q, c_k) as in 5.1. Return (b, h, s, s), for all i and j, above the diagonal too:

$$\text{new}[i, j] = \sum_{a=0}^{c_q - 1} q_{i-a} \cdot f_a[j], \qquad f_a[j] = \sum_{b=-\lfloor c_k/2 \rfloor}^{\lfloor c_k/2 \rfloor} \text{kernel}[\,c_q - 1 - a,\ \lfloor c_k/2 \rfloor + b\,]\; k_{j+b}$$

Queries before 0 and keys outside the sequence are zero vectors. No scale, no mask. The rule: **no map of dot products may be weighted by taps.** An einsum of three tensors that forms shifted maps and weighs them in one go is not allowed either. Filter vectors, keys or queries as you like, and take dot products then; the check follows what is made of what, in an einsum from the first operand to the last. Example with s = 2 and d = 1: q = (1, 2), k = (3, 5) and the kernel `[[0, 1, 0], [10, 1, 0]]` have $f_0 = (3, 35)$ and $f_1 = (3, 5)$, and give `[[3, 35], [9, 75]]`.
"""


# %% tags=["exercise"]
def filtered_logits(q, k, kernel):
    """Convolved logits from shifted queries and filtered keys, no map convolved: (b, h, s, s)."""
    ### BEGIN SOLUTION
    s, (_, c_q, c_k) = q.shape[2], kernel.shape
    queries = F.pad(q, (0, 0, c_q - 1, 0))  # position p stands at p + c_q - 1
    keys = F.pad(k, (0, 0, c_k // 2, c_k // 2))
    new = 0
    for row in range(c_q):  # the row of query i - (c_q - 1 - row)
        filtered = sum(kernel[:, row, t, None, None] * keys[:, :, t : t + s] for t in range(c_k))
        new = new + queries[:, :, row : row + s] @ filtered.mT
    return new
    ### END SOLUTION


# %% tags=["exercise"]
check("5.7", filtered_logits)

# %% [markdown]
r"""
## Writing token by token

A model that writes keeps the keys and values of earlier tokens, and throws old queries away: nobody asks for them again. With a kernel somebody does. The newest row of convolved logits reads the raw rows of the $c_q - 1$ queries before it. So these queries are kept as well, and their rows computed once more.
"""

# %% tags=["predict"]
predict(
    "A layer with $c_q = 6$ both before and after the softmax. How many *earlier* queries must its cache hold?",
    {
        "5": "That is right for one convolution. The second one reads five earlier rows of probabilities, and each of those is a convolved row itself.",
        "6": "The newest query is there anyway. And there are two convolutions.",
        "10": (
            "right",
            "The newest weights read probabilities back to row i − 5, and these read raw logits back to row i − 10: 2 (c_q − 1).",
        ),
        "All of them": "Rows further back than both kernels reach have no influence on the newest one.",
    },
)

# %%
from simplex_lib.attention.multi_token_decoding import MultiTokenCache, multi_token_decode

q, k, v = torch.randn(3, 1, 2, 30, 8, generator=generator).double()
kernels = {side: torch.randn(2, 6, 11, generator=generator).double() for side in ("pre", "post")}
kernels = {f"{side}_kernel": kernel for side, kernel in kernels.items()}
whole = multi_token_attention(q, k, v, **kernels)
cache = MultiTokenCache.empty(b=1, h=2, d=8, dtype=torch.float64)
for i in range(30):
    token = (x[:, :, i : i + 1] for x in (q, k, v))
    torch.testing.assert_close(multi_token_decode(cache, *token, **kernels), whole[:, :, i : i + 1])
print(f"every row as in the full pass; {cache.q.shape[2]} queries kept, {cache.k.shape[2]} keys")

# %% [markdown]
r"""
The keys still grow with the text; the extra queries stay ten.

## The baseline: a difference of two maps

The paper compares MTA with the **DIFF Transformer** ([arXiv:2410.05258](https://arxiv.org/abs/2410.05258)). A head has two queries and two keys, and its weights are a difference, with a learned $\lambda$ that starts near the $\lambda_{\text{init}}$ you met:

$$\bigl(\text{softmax}(q_1 k_1^\top / \sqrt d) - \lambda\, \text{softmax}(q_2 k_2^\top / \sqrt d)\bigr)\, v$$

What both maps share is weakened, as a pair of microphones weakens the noise that both hear: two equal maps $p$ leave $(1 - \lambda)\, p$. With $\lambda = 0.8$, weights of (0.5, 0.3, 0.2) less 0.8 times (0.2, 0.4, 0.4) leave (0.34, −0.02, −0.12): negative weights again, and rows that sum to $1 - \lambda = 0.2$. You know the idea, under another name.
"""

# %% tags=["predict"]
predict(
    "Call the two maps two heads. Which step of Multi-Token Attention gives DIFF?",
    {
        "Head mixing before the softmax, with weights 1 and −λ": "Then logits are subtracted: the softmax makes $p_1 / p_2^\\lambda$ of them, normalised. Nothing there is negative, and rows sum to 1.",
        "Head mixing after the softmax, with weights 1 and −λ": (
            "right",
            "A contrast of two maps whose weights are fixed but for λ. MTA learns the whole matrix, for all heads of a group.",
        ),
        "A convolution after the softmax, with taps 1 and −λ": "A convolution subtracts a neighbouring query or key of the *same* head.",
        "None of them": "Look at what the mixing editor calls contrast.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 5.8: Differential attention &nbsp; (6 minutes)

`q1`, `q2`, `k1`, `k2` are (b, h, s, d), `v` is (b, h, s, dv), `lam` is a tensor with one number, shape (). Return (b, h, s, dv): the difference of the two maps times the values. Each softmax is causal, with −∞ and no large number, and each has the scale $1/\sqrt d$. No normalisation, no norm, no factor $1 - \lambda$; PyTorch's `scaled_dot_product_attention` is not allowed. Example with s = 2 and d = dv = 1: all queries 0, v = (2, 4) and λ = 0.5 give (1, 1.5).
"""


# %% tags=["exercise"]
def diff_attention(q1, q2, k1, k2, v, lam):
    """(softmax(q1 k1) - lam softmax(q2 k2)) v, both causal: -> (b, h, s, dv)."""

    ### BEGIN SOLUTION
    def probs(q, k):
        logits = q @ k.mT / math.sqrt(q.shape[-1])
        future = torch.ones_like(logits, dtype=torch.bool).triu(1)
        return logits.masked_fill(future, float("-inf")).softmax(-1)

    return (probs(q1, k1) - lam * probs(q2, k2)) @ v
    ### END SOLUTION


# %% tags=["exercise"]
check("5.8", diff_attention)

# %% [markdown]
r"""
## What the papers say, what we measured

*Multi-Token Attention*, [arXiv:2504.00927](https://arxiv.org/abs/2504.00927), second version; all entries stand in the [ledger](../claims/README.md):

* Alice's kernel of 4 by 5: [`mta-alice-kernel`](../claims/README.md#mta-alice-kernel). Eqs. 3 to 7 come out as written, [`mta-eq3`](../claims/README.md#mta-eq3), [`mta-eq4`](../claims/README.md#mta-eq4), [`mta-eq5`](../claims/README.md#mta-eq5), [`mta-eq6`](../claims/README.md#mta-eq6), [`mta-eq7`](../claims/README.md#mta-eq7); so do *and* against *or*, [`mta-additive`](../claims/README.md#mta-additive), three dimensions, [`mta-3d`](../claims/README.md#mta-3d), and the start, [`mta-identity`](../claims/README.md#mta-identity).
* Padding in the past is causal, [`mta-past-padding`](../claims/README.md#mta-past-padding); on both sides it is not: [`liger-leak`](../claims/README.md#liger-leak).
* Table 8, to the unit: [`mta-table8`](../claims/README.md#mta-table8). **Not to be repeated:** 0.001 percent, [`mta-table8-share`](../claims/README.md#mta-table8-share), that DIFF adds more, [`mta-table8-diff`](../claims/README.md#mta-table8-diff), and the names of the model sizes, [`mta-table7-names`](../claims/README.md#mta-table7-names).
* Not settled by the text: one convolution or both, [`mta-default`](../claims/README.md#mta-default); norm and gate, [`mta-gate`](../claims/README.md#mta-gate). The first version we know from summaries only, [`mta-depth-scaling`](../claims/README.md#mta-depth-scaling).
* Quoted, not tested here: Table 9, [`mta-table9`](../claims/README.md#mta-table9), and Table 5, [`mta-table5`](../claims/README.md#mta-table5). The FLOPS that Table 9 prints are its tokens a second, times a constant: [`mta-table9-flops`](../claims/README.md#mta-table9-flops).
* Ours, and not in the paper: dot products off the band, [`mta-low-rank`](../claims/README.md#mta-low-rank), and the cache, [`mta-decoding`](../claims/README.md#mta-decoding).
* DIFF, [arXiv:2410.05258](https://arxiv.org/abs/2410.05258), as summarised in reference works: [`diff-eq1`](../claims/README.md#diff-eq1), [`diff-lambda-init`](../claims/README.md#diff-lambda-init).

## In half a page

* A convolved logit is a weighted sum of the logits round it: $c_q$ queries back, $c_k$ keys on both sides. Two clues meet if one kernel spans them.
* Mask 0, convolve, mask −∞. The double mask loses earlier queries with keys between them and $i$, on a band of $c_q - 1 + \lfloor c_k/2 \rfloor$ diagonals.
* Pad queries in the past only. No mask can undo a row that came in from below; test causality by changing later tokens.
* Before the softmax taps multiply probabilities, *and*. After it they add weights, *or*; rows no longer sum to 1, weights can be negative, and nothing is normalised.
* Mixing does the same across heads; with the convolution on its side it is one convolution in three dimensions.
* Each head is normalised, then scaled by depth or a gate. Without these, identity kernels are plain attention, exactly.
* 0.0034 percent more parameters, 9.5 times slower in the authors' code. Most of the gain on text, 11.25 to 11.04, comes from mixing heads; kernels, norm and gate together add the rest: 11.04 to 10.90. It is 11.23 with kernels before the softmax alone (depth scaling); both kernels without mixing were not measured.
* Off the band it is $c_q$ dot products of shifted queries and filtered keys. A cache needs $c_q - 1$ queries more, twice that with both convolutions.

**Further reading.** [arXiv:2504.00927](https://arxiv.org/abs/2504.00927), Section 3 and Table 5. The DIFF Transformer, [arXiv:2410.05258](https://arxiv.org/abs/2410.05258). Talking-heads attention, [arXiv:2003.02436](https://arxiv.org/abs/2003.02436), where heads began to be mixed.

**Next:** chapter 06, Alice and the rabbit, where a kernel is built by hand and then learned before your eyes.
"""
