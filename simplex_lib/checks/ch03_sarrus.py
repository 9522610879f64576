"""Exercise 3.3, Sarrus as two einsums: mistakes, other algorithms, and the largest tensor.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_memory import MemoryMeter
from simplex_lib.checks.ch03_common import (
    cyclic,
    determinants,
    interleaved,
    parts,
    product,
    rest,
    truth_determinants,
    whole,
)
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong


def sarrus_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    if d < 3:
        raise ValueError("there is at least one chunk")
    if (b, h, s, d) == (1, 1, 1, 5):  # the example of the statement
        rows = dict(q=[1, 0, 0, 2, 1], k1=[0, 1, 0, 3, 1], k2=[0, 0, 1, 1, 4])
        return {name: torch.tensor([[[x]]], dtype=torch.float64) for name, x in rows.items()}
    return {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}


def ask_metered(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls the answer and refuses a tensor larger than the result, where s is large enough."""
    with MemoryMeter() as meter:
        found = answer(*arguments.values())
    b, h, s, _ = arguments["q"].shape
    if s >= 12 and meter.largest_numbers > b * h * s**3:
        raise Rejected(
            "larger than the result",
            f"A tensor of shape {meter.largest} is made while your answer runs, "
            f"{meter.largest_numbers:,} numbers. The result has {b * h * s**3:,} for s = {s}, and "
            "nothing here needs to be larger than that: no matrix and no vector for each triple.",
        )
    return found


