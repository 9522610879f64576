"""Exercise 3.4, a rotary scheme for triples: mistakes, and several right schemes.

Axes: b batch, h head, s sequence length, d head_dim, p chunk. The properties that are asked stand
in `ch03_properties.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch03_pairs import angles
from simplex_lib.checks.ch03_pairs import turn as turn_planes
from simplex_lib.checks.ch03_properties import Asked, ask_triples
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong


def triples_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    if d % 3:
        raise ValueError("chunks hold three coordinates")
    if (b, h, s, d) == (1, 1, 1, 3):
        return example()
    vectors = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    positions = {f"positions_{name}": draw.integers(-9, 30, s) for name in vectors}
    for n, p in enumerate(positions.values()):
        p[0] = 5 + n  # not 0, so that counting from the first is seen
        p[1:2] = -6 - n
    return vectors | positions | dict(frequencies=draw.uniform(0.3, 1.5, d // 3))


def example() -> dict[str, Any]:
    """That of the statement; here only what must not change is asked."""
    rows = dict(q=[1, 0, 0], k1=[1, 0, 0], k2=[0, 0, 1])
    vectors = {name: torch.tensor([[[x]]], dtype=torch.float64) for name, x in rows.items()}
    positions = {f"positions_{name}": torch.tensor([int(name == "k1")]) for name in rows}
    return vectors | positions | dict(frequencies=torch.tensor([math.pi / 2]).double())


def truth_triples(**_: Any) -> float:
    """Of all properties together: nothing is left to say."""
    return 0.0


def turn_about(x: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues: chunks of x turned about unit axes (s or 1, p or 1, 3) by angles (s, p)."""
    v = x.double().unflatten(-1, (-1, 3))
    axis, cos, sin = axis.double().expand(v.shape), angle.cos()[..., None], angle.sin()[..., None]
    along = (v * axis).sum(-1, keepdim=True) * axis
    turned = v * cos + torch.linalg.cross(axis, v) * sin + along * (1 - cos)
    return turned.flatten(-2).to(x.dtype)


THIRD = torch.tensor([0.0, 0.0, 1.0])


def coordinates(x: Tensor, angle: Tensor) -> tuple[Tensor, ...]:
    """The first, second and third of every chunk, the cosine and the sine."""
    return x[..., ::3], x[..., 1::3], x[..., 2::3], angle.cos(), angle.sin()


def join(x: Tensor, *parts: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*parts), -1).flatten(-2).to(x.dtype)


