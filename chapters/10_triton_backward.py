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
# 10 &nbsp; Triton, backward

The kernels of chapter 09 turn queries, keys and values into an output. A model that learns asks the question the other way round: *if the output should move like this, how must each of the five inputs move?* For its own operations PyTorch answers by itself. It cannot look into a kernel. And where it can look, it remembers too much: all probabilities of one head at 8,192 tokens are 2.2 terabytes.
So the way back is written by hand too, in kernels that see one tile at a time.

After this chapter you can

* work out the gradients of attention over pairs, on paper and in PyTorch, and find a slip in a printed formula by looking at its letters,
* say what a backward pass must keep, and what is cheaper to compute again,
* write kernels in which every sum has one owner: no atomics, no races, the same bits each time,
* make a kernel an operation of PyTorch, with gradients, shapes and `torch.compile`,
* name faults that published kernels have had, and for each a test that finds it.

The five exercises take 6 to 45 minutes each. Two questions on earlier chapters first.
"""

# %% tags=["shared"]
import torch
from torch.autograd.function import once_differentiable  # for exercise 10.5

from simplex_lib.course import check, hint, predict, symptoms

import triton  # isort: skip  # after simplex_lib, which chooses how kernels run here
import triton.language as tl  # isort: skip

# %% tags=["predict"]
predict(
    "A query sees two pairs, with logits 0 and ln 3. The forward kernel kept its lse = ln 4 and nothing else. What is the probability of the second pair?",
    {
        "ln 3 / ln 4 = 0.79": "Probabilities are ratios of exponentials, not of logits.",
        "It cannot be known without the other logit": "The other logit is in the lse, and that is the only thing which the second pair has to know of it.",
        "$e^{\\ln 3 - \\ln 4}$ = 3/4": (
            "right",
            "$e^{S - \\mathrm{lse}}$ is the exponential divided by the sum of all exponentials. This line stands in every backward kernel.",
        ),
        "3, and it must still be divided by a sum": "$e^{\\ln 3} = 3$ is the exponential. The lse holds the sum already, as a logarithm.",
    },
)

# %% tags=["predict"]
predict(
    "The first window is $w_1 = 3$: query i sees $i - 3 < j \\le i$. Now the other way round: which queries see first key 7 of a long text?",
    {
        "5, 6 and 7": "These are the keys that query 7 sees. A key is seen by queries at its own place and later.",
        "7, 8 and 9": (
            "right",
            "$j \\le i < j + w_1$. The forward pass asks what a query sees; the backward pass will ask who sees a key.",
        ),
        "8, 9 and 10": "A window counts the query's own position: query 7 sees key 7, and key 10 − 3 = 7 is the one that query 10 just misses.",
        "7 and all later ones": "That would be so with no window.",
    },
)

# %%
import math
import warnings
from functools import partial

from simplex_lib.attention import trilinear_attention, trilinear_attention_with_lse
from simplex_lib.data import load
from simplex_lib.triton_mode import triton_mode
from simplex_lib.triton_trace import tracing
from simplex_lib.widgets import step_programs

mode = triton_mode()
device = "cuda" if mode == "gpu" else "cpu"  # where the tensors of a kernel must lie
warnings.filterwarnings("ignore", "Triton kernels run in")  # said by the library; said here now
print("kernels here are", "compiled" if mode == "gpu" else "interpreted")
if mode == "gpu":
    print("Started with TRITON_INTERPRET=1, the course interprets them, and its checks see more.")

# %% [markdown]
r"""
## Nudge one logit

A gradient is the answer to a simple experiment: nudge one number a little, see how far the loss moves, divide. The smallest attention on which that is interesting has one query and two pairs.

| | first pair | second pair |
|:--|:-:|:-:|
| logit | 0 | ln 3 |
| probability | 1/4 | 3/4 |
| value of the pair | 8 | 4 |

The output is the mean ¼ · 8 + ¾ · 4 = 5, and to keep it short the loss *is* the output. Nudge the first **value** from 8 to 9, and the output moves by ¼: the gradient of a value is its probability.

Nudging a **logit** is less plain. The pair gets more attention. But there is one unit to hand out, so the other pair gets less.
"""

# %% tags=["predict"]
predict(
    "Raise the first logit by a tiny δ. By how many δ does the output move?",
    {
        "¼ · 8 = 2": "So it would be if the first share grew from ¼ to ¼ + ¼ δ and the second kept its ¾. Then they would sum to more than 1.",
        "¼ · ¾ · 8 = 1.5": "Half of the story: the first share does grow by ¼ · ¾ δ. The second shrinks by as much, and takes 4 times that with it.",
        "0, since the shares still sum to 1": "They do, but a share moves from value 4 to value 8.",
        "¼ · (8 − 5) = 0.75": (
            "right",
            "The share that the first pair wins, ¼ · ¾ δ, moves from value 4 to value 8: 3/16 · 4 = 0.75. In the form ¼ · (8 − 5) it reads: a pair pulls the mean towards its own value, with the strength of its share.",
        ),
    },
)

# %% [markdown]
r"""
The second logit, by the same rule: ¾ · (4 − 5) = −0.75. Both together move nothing, as it must be: raising all logits alike changes no probability. That is the whole backward pass of a softmax:

$$\text{gradient of a logit} \;=\; \text{probability} \cdot (\text{value} - \text{mean value})$$

Every softmax kernel on the way back is this line. Let us nudge for real:
"""

# %%
logits, values = torch.tensor([0, math.log(3)]).double(), torch.tensor([8.0, 4.0]).double()


def mean_value(logits):
    return (logits.softmax(0) * values).sum()


for n in range(2):
    nudge = torch.zeros(2).double()
    nudge[n] = 1e-6
    moved = (mean_value(logits + nudge) - mean_value(logits - nudge)) / 2e-6
    print(f"logit {n}: {moved:+.6f}")

# %% [markdown]
r"""
## Back to five inputs

Where did these logits and values come from? From a query, keys and values of a single coordinate each. The query is $q = 2$. It sees two first keys, and one second key $k' = 1$ with the value $v' = 0.5$:

| | j = 0 | j = 1 | |
|:--|:-:|:-:|:--|
| first key $k_j$ | 0 | 0.549 | half of ln 3 |
| logit $q\,k_j\,k'$ | 0 | 1.099 | = ln 3 |
| probability | 1/4 | 3/4 | |
| first value $v_j$ | 16 | 8 | |
| value of the pair $v_j\,v'$ | 8 | 4 | |
| **gradient of the logit** | 0.75 | −0.75 | from above |

Now one step further back. In a product, the gradient of a factor is what arrives, times the other factors:

* $dv_j$ is the probability times $v'$: **1/8** and **3/8**.
* $dk_j$ is the logit's gradient times $q\,k'$ = 2: **1.5** and **−1.5**.
* $k'$ is in both logits, so two gradients arrive, and they *add*: 0.75 · 2 · 0 − 0.75 · 2 · 0.549 = **−0.824**.
* $v'$ is in both values: ¼ · 16 + ¾ · 8 = **10**.
* $q$ is in both logits as well: 0.75 · 0 · 1 − 0.75 · 0.549 · 1 = **−0.412**.

Three of the five lines are sums: a number that is used twice gets a gradient from each use. Keep that in mind, for the sums decide how the kernels look. PyTorch agrees:
"""

# %%
q, k1, k2 = torch.tensor(2.0), torch.tensor([0, math.log(3) / 2]), torch.tensor(1.0)
v1, v2 = torch.tensor([16.0, 8.0]), torch.tensor(0.5)
five = dict(q=q, k1=k1, k2=k2, v1=v1, v2=v2)
for x in five.values():
    x.requires_grad_()
out = ((q * k1 * k2).softmax(0) * (v1 * v2)).sum()
out.backward()
print(f"out {out:.0f}")
for name, x in five.items():
    print(f"d{name:3}", [round(number, 3) for number in x.grad.reshape(-1).tolist()])

# %% tags=["predict"]
predict(
    "Suppose all first values are 1 and all second values are 1. Which gradients are 0, whatever the loss?",
    {
        "dq, dk1 and dk2": (
            "right",
            "Every pair has the value 1, which is also the mean, so value − mean is 0 for each logit. However the attention moves, the output stays 1.",
        ),
        "dv1 and dv2": "A value still pulls at the output, with the strength of its probability, whatever the other values are.",
        "All five": "If one value moved, the output would move. Only moving the *attention* changes nothing.",
        "None: probabilities still depend on the logits": "They do. But the loss sees the output only, and a mean of ones is 1 with any probabilities.",
    },
)

# %% [markdown]
r"""
## With all letters

With many queries, two keys and many coordinates nothing new happens, there are only more sums. One vector $dO_i$ arrives for each query: the gradient of the loss with respect to its output. The 2-simplicial paper prints the way back as Eqs. 10 to 16 (Section 7). Here they are **as printed**, with $P$ for the probabilities and $S$ for the logits:

