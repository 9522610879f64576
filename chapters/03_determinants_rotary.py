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
# 03 &nbsp; Determinants and rotary positions

*Alice saw the rabbit. The rabbit saw Alice.* The same words, another story. The attention you have built so far cannot tell them apart: no score asks where a key stands. For dot products there is a beautiful cure: turn every vector by an angle that belongs to its position. The trilinear score breaks under it. This chapter
finds out why, finds the score of three vectors that does not break, and puts it to work: one head, its weights written by hand, that answers a question about triples of numbers without a mistake.

After this chapter you can

* turn queries and keys so that a dot product sees only how far apart they stand (RoPE),
* say why the trilinear score cannot be saved like that, and what the determinant has that it lacks,
* score pairs by determinants with two einsums, and give all three vectors a position,
* write a head by hand, prove how sharp it must be, and say where its arithmetic gives out.

The six exercises take 8 to 12 minutes each. Two questions on chapter 02 first.
"""

# %% tags=["shared"]
import math

import torch

from simplex_lib.course import check, hint, predict, symptoms

# %% tags=["predict"]
predict(
    "The vectors q, k and k' of a trilinear score are all multiplied by −1. What happens to the score?",
    {
        "It stays": "So it is for a dot product, where two signs meet. Here there are three.",
        "It changes its sign": (
            "right",
            "The score is linear in each vector, so each −1 comes out as a factor: (−1)³ = −1. Remember this one, it will decide a question below.",
        ),
        "It becomes 0": "Nothing cancels. Every product of three numbers keeps its size.",
        "It depends on the vectors": "It would, if they were turned by some angle. A factor comes out of every summand alike.",
    },
)

# %% tags=["predict"]
predict(
    "Attention over pairs, causal, no windows: the map of query 4 sums to 5. Where did the code go wrong?",
    {
        "The scale $1/\\sqrt d$ is missing": "That makes a map sharper. A softmax sums to 1, whatever the logits.",
        "The future is not masked": "Then the map of *every* query would still sum to 1; it would only be spread over too many pairs.",
        "The softmax runs over one of the two keys only": (
            "right",
            "Query 4 sees five first keys, and each of them got a unit of its own. One softmax has to run over all pairs.",
        ),
        "Nothing is wrong: there are five keys": "A query has one unit to hand out, over however many pairs.",
    },
)

# %%
from simplex_lib.attention import determinant_logits, dot_product_attention, trilinear_logits
from simplex_lib.attention.rotary import rotary_pairs, rotary_triples, rotate_about
from simplex_lib.widgets import explore_match3, explore_pairs, explore_rotation

# %% [markdown]
r"""
## A score that sees distance

First the problem. Shuffle the keys of an attention without a mask, and their values with them. Nothing changes.
"""

# %%
torch.set_default_dtype(torch.float64)  # fifteen digits, so that "unchanged" means something
generator = torch.Generator().manual_seed(0)
q, k, v = torch.randn(3, 1, 1, 6, 4, generator=generator)
new = [3, 0, 5, 1, 4, 2]
shuffled = dot_product_attention(q, k[:, :, new], v[:, :, new], causal=False)
torch.testing.assert_close(shuffled, dot_product_attention(q, k, v, causal=False))
"the same, to rounding"

# %% [markdown]
r"""
We want a score that knows positions, and not just any: *three words before me* should mean the same on page 1 and on page 100. So it should see the **offset** $i - j$, and nothing else of $i$ and $j$.

Take vectors of two numbers and draw them as arrows. The rule: **an arrow at position $p$ is turned by $p$ times 45°**, against the clock. Here is one that points east before it is turned:

| position | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
|:--|:-:|:-:|:-:|:-:|:-:|:-:|:-:|:-:|
| arrow | → | ↗ | ↑ | ↖ | ← | ↙ | ↓ | ↘ |

Put a key at 1 and a query at 2: ↗ and ↑ are 45° apart, and their dot product is $\cos 45° = 0.71$. Now key 5 and query 6: ↙ and ↓, again 45° apart, again 0.71. A dot product knows two lengths and the angle between. When both arrows move on by four positions, they turn *together*, and the angle between them stays. Only the offset is left.

To turn any arrow, turn the two from which all are made. East, $(1, 0)$, goes to $(\cos\theta, \sin\theta)$, and north, $(0, 1)$, to $(-\sin\theta, \cos\theta)$. So

$$(x, y) \;\to\; (x\cos\theta - y\sin\theta,\;\; x\sin\theta + y\cos\theta).$$
"""


# %%
def turned(vector, degrees):
    """A vector of two numbers, turned against the clock."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([vector[0] * cos - vector[1] * sin, vector[0] * sin + vector[1] * cos])


for i, j in ((2, 1), (6, 5), (102, 101), (3, 1), (1, 2)):
    score = turned((2, 1), 45 * i) @ turned((1, 3), 45 * j)
    print(f"query at {i:3}, key at {j:3}: {score:6.3f}")

# %% [markdown]
r"""
Query and key are no longer the same arrow, and the first three lines still agree. The other two have other offsets. Write $R_p$ for turning by $p\,\theta$. The whole argument has two steps, and both will be needed again:

$$(R_i\, q)\cdot(R_j\, k) \;\overset{(1)}{=}\; q\cdot(R_i^{-1} R_j\, k) \;\overset{(2)}{=}\; q\cdot(R_{j-i}\, k)$$

(1) Turning both arrows together, here back by $i\,\theta$, changes no dot product. (2) Turning by $j\,\theta$ and back by $i\,\theta$ is turning by $(j-i)\,\theta$.

One angle repeats itself: with 45°, the offsets 0 and 8 look alike. A clock solves this with several hands. So cut a query of $d$ numbers into $d/2$ planes, and turn plane $l$ at its own speed, $10000^{-2l/d}$ radians a position. With $d = 8$ these are 1, 0.1, 0.01 and 0.001: the fast hand comes round after 6.3
positions, the slow one after 6,283. This is RoPE, *rotary position embedding* ([arXiv:2104.09864](https://arxiv.org/abs/2104.09864)). Values are not turned.
"""