def by_angle(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer whose only fault is its angles, (s, p), made of positions and frequencies."""

    def answer(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
        return turn_about(x, THIRD, change(positions, frequencies))

    return answer


def wrong_identity(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return x.clone()


def wrong_axis_in_turn(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    axis = torch.eye(3)[positions % 3][:, None]  # (s, 1, 3)
    return turn_about(x, axis, angles(positions, frequencies))


def wrong_axis_tilts(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    p = positions.double()
    axis = torch.stack([p.cos(), p.sin(), torch.zeros_like(p)], -1)[:, None]
    return turn_about(x, axis, angles(positions, frequencies))


def wrong_three_axes(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    for axis in torch.eye(3):
        x = turn_about(x, axis, angles(positions, frequencies))
    return x


def wrong_mirror(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    first, second, third, cos, sin = coordinates(x, angles(positions, frequencies))
    return join(x, first * cos + second * sin, first * sin - second * cos, third)


def wrong_two_plus(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    first, second, third, cos, sin = coordinates(x, angles(positions, frequencies))
    return join(x, first * cos + second * sin, first * sin + second * cos, third)


def wrong_in_turn(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    first, second, third, cos, sin = coordinates(x, angles(positions, frequencies))
    first = first * cos - second * sin
    return join(x, first, first * sin + second * cos, third)


def wrong_third_zero(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    first, second, third, cos, sin = coordinates(x, angles(positions, frequencies))
    return join(x, first * cos - second * sin, first * sin + second * cos, 0 * third)


def wrong_cosine(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return (x * angles(positions, frequencies).cos().repeat_interleave(3, -1)).to(x.dtype)


def wrong_added(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    _, _, third, cos, sin = coordinates(x, angles(positions, frequencies))
    return (x + join(x, sin, cos, 0 * third[:1, :1])).to(x.dtype)


def wrong_first_head(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    turned = turn_about(x[:, :1], THIRD, angles(positions, frequencies))
    return torch.cat([turned, x[:, 1:]], 1)


def wrong_first_batch(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    turned = turn_about(x[:1], THIRD, angles(positions, frequencies))
    return torch.cat([turned, x[1:]])


def wrong_planes_in_a_row(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    n = 2 * len(frequencies)
    turned = turn_planes(x[..., :n], angles(positions, frequencies))
    return torch.cat([turned, x[..., n:]], -1)


def wrong_interleaved(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    moved = x.unflatten(-1, (3, -1)).transpose(-1, -2).flatten(-2)
    turned = turn_about(moved, THIRD, angles(positions, frequencies))
    return turned.unflatten(-1, (-1, 3)).transpose(-1, -2).flatten(-2)


def wrong_first_chunk(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    turned = turn_about(x[..., :3], THIRD, angles(positions, frequencies[:1]))
    return torch.cat([turned, x[..., 3:]], -1)


def wrong_cyclic(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    order = (torch.arange(3) + positions[:, None]) % 3  # (s, 3)
    chunks = x.unflatten(-1, (-1, 3))
    return chunks.gather(-1, order[:, None].expand(chunks.shape)).flatten(-2)


def wrong_rounded(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn_about(x, THIRD, (positions[:, None] * frequencies).double())


def right_third_axis(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    first, second, third, cos, sin = coordinates(x, angles(positions, frequencies))
    return join(x, first * cos - second * sin, first * sin + second * cos, third)


def right_diagonal_axis(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    axis = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    return turn_about(x, axis, -angles(positions, frequencies))


def right_exponential(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """The matrix exponential of a skew matrix, with an axis a chunk."""
    turns = []
    for chunk, frequency in enumerate(frequencies.double()):
        axis = torch.eye(3, dtype=torch.float64)[chunk % 3]
        skew = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=torch.float64)).T
        matrices = torch.linalg.matrix_exp(positions[:, None, None] * frequency * skew)
        part = x[..., 3 * chunk : 3 * chunk + 3].double()
        turns.append(torch.einsum("sij,bhsj->bhsi", matrices, part))
    return torch.cat(turns, -1).to(x.dtype)


WRONG = (
    Wrong(
        "nothing turned",
        wrong_identity,
        "You return x as it came. Shifting all positions changes no logit then, and neither does "
        "anything else: the logits know nothing of positions.",
    ),
    Wrong(
        "axis changes with the position",
        wrong_axis_in_turn,
        "The axis depends on the position: p mod 3 chooses one of the three. Turns about different "
        "axes do not commute, so what two positions have in common does not cancel.",
    ),
    Wrong(
        "axis moves with the position",
        wrong_axis_tilts,
        "The axis goes round as the position grows. Turns about different axes do not commute, so "
        "what two positions have in common does not cancel.",
    ),
    Wrong(
        "three axes in a row",
        wrong_three_axes,
        "Each chunk is turned about its first axis, then about the second, then the third. That is "
        "one turn in the end, but its axis depends on the position, and such turns do not commute.",
    ),
    Wrong(
        "places instead of positions",
        by_angle(lambda p, f: angles(torch.arange(len(p)), f)),
        "The angles count the places 0, 1, 2, ... in the tensor, and `positions` is never read.",
    ),
    Wrong(
        "counted from the first",
        by_angle(lambda p, f: angles(p - p[0], f)),
        "Positions are counted from the first one given, for q, k1 and k2 each from its own. So "
        "the offset between a query and a key is lost.",
    ),
    Wrong(
        "share of the largest position",
        by_angle(lambda p, f: angles(p / p.max(), f)),
        "The positions are divided by the largest one. Then the angle of one position depends on "
        "which others are there.",
    ),
    Wrong(
        "first position for all",
        by_angle(lambda p, f: angles(p[:1].expand_as(p), f)),
        "Every vector is turned by the first of the positions. Each has its own.",
    ),
    Wrong(
        "last position for all",
        by_angle(lambda p, f: angles(p[-1:].expand_as(p), f)),
        "Every vector is turned by the last of the positions. Each has its own.",
    ),
    Wrong(
        "largest position for all",
        by_angle(lambda p, f: angles(p.max().expand_as(p), f)),
        "Every vector is turned by the largest of the positions. Each has its own.",
    ),
    Wrong(
        "positions in reverse",
        by_angle(lambda p, f: angles(p.flip(0), f)),
        "The positions are read in reverse order: the first vector gets the last one.",
    ),
    Wrong(
        "positions moved round",
        by_angle(lambda p, f: angles(p.roll(1), f)),
        "Every vector is turned by the position one place before its own.",
    ),
    Wrong(
        "first head only",
        wrong_first_head,
        "Only the first head is turned. The others know nothing of positions.",
    ),
    Wrong(
        "first batch only",
        wrong_first_batch,
        "Only the first sequence of the batch is turned. The others know nothing of positions.",
    ),
    Wrong(
        "size of the position",
        by_angle(lambda p, f: angles(p.abs(), f)),
        "Negative positions are turned as if they were positive.",
    ),
    Wrong(
        "no negative positions",
        by_angle(lambda p, f: angles(p.clamp(min=0), f)),
        "Negative positions are not turned at all, as if they were 0.",
    ),
    Wrong(
        "squared positions",
        by_angle(lambda p, f: angles(p * p, f)),
        "The angle grows with the square of the position, so equal offsets are unequal angles.",
    ),
    Wrong(
        "frequency without position",
        by_angle(lambda p, f: f.double().expand(len(p), -1)),
        "Every position is turned by the frequency alone: the position is missing from the angle.",
    ),
    Wrong(
        "position without frequency",
        by_angle(lambda p, f: angles(p, torch.ones_like(f))),
        "Every chunk is turned by the position alone: the frequency is missing from the angle.",
    ),
    Wrong(
        "one frequency for all",
        by_angle(lambda p, f: angles(p, f[:1].expand_as(f))),
        "Every chunk is turned at the first frequency. Each has one of its own.",
    ),
    Wrong(
        "frequencies in reverse",
        by_angle(lambda p, f: angles(p, f.flip(0))),
        "The frequencies are used in reverse order: chunk 0 is turned at the last one.",
    ),
    Wrong(
        "degrees",
        by_angle(lambda p, f: angles(p, f) * math.pi / 180),
        "The angles are taken for degrees: the frequencies are radians a position, so every "
        "chunk turns 57 times too slowly.",
    ),
    Wrong(
        "whole turns",
        by_angle(lambda p, f: angles(p, f) * 2 * math.pi),
        "The angles have a factor 2π too many: the frequencies are radians a position, not "
        "whole turns.",
    ),
    Wrong(
        "half the angle",
        by_angle(lambda p, f: angles(p, f) / 2),
        "Every chunk is turned by half its angle.",
    ),
    Wrong(
        "own frequencies",
        by_angle(lambda p, f: angles(p, 10_000.0 ** -(torch.arange(len(f)).double() / len(f)))),
        "The frequencies fall from 1 towards 1 in 10,000, as in the paper on rotary positions, and "
        "the argument `frequencies` is never read.",
    ),
    Wrong(
        "cyclic turn",
        wrong_cyclic,
        "Each chunk is moved round by p mod 3 places. That is a turn, by thirds of a circle: "
        "positions 0 and 3 look alike, and the frequencies are never read.",
    ),
    Wrong(
        "mirrored",
        wrong_mirror,
        "The lengths are kept, and still this is no turn: each chunk is mirrored as well, and a "
        "mirror changes the sign of a determinant.",
    ),
    Wrong(
        "two plus signs",
        wrong_two_plus,
        "Both sines enter with a plus. A turn needs one minus: without it the vectors change their "
        "lengths.",
    ),
    Wrong(
        "second after first",
        wrong_in_turn,
        "The second coordinate of each chunk is made from the first one already turned. Both need "
        "the old numbers.",
    ),
    Wrong(
        "third coordinate lost",
        wrong_third_zero,
        "The third coordinate of each chunk is 0 afterwards. It need not turn, but it must stay.",
    ),
    Wrong(
        "cosine only",
        wrong_cosine,
        "Each coordinate is multiplied by the cosine of its angle, and no sine is there: that "
        "shortens the vectors and turns none.",
    ),
    Wrong(
        "added",
        wrong_added,
        "Sine and cosine are added to the vectors. That is another way to mark positions; here "
        "they are turned.",
    ),
    Wrong(
        "planes in a row",
        wrong_planes_in_a_row,
        "The planes are the coordinates (0, 1), (2, 3), ... of the whole vector, as in exercise "
        "3.1. The plane (2, 3) has its feet in two chunks, and no determinant turns with it.",
    ),
    Wrong(
        "interleaved chunks",
        wrong_interleaved,
        "You turn the coordinates l, l + d/3 and l + 2d/3 together. A chunk of the determinant is "
        "three neighbours.",
    ),
    Wrong(
        "first chunk only",
        wrong_first_chunk,
        "Only the first three coordinates are turned. The other chunks know nothing of positions.",
    ),
    Wrong(
        "angles in bfloat16",
        wrong_rounded,
        "It is right in float64 and float32. With bfloat16 inputs the angles are bfloat16 as well: "
        "eight significant bits, so that an angle near 30 may be off by 0.06, and one near 1,000 "
        "by 2.",
    ),
)


def known(asked: Asked) -> Rejected | None:
    """The mistake that turns q, k1 and k2 as the answer does, here and 7 positions on."""
    limit = 3e-2 if asked.dtype == torch.bfloat16 else 1e-4
    size = max(1.0, *(float(x.abs().max()) for x in asked.vectors))
    calls = [
        (x, p + by, found)
        for by in (0, 7)
        for x, p, found in zip(
            asked.vectors, asked.positions, asked.turned((by, by, by)), strict=True
        )
    ]
    for wrong in WRONG:
        theirs = ((wrong.answer(x, p, asked.frequencies), found) for x, p, found in calls)
        if all(float((a - b).abs().max()) < limit * size for a, b in theirs):
            return Rejected(wrong.name, wrong.sentence(None))
    return None


def ask(answer: Any, arguments: Mapping[str, Any]) -> float:
    return ask_triples(answer, arguments, known)


TRIPLES = Exercise(
    id="3.4",
    title="Rotary positions for triples",
    minutes=12,
    inputs=triples_inputs,
    sizes=(
        dict(b=2, h=3, s=5, d=12),  # the largest first: there no mistake looks like another
        dict(b=1, h=1, s=1, d=3),  # the example of the statement
        dict(b=1, h=1, s=2, d=3),
        dict(b=1, h=2, s=4, d=9),
    ),
    truth=truth_triples,
    outputs=("what is left to say",),
    wrong=WRONG,
    right=(
        Right("about the third axis", right_third_axis),
        Right("about the diagonal, the other way round", right_diagonal_axis),
        Right("matrix exponentials, an axis for each chunk", right_exponential),
    ),
    hints=(
        "In exercise 3.1 two turns in one plane cancelled, since they commute. Which turns in "
        "space commute with each other?",
        "Choose one axis for all positions. The simplest is a coordinate axis: then two "
        "coordinates of each chunk turn as in exercise 3.1, and the third stands still.",
        "angle = positions as a column times frequencies as a row, in float64; first, second, "
        "third = every third coordinate from 0, 1, 2; stack [first cos − second sin, first sin + "
        "second cos, third] on a new last axis, and flatten it into the one before; dtype of x.",
    ),
    why="Each chunk turns about one axis, whatever the position, so the common part of i, j and k "
    "is one turn of all three rows, and no determinant sees that: it sees j − i and k − i.",
    another_way="any fixed axis will do, and each chunk may have its own: "
    "`torch.linalg.matrix_exp` of the angle times a skew matrix turns about it.",
    ask=ask,
    smallest=dict(d=3, s=2),
    same_dtype=False,
)