| | | number |
|:--|:--|:-:|
| first value | $dV_{jd} = \sum_{i,k} P_{ijk}\, dO_{id}\, V'_{kd}$ | (10) |
| second value | $dV'_{kd} = \sum_{i,j} P_{ijk}\, dO_{id}\, V_{jd}$ | (11) |
| probabilities | $dP_{ijk} = \sum_d dO_{id}\, V_{jd}\, V'_{kd}$ | (12) |
| logits | $dS = \operatorname{dsoftmax}_{jk}(dP)$ | (13) |
| first key | $dK_{jd} = \sum_{i,k} Q_{id}\, dS_{ijk}\, K'_{kd}$ | (14) |
| second key | $dK'_{kd} = \sum_{i,k} Q_{id}\, dS_{ijk}\, K_{jd}$ | (15) |
| query | $dQ_{id} = \sum_{j,k} dS_{ijk}\, K_{jd}\, K'_{kd}$ | (16) |

$dP$ is new only by name. It says how the loss moves with the probability of a pair: with one coordinate and $dO = 1$ that is the value of the pair, 8 or 4. And (13) is the rule of the last section, with the mean taken over all pairs of the query:

$$dS_{ijk} = P_{ijk}\,(dP_{ijk} - \delta_i), \qquad \delta_i = \sum_{jk} P_{ijk}\, dP_{ijk}$$

Do not copy the table. Two slips are in print; one sits in a single formula, the other in three. The small case above has all you need to find the first, and the definition of a logit all you need for the second.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 10.1: The five gradients &nbsp; (15 minutes)

Causal attention over pairs: logits $S_{ijk} = c \sum_d q_{id}\, k_{jd}\, k'_{kd}$ with the factor $c$ = `scale`, hidden where j > i or k > i; $P$ is one softmax over all visible pairs of a query; $out_i = \sum_{jk} P_{ijk}\, v_j \circ v'_k$.

Given `dout`, the gradient of a loss with respect to `out`, return `(dq, dk1, dk2, dv1, dv2)`, each with the shape and dtype of its input. `q`, `k1`, `k2` are (b, h, s, d); `v1`, `v2`, `dout` are (b, h, s, dv); `scale` is any float. Keep the dtype of the inputs on the way. You may hold a cube of $s^3$ numbers a head. Write the formulas: no autograd in any form, and nothing from `simplex_lib.attention` or `simplex_lib.kernels`.

By hand (b = h = d = dv = 1, s = 2, scale 1): `q` = (0, ln 2), `k1` = (0, 1), `k2` = (1, 1), `v1` = (0, 6), `v2` = (1, 0), `dout` = (0, 1). Query 1 sees (0,0), (0,1), (1,0), (1,1) with logits 0, 0, ln 2, ln 2 and probabilities ⅙, ⅙, ⅓, ⅓; its output is 2. $dP$ = 0, 0, 6, 0 and the mean is 2, so $dS$ = −⅓, −⅓, 4/3, −⅔. The result:
`dq` = (0, ⅔), `dk1` = ln 2 · (−⅔, ⅔), `dk2` = ln 2 · (4/3, −⅔), `dv1` = (⅙, ⅓), `dv2` = (2, 2).
"""


# %% tags=["exercise"]
def gradients(q, k1, k2, v1, v2, dout, scale):
    """dq, dk1, dk2, dv1, dv2 of causal attention over pairs, by hand."""
    ### BEGIN SOLUTION
    s = q.shape[2]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past[:, :, None] & past[:, None, :]  # (i, j, k)
    logits = scale * torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)
    logits = logits.masked_fill(~visible, -torch.inf)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)

    dv1 = torch.einsum("bhijk,bhid,bhkd->bhjd", probs, dout, v2)
    dv2 = torch.einsum("bhijk,bhid,bhjd->bhkd", probs, dout, v1)
    dprobs = torch.einsum("bhid,bhjd,bhkd->bhijk", dout, v1, v2)
    delta = (probs * dprobs).sum((-2, -1), keepdim=True)
    dlogits = scale * probs * (dprobs - delta)
    dq = torch.einsum("bhijk,bhjd,bhkd->bhid", dlogits, k1, k2)
    dk1 = torch.einsum("bhijk,bhid,bhkd->bhjd", dlogits, q, k2)
    dk2 = torch.einsum("bhijk,bhid,bhjd->bhkd", dlogits, q, k1)
    return dq, dk1, dk2, dv1, dv2
    ### END SOLUTION


# %% tags=["exercise"]
check("10.1", gradients)

# %% [markdown]
r"""
The two slips, now that you have met them:

* **Eq. 15 sums over i and k, with k standing on the left.** A letter on the left names the entry and cannot be summed away; it must be $\sum_{i,j}$. This is the quickest check of any such formula: *left are the letters that stay, under the sum the others.* The trap is that the printed sum has a shape that fits, so nothing complains.
* **Eqs. 14 to 16 lack the scale**, our `scale`; the paper takes $1/\sqrt d$ in its logits (Eq. 5, its trilinear logit). It is a factor of each logit, so it is a factor of whatever comes back through one. With d = 64 the three gradients come out eight times too large. Nothing crashes, and an optimizer like Adam, which divides by the size of the gradients, may hide it for a long time. A comparison with autograd shows it at once.

## One number is enough

To kernels. A kernel has one tile of pairs at a time, and the formula for $dS$ has a trap in it: $\delta_i$ is a sum over *all* pairs of the query. Must the kernel first run through all tiles to get δ, and then through all of them again?

Look at the small case once more. δ was the mean value, 5. And the output was 5.

That is no accident. Put (12) into δ and change the order of the two sums:

$$\delta_i = \sum_{jk} P_{ijk} \sum_d dO_{id}\, V_{jd}\, V'_{kd} = \sum_d dO_{id} \underbrace{\sum_{jk} P_{ijk}\, V_{jd}\, V'_{kd}}_{out_{id}} = \sum_d dO_{id}\, out_{id}$$

All pairs are in the output already; the forward pass has summed over them. With windows (512, 32) and 128 coordinates, 16,384 pairs with 128 products each become 128 products. It is a line of PyTorch, before any kernel starts: `delta = (out * dout).sum(-1)`.
"""

# %% tags=["predict"]
predict(
    "A backward kernel looks at one tile of pairs, and has its q, k1, k2, v1, v2 and dout. What else must it know, to have the right gradients of these logits?",
    {
        "Nothing": "The logits of the tile are right then, but their probabilities depend on all pairs of the query.",
        "The logits of all other tiles": "They matter only through a sum of exponentials and a mean value. Both are known.",
        "lse and delta: two numbers for each query": (
            "right",
            "lse turns logits into probabilities, delta turns dP into dS. All that the tile must know of the other pairs is in these two.",
        ),
        "The maximum m and the sum l of the online softmax, tile after tile": "Those were needed on the way to the lse. On the way back nothing is rescaled: the final sum is known from the start.",
    },
)

# %% [markdown]
r"""
## Keep it, or compute it again?

