"""Which size or kind of input an answer cannot take: asked, not guessed from the cases."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence

from simplex_lib.checks.exercise import VARIANTS, Case, Exercise

Finding = tuple[str, str]
SECONDS = 3.0


def variants_that_fail(passing: Sequence[Case], failing: Sequence[Case]) -> Finding | None:
    """The kinds of input that an answer gets wrong, if plain float64 is not one of them."""
    variants = {c.variant for c in failing}
    if not passing or "float64" in variants:
        return None
    words = [VARIANTS[v][0] for v in VARIANTS if v in variants]
    return "variant", f"It is right for plain float64 inputs and wrong for {_listed(words)}."


def size_that_matters(
    exercise: Exercise, failing: Sequence[Case], passes: Callable[[Case], bool]
) -> Finding | None:
    """One change of one size that makes a failing answer right, if exactly one does.

    failing: the one that is said to be wrong last. A size is not the reason where another of these
        fails with the very value that would mend it.
    passes: asks the answer a case. None also if all this asking takes more than SECONDS.
    """
    plain = [c for c in failing if c.variant == "float64"]
    if not plain:
        return None
    with contextlib.suppress(TimeoutError):
        return _ask_sizes(exercise, plain[-1], failing, passes)
    return None


def _ask_sizes(
    exercise: Exercise, worst: Case, failing: Sequence[Case], passes: Callable[[Case], bool]
) -> Finding | None:
    end = time.monotonic() + SECONDS

    def mends(**sizes: int) -> bool:
        if time.monotonic() > end:
            raise TimeoutError
        try:
            return passes(exercise.case(worst.sizes | sizes, worst.variant, worst.seed))
        except (ValueError, RuntimeError, ZeroDivisionError):
            return False  # these sizes do not go together

    large = [n for n, size in worst.sizes.items() if size > exercise.smallest.get(n, 1)]
    alone = [n for n in large if exercise.smallest.get(n, 1) == 1 and mends(**{n: 1})]
    only = [n for n in alone if all(c.sizes[n] != 1 for c in failing)]
    if len(only) == 1:
        return "axis", f"With {worst} it is wrong; with {only[0]} = 1 instead it is right."
    if alone:
        return None
    pairs = itertools.permutations(worst.sizes, 2)
    unequal = [(a, b) for a, b in pairs if worst.sizes[a] != worst.sizes[b]]
    alike = [(a, b) for a, b in unequal if mends(**{a: worst.sizes[b]})]
    if len(alike) == 1:
        (a, b) = alike[0]
        size = worst.sizes[b]
        if any(c.sizes[a] == c.sizes[b] for c in failing):
            return None
        return "axis", f"With {worst} it is wrong; with {a} = {b} = {size} instead it is right."
    return None


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
