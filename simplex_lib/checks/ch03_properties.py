"""What a rotary scheme for triples must do, asked of an answer: any scheme that does it is right.

Read from the bottom: `ask_triples` asks one property after the other.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch03_common import determinants
from simplex_lib.checks.exercise import Rejected

Answer = Callable[[Tensor, Tensor, Tensor], Any]
NAMES = ("q", "k1", "k2")
SHIFTS = (7, -40, 1000)
# of logits, relative to the largest: angles in float32 are allowed, and 1,000 radians are asked
CLOSE = {torch.float64: 2e-3, torch.float32: 2e-3, torch.bfloat16: 5e-2}
MOVES = 1e-6  # less is no change
STILL = 1e-4  # of vectors, relative to the largest coordinate; more is a change
TURNS = (12, 360)  # positions that make a whole turn, where the rate is asked


class Asked:
    """An answer and the inputs of a case, with every position that is asked."""

    def __init__(self, answer: Answer, arguments: Mapping[str, Any]):
        self.answer = answer
        self.vectors = tuple(arguments[name] for name in NAMES)
        self.positions = tuple(arguments[f"positions_{name}"] for name in NAMES)
        self.frequencies: Tensor = arguments["frequencies"]
        self.dtype = self.vectors[0].dtype
        self.copies = tuple(x.clone() for x in (*self.vectors, self.frequencies))

    @cached_property
    def unturned(self) -> Tensor:
        return self.logits(self.vectors)

    @cached_property
    def allowed(self) -> float:
        return CLOSE[self.dtype] * max(1.0, float(self.unturned.abs().max()))

    def turned_q(self, positions: Tensor, frequencies: Tensor | None = None) -> Tensor:
        """q alone, at these positions."""
        f = self.frequencies if frequencies is None else frequencies
        return self._require(self.answer(self.vectors[0], positions, f), positions)

    def turned(
        self, by: tuple[int, int, int] = (0, 0, 0), frequencies: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        moved = tuple(p + n for p, n in zip(self.positions, by, strict=True))
        return self.turned_at(moved, self.frequencies if frequencies is None else frequencies)

    def turned_at(
        self, positions: tuple[Tensor, ...], frequencies: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        f = self.frequencies if frequencies is None else frequencies
        found = (self.answer(x, p, f) for x, p in zip(self.vectors, positions, strict=True))
        return tuple(self._require(y, p) for y, p in zip(found, positions, strict=True))

    def _require(self, found: Any, positions: Tensor) -> Tensor:
        x = self.vectors[0]
        if found is None:
            raise Rejected("none", "Your answer returns None. Is a return statement missing?")
        if not isinstance(found, Tensor):
            raise Rejected(
                "type", f"The turned vectors should be a tensor; yours are {type(found).__name__}."
            )
        if found.shape != x.shape:
            raise Rejected(
                "shape",
                f"The turned vectors should have the shape of x, {tuple(x.shape)}; yours have "
                f"{tuple(found.shape)}.",
            )
        if found.dtype != x.dtype:
            raise Rejected(
                "dtype",
                f"The turned vectors should have the dtype of x, {_short(x.dtype)}; yours have "
                f"{_short(found.dtype)}.",
            )
        if not torch.isfinite(found).all():
            bad = int((~torch.isfinite(found)).sum())
            raise Rejected(
                "nan",
                f"With the positions {positions.tolist()}, {bad} of {found.numel()} numbers are "
                "NaN or infinite.",
            )
        return found

    def logits(self, vectors: tuple[Tensor, ...], chunk: int | None = None) -> Tensor:
        part = slice(None) if chunk is None else slice(3 * chunk, 3 * chunk + 3)
        q, k1, k2 = (x[..., part].double() for x in vectors)
        return determinants(q, k1, k2)

    def change(self, before: tuple[Tensor, ...], after: tuple[Tensor, ...], chunk: int) -> Tensor:
        """(b, h): the most that a determinant of this chunk changes."""
        change = self.logits(after, chunk) - self.logits(before, chunk)
        return change.abs().flatten(2).amax(-1)

    def unchanged(self) -> bool:
        """False where the answer wrote into what it was given: the guard says so."""
        given = (*self.vectors, self.frequencies)
        return all(torch.equal(x, y) for x, y in zip(given, self.copies, strict=True))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def keeps_lengths(asked: Asked) -> Rejected | None:
    limit = 3e-2 if asked.dtype == torch.bfloat16 else 1e-4
    for name, before, after, positions in zip(
        NAMES, asked.vectors, asked.turned(), asked.positions, strict=True
    ):
        old, new = before.double().norm(dim=-1), after.double().norm(dim=-1)
        wrong = (new - old).abs() > limit * (1 + old)
        if wrong.any():
            at = tuple(map(int, wrong.nonzero()[0]))
            return Rejected(
                "lengths change",
                f"A vector of length {old[at]:.3f}, {name} at position {int(positions[at[2]])}, "
                f"has length {new[at]:.3f} afterwards. Turning keeps lengths.",
            )
    return None


def same_position_changes_nothing(asked: Asked) -> Rejected | None:
    for p in (0, 6, -11):
        here = tuple(torch.full_like(x, p) for x in asked.positions)
        at, old, new = _largest(asked.unturned, asked.logits(asked.turned_at(here)))
        if abs(new - old) > asked.allowed:
            return Rejected(
                "same position",
                f"With q, k1 and k2 all at position {p}, the logit of {at} is {new:.3f}, and "
                f"{old:.3f} where nothing is turned. What turns three vectors together should "
                "change no determinant.",
            )
    return None


def shift_changes_nothing(asked: Asked) -> Rejected | None:
    before = asked.logits(asked.turned())
    for n in SHIFTS:
        at, old, new = _largest(before, asked.logits(asked.turned((n, n, n))))
        if abs(new - old) > asked.allowed:
            return Rejected(
                "shift",
                f"Add {n:,} to the positions of q, k1 and k2, and the logit of {at} goes from "
                f"{old:.3f} to {new:.3f}. All offsets are what they were, so it should stay.",
            )
    return None


def each_position_turns_its_own_vector(asked: Asked) -> Rejected | None:
    """In every batch and head; q stands for all, since an answer does not know which it gets."""
    p = asked.positions[0]
    before = asked.turned_q(p)
    limit = STILL * max(1.0, float(asked.vectors[0].abs().max()))
    for place in range(len(p)):
        moved = p.clone()
        moved[place] += 3
        change = (asked.turned_q(moved) - before).abs().amax(-1)  # (b, h, s)
        start = f"Move positions[{place}] alone, from {int(p[place])} to {int(moved[place])}"
        stands = change[:, :, place] < MOVES
        others = change.clone()
        others[:, :, place] = 0
        if stands.any() and others.amax() > limit:
            other = int(others.amax((0, 1)).argmax())
            return Rejected(
                "position of another place",
                f"{start}, and the vector at place {other} turns, while the one at place {place} "
                "does not. Each vector has the position at its own place.",
            )
        if stands.any():
            n, m = map(int, stands.nonzero()[0])
            return Rejected(
                "own position not seen",
                f"{start}, and the vector at place {place} of b {n}, h {m} does not turn. Every "
                "vector turns with the position at its place, in every batch and head.",
            )
        if others.amax() > limit:
            other = int(others.amax((0, 1)).argmax())
            return Rejected(
                "position of another place",
                f"{start}, and the vector at place {other} turns as well. Each vector has the "
                "position at its own place.",
            )
    return None


def one_alone_matters(asked: Asked) -> Rejected | None:
    before = asked.turned()
    for which, name in enumerate(NAMES):
        by = tuple(3 if n == which else 0 for n in range(3))
        after = asked.turned((by[0], by[1], by[2]))
        for chunk in range(len(asked.frequencies)):
            stands = asked.change(before, after, chunk) < MOVES
            if stands.any():
                return Rejected(
                    "position not seen",
                    f"Move {name} alone by 3 positions, and no determinant of chunk {chunk} "
                    f"changes{_where(stands)}. Its offsets to the other two have changed, so they "
                    "should.",
                )
    return None


def frequencies_matter(asked: Asked) -> Rejected | None:
    before = asked.turned()
    chunks = range(len(asked.frequencies))
    for changed in chunks:
        other = asked.frequencies.clone()
        other[changed] += 0.37
        after = asked.turned(frequencies=other)
        for chunk in chunks:
            moved = asked.change(before, after, chunk)
            if chunk == changed and (moved < MOVES).any():
                return Rejected(
                    "frequency not used",
                    f"Change `frequencies` at place {chunk}, and no determinant of chunk {chunk} "
                    f"changes{_where(moved < MOVES)}.",
                )
            if chunk != changed and moved.amax() > asked.allowed:
                return Rejected(
                    "frequency of another chunk",
                    f"Change `frequencies` at place {changed}, and determinants of chunk {chunk} "
                    "change. Each chunk has one frequency.",
                )
    return None


def frequencies_are_radians(asked: Asked) -> Rejected | None:
    """At 2 pi / n a position, a position is 1 / n of a turn, whatever the axis; at 0 nothing."""
    p = asked.positions[0]
    for n in TURNS:
        f = torch.full_like(asked.frequencies, 2 * math.pi / n)
        here, there, further = (_chunks(asked.turned_q(p + m, f)) for m in range(3))
        first, second = there - here, further - there  # chords of a circle: (b, h, s, p, 3)
        cross = torch.linalg.cross(first, second).norm(dim=-1)
        angle = torch.atan2(cross, (first * second).sum(-1)).rad2deg()
        longest = first.norm(dim=-1).argmax(2, keepdim=True)  # not a vector along its axis
        angle = angle.gather(2, longest)[:, :, 0]  # (b, h, p)
        wrong = (angle - 360 / n).abs() > 0.02 * 360 / n
        if wrong.any():
            b, h, chunk = map(int, wrong.nonzero()[0])
            return Rejected(
                "rate",
                f"At a frequency of 2π/{n} radians a position, {n} positions are one whole turn, "
                f"{_degrees(360 / n)} degrees each. In yours the next position is "
                f"{_degrees(float(angle[b, h, chunk]))} degrees further (chunk {chunk}, b {b}, "
                f"h {h}).",
            )
    still = torch.zeros_like(asked.frequencies)
    change = float((asked.turned_q(p + 5, still) - asked.turned_q(p, still)).abs().max())
    if change > STILL * max(1.0, float(asked.vectors[0].abs().max())):
        return Rejected(
            "turns at frequency 0",
            f"At frequencies of 0 no position turns anything further, and 5 positions on, one of "
            f"your coordinates has changed by {change:.3f}.",
        )
    return None


def _chunks(x: Tensor) -> Tensor:
    return x.double().unflatten(-1, (-1, 3))


def _degrees(angle: float) -> str:
    return f"{angle:.0f}" if abs(angle - round(angle)) < 0.005 else f"{angle:.2g}"


def _where(stands: Tensor) -> str:
    """Which batch and head, unless it is all of them."""
    if stands.all():
        return ""
    n, m = map(int, stands.nonzero()[0])
    return f" in b {n}, h {m}"


def _largest(before: Tensor, after: Tensor) -> tuple[str, float, float]:
    """Where a logit changed most, in words, with both numbers."""
    where = torch.unravel_index((after - before).abs().argmax(), before.shape)
    at = tuple(int(n) for n in where)
    words = ", ".join(f"{axis} {n}" for axis, n in zip("bhijk", at, strict=True))
    return words, float(before[at]), float(after[at])


def ask_triples(
    answer: Answer, arguments: Mapping[str, Any], known: Callable[[Asked], Rejected | None]
) -> float:
    """0, or Rejected: by the name of a known mistake, else by the property that fails.

    known: looks for the mistake that gives the very same vectors.
    """
    asked = Asked(answer, arguments)
    asked.turned()
    if not asked.unchanged():
        return 0.0
    properties = [keeps_lengths, same_position_changes_nothing, shift_changes_nothing]
    generic = asked.vectors[0].shape[2] > 1  # the example of the statement has k2 along the axis
    if asked.dtype == torch.float64 and generic:  # what moves at all needs one precision only
        properties += [each_position_turns_its_own_vector, one_alone_matters]
        properties += [frequencies_matter, frequencies_are_radians]
    for holds in properties:
        try:
            failed = holds(asked)
        except Rejected as rejected:  # NaN at one of the positions
            failed = rejected
        if failed:
            raise known(asked) or failed
    return 0.0
