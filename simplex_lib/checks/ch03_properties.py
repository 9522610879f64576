"""What a rotary scheme for triples must do, asked of an answer: any scheme that does it is right.

Read from the bottom: `ask_triples` asks one property after the other.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class Asked:
    """An answer and the inputs of a case, with every position that is asked."""

    def __init__(self, answer: Answer, arguments: Mapping[str, Any]):
        self.answer = answer
        self.vectors = tuple(arguments[name] for name in NAMES)
        self.positions = tuple(arguments[f"positions_{name}"] for name in NAMES)
        self.frequencies: Tensor = arguments["frequencies"]
        self.dtype = self.vectors[0].dtype
        self.copies = tuple(x.clone() for x in (*self.vectors, self.frequencies))
        self.unturned = self.logits(self.vectors)
        self.allowed = CLOSE[self.dtype] * float(self.unturned.abs().max())

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


def one_alone_matters(asked: Asked) -> Rejected | None:
    before = asked.turned()
    for which, name in enumerate(NAMES):
        by = tuple(3 if n == which else 0 for n in range(3))
        after = asked.turned((by[0], by[1], by[2]))
        for chunk in range(len(asked.frequencies)):
            change = asked.logits(after, chunk) - asked.logits(before, chunk)
            if float(change.abs().max()) < MOVES:
                return Rejected(
                    "position not seen",
                    f"Move {name} alone by 3 positions, and no determinant of chunk {chunk} "
                    "changes. Its offsets to the other two have changed, so they should.",
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
            change = asked.logits(after, chunk) - asked.logits(before, chunk)
            moved = float(change.abs().max())
            if chunk == changed and moved < MOVES:
                return Rejected(
                    "frequency not used",
                    f"Change `frequencies` at place {chunk}, and no determinant of chunk {chunk} "
                    "changes.",
                )
            if chunk != changed and moved > asked.allowed:
                return Rejected(
                    "frequency of another chunk",
                    f"Change `frequencies` at place {changed}, and determinants of chunk {chunk} "
                    "change. Each chunk has one frequency.",
                )
    return None


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
    if asked.dtype == torch.float64:  # whether something moves at all needs one precision only
        properties += [one_alone_matters, frequencies_matter]
    for holds in properties:
        try:
            failed = holds(asked)
        except Rejected as rejected:  # NaN at one of the positions
            failed = rejected
        if failed:
            raise known(asked) or failed
    return 0.0
