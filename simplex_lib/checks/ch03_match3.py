"""Exercise 3.5, the Match3 head: truth by exact arithmetic modulo M, mistakes, other algorithms.

Axes: b batch, i token, j and k the two others, s sequence length. M is called modulus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch03_common import determinants, parts
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

EXAMPLES = {(1, 2, 5, 3): [2, 2], (1, 3, 8, 60): [1, 2, 4]}  # of the statement


def match3_inputs(draw: Draw, *, b: int, s: int, modulus: int, twice_c: int) -> dict[str, Any]:
    """Rows in turn: any values, every pair misses by one, few values, one match."""
    if max(b, s) > 20:
        raise ValueError("this would take long")
    if (example := EXAMPLES.get((b, s, modulus, twice_c))) is not None:
        return dict(x=torch.tensor([example]), modulus=modulus, c=twice_c / 2)
    near = pow(3, -1, modulus) if modulus % 3 else 1
    rows = []
    for n in range(b):
        row = draw.integers(0, modulus, s)
        if n % 4 == 2:
            row = draw.integers(0, modulus, 2)[draw.integers(0, 2, s)]
        elif n % 4:
            row = torch.full((s,), near)
        if n % 4 == 3:
            row[-1] = -2 * near % modulus  # matches every pair of the others
            row[0] = (near + 1) % modulus
        rows.append(row)
    return dict(x=torch.stack(rows), modulus=modulus, c=twice_c / 2)


LABELS = (
    "You return answers, yes or no. Asked is the share itself, before it is compared with anything."
)


def ask_head(answer: Any, arguments: Mapping[str, Any]) -> Any:
    found = answer(*arguments.values())
    if isinstance(found, Tensor) and found.dtype == torch.bool:
        raise Rejected("labels", LABELS)
    if isinstance(found, Tensor) and _was_float32(found):
        raise Rejected(
            "float32 inside",
            "Your shares are float64, and each of them is a number that float32 can hold: "
            "somewhere on the way they were float32. A match and a near miss differ by "
            "c (1 − cos), which is small beside c itself: compute in float64 from the angles on.",
        )
    if isinstance(found, Tensor) and found.dtype in (torch.float32, torch.float16, torch.bfloat16):
        raise Rejected(
            "float32",
            f"Your shares are {str(found.dtype).removeprefix('torch.')}. A match and a near miss "
            "differ by c (1 − cos), which is small beside c itself: compute in float64 from the "
            "angles on.",
        )
    return found


def _was_float32(found: Tensor) -> bool:
    """Several numbers, and all that follows the 24th binary digit is 0 in each of them."""
    if found.dtype != torch.float64 or not torch.isfinite(found).all():
        return False
    plain = (found == found.half().double()) | (found.abs() < 1e-30)  # as 0.5 is in any case
    return int((~plain).sum()) >= 3 and bool(torch.equal(found, found.float().double()))


def truth_shares(x: Tensor, modulus: int, c: float) -> Tensor:
    out = torch.zeros(x.shape, dtype=torch.float64)
    for n, row in enumerate(x.tolist()):
        for i, first in enumerate(row):
            total = 0.0
            for second in row:
                for third in row:
                    miss = (first + second + third) % modulus
                    total += math.exp(c * (math.cos(2 * math.pi * miss / modulus) - 1))
            out[n, i] = total / (total + 1)
    return out


def vectors(
    x: Tensor, modulus: int, c: float, full: float = 2 * math.pi, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k1 and k2 of the paper's layout, (b, 1, s, 7), with a circle of `full`."""
    angle = (full * x.double() / modulus).to(dtype)
    cos, sin, o, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    q = [c * cos, c * sin, o, -c * sin, c * cos, o, c * one]
    k1 = [sin, cos, o, -sin, -cos, o, o]
    k2 = [o, o, cos, o, o, -sin, o]
    return (torch.stack(q, -1)[:, None], torch.stack(k1, -1)[:, None], torch.stack(k2, -1)[:, None])


def scores(x: Tensor, modulus: int, c: float, **change: Any) -> Tensor:
    """Of the real pairs: (b, i, j, k)."""
    return determinants(*vectors(x, modulus, c, **change))[:, 0]


def share(pairs: Tensor, *blank: float | Tensor) -> Tensor:
    """What the real pairs keep of one softmax over them and the blank ones."""
    pairs = pairs.flatten(2)
    more = [torch.as_tensor(n, dtype=pairs.dtype).expand(*pairs.shape[:2], 1) for n in blank]
    return torch.cat([pairs, *more], -1).softmax(-1)[..., : pairs.shape[-1]].sum(-1)


def angle_of(x: Tensor, modulus: int) -> tuple[Tensor, Tensor, Tensor]:
    """The angle of the query, of the first and of the second key."""
    angle = 2 * math.pi * x.double() / modulus
    return angle[:, :, None, None], angle[:, None, :, None], angle[:, None, None]