# %% tags=["predict"]
predict(
    "A query at position 9 and a key at position 4, both turned, score 1.3. With the same two vectors, which other positions must give 1.3?",
    {
        "Query at 4, key at 9": "That offset is −5, not 5. The key is turned the other way round, seen from the query.",
        "Query at 109, key at 104": (
            "right",
            "The offset is again 5, and the offset is all that is left. That a key is *before* the query counts too.",
        ),
        "Query at 18, key at 8": "Both positions doubled, so the offset doubled as well: 10.",
        "Query at 5, key at 4": "Here the key stands one position back, not five.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.1: Rotary positions for pairs &nbsp; (8 minutes)

`x` is (b, h, s, d) with d even, `positions` is (s,), any whole numbers, and `frequencies` is (d/2,), in radians. Neighbouring coordinates $2l$ and $2l+1$ form plane $l$. At sequence place $i$ it turns by $\theta$ = `positions[i] * frequencies[l]`:

$$(x, y) \;\to\; (x\cos\theta - y\sin\theta,\;\; x\sin\theta + y\cos\theta)$$

Return a new tensor with the shape and dtype of `x`, coordinates in the old order. All inputs may come in bfloat16; compute the angles in float32 or float64 then. Example: $(1, 0, 2, 0)$ at position 2 with the frequencies $\pi/4$ and $\pi/2$ turns by $\pi/2$ and $\pi$ and becomes $(0, 1, -2, 0)$.
"""


# %% tags=["exercise"]
def turn_pairs(x, positions, frequencies):
    """Turn coordinates 2l and 2l + 1 by positions[i] * frequencies[l]: (b, h, s, d) -> the same."""
    ### BEGIN SOLUTION
    angle = positions[:, None] * frequencies.double()  # (s, d / 2)
    cos, sin = angle.cos(), angle.sin()
    first, second = x[..., ::2], x[..., 1::2]
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], -1)
    return turned.flatten(-2).to(x.dtype)
    ### END SOLUTION


# %% tags=["exercise"]
check("3.1", turn_pairs)

# %% [markdown]
r"""
## Three arrows

Now three: query, first key and second key all point east, and all stand at the *same* position, so every offset is 0. Wherever that is, the score ought to be the same. It is the sum over both coordinates of the product of three:

| position | 0 | 1 | 2 | 3 | 4 |
|:--|:-:|:-:|:-:|:-:|:-:|
| all three arrows | → | ↗ | ↑ | ↖ | ← |
| as numbers | (1, 0) | (0.71, 0.71) | (0, 1) | (−0.71, 0.71) | (−1, 0) |
| trilinear score | 1 | 0.71 | 1 | 0 | **−1** |

Move the sentence four words down the page, and *attend to this pair* has become *avoid this pair*. A dot product compares arrows with each other. The trilinear score multiplies their shadows on the *axes of the page* and never looks at the angles between them.
"""

# %%
scores = torch.stack([(turned((1, 0), 45 * p) ** 3).sum() for p in range(5)])
torch.testing.assert_close(scores, torch.tensor([1, 0.5**0.5, 1, 0, -1]))
scores.round(decimals=2).tolist()

# %% [markdown]
r"""
Can another formula for three arrows in a plane do better, with other products and signs? **No.** A turn by 180° multiplies each arrow by −1, and the first question of this chapter told you what a score does that is linear in each of three vectors: it changes its sign. A number that changes its sign and
stays as it was is 0.

The argument shows the way out: a space in which reversing every arrow is *not* a rotation. Three dimensions are such a space: turn your right hand as you like, it never becomes a left hand.

## Volume with a sign

Two arrows in a plane span a parallelogram. For $a = (3, 1)$ and $b = (1, 2)$ its area is $3 \cdot 2 - 1 \cdot 1 = 5$; in general $a_1 b_2 - a_2 b_1$. Exchange $a$ and $b$ and you get −5: the sign says whether the short turn from $a$ to $b$ goes against the clock. That is a **determinant**.

Three arrows in space span a slanted box, a *parallelepiped*. The determinant of the $3\times 3$ table that has them as rows is its volume, with a sign:

| a, b, c | determinant | why |
|:--|:-:|:--|
| east, north, up | 1 | a cube of side 1 |
| east, **up, north** | −1 | the same cube; two arrows exchanged, so a left hand |
| east, north, **east** | 0 | flat: no volume |
| east, north, **up + 5 · east** | 1 | slanted, with the same base and height |

And now *turn the box*. Its volume stays, and no left hand becomes a right one. So **if all three arrows turn together, the determinant stands still**. In symbols: turning is a matrix $R$ with $\det R = 1$, and the determinant of a product is the product of the determinants. A mirror has $\det R = -1$.
"""

# %% tags=["predict"]
predict(
    "All three vectors are put before a mirror. Which of these scores notice: the dot product q · k, the determinant, the unsigned triple product of Clift et al.?",
    {
        "None of them": "Lengths and angles survive a mirror, and two of the three know nothing else. But one can tell a left hand from a right one.",
        "Only the determinant; it becomes 0": "The mirrored box is not flat. Its volume is what it was.",
        "Only the determinant; it changes its sign": (
            "right",
            "The volume stays, the hand changes. The other two are made of dot products, which a mirror does not change.",
        ),
        "All three": "A dot product knows lengths and the angle between, and a mirror keeps both. The triple product of chapter 02 is made of dot products.",
    },
)

# %% [markdown]
r"""
Below are three vectors and their box. First guess: **when all three turn together, which of the scores will move?** Then turn them all, turn $k$ (here `k1`) alone, and switch on the mirror.
"""

# %%
explore_rotation()

# %% [markdown]
r"""
Turned together about the z axis, the dot product stays at 0.42 and the determinant at 4.19, while the trilinear score runs from −0.80 to 1.70. With `k1` turned alone, all three move. The mirror leaves the dot product as it was and changes the sign of the determinant.

One more thing: if two of the arrows point the same way, the box falls flat. The determinant is 0 at the very place where a dot product is largest. It does not ask *are they alike?* but *do these three complete each other?*

### Is it the only one?

A score that is linear in each of three vectors of three numbers is a table of 27 numbers:

$$\sum_{a,b,c} f_{abc}\; x_a\, y_b\, z_c$$

That a rotation leaves it alone is a linear equation for the table, so a computer can count the solutions.
"""


# %%
def left_alone_by(*rotations):
    """All tables of 27 numbers (a basis of them) that none of these rotations changes."""
    changes = [torch.kron(torch.kron(r, r), r) - torch.eye(27) for r in rotations]
    _, size, tables = torch.linalg.svd(torch.cat(changes))
    return tables[size < 1e-9]


spin, tilt = (rotate_about(torch.eye(3), torch.eye(3)[n], torch.tensor(0.7)) for n in (2, 0))
one_axis, all_axes = left_alone_by(spin), left_alone_by(spin, tilt)
assert len(one_axis) == 7 and len(all_axes) == 1 and (all_axes.abs() > 1e-9).sum() == 6
print(len(one_axis), "tables are left alone by one axis,", len(all_axes), "by all")

# %% [markdown]
r"""
Turns about two axes, and with them all turns, leave **one** table and its multiples, with six numbers that are not 0: the determinant, as you will see at once. Turns about a single axis leave seven: our rotary scheme will use one axis, so for it the determinant is a natural choice, not the only one.

## Six products, two einsums

With the rows $a = (1, 2, 0)$, $b = (0, 1, 3)$, $c = (2, 0, 1)$, write the first two columns once more to the right. **Sarrus** adds the products along the three falling diagonals and subtracts those along the three rising ones:

```
 1  2  0 | 1  2      falling:  1·1·1 + 2·3·2 + 0·0·0 = 13
 0  1  3 | 0  1      rising:   2·1·0 + 0·3·1 + 1·0·2 =  0
 2  0  1 | 2  0      determinant: 13
```

Follow the falling ones: $a_1$ meets $b_2$ and $c_3$, then $a_2$ meets $b_3$ and $c_1$. That is a trilinear product in which $b$ and $c$ are *shifted round*, $b$ by one place, $c$ by two. The rising ones shift the other way (Eq. 8 of the paper):

$$\det = \langle a,\, (b_2, b_3, b_1),\, (c_3, c_1, c_2)\rangle - \langle a,\, (b_3, b_1, b_2),\, (c_2, c_3, c_1)\rangle$$

So two einsums take the place of one, and nothing else changes: softmax over pairs, values, windows, the version without the cube.
"""

# %%
a, b, c = torch.tensor([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
two_products = (a * b.roll(-1) * c.roll(-2)).sum() - (a * b.roll(-2) * c.roll(-1)).sum()
torch.testing.assert_close(two_products, torch.linalg.det(torch.stack([a, b, c])))
float(two_products)

# %% [markdown]
r"""
A head has more than three numbers a vector. So cut the vectors into **chunks of three**, and add one determinant a chunk (Eq. 9). Each chunk is a little space of its own. Eq. 9 prints no scale. What would it have to be?
"""

# %% tags=["predict"]
predict(
    "The entries of three vectors of length d = 12 are independent, with mean 0 and variance 1. What is the variance of the sum of their four determinants?",
    {
        "4, one for each determinant": "That would be right if a determinant were one product. It is a sum of more of them.",
        "12, as for the trilinear score": "The trilinear score adds 12 products. Count the products in four determinants.",
        "24": (
            "right",
            "Six products a determinant, each of variance 1, and four determinants. In general 2d, so $1/\\sqrt{2d}$ would bring it to 1. This course keeps the $1/\\sqrt d$ of the trilinear score, one rule for both, and lives with a variance of 2.",
        ),
        "0, since half of the products are subtracted": "The *mean* is 0. Variances add, for differences as well as for sums.",
    },
)

# %%
q, k1, k2 = torch.randn(3, 50_000, 1, 1, 12, generator=generator)
variance = float(determinant_logits(q, k1, k2).var())
assert abs(variance / 24 - 1) < 0.05
round(variance, 1)

# %% [markdown]
r"""
And if 3 does not divide $d$? The paper does not say. With $d = 7$ there are two chunks and one coordinate left over. This course multiplies left-overs as the trilinear score does: $q_7\, k_7\, k'_7$ is added. They have no space to turn in, so they are never turned.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.2: Determinant logits &nbsp; (8 minutes)

Score every triple (Eq. 9): `q`, `k1` and `k2` are (b, h, s, d), in float32 or float64, and 3 divides d. Chunk $l$ is made of the coordinates $3l$, $3l+1$, $3l+2$. Return (b, h, i, j, k): the sum over the chunks of the determinant with the rows $q_i$, $k_j$, $k'_k$. No scale and no mask. Write it in any way you like, and as
large as you like; `torch.linalg.det` is allowed. Example, one position: $q = (1, 0, 0,\ 2, 0, 0)$, $k = (0, 1, 0,\ 0, 0, 3)$, $k' = (0, 0, 1,\ 0, 1, 0)$ give $1 - 6 = -5$.
"""


# %% tags=["exercise"]
def determinant_logits(q, k1, k2):
    """Sum over chunks of det[q; k1; k2]: three times (b, h, s, d) -> (b, h, i, j, k)."""
    ### BEGIN SOLUTION
    a, b, c = (x.unflatten(-1, (-1, 3)) for x in (q, k1, k2))  # (b, h, s, chunks, 3)
    a, b, c = a[:, :, :, None, None], b[:, :, None, :, None], c[:, :, None, None]
    rows = torch.stack(torch.broadcast_tensors(a, b, c), -2)
    return torch.linalg.det(rows).sum(-1)
    ### END SOLUTION


# %% tags=["exercise"]
check("3.2", determinant_logits)


# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.3: Sarrus as two einsums &nbsp; (12 minutes)

The same without building a matrix for each triple: two trilinear products of shifted copies,

$$\langle a,\; (b_2, b_3, b_1),\; (c_3, c_1, c_2)\rangle - \langle a,\; (b_3, b_1, b_2),\; (c_2, c_3, c_1)\rangle$$

in every chunk. Here d may be any number from 3 on: the one or two coordinates left over at the end add their plain product $q_l\, k_l\, k'_l$, once. The inputs come in float32, float64 or bfloat16. The check measures your tensors: none may hold more numbers than the result, $b h s^3$. Example, d = 5 and one position:
$q = (1, 0, 0,\ 2, 1)$, $k = (0, 1, 0,\ 3, 1)$, $k' = (0, 0, 1,\ 1, 4)$ give $1 + 6 + 4 = 11$.
"""


# %% tags=["exercise"]
def sarrus_logits(q, k1, k2):
    """Determinant logits of chunks of three, plus the product of what is left over."""
    ### BEGIN SOLUTION
    whole = q.shape[-1] // 3 * 3

    def shifted(x, by):
        return x[..., :whole].unflatten(-1, (-1, 3)).roll(-by, -1).flatten(-2)

    triple = "bhid,bhjd,bhkd->bhijk"
    first = torch.cat([shifted(k1, 1), k1[..., whole:]], -1)
    second = torch.cat([shifted(k2, 2), k2[..., whole:]], -1)
    falling = torch.einsum(triple, q, first, second)
    return falling - torch.einsum(triple, q[..., :whole], shifted(k1, 2), shifted(k2, 1))
    ### END SOLUTION


# %% tags=["exercise"]
check("3.3", sarrus_logits)

# %% [markdown]
r"""
## Rotary positions for triples

The paper shows that a common rotation changes no determinant, says that this is what rotary positions need, and stops there: no axes, no angles, no experiment. Let us derive a scheme, with the two steps of the dot product:

$$\det[R_i\, a;\; R_j\, b;\; R_k\, c] \;\overset{(1)}{=}\; \det[a;\; R_i^{-1} R_j\, b;\; R_i^{-1} R_k\, c] \;\overset{(2)}{=}\; \det[a;\; R_{j-i}\, b;\; R_{k-i}\, c]$$

Step 1 you have just seen: turn all three back by $R_i$. Step 2 says that "by $j$, then back by $i$" is "by $j - i$". In a plane that was obvious. In space it is not. Lay a book before you. Turn it a quarter about the vertical axis, then a quarter about the axis from left to right. Then anew, in the other order. It ends differently: **turns about different axes do not commute**.
"""

# %% tags=["predict"]
predict(
    "Which of these rules for turning a chunk of three at position p makes the logits depend on the offsets alone?",
    {
        "By p · 20°, about an axis that differs from position to position": "Turning about one axis and back about another is not the difference of two turns. Step 2 fails.",
        "By p · 20°, about the first axis if p is even and about the third if p is odd": "Two axes are enough to lose it: turns about the first and the third do not commute.",
        "By p · 20° about the first axis, then by p · 30° about the third": "Each part alone would do. One after the other is again a rotation, but doing it for j and undoing it for i does not give the one for j − i.",
        "By p · 20°, about one slanted axis, the same at every position": (
            "right",
            "About one fixed axis, angles simply add, as the hands of a clock do. Which axis it is does not matter, and each chunk may have its own.",
        ),
    },
)

# %% [markdown]
r"""
So fix one axis, the same at every position, and let $R_p$ turn by $p\,\theta$ about it. Now angles add, and step 2 holds. (You saw it above: turn `k1` alone, as if it had moved, and then all three.) Each chunk may have its own axis and frequency. The simplest axis is the third: $(x, y)$ turn as in RoPE, and the third coordinate stands still, content without a position.

Four schemes, judged alike: move all positions by 100, and see how much a logit changes at most.
"""


# %%
def changing_axes(x, positions):
    """By half a radian a position, about the first axis if that is even, else about the third."""
    axes = torch.eye(3)[positions % 2 * 2][:, None]
    angle = 0.5 * positions.double()[:, None]
    return rotate_about(x.unflatten(-1, (-1, 3)), axes, angle).flatten(-2)


schemes = {
    "trilinear, RoPE": (trilinear_logits, rotary_pairs),
    "trilinear, one axis": (trilinear_logits, rotary_triples),
    "determinant, changing axes": (determinant_logits, changing_axes),
    "determinant, one axis": (determinant_logits, rotary_triples),
}
vectors, maps = torch.randn(3, 1, 1, 10, 6, generator=generator), {}
for name, (score, place) in schemes.items():
    places = torch.arange(10), torch.arange(100, 110)
    maps[name] = before, after = [score(*(place(x, p) for x in vectors))[0] for p in places]
    print(f"{name:27} changes by up to {(after - before).abs().max():.1e}")
torch.testing.assert_close(*maps["determinant, one axis"])

# %% [markdown]
r"""
Only the last one stands still. The explorer shows each query's attention after the move, less its attention before. **What will you see under the last head?**
"""

# %%
early, late = (torch.cat([maps[name][n] for name in schemes]) for n in (0, 1))
title = "What changes when all positions move by 100?"
explore_pairs(late, compare=early, heads=list(schemes), mode="difference", title=title)

# %% [markdown]
r"""
Under the first three, attention left some pairs for others, though no word changed its distance to any other. Under the last the difference is empty.

Do not read more into this than it says. A trilinear model may learn with other positions, or with none in this layer; the paper trained some and does not say which positions they had. Only RoPE's promise, *offsets only*, is lost for Eq. 5.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.4: Rotary positions for triples &nbsp; (12 minutes)

`x` is (b, h, s, d), where 3 divides d, `positions` is (s,), any whole numbers, and `frequencies` is (d/3,), radians a position, one a chunk. Return the turned vectors in the shape and dtype of `x`; in bfloat16, compute the angles in float32 or float64. Your function is called for `q`, `k1` and `k2`, each with positions of its own. The scheme is
yours; the check takes determinant logits and asks for five properties:

1. every vector keeps its length;
2. a triple at one and the same position scores as if nothing had been turned;
3. adding one number to all positions, of `q`, `k1` and `k2`, changes no logit;
4. moving one entry of `positions` turns the vector at that place, in every batch and head, and no other vector; moving all positions of `q` alone changes logits in every chunk, and so does `k1` alone and `k2` alone;
5. `frequencies[l]` changes what chunk `l` scores, and nothing else; one position further is a turn by `frequencies[l]` radians, either way round, and at frequency 0 nothing turns.

Example, one chunk and frequency $\pi/2$: $q = (1, 0, 0)$ at 0, $k = (1, 0, 0)$ at 1 and $k' = (0, 0, 1)$ at 0. If chunks turn about the third axis, $k$ becomes $(0, 1, 0)$ and the logit is 1. At the positions 5, 6, 5 it is again 1; with $k$ at 0 it is 0.
"""


# %% tags=["exercise"]
def turn_triples(x, positions, frequencies):
    """Turn each chunk of three so that determinants see offsets only: (b, h, s, d) -> the same."""
    ### BEGIN SOLUTION
    angle = positions[:, None] * frequencies.double()  # (s, chunks)
    cos, sin = angle.cos(), angle.sin()
    first, second, third = x.unflatten(-1, (-1, 3)).unbind(-1)
    turned = [first * cos - second * sin, first * sin + second * cos, third]
    return torch.stack([y.to(x.dtype) for y in turned], -1).flatten(-2)
    ### END SOLUTION


# %% tags=["exercise"]
check("3.4", turn_triples)

# %% [markdown]
r"""
## Match3: a head written by hand

Now let a determinant do something. Every position holds a number from 0 to $M-1$, and each asks: *are there two numbers here that make the sum with mine a multiple of $M$?* This is **Match3**. The two may be equal, or be the asker itself, and may stand anywhere: no mask. For 1, 2, 4 and $M = 8$:

* 4 says yes: $4 + 2 + 2 = 8$. And so does 2: $2 + 2 + 4 = 8$.
* 1 says no: it needs a sum of 7 or 15, and two of these numbers make 2, 3, 4, 5, 6 or 8.

Theorem 5.1 of the paper: a single head can do it, with determinant logits and head dimension 7. Step by step:

**Numbers become angles.** Lay the numbers round a clock with $M$ hours, $\theta = 2\pi x/M$. A sum is a multiple of $M$ if and only if the angles add up to whole turns, $\cos(\alpha + \beta + \gamma) = 1$. For every other sum the cosine is at most $\cos(2\pi/M)$, a *near miss* by one.

**A determinant adds angles.** The addition theorem *is* a determinant of two by two, and a third row makes it three by three:

$$\cos(\alpha + \beta)\cos\gamma = \det\begin{bmatrix}\cos\alpha & \sin\alpha & 0\\ \sin\beta & \cos\beta & 0 \\ 0 & 0 & \cos\gamma\end{bmatrix}$$

$$-\sin(\alpha + \beta)\sin\gamma = \det\begin{bmatrix}-\sin\alpha & \cos\alpha & 0\\ -\sin\beta & -\cos\beta & 0 \\ 0 & 0 & -\sin\gamma\end{bmatrix}$$

Their sum is $\cos(\alpha + \beta + \gamma)$. First rows are the query, second rows the first key, third rows the second key, one chunk for each determinant. With a factor $c$ on the query, a pair scores $c\cos(\alpha+\beta+\gamma)$: a match scores $c$, and all others less.

**Somebody must take the rest.** A softmax hands out its unit even where nothing matches. So each query gets one more choice, a **blank pair** of value 0, while every real pair has value 1. The output is then the *share of the real pairs*. The blank scores $c$, as much as a match: the query's seventh coordinate is $c$, the
blank key is $(0, 0, 0, 0, 0, 0, 1)$, and the score is their plain dot product, no determinant. The whole head (Appendix A.1):

| | chunk 1 | chunk 2 | 7 |
|:--|:--|:--|:--|
| query, all times $c$ | $\cos\alpha,\ \sin\alpha,\ 0$ | $-\sin\alpha,\ \cos\alpha,\ 0$ | 1 |
| first key | $\sin\beta,\ \cos\beta,\ 0$ | $-\sin\beta,\ -\cos\beta,\ 0$ | 0 |
| second key | $0,\ 0,\ \cos\gamma$ | $0,\ 0,\ -\sin\gamma$ | 0 |

One match and the blank share evenly: 1/2. Two matches get about 2/3. With none, all real pairs together get little, if $c$ is large. Choose a token and slide $c$: **from which $c$ on are all three answers right, if a share above 0.3 counts as yes?** (Look at the *paper's layout*; the one beside it comes further below.)
"""

# %%
explore_match3((1, 2, 4), modulus=8, c=1)

# %%
from simplex_lib.attention.match3 import match3_blank_token_head, match3_head, sufficient_c
from simplex_lib.tasks import match3_few_values, match3_hardest, match3_labels, match3_random

print("share of    1      2      4")
for c in (1, 3, 5, 6.6, 6.7, 10, 30):
    shares = match3_head(torch.tensor([[1, 2, 4]]), 8, c=c)[0].tolist()
    print(f"c = {c:4}  " + "  ".join(f"{y:.3f}" for y in shares))

# %% [markdown]
r"""
The 1 starts as a false yes, since nine poor pairs together outweigh one blank. It sinks as $c$ grows, below 0.3 from 6.7 on. The others come down towards a share that counts their matches, and never below 1/2.

Why 0.3, where the paper has 1/2? In exact arithmetic a single match gets a little more than 1/2. In floating point it comes out as 0.5 or as 0.4999999999999, as the rounding falls. A yes is at 1/2 or above, a no near 0; the threshold belongs between them.
"""

# %%
x = match3_random(60, 8, 97, generator=generator)
shares, labels = match3_head(x, 97, c=2 * sufficient_c(8, 97)), match3_labels(x, 97)
for threshold in (0.5, 0.3):
    print(f"threshold {threshold}: {(labels != (shares >= threshold)).sum()} wrong of {x.numel()}")
assert ((shares > 0.3) == labels).all()

# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.5: The Match3 head &nbsp; (12 minutes)

`x` is (b, s), whole numbers from 0 to `modulus` − 1, and `c` is a positive number, small or large. Return the share of the real pairs, (b, s), computed in float64, from a head in the paper's layout:

* With $\theta = 2\pi x/M$, a query is $c\,(\cos\theta,\ \sin\theta,\ 0,\ -\sin\theta,\ \cos\theta,\ 0,\ 1)$, a first key $(\sin\theta,\ \cos\theta,\ 0,\ -\sin\theta,\ -\cos\theta,\ 0,\ 0)$ and a second key $(0,\ 0,\ \cos\theta,\ 0,\ 0,\ -\sin\theta,\ 0)$.
* A real pair scores the sum of its two determinants. No mask, no scale; $j = k$ and $j = i$ count.
* One blank pair a query scores the dot product of the query with $(0, 0, 0, 0, 0, 0, 1)$. One softmax runs over these $s^2 + 1$ scores.

Your `sarrus_logits` is welcome; so is `determinant_logits` of `simplex_lib.attention`. The check draws the hardest inputs too. Two examples: `[[2, 2]]` with modulus 5 and c = 1.5 gives 0.587 twice, and `[[1, 2, 4]]` with modulus 8 and c = 30 gives 0.0005, 0.6667 and 0.5001.
"""


# %% tags=["exercise"]
def match3_head(x, modulus, c):
    """Share of attention on real pairs, blank pair at c: integers (b, s) -> (b, s)."""
    ### BEGIN SOLUTION
    angle = 2 * math.pi * x.double() / modulus
    cos, sin = angle.cos(), angle.sin()
    o, one = torch.zeros_like(cos), torch.ones_like(cos)
    q = c * torch.stack([cos, sin, o, -sin, cos, o, one], -1)
    k1 = torch.stack([sin, cos, o, -sin, -cos, o, o], -1)
    k2 = torch.stack([o, o, cos, o, o, -sin, o], -1)
    pairs = sarrus_logits(*(t[:, None] for t in (q, k1, k2)))[:, 0]  # (b, i, j, k)
    logits = torch.cat([pairs.flatten(-2), q[..., 6:]], -1)  # the blank pair comes last
    return logits.softmax(-1)[..., :-1].sum(-1)
    ### END SOLUTION


# %% tags=["exercise"]
check("3.5", match3_head)

# %% [markdown]
r"""
## How sharp must it be?

The factor $c$ must be large enough for *every* input, so look for the worst one.
"""

# %% tags=["predict"]
predict(
    "Which input makes it hardest for the head to say no?",
    {
        "All zeros": "0 + 0 + 0 is a multiple of M, so the answer is yes, and with s² matches an easy one.",
        "Random numbers": "Most random triples miss by a lot and score far below c. Such inputs are kind.",
        "The same number v at every token, with 3v one more than a multiple of M": (
            "right",
            "Then every one of the s² pairs is a near miss, by one, and all of them together stand against a single blank pair. (If 3 divides M there is no such v, and a slightly smaller c would do.)",
        ),
        "Numbers that are all different": "Then the sums are spread over the clock, and only few of them are near misses.",
    },
)

# %% [markdown]
r"""
A near miss scores $c\cos(2\pi/M)$, less than the blank pair by $c\,g$ with the gap $g = 1 - \cos(2\pi/M)$. So it weighs $e^{-cg}$ of the blank, and $s^2$ of them weigh $r$. Out of $1 + r$ the real pairs get

$$\frac{r}{1+r}, \qquad r = s^2 e^{-cg}, \qquad g = 1 - \cos\frac{2\pi}{M} \approx \frac{2\pi^2}{M^2},$$

and that has to stay below 0.3. Exercise 3.6 solves it for $c$, which grows like $M^2 \ln s$. With $s = 8$ and $M = 64$, $g$ is 0.0048 and $c$ must be about 1,040. On the worst input nothing here is wasted. Random inputs would never tell you: here are the wrong answers for parts of a sufficient $c$.
"""

# %%
inputs = {"random": match3_random(64, 8, 64, generator), "hardest": match3_hardest(8, 64)}
for name, x in inputs.items():  # hardest: near misses; then one token changed to each value
    for part in (0.25, 0.5, 0.7, 0.9, 1.0):
        answers = match3_head(x, 64, c=part * sufficient_c(8, 64)) > 0.3
        wrong = int((answers != match3_labels(x, 64)).sum())
        print(f"{name:8} {part:5.0%} of c: {wrong:3} wrong of {x.numel()}")
    assert wrong == 0

# %% tags=["predict"]
predict(
    "The numbers now come from 0 to 127 in place of 0 to 63: M doubles. How much larger must c be?",
    {
        "The same, only s counts": "The number of pairs is the same, but a near miss by one is now a smaller angle away from a match.",
        "Twice as large": "The angle of a near miss is halved. The gap is 1 − cos of it, and near 0 that goes with the *square* of the angle.",
        "Four times as large": (
            "right",
            "Half the angle, a quarter of the gap, four times the c. The length s enters only through its logarithm.",
        ),
        "128 times as large": "The gap does not shrink by M. It is about 2π²/M².",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 3.6: How large must c be? &nbsp; (8 minutes)

Return a factor $c$, a positive number, for sequences of length `seq_len` (at least 1) and numbers from 0 to `modulus` − 1 (modulus at least 2). With it, on no input of that length may a query without a match get a share above 0.3 in the head of exercise 3.5; and $c$ may be at most twice the smallest such factor. An approximation of the gap
is judged like anything else: too small is too small. Example: with `seq_len` 2 and modulus 5 the hardest input is `[2, 2]`; c = 3 gives it the share 0.335, too much, and c = 3.3 gives 0.290, which passes. So does 6, and 7 does not.
"""


# %% tags=["exercise"]
def choose_c(seq_len, modulus):
    """A factor that keeps every share on the right side of 0.3, for every input."""
    ### BEGIN SOLUTION
    gap = 1 - math.cos(2 * math.pi / modulus)
    return (2 * math.log(seq_len) + math.log(7 / 3) + 0.1) / gap
    ### END SOLUTION


# %% tags=["exercise"]
check("3.6", choose_c)

# %% [markdown]
r"""
### A blank that makes 1/2 safe

A single match lands on the threshold 1/2 because the blank scores as much as a match. So move the blank down, *between* matches and near misses: let it score $c\,\tau$ with $\cos(2\pi/M) < \tau < 1$. With $c\,(1 - \tau) = \ln 4$ a match outweighs it 4 : 1, a share of 0.8, and the $s^2$ near misses stay below 1/2 if $c\,g > 2 \ln s + \ln 4$,
hardly more than before.

There is a second gain. This blank can be an ordinary **token**: it stands in front, its two keys are $(0, 0, 0, 0, 0, 0, 1)$, the query's seventh coordinate is $c\,\tau$, and the left-over product $q_7\, k_7\, k'_7$ does the rest. (Pairs of the blank with a real token score 0, nothing beside $c$.) So the head is plain determinant attention over $s + 1$ tokens, with nothing added by hand.
"""

# %%
from simplex_lib.attention.match3 import sufficient_c_and_tau

for s, modulus in ((8, 37), (32, 97)):
    x = match3_hardest(s, modulus)
    yes, c = match3_labels(x, modulus), sufficient_c(s, modulus)
    c2, tau = sufficient_c_and_tau(s, modulus)
    pair, token = match3_head(x, modulus, c=c), match3_blank_token_head(x, modulus, c=c2, tau=tau)
    for name, factor, shares in (("blank pair", c, pair), ("blank token", c2, token)):
        print(f"s = {s:2}, M = {modulus}  {name:11} c = {factor:4.0f}: ", end="")
        print(f"no up to {shares[~yes].max():.3f}, yes from {shares[yes].min():.3f}")
    assert shares[~yes].max() < 0.49 and shares[yes].min() > 0.79

# %% [markdown]
r"""
In the explorer above, *near misses* shows both layouts on the worst input.

### Where the arithmetic gives out

The proof is about real numbers. A match and a near miss differ by $c\,g$, here between 5 and 9, whatever $M$ is. But the logits themselves are as large as $c$.
"""

# %% tags=["predict"]
predict(
    "s = 8 and M = 97: a match scores c = 2,435 and a near miss 5.1 less, 2,429.7. Bfloat16 keeps 8 significant bits, so near 2,435 it knows only multiples of 16. What does the softmax see?",
    {
        "Two numbers 5.1 apart": "Neither of them is a multiple of 16. Both have to be rounded.",
        "The same number twice": (
            "right",
            "2,432 is the nearest multiple of 16 to both. Match and near miss have become equal, and no softmax can tell them apart again.",
        ),
        "Two numbers 16 apart": "That happens if a multiple of 16 lies nearer to one and the next nearer to the other. Here 2,432 is nearest to both.",
        "Infinity": "Bfloat16 has the range of float32, up to 3.4 · 10³⁸. What it lacks is digits.",
    },
)


# %%
def wrong_answers(s, modulus, dtype):
    """Blank pair and blank token, on random, narrow and the hardest inputs."""
    drawn = [make(400, s, modulus, generator) for make in (match3_random, match3_few_values)]
    x = torch.cat([*drawn, match3_hardest(s, modulus)])
    c, tau = sufficient_c_and_tau(s, modulus)
    pair = match3_head(x, modulus, c=sufficient_c(s, modulus), dtype=dtype) > 0.3
    token = match3_blank_token_head(x, modulus, c=c, tau=tau, dtype=dtype) > 0.5
    return [int((answer != match3_labels(x, modulus)).sum()) for answer in (pair, token)]


assert torch.tensor([2435.0, 2429.7]).bfloat16().tolist() == [2432, 2432]
print("s = 8: wrong answers, blank pair / blank token")
print("    M         c      float64        float32       bfloat16")
for modulus in (5, 17, 37, 97, 401, 1601, 3203):
    found = [wrong_answers(8, modulus, t) for t in (torch.float64, torch.float32, torch.bfloat16)]
    counts = "  ".join("{:>6} /{:>6}".format(*wrong) for wrong in found)
    print(f"{modulus:5} {sufficient_c(8, modulus):9.0f} {counts}")
    assert found[0] == [0, 0] and (modulus > 401 or found[1] == [0, 0])

# %% [markdown]
r"""
In these runs float32 is exact up to $M = 1601$ and no longer at 3203; bfloat16, in which language models compute, fails from 17 on with the blank pair and from 37 on with the blank token. So "one head solves Match3 for every $M$" is a theorem about real numbers. Large logits need digits, and a model in bfloat16 has to find another way.

### And learned from nothing?

Recorded runs, three seeds each: one trilinear 2-simplicial layer against one dot-product layer with *more* parameters. Embeddings start at random, data are fresh at every step, and all are tested on the same 2,000 sequences.
"""

# %%
from simplex_lib.data import load

trained = load("match3_training")  # with machine, date, versions and the command that repeats it
print("s = {n}, M = {modulus}, {steps} steps of {batch}".format(**trained["settings"]))
print(f"the best constant answer: {trained['majority_error_percent']:.1f} % wrong")
errors = {"dot product": [], "trilinear": []}
for run in trained["runs"]:
    name, error = f"{run['kind']:11} {run['parameters']:,}", run["final_error_percent"]
    print(f"{name} parameters, seed {run['seed']}: {error:4.1f} % {'▇' * round(error)}")
    errors[run["kind"]].append(error)
dot, pairs = errors.values()
assert max(pairs) < min(dot) < max(dot) < trained["majority_error_percent"]
f"on average {sum(dot) / sum(pairs):.1f} times as many errors without pairs"

# %% [markdown]
r"""
What may be claimed? **On average five times fewer errors with fewer parameters, and the spreads of three seeds do not touch:** 2.9 to 4.4 % for the 2-simplicial layer, 16.9 to 18.8 % for the other. Not that the dot-product layer fails: the best constant answer makes twice its errors. Nor that the other is exact. One size, one setting, a task made for triples.

## What the papers say, what we measured

* RoPE sees offsets only ([arXiv:2104.09864](https://arxiv.org/abs/2104.09864)): [`rope-relative`](../claims/README.md#rope-relative). The rest is from [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 5 and Appendix A.1.
* Under a common rotation the trilinear score moves, [`fs-rotation`](../claims/README.md#fs-rotation), and the determinant does not, [`fs-det3`](../claims/README.md#fs-det3). Eqs. 8 and 9 come out as written: [`fs-eq8`](../claims/README.md#fs-eq8), [`fs-eq9`](../claims/README.md#fs-eq9). Scale and left-overs are our choice: [`fs-eq9-leftover`](../claims/README.md#fs-eq9-leftover).
* Rotary positions need more than that: rotations that commute, [`fs-rotary-enough`](../claims/README.md#fs-rotary-enough). The scheme is ours, [`fs-rotary-scheme`](../claims/README.md#fs-rotary-scheme).
* Theorem 5.1 holds, [`fs-thm51`](../claims/README.md#fs-thm51). How large its "large constant" is, we computed: [`fs-thm51-c`](../claims/README.md#fs-thm51-c). In floating point its threshold 1/2 fails, [`fs-thm51-half`](../claims/README.md#fs-thm51-half), and so do large $M$, [`fs-thm51-range`](../claims/README.md#fs-thm51-range). Its logits are not literally Eq. 9: [`fs-thm51-eq9`](../claims/README.md#fs-thm51-eq9).
* **Not to be repeated:** that ordinary attention needs "exponentially many layers" for Match3. The work that is cited bounds **one** layer of limited size; for many layers it has a conjecture: [`fs-match3-layers`](../claims/README.md#fs-match3-layers), [`sanford-single-layer`](../claims/README.md#sanford-single-layer).

## In half a page

* RoPE turns queries and keys by position times frequency. It works since a common rotation changes no dot product, and angles add.
* A common rotation changes the trilinear score; in a plane it changes every score that is linear in three vectors, since a half turn reverses three signs. In space it leaves the **determinant**, and up to a factor that alone. A mirror changes its sign.
* Sarrus: two trilinear products of shifted copies, so two einsums. Chunks of three; left-overs are multiplied as they stand.
* Rotary triples: each chunk turns about **one fixed axis**. Axes that change with the position do not commute, and the offsets are lost.
* Match3: a determinant adds angles, a blank takes the softmax where nothing matches, and $c \sim M^2 \ln s$ makes it exact. Test on the hardest inputs; random ones flatter.

**Further reading.** The two papers above. Sanford, Hsu and Telgarsky, [arXiv:2306.02896](https://arxiv.org/abs/2306.02896), on Match2 and Match3. Strassen attention, [arXiv:2501.19215](https://arxiv.org/abs/2501.19215), another layer of pairs for such tasks.

**Next:** chapter 04, sliding windows, which make pairs affordable.
"""
