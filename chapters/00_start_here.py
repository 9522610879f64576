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
# 00 &nbsp; Start here

Read this sentence the way a language model does: *Alice saw the white rabbit under the tree. Where did Alice see the rabbit?* To answer, you look for the one place that has **both** Alice and the rabbit. Ordinary attention compares
words two at a time: the word that asks, and one word that might answer. It has to find Alice, find the rabbit, and only later notice that they stood in the same sentence.

What if a word could look at **two** other words at once? Then "Alice and the rabbit, together" is a single look. That is 2-simplicial, or trilinear, attention, and this course takes you there: from the dot product you know, through
triangles of tokens, to kernels that run on a GPU. You will see every tensor on the way, also those with three axes, and write every step yourself.

After this chapter you can

* read any `einsum`, the one tool that the whole course is written in,
* solve an exercise, be told *why* a wrong answer is wrong, and ask for a hint,
* say what this machine can run, and what may be skipped.

If `einsum` is an old friend, go straight to [the first exercise](#The-first-exercise).

**How to read.** Run a cell with Shift + Enter and the next one follows; *Run All Cells* in the menu *Run* starts the whole page. What you see before that was recorded when the page was made: pictures stand still until you run them.
"""

# %% tags=["shared"]
import torch

from simplex_lib.course import check, course_map, doctor_report, hint, predict, symptoms

# %%
from simplex_lib.widgets import explore_einsum

# %% [markdown]
r"""
## One tool: einsum

Start with numbers. Two weights, and two rows of values:

$$w = (0.25,\; 0.75) \qquad v = \begin{pmatrix} 4 & 0 \\ 0 & 8 \end{pmatrix}$$

Mixing the rows by their weights gives $0.25 \cdot (4, 0) + 0.75 \cdot (0, 8) = (1, 6)$. With a letter for each axis, $j$ for the row and $d$ for the column, this is

$$\text{mixed}_d = \sum_j w_j\, v_{jd}$$

The formula holds four facts: $w$ has the axis $j$; $v$ has the axes $j$ and $d$; the result has $d$; and $j$, which the result lacks, is summed. `einsum` takes exactly these four facts and nothing else: `"j,jd->d"`.
"""

# %%
w = torch.tensor([0.25, 0.75])
v = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
mixed = torch.einsum("j,jd->d", w, v)
assert mixed.tolist() == [1.0, 6.0]
mixed

# %% [markdown]
r"""
Three rules carry the whole course.

1. **A letter in two inputs ties two axes together.** They must have the same size, and only equal positions meet.
2. **A letter that is missing after the arrow is summed.**
3. **A letter after the arrow stays**, and the order there is the order of the axes.

Which numbers meet, and what is summed? Choose an equation below, then pick one cell of the result and look at which cells of the inputs light up. Try `ij,jd->id`, then take away the `d` after the arrow, then make it `ij,kd->id`.
"""

# %%
explore_einsum("ij,jd->id")

# %% [markdown]
r"""
You should have seen that for `ij,jd->id` one cell of the result lights a *row* of the first input and a *column* of the second: that is a matrix product. Without `d` after the arrow the whole second input lights up, since its
columns are added too. And with `ij,kd->id` no letter is shared, so every number of one row meets every number of one column: nothing is matched, and the result is a product of two sums.
"""

# %% [markdown]
r"""
## The first exercise

You know enough for it. Exercises live in a notebook of their own, so that your work and these pages never get in each other's way. Open it with the link under the statement: it holds the statement again, an empty function and a cell that
checks it. Run its first cell first; that one imports what you need.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 0.1: Mix the values &nbsp; (5 minutes)

Now there are several heads, and in each head several readers. Reader $i$ of head $h$ has weights of its own, and all of them mix the same rows of `values`:

$$\text{mixed}_{ihd} = \sum_j \text{weights}_{hij}\; \text{values}_{jd}$$

Write it as one `torch.einsum`. Shapes: `weights` is (h, i, j), `values` is (j, d), and the result is (i, h, d), with the reader first. The weights need not sum to 1; they are used as they are.
"""


# %% tags=["exercise"]
def mix(weights, values):
    """Every head's and reader's weighted sum of the values: (h, i, j), (j, d) -> (i, h, d)."""
    ### BEGIN SOLUTION
    return torch.einsum("hij,jd->ihd", weights, values)
    ### END SOLUTION


# %% tags=["exercise"]
check("0.1", mix)

# %% [markdown]
r"""
Before you solve it, solve it *wrongly* once: sum over the wrong letter, or forget one. The check does not just say no. It runs the mistakes that people make on the same inputs, and if one of them gives your very numbers, it tells you
which mistake that is.

Stuck? `hint("0.1")` gives the first of three hints: the idea, where to look, and then the shape of the code. The button under a failed check does the same. If you know the symptom but not the cause, look it up:
"""

# %%
symptoms("transposed")

# %% [markdown]
r"""
## What is kept, and where

* Your notebooks are in the folder `work/`. The originals stay untouched; starting the lab again never overwrites what you wrote, also after an upgrade of the course.
* Passed checks, hints seen and your answers to the questions above are in `work/progress.json`. Restart the kernel, close the browser: they stay.
* `simplex check 00` in a terminal runs the same checks, in a process with limits on time and memory. `simplex reset 0.1` gives one exercise back its empty function, after a backup. `simplex progress` shows where you are.
* A check stops an endless Python loop after ten seconds. In a notebook your code runs in the notebook's own process, so three things cannot be contained there: a crash inside compiled code, `os._exit`, and an allocation that the machine
  can just grant. If you expect one of these, use the terminal.
"""

# %% [markdown]
r"""
## The map

Thirteen chapters, from pairs to triangles to kernels. A line leads from a chapter to what builds on it, and a bar fills with each exercise that you solve. Dashed boxes are still being written.
"""

# %%
course_map()

# %% [markdown]
r"""
## What you should know, and what you may skip

You need Python, a little PyTorch (make a tensor, index it, know what `x.shape` says) and what a matrix product is. You do not need a GPU, and you do not need to have read a paper.

* If you have written an attention layer before, skim chapter 01 and do exercises 1.4 and 1.5. Chapter 02 needs those two.
* Chapters 09 to 12 write kernels in Triton. Triton exists for Linux. On a machine without a GPU they run slowly but truly, in Triton's interpreter; on macOS and Windows these chapters can be read, with all results, but not run.

Two questions on what you bring along. Choose an answer before you scroll: guessing first is how the explanation sticks.
"""

# %% tags=["predict"]
predict(
    "`x` has shape (2, 3, 5) and `y` has shape (5, 4). What is the shape of `x @ y`?",
    {
        "(3, 4)": "The first axis of x is not summed. It rides along, so that there are two products, one for each.",
        "(2, 3, 4)": (
            "right",
            "A matrix product works on the last two axes: (3, 5) times (5, 4). The axis of 2 rides along.",
        ),
        "It raises an error, since x has three axes": "PyTorch treats the leading axes as a batch and "
        "multiplies the last two.",
        "(2, 3, 5, 4)": "That would keep the axis of 5. A product sums over it.",
    },
)

# %% tags=["predict"]
predict(
    "`w` holds four numbers that are at least 0 and sum to 1; `v` has shape (4, 2), four points in the plane. "
    "Where can the point `w @ v` lie?",
    {
        "Anywhere in the plane": "With any weights, yes. But these are at least 0 and sum to 1, so the "
        "point is pulled between the four and never beyond them.",
        "On one of the four points": "Only if one weight is 1 and the others 0. All mixtures in between are allowed.",
        "Inside the polygon that the four points span": (
            "right",
            "A weighted mean never leaves the hull of what it mixes. Attention is such a mean, and this "
            "picture returns in chapter 01.",
        ),
        "On the line from the first point to the last": "The middle points have weights too, and they pull the "
        "mixture off that line.",
    },
)

# %% [markdown]
r"""
## This machine

The table says what was found here and, where something is missing, what to do about it. Nothing in chapters 00 to 08 needs a GPU.
"""

# %%
doctor_report()

# %% [markdown]
r"""
## Three at once

The rules of einsum do not stop at two inputs. With three, `"id,jd,kd->ijk"` multiplies three numbers and sums over $d$:

$$a_{ijk} = \sum_d q_{id}\, k_{jd}\, k'_{kd}$$

Two inputs give a table of pairs. Three give a cube of triples. That one line is where chapter 02 begins.
"""

# %% tags=["predict"]
predict(
    'q, k and k\' all have shape (s, d). How many multiplications does `"id,jd,kd->ijk"` need if every '
    "product of three numbers is formed from scratch?",
    {
        "s² d": "That is the table of pairs. The third letter k multiplies the count by s again.",
        "3 s d": "That is how many numbers the inputs hold. Each of them is used s² times.",
        "2 s³": "That is what one value of d costs. The sum over d runs through all of them.",
        "2 s³ d": (
            "right",
            "There are s³ triples, d products in each, and a product of three numbers takes two multiplications.",
        ),
    },
)

# %%
s, d = 6, 4
q, k1, k2 = torch.randn(3, s, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
cube = torch.einsum("id,jd,kd->ijk", q, k1, k2)
by_hand = sum(q[2, c] * k1[5, c] * k2[0, c] for c in range(d))
assert cube.shape == (s, s, s)
assert torch.isclose(cube[2, 5, 0], by_hand)
print("the score of query 2 with keys 5 and 0:", round(float(by_hand), 3))

# %% [markdown]
r"""
## Notation, on one page

One letter an axis, everywhere in the course:

| letter | axis |
|:--|:--|
| b | batch |
| h | head of the query |
| g | head of the keys, where they have fewer |
| i | query position |
| j, k | first and second key position |
| s | sequence length |
| d | head dimension |

| name | meaning |
|:--|:--|
| `q`, `k`, `v` | query, key, value, each (b, h, s, d) |
| `k1`, `k2`, `v1`, `v2` | the two keys and the two values of a triple |
| `logits` | scores before the softmax |
| `probs` | shares after it; those of one query sum to 1 |
| `out` | what attention returns |
| `lse` | natural logarithm of a query's sum of exponentials |
| `scale` | factor on the logits, usually $1/\sqrt{d}$ |
| `w1`, `w2` | windows of the first and the second key |

A **window** of $w$ is the interval $i - w < j \le i$: the query's own position counts, so $w = 1$ sees only itself. **Causal** means that query $i$ sees positions up to $i$. $x \circ y$ is the product number by number. In code the second key of
the papers, $k'$, is `k2`.
"""

# %% tags=["predict"]
predict(
    "Window w = 3, causal. Which positions does query i = 7 see?",
    {
        "4, 5, 6, 7": "That is w + 1 positions, the most common mistake with windows: the lower end 7 − 3 = 4 is excluded.",
        "5, 6, 7": (
            "right",
            "7 − 3 < j ≤ 7. Three positions, its own included.",
        ),
        "4, 5, 6": "A query sees itself. The window ends at i, not before it.",
        "6, 7, 8": "8 lies in the future of query 7, and causal attention does not look there.",
    },
)

# %%
w = 3
for i in range(5):  # near the start there is less to see
    print("query", i, "sees", [j for j in range(10) if i - w < j <= i])

# %% [markdown]
r"""
## What the papers say, what we measured

Two papers carry the course: *Fast and Simplex: 2-Simplicial Attention in Triton* ([arXiv:2507.02754](https://arxiv.org/abs/2507.02754)) and *Multi-Token Attention* ([arXiv:2504.00927](https://arxiv.org/abs/2504.00927)). We repeat a number from a paper only with its
section or equation, and we enter it in the [claims ledger](../claims/README.md): reproduced, corrected, not reproducible from what is published, or not tested here. Papers have slips, as all of us do. Finding them is one of the exercises.

Numbers that we measured name the machine and the command. Your machine will give others; the ratios should hold.

## In half a page

* `einsum` needs four facts: the letters of each input and the letters that stay. A shared letter matches, a missing one is summed.
* Two inputs that share $d$ give a table of pairs. Three give a cube of triples, at $2 s^3 d$ multiplications.
* A check names the mistake behind your numbers. Hints come in threes. Nothing that you write is lost.

**Further reading.** The documentation of [`torch.einsum`](https://docs.pytorch.org/docs/stable/generated/torch.einsum.html). The two papers above, when you are curious: read their first two sections now and the rest after chapter 05.

**Next:** [01 Dot-product attention](01_dot_product.ipynb), where a soft look-up table turns into attention.
"""