def of_angles(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer whose pairs score c times something else than the cosine of the three angles."""

    def answer(x: Tensor, modulus: int, c: float) -> Tensor:
        found = change(*angle_of(x, modulus))
        return share(c * found.expand(*x.shape, x.shape[1], x.shape[1]), c)

    return answer


def hidden(hides: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer that leaves pairs out; hides gets the positions i, j and k."""

    def answer(x: Tensor, modulus: int, c: float) -> Tensor:
        at = torch.arange(x.shape[1])
        out = hides(at[:, None, None], at[:, None], at)
        return share(scores(x, modulus, c).masked_fill(out, -math.inf), c)

    return answer


def wrong_no_blank(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c))


def wrong_blank_zero(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), 0.0)


def wrong_blank_unscaled(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), 1.0)


def wrong_pairs_unscaled(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, 1.0), c)


def wrong_unscaled(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, 1.0), 1.0)


def wrong_squared(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c * c), c * c)


def wrong_pairs_squared(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c * c), c)


def wrong_blank_squared(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), c * c)


def wrong_blank_token(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), c, *[0.0] * (2 * x.shape[1]))


def wrong_blank_for_each_key(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), *[c] * x.shape[1])


def wrong_blank_share(x: Tensor, modulus: int, c: float) -> Tensor:
    return 1 - share(scores(x, modulus, c), c)


def wrong_labels(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), c) > 0.3


def wrong_labels_as_numbers(x: Tensor, modulus: int, c: float) -> Tensor:
    return wrong_labels(x, modulus, c).double()


def wrong_limit(x: Tensor, modulus: int, c: float) -> Tensor:
    sums = x[:, :, None, None] + x[:, None, :, None] + x[:, None, None]
    matches = (sums % modulus == 0).flatten(2).sum(-1).double()
    return matches / (matches + 1)


def wrong_scaled(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c) / math.sqrt(7), c / math.sqrt(7))


def wrong_pairs_scaled(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c) / math.sqrt(7), c)


def wrong_permanent(x: Tensor, modulus: int, c: float) -> Tensor:
    plus, minus = parts(*vectors(x, modulus, c))
    return share((plus + minus)[:, 0], c)


def wrong_trilinear(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(torch.zeros(*x.shape, x.shape[1], x.shape[1], dtype=torch.float64), c)


def wrong_largest(x: Tensor, modulus: int, c: float) -> Tensor:
    best = scores(x, modulus, c).flatten(2).amax(-1)
    return torch.sigmoid(best - c)


def wrong_half_circle(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c, full=math.pi), c)


def wrong_no_circle(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c, full=1.0), c)


def wrong_degrees(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c, full=360.0), c)


def wrong_raw_numbers(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c, full=float(modulus)), c)


def wrong_modulus_less_one(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus - 1, c), c)


def wrong_overflow(x: Tensor, modulus: int, c: float) -> Tensor:
    pairs = scores(x, modulus, c).exp().sum((-1, -2))
    return pairs / (pairs + torch.tensor(c, dtype=torch.float64).exp())


def wrong_float32(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c, dtype=torch.float32), c)


def wrong_float32_inside(x: Tensor, modulus: int, c: float) -> Tensor:
    return wrong_float32(x, modulus, c).double()


def right_layout(x: Tensor, modulus: int, c: float) -> Tensor:
    return share(scores(x, modulus, c), c)


def right_angles(x: Tensor, modulus: int, c: float) -> Tensor:
    """The two determinants are the cosine of the sum."""
    total = sum(angle_of(x, modulus), torch.zeros((), dtype=torch.float64))
    logits = c * total.cos()
    return torch.sigmoid(logits.flatten(2).logsumexp(-1) - c)