def left_over(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return product(rest(q), rest(k1), rest(k2))


def of_parts(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer made of the positive part, the negative part and the coordinates left over."""

    def answer(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
        return change(*parts(q, k1, k2), left_over(q, k1, k2))

    return answer


def wrong_trilinear(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return product(q, k1, k2)


def wrong_same_way(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one = product(whole(q), cyclic(k1, 1), cyclic(k2, 1))
    return one - product(whole(q), cyclic(k1, 2), cyclic(k2, 2)) + left_over(q, k1, k2)


def wrong_one_key_turned(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one = product(whole(q), cyclic(k1, 1), whole(k2))
    return one - product(whole(q), whole(k1), cyclic(k2, 1)) + left_over(q, k1, k2)


def _rolled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one = product(q, k1.roll(-1, -1), k2.roll(-2, -1))
    return one - product(q, k1.roll(-2, -1), k2.roll(-1, -1))


def wrong_rolled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _rolled(whole(q), whole(k1), whole(k2)) + left_over(q, k1, k2)


def wrong_rolled_with_rest(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _rolled(q, k1, k2)


def wrong_interleaved(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    found = determinants(interleaved(q), interleaved(k1), interleaved(k2))
    return found + left_over(q, k1, k2)


def wrong_rest_in_front(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    cut = q.shape[-1] % 3
    found = determinants(q[..., cut:], k1[..., cut:], k2[..., cut:])
    return found + product(q[..., :cut], k1[..., :cut], k2[..., :cut])


def wrong_first_chunk(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first = determinants(q[..., :3], k1[..., :3], k2[..., :3])
    return first + left_over(q, k1, k2)


def wrong_rest_is_all_but_three(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first = determinants(q[..., :3], k1[..., :3], k2[..., :3])
    return first + product(q[..., 3:], k1[..., 3:], k2[..., 3:])


def wrong_rest_as_dots(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one = (rest(q) @ rest(k1).transpose(-1, -2))[..., :, :, None]
    return determinants(q, k1, k2) + one + (rest(q) @ rest(k2).transpose(-1, -2))[..., :, None, :]


def wrong_keys_exchanged(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return right_einsums(q, k2, k1)


def wrong_axes_exchanged(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return right_einsums(q, k1, k2).transpose(-1, -2)


def wrong_one_position(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return right_einsums(q, k1, k2).diagonal(dim1=-2, dim2=-1)


def wrong_scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return right_einsums(q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_vectors(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    keys = cyclic(k1, 1)[:, :, :, None] * cyclic(k2, 2)[:, :, None]
    keys = keys - cyclic(k1, 2)[:, :, :, None] * cyclic(k2, 1)[:, :, None]
    vectors = whole(q)[:, :, :, None, None] * keys[:, :, None]
    return vectors.sum(-1) + left_over(q, k1, k2)


def right_einsums(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2) + left_over(q, k1, k2)


def right_one_einsum(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """Vectors twice as long, the left-over coordinates once."""
    return product(
        torch.cat([whole(q), -whole(q), rest(q)], -1),
        torch.cat([cyclic(k1, 1), cyclic(k1, 2), rest(k1)], -1),
        torch.cat([cyclic(k2, 2), cyclic(k2, 1), rest(k2)], -1),
    )


def right_cross(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first, second = (whole(x).unflatten(-1, (-1, 3)) for x in (k1[:, :, :, None], k2[:, :, None]))
    crossed = torch.linalg.cross(first, second).flatten(-2)  # (b, h, j, k, d)
    return torch.einsum("bhid,bhjkd->bhijk", whole(q), crossed) + left_over(q, k1, k2)


SARRUS = Exercise(
    id="3.3",
    title="Sarrus as two einsums",
    minutes=12,
    inputs=sarrus_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=5),  # the example of the statement
        dict(b=1, h=1, s=2, d=3),
        dict(b=1, h=2, s=3, d=5),
        dict(b=1, h=2, s=4, d=9),
        dict(b=1, h=2, s=14, d=7),  # large enough to tell a result from something larger
        dict(b=2, h=3, s=5, d=11),
    ),
    truth=truth_determinants,
    outputs=("logits: b h i j k",),
    wrong=(
        Wrong(
            "left over not counted",
            of_parts(lambda plus, minus, _: plus - minus),
            "The determinants are right. The coordinates left over at the end count for nothing: "
            "they are dropped, or filled up with zeros to a chunk without volume, or stand in both "
            "einsums and cancel.",
        ),
        Wrong(
            "left over taken off",
            of_parts(lambda plus, minus, more: plus - minus - more),
            "The determinants are right, and the product of the coordinates left over is taken "
            "off. It belongs to the part that enters with a plus.",
        ),
        Wrong(
            "left over twice",
            of_parts(lambda plus, minus, more: plus - minus + 2 * more),
            "The determinants are right, and the product of the coordinates left over is counted "
            "twice.",
        ),
        Wrong(
            "left over as dot products",
            wrong_rest_as_dots,
            "The determinants are right. For the coordinates left over you add q · k1 and q · k2; "
            "all three numbers of a coordinate should be multiplied.",
        ),
        Wrong(
            "left over in front",
            wrong_rest_in_front,
            "The coordinates left over are taken from the front in your numbers, so every chunk "
            "begins too late. The chunks begin at coordinate 0.",
        ),
        Wrong(
            "first chunk",
            wrong_first_chunk,
            "Only the first chunk and the coordinates left over at the end count in your numbers. "
            "Every chunk of three has a determinant.",
        ),
        Wrong(
            "first chunk, all else left over",
            wrong_rest_is_all_but_three,
            "Only the first chunk is a determinant in your numbers: all other coordinates are "
            "multiplied as if they were left over. At most two are.",
        ),
        Wrong(
            "permanent",
            of_parts(lambda plus, minus, more: plus + minus + more),
            "The two products are right and you add them: that is the permanent. The second one is "
            "taken off.",
        ),
        Wrong(
            "first product only",
            of_parts(lambda plus, minus, more: plus + more),
            "The three products with a plus are there, and the three that are taken off are not: "
            "the second einsum is missing.",
        ),
        Wrong(
            "second product only",
            of_parts(lambda plus, minus, more: minus + more),
            "These are the three products that should be taken off. Those with a plus are missing.",
        ),
        Wrong(
            "second product only, taken off",
            of_parts(lambda plus, minus, more: more - minus),
            "The three products that are taken off are there, and the three with a plus are not.",
        ),
        Wrong(
            "signs exchanged",
            of_parts(lambda plus, minus, more: minus - plus + more),
            "The determinants have the wrong sign: the two products have changed places, or the "
            "two keys have.",
        ),
        Wrong(
            "wrong sign",
            of_parts(lambda plus, minus, more: minus - plus - more),
            "Every number has the wrong sign, the coordinates left over included.",
        ),
        Wrong(
            "no turning",
            wrong_trilinear,
            "These are the trilinear logits: no coordinate of the keys has moved. In a determinant "
            "no coordinate ever meets itself.",
        ),
        Wrong(
            "both keys turned the same way",
            wrong_same_way,
            "In both products k1 and k2 are turned alike, so that the coordinates 2 of both keys "
            "meet. In each of the six products of a determinant all three numbers come from "
            "different coordinates.",
        ),
        Wrong(
            "one key turned",
            wrong_one_key_turned,
            "In each of your two products one key is turned and the other is not, so that it meets "
            "q in the same coordinate. In a determinant all three come from different ones.",
        ),
        Wrong(
            "turned across chunks",
            wrong_rolled,
            "The coordinates are moved along the whole vector, so the last one of a chunk comes "
            "from the next chunk. Each chunk turns in itself.",
        ),
        Wrong(
            "turned across chunks, left over as well",
            wrong_rolled_with_rest,
            "The coordinates are moved along the whole vector, and those left over at the end move "
            "with them. Each chunk turns in itself, and what is left over stays.",
        ),
        Wrong(
            "interleaved chunks",
            wrong_interleaved,
            "Your chunk l holds the coordinates l, l + p and l + 2p, with p chunks in all. A chunk "
            "is three neighbours.",
        ),
        Wrong(
            "keys exchanged",
            wrong_keys_exchanged,
            "Your number for the pair (j, k) reads k2 at j and k1 at k: the fourth axis runs over "
            "the keys of k2 and the fifth over those of k1.",
        ),
        Wrong(
            "axes exchanged",
            wrong_axes_exchanged,
            "The numbers are right and two axes have changed places: your number for the pair "
            "(j, k) belongs to the pair (k, j).",
        ),
        Wrong(
            "one position",
            wrong_one_position,
            "Both keys carry the same letter in your sums, so only the pairs (j, j) are scored. "
            "There are as many pairs as combinations of j and k.",
        ),
        Wrong(
            "scaled",
            wrong_scaled,
            "The logits are right, and then they are divided by √d. Eq. 9 has no such factor.",
        ),
        Wrong("larger than the result", wrong_vectors, "A tensor is larger than the result."),
    ),
    right=(
        Right("two einsums", right_einsums),
        Right("one einsum of longer vectors", right_one_einsum),
        Right("cross products of the keys", right_cross),
    ),
    hints=(
        "Write out the six products of a 3 by 3 determinant. Three have a plus: in what order do "
        "the coordinates of k1 and of k2 stand in them, if those of q stand as 1, 2, 3?",
        "Each group of three is one trilinear product of q with a copy of k1 and a copy of k2, "
        "turned inside every chunk. A chunk of its own axis, (…, d/3, 3), can be rolled alone.",
        "cut every vector into its whole chunks and the rest; turned(x, n) = unflatten into "
        "(−1, 3), roll the last axis by −n, flatten; einsum of q, turned(k1, 1), turned(k2, 2) "
        "minus einsum of q, turned(k1, 2), turned(k2, 1); plus einsum of the three rests.",
    ),
    why="Two products where the trilinear score has one: a determinant head costs about twice as "
    "much, and every trick for the trilinear one works for it, windows and kernels included.",
    another_way="one einsum of vectors twice as long: (q, −q) with (k1 turned by 1, by 2) and (k2 "
    "turned by 2, by 1). So a determinant head is a trilinear head with other projections.",
    ask=ask_metered,
    smallest=dict(d=3),
)
