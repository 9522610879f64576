"""Tests that find faults in attention over pairs: each takes one, and returns how far off it is.

The number is a relative error, rounding for code that is right. Only calls and gradients are used,
nothing inside, so a kernel could be asked the same. Only `forward_alone` compares with another
implementation; the others compare an attention with itself, or with what must be true of it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from simplex_lib.faults.attention import PairAttention

TOLERANCE = 1e-6  # of a test; finite differences in float64 are good to about 1e-9


def draw(b: int, h: int, g: int, s: int, d: int = 3) -> list[Tensor]:
    """q, k1, k2, v1, v2: standard normal numbers in float64, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    heads = (h, g, g, g, g)
    return [torch.randn(b, n, s, d, generator=generator).double() for n in heads]


def off(got: Tensor, expected: Tensor) -> float:
    """The length of the difference over the length of what is expected."""
    return float((got - expected).norm() / expected.norm())


def noise(x: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=generator).to(x.dtype)


def back(attention: PairAttention, inputs: list[Tensor], dout: Tensor | None = None, **call):
    """out and the five gradients, for the dout that is given, else for out itself."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = attention(*leaves, **call)
    return out.detach(), torch.autograd.grad(out, leaves, out.detach() if dout is None else dout)


def damage(attention: PairAttention, **constants: float | None) -> list[float]:
    """How far off out, dq, dk1, dk2, dv1 and dv2 are: two texts of 24, four heads that share two.

    No finder: it asks the right attention, which nobody has who writes the first one.
    """
    inputs = draw(b=2, h=4, g=2, s=24, d=8)
    dout, call = noise(inputs[0], seed=1), dict(w1=12, w2=5, **constants)
    got, right = (back(asked, inputs, dout, **call) for asked in (attention, PairAttention()))
    return [off(got[0], right[0]), *map(off, got[1], right[1])]


def forward_alone(attention: PairAttention) -> float:
    """The output, one key head, against loops over the pairs: a suite without a backward test."""
    q, k1, k2, v1, v2 = draw(b=2, h=2, g=1, s=6)
    expected = torch.zeros_like(q)
    for b, h, i in torch.cartesian_prod(*(torch.arange(n) for n in (2, 2, 6))).tolist():
        first, second = range(max(0, i - 2), i + 1), range(max(0, i - 1), i + 1)
        pairs = [(j, k) for j in first for k in second]
        logits = [(q[b, h, i] * k1[b, 0, j] * k2[b, 0, k]).sum() / 3**0.5 for j, k in pairs]
        values = [v1[b, 0, j] * v2[b, 0, k] for j, k in pairs]
        expected[b, h, i] = torch.stack(logits).softmax(0) @ torch.stack(values)
    return off(attention(q, k1, k2, v1, v2, w1=3, w2=2), expected)


def small_slopes(attention: PairAttention) -> float:
    """Each gradient against finite differences: one text, one head, one tile."""
    return slopes(attention, b=1, h=1, g=1, s=4)


def slopes(attention: PairAttention, *, b: int = 2, h: int = 4, g: int = 2, s: int = 10) -> float:
    """The same for two texts, four heads that share two, and several tiles."""
    inputs, step, worst = draw(b, h, g, s), 1e-5, 0.0
    dout = noise(inputs[0], seed=1)
    for n, grad in enumerate(back(attention, inputs, dout, w1=5, w2=3)[1]):
        direction = noise(grad, seed=n)
        ahead, behind = ([*inputs] for _ in range(2))
        ahead[n], behind[n] = inputs[n] + step * direction, inputs[n] - step * direction
        moved = attention(*ahead, w1=5, w2=3) - attention(*behind, w1=5, w2=3)
        worst = max(worst, off((grad * direction).sum(), (moved * dout).sum() / (2 * step)))
    return worst


def row_sums(attention: PairAttention) -> Tensor:
    """What the probabilities of each row sum to, as each backward kernel has them: (2, s).

    With values of 1, and a gradient that arrives at query i in coordinate i alone, column i of dv1
    is what row i of the probabilities gives to each first key. In the same way dv2.
    """
    q, k1, k2, _, _ = draw(b=1, h=1, g=1, s=48, d=32)
    v1, v2 = (torch.ones(1, 1, 48, 48).double().requires_grad_() for _ in range(2))
    out = attention(q, k1, k2, v1, v2, w1=48, w2=48)
    dv1, dv2 = torch.autograd.grad(out, (v1, v2), torch.eye(48).double()[None, None])
    return torch.stack([dv1.sum(-2), dv2.sum(-2)]).reshape(2, 48)


def rows_sum_to_one(attention: PairAttention) -> float:
    """The largest distance of a sum of probabilities from 1, in either backward kernel."""
    return float((row_sums(attention) - 1).abs().max())


def three_sums(attention: PairAttention) -> float:
    """Sums that must agree: q dq = k1 dk1 = k2 dk2, and v1 dv1 = v2 dv2 = out dout.

    Stretch q, k1 or k2 by one factor, and the logits stretch alike, so the loss moves alike;
    stretch v1 or v2, and the output does. Two texts, four heads that share two, several tiles.
    """
    inputs = draw(b=2, h=4, g=2, s=12)
    out, grads = back(attention, inputs, w1=8, w2=3)
    products = [x * dx for x, dx in zip(inputs, grads, strict=True)]
    of_logits, of_values = products[:3], [*products[3:], out * out]
    worst = 0.0
    for alike in (of_logits, of_values):
        sums = torch.stack([x.sum() for x in alike])
        worst = max(worst, float((sums.max() - sums.min()) / alike[-1].abs().sum()))
    return worst


def texts_one_by_one(attention: PairAttention) -> float:
    """The gradients of two texts together against those of each alone."""
    inputs = draw(b=2, h=1, g=1, s=6)
    together = back(attention, inputs, w1=3, w2=2)[1]
    alone = [back(attention, [x[[text]] for x in inputs], w1=3, w2=2)[1] for text in (0, 1)]
    return max(map(off, together, map(torch.cat, zip(*alone, strict=True))))


def heads_one_by_one(attention: PairAttention) -> float:
    """Four query heads that share two key heads, against each query head with its own alone."""
    q, *keys = draw(b=1, h=4, g=2, s=6)
    alone = [attention(q[:, [h]], *(x[:, [h // 2]] for x in keys), w1=3, w2=2) for h in range(4)]
    return off(attention(q, *keys, w1=3, w2=2), torch.cat(alone, 1))


def constants_added(attention: PairAttention) -> float:
    """Constants that are asked for, against the same constants added by the caller."""
    q, k1, k2, v1, v2 = draw(b=1, h=1, g=1, s=6)
    asked = attention(q, k1, k2, v1, v2, w1=3, w2=2, k2_constant=1 / 3, v2_constant=1.0)
    return off(asked, attention(q, k1, k2 + 1 / 3, v1, v2 + 1, w1=3, w2=2))


def window_edges(attention: PairAttention) -> float:
    """Move the keys just outside the windows of the last query: its output must stay.

    1.0 if it stays too when the oldest keys inside are moved.
    """
    inputs, w1, w2 = draw(b=1, h=1, g=1, s=8), 3, 2

    def moved(outside: int) -> float:
        changed = [x.clone() for x in inputs]
        for x, w in zip(changed[1:], (w1, w2, w1, w2), strict=True):
            x[:, :, 7 - w + 1 - outside] += 1
        before, after = (attention(*x, w1=w1, w2=w2)[:, :, 7] for x in (inputs, changed))
        return off(after, before)

    return moved(1) if moved(0) else 1.0


FINDERS: tuple[Callable[[PairAttention], float], ...] = (
    forward_alone,
    window_edges,
    constants_added,
    heads_one_by_one,
    texts_one_by_one,
    rows_sum_to_one,
    three_sums,
    small_slopes,
    slopes,
)