MATCH3 = Exercise(
    id="3.5",
    title="The Match3 head",
    minutes=12,
    inputs=match3_inputs,
    sizes=(
        dict(b=1, s=2, modulus=5, twice_c=3),  # the two examples of the statement
        dict(b=1, s=3, modulus=8, twice_c=60),
        dict(b=8, s=6, modulus=17, twice_c=301),
        # exp of this c is larger than any float64, and float32 is not precise enough for it
        dict(b=4, s=7, modulus=997, twice_c=300_001),
        dict(
            b=4, s=5, modulus=8, twice_c=5
        ),  # last, since many mistakes give the same for a large c
    ),
    truth=truth_shares,
    outputs=("share: b i",),
    wrong=(
        Wrong(
            "no blank pair",
            wrong_no_blank,
            "Your shares are all 1: the real pairs have nobody to share with. Either the blank "
            "pair is missing from the softmax, or its value is 1 like that of the others.",
        ),
        Wrong(
            "blank pair scores 0",
            wrong_blank_zero,
            "Beside the real pairs the blank one scores c too little: 0 where a match scores c, or "
            "c where a match scores 2c because the seventh coordinate counts in real pairs too. It "
            "should score just what a match scores.",
        ),
        Wrong(
            "c not on the blank pair",
            wrong_blank_unscaled,
            "The real pairs are right, and the blank pair scores 1, without the factor c. The "
            "factor stands on the whole query, its seventh coordinate included.",
        ),
        Wrong(
            "c on the blank pair alone",
            wrong_pairs_unscaled,
            "The blank pair scores c, and the real pairs lack the factor: none of them can reach "
            "it. The factor stands on the whole query.",
        ),
        Wrong(
            "no c",
            wrong_unscaled,
            "The factor c is nowhere: a match scores 1, a miss only a little less, and the softmax "
            "does not choose.",
        ),
        Wrong(
            "c squared",
            wrong_squared,
            "The factor c is there twice, so that a match scores c². It stands on the query alone.",
        ),
        Wrong(
            "c squared on the real pairs",
            wrong_pairs_squared,
            "Real pairs score c² times a cosine and the blank pair c: a near miss beats it. The "
            "factor stands on the query alone, once.",
        ),
        Wrong(
            "c squared on the blank pair",
            wrong_blank_squared,
            "The real pairs are right, and the blank pair scores c², which no match can reach. The "
            "factor stands on the query alone.",
        ),
        Wrong(
            "blank as a token",
            wrong_blank_token,
            "A blank token was put among the keys, so besides the blank pair there are 2 s pairs "
            "of one blank and one real key. They score 0, and they take their share too: e⁰ each. "
            "In the paper's layout there is one blank pair for each query, and no such token.",
        ),
        Wrong(
            "blank pair for every key",
            wrong_blank_for_each_key,
            "There are s blank pairs for each query in your softmax. There should be one.",
        ),
        Wrong(
            "share of the blank pair",
            wrong_blank_share,
            "This is what the blank pair gets. Asked is the share of the real pairs.",
        ),
        Wrong("labels", wrong_labels, LABELS),
        Wrong("labels, as numbers", wrong_labels_as_numbers, LABELS),
        Wrong(
            "limit of a large c",
            wrong_limit,
            "These are β / (β + 1) for β matches, which the shares approach as c grows. For the c "
            "that is given the misses count as well, each for a little.",
        ),
        Wrong(
            "scaled",
            wrong_scaled,
            "All scores are divided by √7. Eq. 9 has no scale: how sharp the softmax is, c alone "
            "decides.",
        ),
        Wrong(
            "real pairs scaled",
            wrong_pairs_scaled,
            "The scores of the real pairs are divided by √7 and that of the blank pair is not, so "
            "no match can reach it. Eq. 9 has no scale.",
        ),
        Wrong(
            "all pairs alike",
            wrong_trilinear,
            "Every real pair scores 0 in your head. So it does if the seven coordinates are just "
            "multiplied, the trilinear way: wherever k2 has a number, q has 0.",
        ),
        Wrong(
            "first chunk only",
            of_angles(lambda x, y, z: (x + y).cos() * z.cos()),
            "Only the first determinant counts in your scores, cos(a + b) cos c′ for the angles of "
            "the three numbers. The second one makes it the cosine of their sum.",
        ),
        Wrong(
            "second chunk only",
            of_angles(lambda x, y, z: -(x + y).sin() * z.sin()),
            "Only the second determinant counts in your scores, −sin(a + b) sin c′ for the angles "
            "of the three numbers.",
        ),
        Wrong(
            "one key the wrong way round",
            wrong_permanent,
            "In your scores the angle of one key is taken off, where all three should be added. "
            "One sine with a wrong sign does that, and so does a determinant whose products all "
            "enter with a plus.",
        ),
        Wrong(
            "first key, first chunk exchanged",
            of_angles(lambda x, y, z: (y - x).sin() * z.cos() - (x + y).sin() * z.sin()),
            "The second determinant is right. In the first one, sine and cosine of the first key "
            "have changed places.",
        ),
        Wrong(
            "first key, both chunks exchanged",
            of_angles(lambda x, y, z: (y - x - z).sin()),
            "Sine and cosine of the first key have changed places, in both chunks: your scores are "
            "c sin(b − a − c′).",
        ),
        Wrong(
            "second chunk, sine of b − a",
            of_angles(lambda x, y, z: (x + y).cos() * z.cos() - (y - x).sin() * z.sin()),
            "The first determinant is right. In the second one a sign is wrong, and it holds "
            "sin(b − a) where sin(a + b) belongs. Has the sine of the query lost its minus there, "
            "or the cosine of the first key?",
        ),
        Wrong(
            "second chunk, sine of a − b",
            of_angles(lambda x, y, z: (x + y).cos() * z.cos() - (x - y).sin() * z.sin()),
            "The first determinant is right. In the second one a sign is wrong, and it holds "
            "sin(a − b) where sin(a + b) belongs. Has the cosine of the query got a minus there, "
            "or the sine of the first key lost its own?",
        ),
        Wrong(
            "query the wrong way round",
            of_angles(lambda x, y, z: (y + z - x).cos()),
            "Your scores are c cos(b + c′ − a), with the angle of the query taken off. Look at the "
            "signs of the sines.",
        ),
        Wrong(
            "scores with the wrong sign",
            of_angles(lambda x, y, z: -(x + y + z).cos()),
            "Every real pair has the wrong sign, so that a match scores lowest. Two rows of the "
            "determinants may have changed places.",
        ),
        Wrong(
            "sine for cosine",
            of_angles(lambda x, y, z: (x + y + z).sin()),
            "Your scores are c sin(a + b + c′): largest a quarter of a circle away from a match.",
        ),
        Wrong(
            "two numbers",
            of_angles(lambda x, y, z: (x + y).cos()),
            "Your scores do not depend on the second key: c cos(a + b). That is a match of two.",
        ),
        Wrong(
            "two keys",
            of_angles(lambda x, y, z: (y + z).cos()),
            "Your scores do not depend on the query: c cos(b + c′).",
        ),
        Wrong(
            "best pair only",
            wrong_largest,
            "Only the best real pair is compared with the blank one. The softmax runs over all of "
            "them, and many misses weigh something together.",
        ),
        Wrong(
            "half a circle",
            wrong_half_circle,
            "The angles are πx/M: the numbers go round half a circle only, so a sum of M is the "
            "worst miss and not a match.",
        ),
        Wrong(
            "no circle",
            wrong_no_circle,
            "The angles are x/M, without 2π: the numbers do not go round.",
        ),
        Wrong(
            "degrees",
            wrong_degrees,
            "The angles are 360 x/M, and the cosine takes them for radians.",
        ),
        Wrong(
            "numbers as angles",
            wrong_raw_numbers,
            "The numbers themselves are taken for angles: the modulus is never used.",
        ),
        Wrong(
            "circle of M − 1",
            wrong_modulus_less_one,
            "The circle has M − 1 places in your head, so 0 and M − 1 fall together. The numbers 0 "
            "to M − 1 are M.",
        ),
        Wrong(
            "causal",
            hidden(lambda i, j, k: (j > i) | (k > i)),
            "Each query sees only pairs up to its own position. Match3 has no mask: the future "
            "counts too.",
        ),
        Wrong(
            "no number twice",
            hidden(lambda i, j, k: (j == k) | (i < 0)),
            "Pairs of one token with itself are left out. Match3 allows j = k.",
        ),
        Wrong(
            "query left out",
            hidden(lambda i, j, k: (j == i) | (k == i)),
            "Pairs with the query itself are left out. Match3 allows j = i and k = i.",
        ),
        Wrong(
            "each pair once",
            hidden(lambda i, j, k: (j > k) | (i < 0)),
            "The pairs (j, k) and (k, j) count as one in your softmax. They are two.",
        ),
        Wrong(
            "overflow",
            wrong_overflow,
            "It is right for small c. Above 709 the exponential of c is larger than any float64, "
            "and infinity divided by infinity is NaN.",
        ),
        Wrong("float32", wrong_float32, "The shares are float32."),
        Wrong("float32 inside", wrong_float32_inside, "The shares were float32."),
    ),
    right=(
        Right("the seven coordinates", right_layout),
        Right("the cosine of the sum", right_angles),
    ),
    hints=(
        "Three things to build: the seven coordinates of q, k1 and k2; the scores of the pairs and "
        "of the blank one; and the softmax over all of them. Which entries of it are asked for?",
        "Stack the seven coordinates on a new last axis and give the result an axis for one head: "
        "then the logits of exercise 3.3 take it as it is. Flatten the pairs of a query and append "
        "one score, so that one softmax sees s² + 1.",
        "t = 2πx/M in float64; q = c · stack(cos, sin, 0, −sin, cos, 0, 1), k1 and k2 likewise; "
        "pairs = logits flattened to (b, s, s²); blank = the seventh coordinate of q, (b, s, 1); "
        "softmax of the two joined; sum all but the last.",
    ),
    why="A match scores c, exactly what the blank pair scores, and every miss less: so c need only "
    "be large enough for s² misses together to be worth less than one match.",
    another_way="the two determinants add up to the cosine of the three angles, so `sigmoid` of "
    "(the logsumexp of c · cos minus c) is the same share, without the seven coordinates. A "
    "network has no such shortcut: it has only products of what it projects.",
    variants=(),
    uses=("determinant_logits",),
    ask=ask_head,
    smallest=dict(modulus=2),
)
