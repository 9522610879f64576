"""Exercise 3.1, rotary positions for pairs: truth, mistakes, another algorithm.

Axes: b batch, h head, i position in the tensor, s sequence length, d head_dim, p plane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def pairs_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    if d % 2:
        raise ValueError("planes hold two coordinates")
    if (b, h, s, d) == (1, 1, 1, 4):  # the example of the statement
        return dict(
            x=torch.tensor([[[[1.0, 0, 2, 0]]]], dtype=torch.float64),
            positions=torch.tensor([2]),
            frequencies=torch.tensor([math.pi / 4, math.pi / 2], dtype=torch.float64),
        )
    positions = draw.integers(3, 30, s)
    positions[1:2] = -4  # whole numbers of any kind: negative, one of them twice, and 0
    positions[2:3] = positions[:1]
    positions[3:4] = 0
    return dict(
        x=draw.normal(b, h, s, d),
        positions=positions,
        frequencies=draw.uniform(0.1, 2.0, d // 2),
    )


def truth_pairs(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    b, h, s, d = x.shape
    out = torch.zeros_like(x)
    for n in range(b):
        for m in range(h):
            for i in range(s):
                row = x[n, m, i].tolist()
                for plane in range(d // 2):
                    angle = int(positions[i]) * float(frequencies[plane])
                    first, second = row[2 * plane], row[2 * plane + 1]
                    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
                    out[n, m, i, 2 * plane] = first * cos - second * sin
                    out[n, m, i, 2 * plane + 1] = first * sin + second * cos
    return out


def angles(positions: Tensor, frequencies: Tensor) -> Tensor:
    return positions[:, None] * frequencies.double()


def join(first: Tensor, second: Tensor) -> Tensor:
    """Neighbours again: (b, h, s, p) twice to (b, h, s, 2 p)."""
    return torch.stack([first, second], -1).flatten(-2)


def turn(x: Tensor, angle: Tensor, minus: float = -1, plus: float = 1) -> Tensor:
    """Neighbouring coordinates turned; minus and plus are the signs of the two sines."""
    cos, sin = angle.cos(), angle.sin()
    first, second = x[..., ::2], x[..., 1::2]
    return join(first * cos + minus * second * sin, plus * first * sin + second * cos).to(x.dtype)


def turn_halves(x: Tensor, angle: Tensor, way: float = 1) -> Tensor:
    """Coordinate l turned with coordinate l + d / 2."""
    cos, sin = angle.cos(), way * angle.sin()
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1).to(x.dtype)


def by_angle(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer whose only fault is its angles, (s, p), made of positions and frequencies."""

    def answer(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
        return turn(x, change(positions, frequencies))

    return answer


def wrong_halves(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn_halves(x, angles(positions, frequencies))


def wrong_halves_clockwise(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn_halves(x, angles(positions, frequencies), -1)


def wrong_halves_places(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn_halves(x, angles(torch.arange(len(positions)), frequencies))


def wrong_clockwise(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, -angles(positions, frequencies))


def wrong_clockwise_places(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, -angles(torch.arange(len(positions)), frequencies))


def wrong_not_woven(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    right = turn(x, angles(positions, frequencies))
    return torch.cat([right[..., ::2], right[..., 1::2]], -1)


def wrong_read_halves(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return join(*turn_halves(x, angles(positions, frequencies)).chunk(2, -1))


def wrong_two_plus(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, angles(positions, frequencies), minus=1)


def wrong_two_minus(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, angles(positions, frequencies), plus=-1)


def wrong_mirror(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    right = turn(x, -angles(positions, frequencies))
    return join(right[..., ::2], -right[..., 1::2])


def wrong_sine_for_cosine(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, math.pi / 2 - angles(positions, frequencies))


def wrong_cosine_only(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, angles(positions, frequencies), 0, 0)


def wrong_in_turn(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angle = angles(positions, frequencies)
    first = x[..., ::2] * angle.cos() - x[..., 1::2] * angle.sin()
    return join(first, first * angle.sin() + x[..., 1::2] * angle.cos()).to(x.dtype)


def wrong_second_row(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angle = angles(positions, frequencies)
    first, second, cos, sin = x[..., ::2], x[..., 1::2], angle.cos(), angle.sin()
    return join(first * cos - second * sin, first * cos + second * sin).to(x.dtype)


def wrong_zeros(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, angles(positions, frequencies)) * (positions != 0)[:, None]


def wrong_identity(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return x.clone()


def wrong_frequencies_twice(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angle = angles(positions, torch.cat([frequencies, frequencies]))
    other = join(-x[..., 1::2], x[..., ::2])
    return (x * angle.cos() + other * angle.sin()).to(x.dtype)


def wrong_halves_frequencies_twice(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angle = angles(positions, frequencies.repeat_interleave(2))
    first, second = x.chunk(2, -1)
    return (x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()).to(x.dtype)


def wrong_table(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    table = torch.arange(int(positions.max().clamp(min=0)) + 1)
    return turn(x, angles(table, frequencies)[positions])


def wrong_rounded(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return turn(x, positions[:, None] * frequencies)


def right_float32(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    angle = positions[:, None] * frequencies.to(wide)
    cos, sin = (y.repeat_interleave(2, -1) for y in (angle.cos(), angle.sin()))
    return (x * cos + join(-x[..., 1::2], x[..., ::2]) * sin).to(x.dtype)


def right_complex(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    planes = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    unit = torch.exp(1j * angles(positions, frequencies))
    return torch.view_as_real(planes * unit).flatten(-2).to(x.dtype)


PAIRS = Exercise(
    id="3.1",
    title="Rotary positions for pairs",
    minutes=8,
    inputs=pairs_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=4),  # the example of the statement
        dict(b=1, h=1, s=1, d=2),
        dict(b=1, h=2, s=3, d=4),
        dict(b=2, h=3, s=5, d=8),
    ),
    truth=truth_pairs,
    outputs=("turned: b h i d",),
    wrong=(
        Wrong(
            "clockwise",
            wrong_clockwise,
            "Every plane is turned by the right angle, the wrong way round: the minus stands "
            "before the other sine, or the angle has the wrong sign.",
        ),
        Wrong(
            "clockwise, places instead of positions",
            wrong_clockwise_places,
            "Two things at once. The angles count the places 0, 1, 2, ... in the tensor, and "
            "`positions` is never read; and they turn the wrong way round.",
        ),
        Wrong(
            "halves for neighbours",
            wrong_halves,
            "Your planes are made of coordinate l and coordinate l + d / 2, as some libraries do "
            "it. Here a plane holds two neighbours.",
        ),
        Wrong(
            "halves for neighbours, clockwise",
            wrong_halves_clockwise,
            "Two things at once. Your planes are made of coordinate l and coordinate l + d / 2, "
            "where neighbours are meant; and they turn the wrong way round.",
        ),
        Wrong(
            "halves for neighbours, places instead of positions",
            wrong_halves_places,
            "Two things at once. Your planes are made of coordinate l and coordinate l + d / 2, "
            "where neighbours are meant; and the angles count the places in the tensor, not "
            "`positions`.",
        ),
        Wrong(
            "not woven together",
            wrong_not_woven,
            "The numbers are right and in the wrong places: all first coordinates of the planes "
            "come first, then all second ones. They were neighbours, and should be again.",
        ),
        Wrong(
            "halves read, neighbours written",
            wrong_read_halves,
            "Coordinate l is turned with coordinate l + d / 2, and the two results are written "
            "side by side. Whatever belongs to a plane, read it and write it at the same places.",
        ),
        Wrong(
            "two plus signs",
            wrong_two_plus,
            "Both sines enter with a plus. A turn needs one minus: without it the vectors change "
            "their lengths.",
        ),
        Wrong(
            "two minus signs",
            wrong_two_minus,
            "Both sines enter with a minus. A turn has one minus and one plus: with two of a kind "
            "the vectors change their lengths.",
        ),
        Wrong(
            "mirrored",
            wrong_mirror,
            "The lengths are kept, and still this is no turn: each plane is mirrored. Try "
            "position 0, which should change nothing: yours flips every second coordinate.",
        ),
        Wrong(
            "sine and cosine exchanged",
            wrong_sine_for_cosine,
            "Sine and cosine have changed places. Try position 0: its angle is 0, and nothing "
            "should turn.",
        ),
        Wrong(
            "cosine only",
            wrong_cosine_only,
            "Each coordinate is multiplied by the cosine of its angle, and no sine is there: "
            "that shortens the vectors and turns none.",
        ),
        Wrong(
            "sine and cosine exchanged in the second coordinate",
            wrong_second_row,
            "The first coordinate of each plane is right. In the second one, sine and cosine have "
            "changed places.",
        ),
        Wrong(
            "second after first",
            wrong_in_turn,
            "The second coordinate of each plane is made from the first one already turned. Both "
            "need the old numbers.",
        ),
        Wrong("nothing turned", wrong_identity, "You return x as it came: nothing is turned."),
        Wrong(
            "places instead of positions",
            by_angle(lambda p, f: angles(torch.arange(len(p)), f)),
            "The angles count the places 0, 1, 2, ... in the tensor, and `positions` is never "
            "read. A token that is decoded alone stands at place 0 and at position 500, say.",
        ),
        Wrong(
            "counted from the first",
            by_angle(lambda p, f: angles(p - p[0], f)),
            "Your positions are counted from the first one given, so a tensor that begins at "
            "position 12 is turned as if it began at 0.",
        ),
        Wrong(
            "counted from 1",
            by_angle(lambda p, f: angles(p + 1, f)),
            "Every position is taken one too high: position 0 should turn nothing.",
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
            "zeros at position 0",
            wrong_zeros,
            "Vectors at position 0 have become zeros. Their angle is 0: they stay as they are.",
        ),
        Wrong(
            "positions in a table",
            wrong_table,
            "It is right for positions from 0 up. A negative one reads your table from its end, "
            "which is another position; no table is needed.",
        ),
        Wrong(
            "frequency without position",
            by_angle(lambda p, f: f.double().expand(len(p), -1)),
            "Every position is turned by the frequency alone: the position is missing from the "
            "angle.",
        ),
        Wrong(
            "position without frequency",
            by_angle(lambda p, f: angles(p, torch.ones_like(f))),
            "Every plane is turned by the position alone: the frequency is missing from the angle.",
        ),
        Wrong(
            "frequencies in reverse",
            by_angle(lambda p, f: angles(p, f.flip(0))),
            "The frequencies are used in reverse order: plane 0 is turned at the last one.",
        ),
        Wrong(
            "one frequency for all",
            by_angle(lambda p, f: angles(p, f[:1].expand_as(f))),
            "Every plane is turned at the first frequency. Each has one of its own.",
        ),
        Wrong(
            "own frequencies",
            by_angle(lambda p, f: angles(p, 10_000.0 ** -(torch.arange(len(f)).double() / len(f)))),
            "The frequencies 10,000 to the power −2l/d of the paper are used, and the argument "
            "`frequencies` is never read.",
        ),
        Wrong(
            "frequencies laid twice",
            wrong_frequencies_twice,
            "The planes are neighbours, and the frequencies are laid one list behind the other, "
            "which belongs to planes of halves: the two coordinates of a plane get different "
            "angles.",
        ),
        Wrong(
            "halves, frequencies doubled in place",
            wrong_halves_frequencies_twice,
            "Your planes are made of coordinate l and coordinate l + d / 2, and each frequency "
            "stands twice in a row, which belongs to planes of neighbours: the two coordinates of "
            "a plane get different angles.",
        ),
        Wrong(
            "degrees",
            by_angle(lambda p, f: angles(p, f) * math.pi / 180),
            "The angles are taken for degrees: they are 57 times too small.",
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
            "Every plane is turned by half its angle.",
        ),
        Wrong(
            "angles in bfloat16",
            wrong_rounded,
            "It is right in float64 and float32. With bfloat16 inputs the angles are bfloat16 as "
            "well: eight significant bits, so that an angle near 30 may be off by 0.06.",
        ),
    ),
    right=(
        Right("x cos + (−y, x) sin, angles in float32", right_float32),
        Right("complex numbers", right_complex),
    ),
    hints=(
        "One plane first: how does the point (x, y) move when it is turned by an angle a? Where "
        "does (1, 0) go, where (0, 1)?",
        "The angles are a table (s, d/2): positions down, frequencies across. The coordinates "
        "0, 2, 4, ... are the first ones of all planes, 1, 3, 5, ... the second ones.",
        "angle = positions as a column times frequencies as a row, in float64; first, second = "
        "every second coordinate from 0, from 1; stack [first cos − second sin, first sin + second "
        "cos] on a new last axis, and flatten it into the one before; dtype of x.",
    ),
    why="q is turned by i times the frequency, k by j times, and a dot product does not see what "
    "both have in common: i − j is left.",
    another_way="take each plane for one complex number and multiply it by e to the power i·angle: "
    "`torch.view_as_complex`. It is where turning and multiplying are the same word.",
    tolerance=2e-5,  # angles in float32 are allowed for float64 inputs too
    smallest=dict(d=2),
)