The probabilities themselves could have been kept by the forward pass. What would that cost?
"""

# %%
s, w1, w2 = 8192, 512, 32
for what, numbers in {
    "probabilities, no windows": s**3,
    "probabilities, windows (512, 32)": s * w1 * w2,
    "lse and delta": 2 * s,
}.items():
    print(f"{what:34}{4 * numbers / 1e6:14,.2f} MB a head")

# %% [markdown]
r"""
With 64 heads even the windows come to 34 gigabytes *for one layer*. So the backward pass computes the logits again, tile by tile, and takes $P = e^{S - \mathrm{lse}}$. That is easier than it was on the way forward: no running maximum, nothing to rescale, every tile by itself. It costs each kernel one matrix product more, and products are what a GPU has to spare; what it has not is memory, and time to wait for it (chapter 09).
It also cannot overflow: $S \le \mathrm{lse}$, so the exponential is at most 1. (Rounding may put a large $S$ a little above its lse; the library's kernels cut off at 1.)

How much does autograd keep for the reference, and how much the kernels?
"""


# %%
def kept_bytes(function, *inputs):
    """All that autograd holds for the way back, each memory counted once."""
    held = {}

    def note(x):
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        function(*inputs)
    return sum(held.values())


generator = torch.Generator().manual_seed(0)
for s in (32, 64):
    x = torch.randn(5, 1, 1, s, 32, generator=generator).to(device)
    x = [tensor.requires_grad_() for tensor in x]
    kept = [kept_bytes(partial(trilinear_attention, impl=i), *x) for i in ("reference", "triton")]
    print(f"s = {s}: the reference keeps {kept[0]:9,} bytes, the kernels {kept[1]:6,}")

held = load("kernels_correctness")["memory"]
print(f"on an H100, s = {held['s']}, one head, forward and backward: ", end="")
print(f"{held['naive'] / 1e9:.1f} GB against {held['kernel'] / 1e6:.1f} MB")

# %% [markdown]
r"""
What the kernels keep are the five inputs, which exist anyway, the output and the lse. Twice as long a text needs twice the bytes.

All of this rests on one number for each query, so it had better be the right one. The lse is natural. A kernel that works in base 2 has `m`, the largest logit times 1.4427, and must store (m + log2 l) · ln 2. Chapter 09 mixed the two on purpose, m + ln l, and the probabilities summed to 0.17. Now be the tester:
"""

# %% tags=["predict"]
predict(
    "A kernel stores m + ln l, with m in base 2. You may choose one query for a test that compares $\\sum P$ with 1. For which query does the test pass all the same?",
    {
        "For one that sees a single pair, with logit 3": "Then l = 1 and ln l = 0. But m = 4.33 where the lse is 3, and the single probability comes out as 0.265.",
        "For one whose logits are all the same": "That depends on which number they are. With all logits 4 the sum is 0.17 again.",
        "For one whose largest logit is 0": (
            "right",
            "m is 0 in every base. In general the sum is $e^{-0.443 \\max S}$: below 1 for positive logits, above 1 for negative ones. Random inputs of a small size have largest logits near 0, and hardly show it. Shift all logits, and they shout.",
        ),
        "For none, it is always wrong": "There is one kind of query for which both bases agree.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 10.2: Probabilities again, and delta &nbsp; (6 minutes)

What a backward kernel does first, in PyTorch. `logits` (b, h, i, j, k) is one tile: all queries i, but only *some* first keys j and some second keys k. The scale is in it, and hidden pairs are −∞ (perhaps all of a query). `lse` (b, h, i) is the natural logarithm of the sum of $e^{\text{logit}}$ over **all** visible pairs of the query, those outside the tile too. `out` and `dout` are (b, h, i, dv).

Return `(probs, delta)`, in the dtype of the inputs:

* `probs` (b, h, i, j, k), the probabilities of the tile's pairs in the softmax over all pairs. Over the tile they need not sum to 1.
* `delta` (b, h, i): $\delta_i = \sum_{jk} P_{ijk}\, dP_{ijk}$ over all pairs, which must be had without the values and without the other tiles.

Logits may be as large as ±1000. By hand (one query, a tile of j = 0 and k = 0, 1): logits (0, ln 2) and lse = ln 8 give probabilities ⅛ and ¼; the other ⅝ lie outside. `out` = (3, 1) and `dout` = (1, −2) give δ = 1.
"""


# %% tags=["exercise"]
def probs_and_delta(logits, lse, out, dout):
    """probs (b, h, i, j, k) of the tile's pairs, and delta (b, h, i)."""
    ### BEGIN SOLUTION
    probs = (logits - lse[..., None, None]).exp()
    delta = (out * dout).sum(-1)
    return probs, delta
    ### END SOLUTION


# %% tags=["exercise"]
check("10.2", probs_and_delta)

# %% [markdown]
r"""
## Three sums over three axes

The forward kernel had an easy life. A program owned a tile of queries; all sums ran over j and k, inside the program; nobody else touched its rows. Now look at the five formulas again, and only at their letters:

| gradient | stays, so it owns | summed over |
|:--|:-:|:-:|
| $dQ$ | i | j, k |
| $dK$, $dV$ | j | i, k |
| $dK'$, $dV'$ | k | i, j |

A program that owns a tile of queries can finish $dQ$. Of $dK_j$ it has only a *part*: that of its own queries. Every other program whose queries see key j holds another part, and in the end all parts must be one number, in one place in memory. There are three ways to get there. The first is the obvious one: let everybody add.

## A race

Adding to a number in memory is three steps: load it, add, store it. On a GPU hundreds of programs run at the same time. Let the number be 10, and let program A add 3 and program B add 4:

| | A | B | in memory |
|:-:|:--|:--|:-:|
| 1 | loads 10 | | 10 |
| 2 | | loads 10 | 10 |
| 3 | stores 13 | | 13 |
| 4 | | stores 14 | **14** |

It should be 17. Whether it is depends on who comes when: a race, as in chapter 09, but a worse one, for here every program has something to say. On purpose: each adds its number to one and the same total.
"""


# %%
@triton.jit
def racing_kernel(x_ptr, total_ptr):
    total = tl.load(total_ptr)
    tl.store(total_ptr, total + tl.load(x_ptr + tl.program_id(0)))


# %% tags=["predict"]
predict(
    "1,024 programs run on a GPU, and each adds a 1 to a total that was 0. What is the smallest total that can come out?",
    {
        "0": "Whoever stores, stores at least 1: it has added its own 1 to whatever it found.",
        "1": (
            "right",
            "All load 0 before the first one stores. Then all store 1, and 1,023 additions are lost.",
        ),
        "512: of two that meet, one is lost": "That would be so if programs met in pairs. Any number may load before the next store.",
        "1,024": "In the interpreter, yes: there the programs run one after another.",
    },
)

# %%
ones, total = torch.ones(64, device=device), torch.zeros(1, device=device)
racing_kernel[(64,)](ones, total)
print(f"here, {'compiled' if mode == 'gpu' else 'interpreted'}: {total.item():.0f} of 64\n")

recorded = load("races")
print(f"recorded: {recorded['programs']:,} programs on an {recorded['gpu']}, 100 launches")
for run in recorded["runs"]:
    if run["numbers"] == "ones":
        print(f"  {run['kernel']:14} totals from {run['smallest']:,.0f} to {run['largest']:,.0f}")

# %% [markdown]
r"""
The worst case is the usual one: on the H100 all but one of 1,024 additions were lost, in each of 100 recorded launches. And on a CPU the same source is right every time, so **no comparison of numbers there can find a race.** The second line is the remedy that the hardware offers, `tl.atomic_add`: load, add and store in one step that nobody can interrupt. In the third, one program owns the total and adds up all numbers itself.

How then can the checks of this course reject a race, on your CPU? They do not look at the numbers, they look at who touched them. `tracing` notes every load and store of every program. If two programs of one launch store different numbers to one place, or one loads what another stores, that *is* the race, whatever came out.
"""

# %%
if mode == "interpreter":
    with tracing() as trace:
        racing_kernel[(64,)](ones, total.zero_())
    stores = [access for access in trace.accesses if access.kind == "store"]
    print(f"{len({access.program for access in stores})} programs store to {stores[0].tensor}[0]")
    for access in trace.accesses[:6]:
        print(f"program {access.program[0]}: {access.kind:5} {access.tensor:5}", access.values)

# %% [markdown]
r"""
## The order of a sum

So, atomics everywhere? Two things speak against them. Programs that add to the same place wait in line. And nobody knows in which order they come, which matters, because of this:
"""

# %% tags=["predict"]
predict(
    "In float32, what are (100,000,000 + 1) − 100,000,000 and (100,000,000 − 100,000,000) + 1?",
    {
        "1 and 1": "In mathematics. float32 has 24 binary digits: near 10⁸ the neighbouring numbers are 8 apart.",
        "0 and 1": (
            "right",
            "100,000,001 is rounded to 100,000,000, and the 1 is gone. The same three numbers, added in another order, have another sum.",
        ),
        "0 and 0": "In the second one nothing is rounded: 0 + 1 is 1.",
        "8 and 1": "100,000,001 lies between 100,000,000 and 100,000,008, far nearer to the first.",
    },
)

# %%
numbers = torch.randn(1024, generator=generator)
sums = set()
for _ in range(20):
    total = torch.zeros(())
    for number in numbers[torch.randperm(1024, generator=generator)]:
        total += number
    sums.add(total.item())
print(f"20 orders, {len(sums)} different sums: {min(sums):.6f} to {max(sums):.6f}")

print(f"recorded: 1,024 such numbers on an {recorded['gpu']}")
for run in recorded["runs"]:
    if run["numbers"] == "normal" and run["kernel"] != "racing_kernel":
        print(f"  {run['kernel']:13} {run['different']:2} different sums in 100 launches")

# %% [markdown]
r"""
No sum of these is wrong; each is within rounding. But added by atomics, one and the same sum came out in as many ways as stand in the line of `atomic_kernel`, and gradients are made of such sums. A training run that breaks at step 70,000 cannot be repeated; two versions of a kernel cannot be compared bit by bit; a rare fault hides in the noise. If one program owns the sum and adds in a fixed order, the same bits come every time. It is a property worth some work: **every number that is stored has one owner.**

Back to attention. Here is what would happen to $dK'$ if programs that own queries simply added to it: a window $w_2 = 8$, 28 queries in tiles of eight, so four programs. Two tensors come in. `merged[i]` is query i times one first key, coordinate by coordinate and with the scale; `ds[i]` holds $dS$ of query i for the eight second keys that it sees, the last of them k = i. What is stored is their product, summed over the queries, added to what stood there (line 24). Choose a program: which rows of dk2 does it store, and where do crosses say that another one stores too?
"""

# %%
step_programs("race", program=1, presets=("race",))

# %% [markdown]
r"""
You should have seen that each program but the first stores the rows of its own tile and of the tile before, and that only the last rows, 24 to 27, have one program alone. Two ways lead out without atomics. One changes the owner, the other the time.

## Another owner

$dK_j$ has the letter j. So let a program own a tile of first keys and keep their sums, and let it fetch, in a loop, *all queries that see one of them*, and all second keys that these see. It is the forward kernel turned inside out: there queries stayed and keys came by, here keys stay and queries come by.
"""

# %% tags=["predict"]
predict(
    "A program owns the first keys 8 to 11; $w_1 = 6$, the text has 40 tokens. Which queries must it visit?",
    {
        "8 to 11": "Query 12 sees the first keys 7 to 12, so it sees 8 to 11 too.",
        "8 to 16": (
            "right",
            "Key 8 is seen from 8 on, and key 11 up to 11 + 6 − 1. In general from the first key of the tile to the last one plus $w_1 - 1$; query 16 sees key 11 alone, so a mask is needed.",
        ),
        "3 to 11": "That is the direction of the forward pass: keys that queries 8 to 11 see.",
        "8 to 13": "Up to 13 the queries see key 8. Key 11 is seen for longer.",
    },
)

# %% [markdown]
r"""
Inside the loop the old trick works once more. Hold one second key k still. Merge it into the query, and its value into the gradient that arrives:

$$\text{merged}_i = c\; q_i \circ k'_k \qquad\qquad \text{merged dout}_i = dO_i \circ v'_k$$

Then every formula is one of ordinary attention, a product of two matrices: $S = \text{merged}\, K^T$, $dP = \text{merged dout}\; V^T$, and with the rows of $P$ and $dS$ turned into columns, $dV \mathrel{+}= P^T\, \text{merged dout}$ and $dK \mathrel{+}= dS^T\, \text{merged}$. Nothing has three axes any more. In PyTorch, one head and all keys as one tile:
"""


# %%
def first_key_slowly(q, k1, k2, v1, v2, dout, lse, delta, w1, w2, scale):
    """dk1 and dv1 of one head, (s, d) each, one second key at a time."""
    position = torch.arange(len(q))
    sees_j = (position[:, None] >= position) & (position[:, None] - position < w1)  # (i, j)
    dk1, dv1 = torch.zeros_like(k1), torch.zeros_like(v1)
    for k in range(len(q)):
        merged, merged_dout = scale * q * k2[k], dout * v2[k]
        sees_k = (position >= k) & (position - k < w2)
        logits = merged @ k1.T
        probs = (logits - lse[:, None]).exp().where(sees_j & sees_k[:, None], 0)
        dlogits = probs * (merged_dout @ v1.T - delta[:, None])
        dv1 += probs.T @ merged_dout
        dk1 += dlogits.T @ merged
    return dk1, dv1


inputs = torch.randn(5, 1, 1, 12, 4, generator=generator).double().requires_grad_()
out, lse = trilinear_attention_with_lse(*inputs, w1=5, w2=3)
dout = torch.randn(out.shape, generator=generator).double()
expected = torch.autograd.grad(out, inputs, dout)[0][:, 0, 0]

delta = (out * dout).sum(-1)
one_head = (x[0, 0].detach() for x in (*inputs, dout, lse, delta))
dk1, dv1 = first_key_slowly(*one_head, 5, 3, 1 / math.sqrt(4))
torch.testing.assert_close((dk1, dv1), (expected[1], expected[3]))
print("dk1 and dv1 equal those of autograd")

# %% [markdown] tags=["exercise"]
r"""
### Exercise 10.3: A kernel for dk1 and dv1 &nbsp; (40 minutes)

Write the kernel that computes `dk1` and `dv1`. Query i sees the pairs with $i - w_1 < j \le i$ and $i - w_2 < k \le i$, j and k in any order. For each such pair, with $c$ = `scale`,

$$S = c\sum_d q_i k_j k'_k, \quad P = e^{S - \mathrm{lse}_i}, \quad dP = \sum_d dO_i v_j v'_k, \quad dS = P\,(dP - \delta_i)$$

$$dv_j = \sum_{ik} P\; dO_i \circ v'_k \qquad\qquad dk_j = c \sum_{ik} dS\; q_i \circ k'_k$$

* **Grid** (⌈s / KEYS⌉, h, b). Program (tile, head, text) owns `KEYS` positions j from tile · `KEYS` on. It loops over single second keys k and, inside, over tiles of `QUERIES` queries. It stores the rows of its own tile in dk1 and dv1 and no others.
* **Which k and i?** A query sees some j of the tile if first_j ≤ i < first_j + KEYS − 1 + w1, and i < s. It sees k if k ≤ i < k + w2. Visiting too many is right, only slower; the mask decides.
* Every tensor is (b, h, s, d) and is followed by its tuple of strides; `lse` and `delta` are (b, h, s). No two tensors lie in memory alike, the outputs neither; columns need not be neighbours.
* `s` need be no multiple of a tile and may be smaller than one; windows may be longer than s. `KEYS`, `QUERIES` and `D` are powers of two, at least 16; columns from d to D − 1 are padding.
* Inputs are float32 or float16. Convert after loading, multiply with `input_precision="ieee"`, and sum in float32. The gradients are float32.
* Nothing outside a tensor is read or written, no input is written, nothing is left unwritten, there are no atomics. Helpers with `@triton.jit` are allowed. Logits may be ±100, those of hidden pairs too: take $e^{S - \mathrm{lse}}$, not $e^S$, and hide with `tl.where`, since inf · 0 is NaN.

The lines that move the pointers to head and text are given. (On a machine with a GPU the checks of 10.3 and 10.4 see races and steps outside a tensor only where the course was started with `TRITON_INTERPRET=1`; without it they see the results.) By hand, the example of 10.1 with $w_1 = w_2 = 2$, lse = (0, ln 6) and δ = (0, 2): `dv1` = (⅙, ⅓) and `dk1` = (−0.462, 0.462).
"""


# %% tags=["exercise"]
@triton.jit
def first_key_kernel(
    q_ptr, q_strides, k1_ptr, k1_strides, k2_ptr, k2_strides, v1_ptr, v1_strides,
    v2_ptr, v2_strides, dout_ptr, dout_strides, lse_ptr, lse_strides, delta_ptr, delta_strides,
    dk1_ptr, dk1_strides, dv1_ptr, dv1_strides, s, d, w1, w2, scale,
    KEYS: tl.constexpr, QUERIES: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """dk1 and dv1 of KEYS positions j of one head, over all queries and all second keys."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    dout_ptr += b * dout_strides[0] + h * dout_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    delta_ptr += b * delta_strides[0] + h * delta_strides[1]
    dk1_ptr += b * dk1_strides[0] + h * dk1_strides[1]
    dv1_ptr += b * dv1_strides[0] + h * dv1_strides[1]
    ### BEGIN SOLUTION
    column = tl.arange(0, D)
    inside = column < d
    first_j = tile * KEYS
    j = first_j + tl.arange(0, KEYS)
    j_ok = (j < s)[:, None] & inside[None, :]
    k1_at = k1_ptr + j[:, None] * k1_strides[2] + column[None, :] * k1_strides[3]
    v1_at = v1_ptr + j[:, None] * v1_strides[2] + column[None, :] * v1_strides[3]
    k1 = tl.load(k1_at, mask=j_ok, other=0.0).to(tl.float32)
    v1 = tl.load(v1_at, mask=j_ok, other=0.0).to(tl.float32)
    dk1 = tl.zeros((KEYS, D), tl.float32)
    dv1 = tl.zeros((KEYS, D), tl.float32)

    i_end = tl.minimum(first_j + KEYS - 1 + w1, s)
    for k in range(tl.maximum(first_j - w2 + 1, 0), i_end):
        k2_at = k2_ptr + k * k2_strides[2] + column * k2_strides[3]
        v2_at = v2_ptr + k * v2_strides[2] + column * v2_strides[3]
        k2 = tl.load(k2_at, mask=inside, other=0.0).to(tl.float32)
        v2 = tl.load(v2_at, mask=inside, other=0.0).to(tl.float32)
        for first_i in range(tl.maximum(first_j, k), tl.minimum(i_end, k + w2), QUERIES):
            i = first_i + tl.arange(0, QUERIES)
            i_ok = (i < s)[:, None] & inside[None, :]
            q_at = q_ptr + i[:, None] * q_strides[2] + column[None, :] * q_strides[3]
            dout_at = dout_ptr + i[:, None] * dout_strides[2] + column[None, :] * dout_strides[3]
            q = tl.load(q_at, mask=i_ok, other=0.0).to(tl.float32)
            dout = tl.load(dout_at, mask=i_ok, other=0.0).to(tl.float32)
            lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)
            delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)

            merged = q * k2[None, :] * scale
            logits = tl.dot(k1, tl.trans(merged), input_precision="ieee")  # (KEYS, QUERIES)
            back = i[None, :] - j[:, None]
            sees_k = (i >= k) & (i - k < w2) & (i < s)
            visible = (back >= 0) & (back < w1) & sees_k[None, :]
            p = tl.exp(tl.where(visible, logits - lse[None, :], float("-inf")))
            merged_dout = dout * v2[None, :]
            dv1 += tl.dot(p, merged_dout, input_precision="ieee")
            dp = tl.dot(v1, tl.trans(merged_dout), input_precision="ieee")
            ds = p * (dp - delta[None, :])
            dk1 += tl.dot(ds, merged, input_precision="ieee")

    dk1_at = dk1_ptr + j[:, None] * dk1_strides[2] + column[None, :] * dk1_strides[3]
    dv1_at = dv1_ptr + j[:, None] * dv1_strides[2] + column[None, :] * dv1_strides[3]
    tl.store(dk1_at, dk1, mask=j_ok)
    tl.store(dv1_at, dv1, mask=j_ok)
    ### END SOLUTION


# %% tags=["exercise"]
def first_key(q, k1, k2, v1, v2, dout, lse, delta, *, w1, w2, scale, keys=16, queries=16):
    """Launch the kernel: dk1, dv1."""
    b, h, s, d = q.shape
    dk1, dv1 = torch.empty(2, b, h, s, d, device=q.device)
    tensors = [a for x in (q, k1, k2, v1, v2, dout, lse, delta, dk1, dv1) for a in (x, x.stride())]
    width = max(16, triton.next_power_of_2(d))
    grid = (triton.cdiv(s, keys), h, b)
    first_key_kernel[grid](*tensors, s, d, w1, w2, scale, keys, queries, width)
    return dk1, dv1


# %% tags=["exercise"]
check("10.3", first_key_kernel)

# %% [markdown]
r"""
The library's kernel does the same. Below it runs on 20 tokens, $w_1 = 8$, $w_2 = 3$, with two query heads that share one key head. Program 0 owns the first keys 0 to 15. Before you look: which rows of dk1 will it store, and which rows of q will it load?
"""

# %%
step_programs("dkv", program=0, presets=("dkv",))

# %% [markdown]
r"""
It stores 16 rows, and nobody else does. Over the whole loop it loads *all* queries of *both* heads, since query 19 still sees key 12, and each of them once for every second key that it sees, here three times (but for the first two, which see fewer): follow it, access by access. That is the price of owning keys.

## Another time: even and odd tiles

$dQ$, $dK'$ and $dV'$ are left. With one kernel for each owner the logits would be computed twice more. The paper needs them only once more, because its second window is *short* (Section 7, Algorithm 2).

Cut the queries into tiles as long as that window, eight, as in the race above. Which second keys does each tile reach?

| second keys | 0 to 7 | 8 to 15 | 16 to 23 | 24 to 27 |
|:--|:-:|:-:|:-:|:-:|
| tile 0, queries 0 to 7 | ● | | | |
| tile 1, queries 8 to 15 | ● | ● | | |
| tile 2, queries 16 to 23 | | ● | ● | |
| tile 3, queries 24 to 27 | | | ● | ● |

Its own tile and the one before; no further, since the first query of a tile sees seven keys back. In each column stand at most two tiles of queries, and they are *neighbours*: an even and an odd one. So launch programs for the even tiles alone, and they cannot meet. When all of them have finished, launch programs for the odd ones: they load what they find, add, and store. The programs of one launch share no element of dk2, and the second launch waits for the first. No race, no atomics, and a fixed order: the even part first.
"""

# %% tags=["predict"]
predict(
    "The same window $w_2 = 8$, but tiles of four queries. The tiles 0, 2, 4 ... run together. Is it still safe?",
    {
        "Yes: shorter tiles store fewer rows": "Fewer rows, but a query still sees seven keys back, and that is now more than one tile.",
        "No: tiles 0 and 2 both store to second key 1": (
            "right",
            "Tile 0 has the queries 0 to 3 and reaches the keys 0 to 3. Tile 2 begins with query 8, which reaches back to 8 − 7 = 1. A tile must be at least $w_2 - 1$ long; the paper takes $w_2$.",
        ),
        "Yes, as long as the number of tiles is even": "The number of tiles plays a part, but another one: it decides which launch has the last tile.",
        "No: even and odd tiles now run at the same time": "They are still two launches. The trouble is among the even ones.",
    },
)

# %% [markdown]
r"""
Watch it: the same tiles, now in two launches, and each launch counts its programs from 0. Choose a program of the second launch, b0 or b1 (they have the odd tiles, 1 and 3), and follow its accesses: it loads rows of dk2 that the first launch has stored. Then look at all programs at once. Are there crosses?
"""

# %%
step_programs("even odd", program=2, presets=("race", "even odd"))

# %% [markdown]
r"""
None. One detail is easily lost, though. With an even number of tiles the last one is odd. Nobody stores its rows in the first launch, and the second one adds to what it finds there. So `dk2` and `dv2` must begin as zeros.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 10.4: A kernel for dq, dk2 and dv2 without atomics &nbsp; (45 minutes)

Write the kernel that computes `dq`, `dk2` and `dv2` without atomics. Windows, $S$, $P$, $dP$ and $dS$ are those of 10.3, and

$$dv'_k = \sum_{ij} P\; dO_i \circ v_j \qquad dk'_k = c\sum_{ij} dS\; q_i \circ k_j \qquad dq_i = c \sum_{jk} dS\; k_j \circ k'_k$$

* `W2`, a power of two and at least 16, is the window of the second key **and** the length of a tile of queries. Tile t has the queries from t · W2 to t · W2 + W2 − 1; they see second keys from t · W2 − W2 to t · W2 + W2 − 1 and no others: 2 · W2 rows, of which those below 0 and from s on do not exist. (Row t · W2 − W2 itself is never visible. It is there to make the number a power of two.)
* Two launches: `STAGE` 0 for tiles 0, 2, …, then `STAGE` 1 for tiles 1, 3, …: t = 2 · `program_id(0)` + `STAGE`. STAGE 0 stores its rows of dk2 and dv2; STAGE 1 loads what is there, adds and stores. Both tensors hold zeros before STAGE 0. dq is unwritten before; a program stores the dq of its own queries and no others.
* Load q, dout, lse, delta and the rows of k2 and v2 once; loop over single first keys j from t · W2 − w1 + 1 (at least 0) to the end of the tile (below s), and merge k1[j] and v1[j] this time.
* All else as in 10.3: strides, odd sizes, float32 or float16 inputs, no step outside, no atomics, no two programs of one launch at one element.

Stages by hand: s = 40, W2 = 16 makes three tiles. STAGE 0: program 0 has tile 0 and k = 0 to 15, program 1 has tile 2 and k = 16 to 39. STAGE 1: one program, tile 1, k = 0 to 31. Numbers by hand, the example of 10.3 (one tile; `W2` = 16 in place of $w_2 = 2$, which changes nothing for two tokens): `dv2` = (2, 2), `dk2` = (0.924, −0.462), `dq` = (0, ⅔).
"""


# %% tags=["exercise"]
@triton.jit
def second_key_kernel(
    q_ptr, q_strides, k1_ptr, k1_strides, k2_ptr, k2_strides, v1_ptr, v1_strides,
    v2_ptr, v2_strides, dout_ptr, dout_strides, lse_ptr, lse_strides, delta_ptr, delta_strides,
    dq_ptr, dq_strides, dk2_ptr, dk2_strides, dv2_ptr, dv2_strides, s, d, w1, scale,
    W2: tl.constexpr, D: tl.constexpr, STAGE: tl.constexpr,
):  # fmt: skip
    """dq of W2 queries of one head, and their part of dk2 and dv2."""
    h, b = tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    dout_ptr += b * dout_strides[0] + h * dout_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    delta_ptr += b * delta_strides[0] + h * delta_strides[1]
    dq_ptr += b * dq_strides[0] + h * dq_strides[1]
    dk2_ptr += b * dk2_strides[0] + h * dk2_strides[1]
    dv2_ptr += b * dv2_strides[0] + h * dv2_strides[1]
    ### BEGIN SOLUTION
    column = tl.arange(0, D)
    inside = column < d
    first_i = (2 * tl.program_id(0) + STAGE) * W2
    i = first_i + tl.arange(0, W2)
    i_ok = (i < s)[:, None] & inside[None, :]
    q_at = q_ptr + i[:, None] * q_strides[2] + column[None, :] * q_strides[3]
    dout_at = dout_ptr + i[:, None] * dout_strides[2] + column[None, :] * dout_strides[3]
    q = tl.load(q_at, mask=i_ok, other=0.0).to(tl.float32)
    dout = tl.load(dout_at, mask=i_ok, other=0.0).to(tl.float32)
    lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)
    delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)

    k = first_i - W2 + tl.arange(0, 2 * W2)
    k_ok = ((k >= 0) & (k < s))[:, None] & inside[None, :]
    k2_at = k2_ptr + k[:, None] * k2_strides[2] + column[None, :] * k2_strides[3]
    v2_at = v2_ptr + k[:, None] * v2_strides[2] + column[None, :] * v2_strides[3]
    k2 = tl.load(k2_at, mask=k_ok, other=0.0).to(tl.float32)
    v2 = tl.load(v2_at, mask=k_ok, other=0.0).to(tl.float32)
    back = i[None, :] - k[:, None]  # (2 * W2, W2)
    sees_k = (back >= 0) & (back < W2) & (k >= 0)[:, None] & (i < s)[None, :]

    dq = tl.zeros((W2, D), tl.float32)
    dk2 = tl.zeros((2 * W2, D), tl.float32)
    dv2 = tl.zeros((2 * W2, D), tl.float32)
    for j in range(tl.maximum(first_i - w1 + 1, 0), tl.minimum(first_i + W2, s)):
        k1_at = k1_ptr + j * k1_strides[2] + column * k1_strides[3]
        v1_at = v1_ptr + j * v1_strides[2] + column * v1_strides[3]
        k1 = tl.load(k1_at, mask=inside, other=0.0).to(tl.float32) * scale
        v1 = tl.load(v1_at, mask=inside, other=0.0).to(tl.float32)
        merged = q * k1[None, :]
        logits = tl.dot(k2, tl.trans(merged), input_precision="ieee")
        visible = sees_k & ((i >= j) & (i - j < w1))[None, :]
        p = tl.exp(tl.where(visible, logits - lse[None, :], float("-inf")))
        merged_dout = dout * v1[None, :]
        dv2 += tl.dot(p, merged_dout, input_precision="ieee")
        dp = tl.dot(v2, tl.trans(merged_dout), input_precision="ieee")
        ds = p * (dp - delta[None, :])
        dk2 += tl.dot(ds, merged, input_precision="ieee")
        dq += tl.dot(tl.trans(ds), k2, input_precision="ieee") * k1[None, :]

    dq_at = dq_ptr + i[:, None] * dq_strides[2] + column[None, :] * dq_strides[3]
    dk2_at = dk2_ptr + k[:, None] * dk2_strides[2] + column[None, :] * dk2_strides[3]
    dv2_at = dv2_ptr + k[:, None] * dv2_strides[2] + column[None, :] * dv2_strides[3]
    tl.store(dq_at, dq, mask=i_ok)
    if STAGE == 1:
        dk2 += tl.load(dk2_at, mask=k_ok, other=0.0)
        dv2 += tl.load(dv2_at, mask=k_ok, other=0.0)
    tl.store(dk2_at, dk2, mask=k_ok)
    tl.store(dv2_at, dv2, mask=k_ok)
    ### END SOLUTION


# %% tags=["exercise"]
def second_key(q, k1, k2, v1, v2, dout, lse, delta, *, w1, w2, scale):
    """Launch the kernel for the even tiles, then for the odd ones: dq, dk2, dv2."""
    b, h, s, d = q.shape
    dq = torch.empty(b, h, s, d, device=q.device)
    dk2, dv2 = torch.zeros(2, b, h, s, d, device=q.device)
    tensors = [q, k1, k2, v1, v2, dout, lse, delta, dq, dk2, dv2]
    tensors = [argument for x in tensors for argument in (x, x.stride())]
    width, tiles = max(16, triton.next_power_of_2(d)), triton.cdiv(s, w2)
    for stage in (0, 1):
        if programs := (tiles + 1 - stage) // 2:
            grid = (programs, h, b)
            second_key_kernel[grid](*tensors, s, d, w1, scale, w2, width, stage)
    return dq, dk2, dv2


# %% tags=["exercise"]
check("10.4", second_key_kernel)

# %% [markdown]
r"""
Four things about this kernel in the paper (Algorithm 2 and Listing 3) can each cost a reader an evening:

* Line 8 of Algorithm 2 loads `K'[kv1_start : q_end]`. It must be `K'[q_start - w2 : q_end]`, as in the listing.
* The prose has the kernel store dK and dV as well. The listing stores dQ, dK' and dV'.
* The outputs must be zeros before the first launch, for the reason above; the listing leaves that to its caller.
* Programs begin at every (BLOCK_Q + w2)-th query, and the second pass BLOCK_Q later. Is then every query visited once? Count:
"""


# %%
def visits(rows, w2, s=960):
    """How many queries are visited 0, 1, 2 times, with the starts of Listing 3."""
    times = torch.zeros(s + rows + w2, dtype=torch.int64)
    for start in range(0, s, rows + w2):  # program n starts at n * BLOCK_SIZE_KV2
        times[start : start + rows] += 1
        times[start + rows : start + 2 * rows] += 1  # the second pass
    return times[:s].bincount(minlength=3).tolist()


for rows, w2 in ((32, 32), (32, 16), (32, 64)):
    print(f"BLOCK_Q {rows}, w2 {w2}: queries visited 0, 1, 2 times: {visits(rows, w2)}")
assert visits(32, 32) == [0, 960, 0] and visits(32, 16)[2] and visits(32, 64)[0]

# %% [markdown]
r"""
Only with BLOCK_Q = $w_2$. The listing's sizes are BLOCK_SIZE_Q = 32 and BLOCK_SIZE_KV2 = 64. It asserts that BLOCK_SIZE_KV2 = BLOCK_SIZE_Q + $w_2$, hence $w_2 = 32$, and all is well; it does not assert that BLOCK_SIZE_Q = $w_2$. With a window of 16 a third of the queries would count twice, with 64 a third not at all. Your kernel cannot make this mistake: one number, `W2`, is both.

## What it costs

Count the matrix products for each tile of pairs. The forward pass had two, $S$ and $P V$.

| kernels | products | in all |
|:--|:--|:-:|
| **yours, and the paper's** | first key: S, dV, dP, dK; second key: S, dV', dP, dK', dQ | 9 |
| **the library's** | dQ: S, dP, dQ; then twice: S, dV, dP, dK | 11 |

The library (`simplex_lib/kernels/trilinear_backward.py`) pays for two more, and takes any two windows for it, long or short. It has no kernel for the second key at all: nothing in the formulas tells the two keys apart, so it launches the one for the first key a second time, *with the roles exchanged*. Three launches, one owner for every number. And the query heads that share a key head stand in one tile, so that their gradients are summed inside one program, too.

Does it keep what was promised?
"""

# %%
*inputs, dout = torch.randn(6, 1, 1, 24, 16, generator=generator).to(device)
inputs = [x.requires_grad_() for x in inputs]


def five_gradients(impl, inputs, dout):
    out = trilinear_attention(*inputs, w1=10, w2=4, impl=impl)
    return torch.autograd.grad(out, inputs, dout.to(out.dtype))


exact = five_gradients("reference", [x.double() for x in inputs], dout)
first, again = (five_gradients("triton", inputs, dout) for _ in range(2))
for name, x, y, z in zip(("dq", "dk1", "dk2", "dv1", "dv2"), first, again, exact, strict=True):
    error = (x - z).norm() / z.norm()
    print(f"{name:3}  relative error {error:.1e}, the same bits twice: {torch.equal(x, y)}")
    assert error < 1e-6 and torch.equal(x, y)

print("recorded on an H100, the largest error of any gradient:")
for dtype, row in load("kernels_correctness")["largest"].items():
    kernel, plain = row["kernel_backward"], row["plain_backward"]
    print(f"  {dtype:9} kernels {kernel:.0e}, the formulas in that dtype {plain:.0e}")

# %% [markdown]
r"""
## A function with a way back

The kernels exist. How does PyTorch learn that they belong together? Through a class with two functions, `torch.autograd.Function`. Here is one without kernels: a softmax with its own way back, the line from the beginning of this chapter. One calls `Softmax.apply(logits)` and makes no object of the class, which is why both functions are static. `ctx` is a bag that belongs to one call: forward puts in, backward takes out.
"""


# %%
class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits):
        probs = logits.softmax(-1)
        ctx.save_for_backward(probs)  # the output, not the input: that is what the way back needs
        return probs

    @staticmethod
    def backward(ctx, dprobs):
        (probs,) = ctx.saved_tensors
        return probs * (dprobs - (probs * dprobs).sum(-1, keepdim=True))


logits = torch.randn(2, 5, generator=generator).double().requires_grad_()
print("gradcheck:", torch.autograd.gradcheck(Softmax.apply, logits))

# %% [markdown]
r"""
`gradcheck` is the nudge from the first section, for every input and every output: each number is moved by $10^{-6}$ up and down, and the quotient is compared with what `backward` says. Take the mean out of the line, as if δ did not exist, and it tells:
"""


# %%
class WithoutDelta(Softmax):
    @staticmethod
    def backward(ctx, dprobs):
        (probs,) = ctx.saved_tensors
        return probs * dprobs


try:
    torch.autograd.gradcheck(WithoutDelta.apply, logits[:1, :3].detach().requires_grad_())
except RuntimeError as error:
    print(error)

# %% [markdown]
r"""
Read both as tables: which logit was nudged, which probability moved. In the true one the other probabilities move too, in the opposite direction, and each line sums to 0. In ours they stand still, as if there were attention enough for everybody.
"""

# %% tags=["predict"]
predict(
    "Why is gradcheck run in float64? In float32, near 1, a number is rounded by up to 6 · 10⁻⁸.",
    {
        "Because the nudge of 10⁻⁶ is divided by again": (
            "right",
            "An error of 6 · 10⁻⁸ in the output becomes one of 0.03 in the quotient, when it is divided by 2 · 10⁻⁶. In float64 the same calculation ends at about 10⁻¹⁰.",
        ),
        "Because 1 + 10⁻⁶ is 1 in float32": "It is not: the next number after 1 is 1 + 1.2 · 10⁻⁷. But the nudge itself is off by several percent.",
        "Because gradients are smaller than outputs": "They may be of any size. float32 has small numbers as well as float64 has; what it lacks is digits.",
        "Because autograd computes in float64 anyway": "It computes in the dtype of the tensors.",
    },
)

# %% [markdown]
r"""
But kernels compute in float32 at best; the library's refuse float64. So the proof has two steps. The *formulas* pass gradcheck, in float64, written in PyTorch. The *kernels* agree with the formulas as closely as rounding allows, as in the table of the last section.

Four things a `Function` must mind once kernels stand behind it:

* **Keep tensors with `save_for_backward`**, not as attributes: it notices when somebody changes one in place before the way back, and it frees the memory in time.
* **Trust no strides.** After `out.sum().backward()` the gradient that arrives is a single 1, *expanded*: all its strides are 0. A kernel that counts on one row lying behind the other reads foreign memory.
* **One answer for each argument**, in their order, and None for what is no tensor. `ctx.needs_input_grad` says which are wanted; a kernel nobody wants need not run.
* **Every output has a way back.** Our lse is an output as well. Its own gradient is simple, since $\partial\, \mathrm{lse}_i / \partial S_{ijk} = P_{ijk}$: it joins the other in $dS = P\,(dP - \delta + d\mathrm{lse})$. One line, or none, but not a silent mistake.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 10.5: The autograd function &nbsp; (15 minutes)

Write `class TrilinearFunction(torch.autograd.Function)`, called as `out, lse = TrilinearFunction.apply(q, k1, k2, v1, v2, scale, kernels)`. `q`, `k1`, `k2` are (b, h, s, d), `v1`, `v2` (b, h, s, dv), `scale` is a float, and `kernels` is an object with three functions:

* `kernels.forward(q, k1, k2, v1, v2, scale)` returns `out` (b, h, s, dv) and the natural `lse` (b, h, s).
* `kernels.first_key(dout, q, k1, k2, v1, v2, lse, delta, scale)` returns `dk1, dv1`.
* `kernels.second_key(dout, q, k1, k2, v1, v2, lse, delta, scale)` returns `dq, dk2, dv2`. `delta` is (b, h, s).

Autograd does not look into them. **Every tensor they get must be contiguous and have the dtype of the inputs.** (The check gives you kernels in float64, so that it can run gradcheck. They have two windows of different lengths, so the first key and the second are not interchangeable.)

* What backward needs of tensors goes through `ctx.save_for_backward`; nothing as large as the cube of probabilities is kept. No tensor is left on `kernels` or on the class, which all calls share, and no input is changed in place.
* backward returns exactly one thing for each argument of `apply`. A kernel none of whose gradients is needed is not launched, and none is launched twice: `kernels.forward` once, in forward.
* Either lse has its right gradient too (δ = rowsum(out · dout) − dlse), or `ctx.mark_non_differentiable(lse)` says that it has none.
* Second derivatives are not asked for. They must fail aloud, which is what `@once_differentiable` over `backward` is for, and not be silently 0. (The check asks for them with a loss that squares `out`.)

By hand: all five inputs ones of shape (1, 1, 1, 1) and scale 1 give out = 1 and lse = 1; `out.sum().backward()` gives dv1 = dv2 = 1, and 0 for the other three.

Below the check stands `OwnKernels`, which puts in *your* kernels of 10.3 and 10.4. When all have passed, this is attention over pairs that learns by code you wrote:

```python
x = [tensor.requires_grad_() for tensor in torch.randn(5, 1, 1, 40, 16)]
out, lse = TrilinearFunction.apply(*x, 0.25, OwnKernels(w1=12, w2=16))
out.square().mean().backward()
```
"""


# %% tags=["exercise"]
class TrilinearFunction(torch.autograd.Function):
    """Attention over pairs by kernels: out and lse, both differentiable once."""

    @staticmethod
    def forward(ctx, q, k1, k2, v1, v2, scale, kernels):
        ### BEGIN SOLUTION
        inputs = [x.contiguous() for x in (q, k1, k2, v1, v2)]
        out, lse = kernels.forward(*inputs, scale)
        ctx.save_for_backward(*inputs, out, lse)
        ctx.scale, ctx.kernels = scale, kernels
        return out, lse
        ### END SOLUTION

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dlse):
        ### BEGIN SOLUTION
        *inputs, out, lse = ctx.saved_tensors
        dout = dout.contiguous()
        delta = (dout * out).sum(-1) - dlse
        given = (dout, *inputs, lse, delta, ctx.scale)
        dq = dk1 = dk2 = dv1 = dv2 = None
        q, k1, k2, v1, v2, *_ = ctx.needs_input_grad
        if k1 or v1:
            dk1, dv1 = ctx.kernels.first_key(*given)
        if q or k2 or v2:
            dq, dk2, dv2 = ctx.kernels.second_key(*given)
        return dq, dk1, dk2, dv1, dv2, None, None
        ### END SOLUTION


# %% tags=["exercise"]
check("10.5", TrilinearFunction)


# %% tags=["exercise"]
class OwnKernels:
    """Your kernels of 10.3 and 10.4 and the library's forward one, under the names of 10.5."""

    def __init__(self, w1, w2):
        self.windows = dict(w1=w1, w2=w2)  # w2 is a power of two, at least 16

    def forward(self, *inputs_and_scale):
        from simplex_lib.attention import trilinear_attention_with_lse

        *inputs, scale = inputs_and_scale
        options = dict(self.windows, scale=scale, impl="triton")
        return trilinear_attention_with_lse(*inputs, **options)

    def first_key(self, dout, q, k1, k2, v1, v2, lse, delta, scale):
        return first_key(q, k1, k2, v1, v2, dout, lse, delta, **self.windows, scale=scale)

    def second_key(self, dout, q, k1, k2, v1, v2, lse, delta, scale):
        return second_key(q, k1, k2, v1, v2, dout, lse, delta, **self.windows, scale=scale)


# %% [markdown]
r"""
## An operation like any other

A `Function` is enough for PyTorch that runs line by line. `torch.compile` wants more: it goes through a whole model before anything runs, with tensors that have shapes and no numbers. What cannot run without numbers, it cannot go through; that must be *described*. `torch.library` is the place for it. Our library says three things about its kernels:

* **a name and a signature**: `torch.ops.simplex.trilinear_attention`, from the types in the function's head,
* **the shapes that come out**, computed without running it (`register_fake`),
* **its gradients**, by a second operation, `trilinear_attention_backward` (`register_autograd`).

Ask for a million tokens in 64 heads, on the device "meta", where tensors have shapes only:
"""

# %%
operation = torch.ops.simplex.trilinear_attention
nowhere = [torch.empty(1, 64, 1_000_000, 128, device="meta") for _ in range(5)]
out, lse = operation(*nowhere, 512, 32, True, 0.125)  # w1, w2, causal, scale
print(tuple(out.shape), tuple(lse.shape), f"{out.nbytes / 1e9:.0f} GB if it were real")

small = torch.randn(5, 1, 1, 5, 16, generator=generator).to(device)
small = [x.requires_grad_() for x in small]
for test, result in torch.library.opcheck(operation.default, (*small, 3, 2, True, 0.25)).items():
    print(f"{test:28} {result}")

# %% [markdown]
r"""
`opcheck` compares what was said with what is done: the signature, the shapes, the gradients. With that the compiler takes the kernel into its graph, and `fullgraph=True` asks for an error if anything had to be left out. ("aot_eager" draws the graphs, forward and backward, and runs them as they are; on a GPU one leaves it out and gets compiled code around the kernels.)
"""


# %%
def gated(q, k1, k2, v1, v2):
    return trilinear_attention(q, k1, k2, v1, v2, w1=3, w2=2, impl="triton") * q.sigmoid()


compiled = torch.compile(gated, fullgraph=True, backend="aot_eager")
torch.testing.assert_close(compiled(*small), gated(*small))
by_graph, by_hand = (torch.autograd.grad(f(*small).sum(), small) for f in (compiled, gated))
torch.testing.assert_close(by_graph, by_hand)
print("one graph forward, one backward, and the same numbers")

# %% tags=["predict"]
predict(
    "Suppose the shapes that were declared were wrong: lse said to be (b, s, h) in place of (b, h, s). What happens?",
    {
        "Nothing: shapes are found when the kernel runs": "The compiler plans everything before it runs: memory, views, further operations. It plans with what it was told.",
        "Eager code runs as before; compiled code is built on wrong shapes": (
            "right",
            "The declaration is used only where nothing runs yet. That is why it is so easy to get wrong, and why opcheck exists.",
        ),
        "An error at once, in eager code too": "Eager code never asks for the declaration. It runs the kernel and takes what comes.",
        "PyTorch corrects it after the first run": "Nothing compares the two at run time.",
    },
)

# %% [markdown]
r"""
## Faults of published code

All of this can be got wrong, and has been, in research code that its authors published early, so that others can build on it. This chapter has learned from it too. What is worth knowing is not who slipped but *how*: each of these mistakes is one line, and most leave the output perfectly right.

The code was *read*, in three places:

* **package**: that of the paper's authors (pytorch/FBGEMM, folder `fbgemm_gpu/experimental/simplicial_attention`, commit 71d6f8b). The first fault was also measured on the package itself; the others were read, not run.
* **issue**: lucidrains/simplicial-attention, issue 1, closed since.
* **reference**: that of a re-implementation.

The last fault was reported to us as pseudo-code that goes round in articles; we have none to cite, but it is easily made.

| fault | seen in | the line |
|:--|:-:|:--|
| lse in two bases | package | forward stores m + ln l, with m in base 2 |
| two arguments exchanged | package | tensors handed to the backward by place, in another order than declared (which ones is our example) |
| delta with dout's stride | package | from text to text, delta is read with the stride of another tensor (read only; what we ran had one text, where it does no harm) |
| constants ignored | package | `k2_bias` and `v2_bias` are accepted and not added |
| 0.0 taken for None | package | `if not k2_bias:` puts the default in where one asks for 0.0 |
| lse, delta in bfloat16 | package | one of the two backward kernels rounds both |
| first key head only | package | the module makes a key head for each query head, the forward kernel reads the first |
| grid counts query tiles | issue | programs own tiles of keys, and there are as many as tiles of queries |
| window of w + 1 | reference | $i - w \le j$, in the reference that all else is held to |
| dq added twice | | both backward kernels add the whole $dQ$ |

The constants are those of the paper's listings, which never explains them (chapter 09); the package has the defaults $1/d$ and 1. `simplex_lib.faults` has an attention over pairs in plain PyTorch, right, and cut into small steps. Each fault replaces one of them:
"""

# %%
import inspect

from simplex_lib import faults

right, bases, twice = faults.PairAttention, faults.MixedBases, faults.DoubleCount
for step in (right.lse, bases.lse, right.first_dq, twice.first_dq):
    print(f"# {step.__qualname__}", inspect.getsource(step), sep="\n")

# %% [markdown]
r"""
What does each of them break? Relative errors of the output and of the five gradients, on two texts of 24 tokens, with four query heads on two key heads:
"""

# %%
print(" " * 25 + "      out       dq      dk1      dk2      dv1      dv2")
for fault in faults.FAULTS:
    asked = None if fault is faults.IgnoredConstants else 0.0  # None asks for 1 / d and 1
    errors = faults.damage(fault(), k2_constant=asked, v2_constant=asked)
    line = "".join(f"{error:9.3f}" if error else "        ." for error in errors)
    print(f"{fault.name:25}{line}")

# %% [markdown]
r"""
A dot is exactly 0. Six of ten have an output without error. Some details:

* **Two bases.** The package's own kernels, run on an H100, had errors of 60 to 67 % in every gradient, and were right when they got a natural lse. (Measured once, with one text; its inputs are not recorded here. Our re-creation has other inputs, hence other numbers.) The row of each query comes out $e^{-0.443 \max S}$ times as large, which is as if another loss had been differentiated: training goes on, in another direction.
* **Exchanged.** lse and δ have one shape, and so have six other tensors. Whatever is exchanged, no error is raised. That is why calls with many tensors should name them.
* **bfloat16.** Between 8 and 16 its numbers are 1/16 apart. An lse there is off by up to 1/32, and a probability by up to 3.2 %, for $e^{1/32} = 1.032$.
* **dq twice.** Exactly 1.000: the error is as large as the gradient itself. An optimizer that divides by the size of the gradients may hide it for long.

## Which test would have found it?

The obvious test of a backward pass compares with autograd of a reference. But a fault can stand in the reference as well, and a reference needs the cube, so it is small. Here is one that needs neither. Stretch all queries by the factor 1 + t, and all logits are stretched by it. Stretch all first keys instead, and the *same* happens; or all second keys. So the loss has the same slope in all three directions:

$$\sum q \cdot dq \;=\; \sum k \cdot dk \;=\; \sum k' \cdot dk'$$

And stretching the values of either kind stretches the output:

$$\sum v \cdot dv \;=\; \sum v' \cdot dv' \;=\; \sum out \cdot dout$$

Try it on the pocket calculator, with the five inputs from the beginning: $q\,dq = 2 \cdot (-0.412)$ and $k'\,dk' = -0.824$, and $0.549 \cdot (-1.5) = -0.824$. On the other side 16/8 + 8 · 3/8 = 5, and 0.5 · 10 = 5, and the output was 5. **Three sums**, and no second implementation: it can be asked of any kernel at its full size.
"""

# %% tags=["predict"]
predict(
    "A test suite compares the output with plain loops, with one key head and without the two constants. It has no test of gradients. How many of the ten faults does it let pass?",
    {
        "3": "Count those that leave the output right under these conditions. With one key head the first one is the only one; without constants there is nothing to ignore.",
        "6, those with no error in the output above": "The table above was made with two key heads, and with the constants where they are ignored. Under the conditions of this suite two more give the right output.",
        "8": (
            "right",
            "It finds the window that is one too wide, and the 0.0 that turns into a default. All else it lets pass. The package's suite is of this kind: it compares outputs with a reference, forward only. The repository of the issue does test gradients, in one setting and only where there is a GPU.",
        ),
        "10": "Two faults do change this output: one shows in every comparison with loops, the other as soon as somebody asks for 0.0.",
    },
)

# %%
from itertools import combinations

letters = "ABCDEFGHI"
for letter, finder in zip(letters, faults.FINDERS, strict=True):
    print(letter, finder.__doc__.split("\n")[0])
print("\n" + " " * 26 + " ".join(letters))
found_by = {}
for attention in (faults.PairAttention, *faults.FAULTS):
    off = [finder(attention()) > faults.TOLERANCE for finder in faults.FINDERS]
    found_by[attention.name] = {letter for letter, x in zip(letters, off, strict=True) if x}
    print(f"{attention.name:26}" + " ".join("x" if x else "." for x in off))

# %% [markdown]
r"""
H and I are gradcheck by hand: nudge, divide, compare. H does it on one text, one head and one tile; I on two texts, four heads on two key heads and several tiles. Look at the two columns side by side: three faults pass H and not I, *only because the sizes of H are too small to show them*. And three rows have no cross in I: constants and windows that are wrong in the same way forward and backward. No comparison of a kernel with itself can find a wrong definition; for that there are B and C, which ask what the words mean.
"""

# %% tags=["predict"]
predict(
    "You may keep three of the nine tests. With which three is each of the ten faults found?",
    {
        "A, G and H": 'Look at the row "constants ignored": its only cross is in C.',
        "C, G and I": 'Look at the row "window of w + 1": only A and B have a cross there.',
        "B, D and I": "They miss the two faults about the constants.",
        "B, C and I": (
            "right",
            "C is the only one that sees ignored constants. I is the only one beside E that sees the stride, and E sees nothing else. The window is left, for A or B.",
        ),
    },
)

# %%
faulty = [found_by[fault.name] for fault in faults.FAULTS]
for size in (1, 2, 3):
    enough = [c for c in combinations(letters, size) if all(x & set(c) for x in faulty)]
    print(f"{size} of nine:", " or ".join(map("".join, enough)) or "none finds all ten")

# %% [markdown]
r"""
So these are the habits behind the tests of this course: sizes that all differ, more than one text, head and tile; logits that are shifted; every argument changed once to see that something happens; and the definition asked for by name.

## What the papers say, what we measured

*Fast and Simplex: 2-Simplicial Attention in Triton*, [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 7 and appendix:

* The gradients: [`fs-eq10`](../claims/README.md#fs-eq10) as printed, [`fs-eq14-scale`](../claims/README.md#fs-eq14-scale) without their scale, [`fs-eq15-index`](../claims/README.md#fs-eq15-index) with a wrong index. The mean and the probabilities again: [`fs-delta`](../claims/README.md#fs-delta), [`fs-recompute`](../claims/README.md#fs-recompute).
* Why two kernels: [`fs-three-orders`](../claims/README.md#fs-three-orders). That recomputing is cheaper than atomics is quoted, [`fs-atomics-cost`](../claims/README.md#fs-atomics-cost). Keys exchanged, gradients exchanged: [`fs-listing2-flip`](../claims/README.md#fs-listing2-flip).
* Even and odd tiles do not meet, [`fs-alg2-tiles`](../claims/README.md#fs-alg2-tiles). Around that: [`fs-alg2-line8`](../claims/README.md#fs-alg2-line8), [`fs-alg2-stores`](../claims/README.md#fs-alg2-stores), [`fs-listing3-tiles`](../claims/README.md#fs-listing3-tiles), [`fs-listing3-zeros`](../claims/README.md#fs-listing3-zeros).
* The constants on K' and V': unexplained, [`fs-kernel-biases`](../claims/README.md#fs-kernel-biases); what they would do, [`fs-bias-effect`](../claims/README.md#fs-bias-effect).
* Published code: [`fbgemm-two-bases`](../claims/README.md#fbgemm-two-bases), [`fbgemm-slots`](../claims/README.md#fbgemm-slots), [`fbgemm-delta-stride`](../claims/README.md#fbgemm-delta-stride), [`fbgemm-constants`](../claims/README.md#fbgemm-constants), [`fbgemm-zero`](../claims/README.md#fbgemm-zero), [`fbgemm-bf16-rows`](../claims/README.md#fbgemm-bf16-rows), [`fbgemm-first-head`](../claims/README.md#fbgemm-first-head), [`fbgemm-tests`](../claims/README.md#fbgemm-tests), [`kv1-grid`](../claims/README.md#kv1-grid), [`dq-twice`](../claims/README.md#dq-twice), [`window-off-by-one`](../claims/README.md#window-off-by-one).

Errors, memory and equal bits of the library's kernels on an H100 stand in `simplex_lib/data/kernels_correctness.json`, the race in `simplex_lib/data/races.json`.

## In half a page

* A gradient is a nudge, divided. For a softmax: probability times (value − mean value).
* Check a printed formula by its letters: what stands on the left is not summed. Two slips in the paper's seven: Eq. 15 sums over the wrong letter, Eqs. 14 to 16 lack the scale.
* The mean of a query is $\delta = \sum out \cdot dout$. With lse and δ, two numbers for each query, every tile stands by itself.
* Nothing of size $s^3$ is kept: the logits are computed again. lse is natural; m + ln l with m in base 2 is no base at all.
* Three sums over three axes: one program can own only one. Many programs that add to one number are a race, which an interpreter cannot show; atomics are right and not repeatable; an owner is both.
* Either another owner (a tile of first keys), or another time (even tiles, then odd ones, no shorter than $w_2 - 1$, on zeros).
* gradcheck the formulas in float64; hold the kernels to the formulas. Then name, shapes and gradients make the kernel an operation, and opcheck holds it to its word.
* Most faults leave the output right. Three sums of gradients must agree, at any size; a test finds only what its sizes can show; and a definition has to be asked for by name.

**Further reading.** The backward pass of ordinary attention by tiles, with the same δ: FlashAttention, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135), and its second version, [arXiv:2307.08691](https://arxiv.org/abs/2307.08691). For pairs: [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 7 and Listings 2 and 3. In PyTorch's documentation: *Extending torch.autograd*, *Gradcheck mechanics*, and `torch.library`.

**Next:** chapter 11, Speed: the same numbers, as fast as the hardware can.
"""
