"""What the generators of exercises 6.2 and 6.6 have in common: how they are asked, and when a
count is too far from what chance allows.

A limit of 6 standard deviations and 3 more is passed by a right generator once in some hundred
million counts; the rarest events that are counted are expected ten times or more.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected

TEXTS = 2000
Generate = Callable[[int, torch.Generator], Any]
Drawn = tuple[Tensor, ...]
Shapes = Sequence[tuple[str, tuple[int, ...]]]  # name and shape of each output


def draw_all(generate: Generate, seed: int, accept: Callable[[Any, int], Drawn]) -> Drawn:
    """Many texts, after a few that show whether the generator is used as it should be.

    accept: refuses what has the wrong form for so many texts.
    """
    accept(generate(1, _seeded(seed)), 1)
    generator = _seeded(seed)
    few, more = (accept(generate(20, generator), 20)[0] for _ in range(2))
    again = accept(generate(20, _seeded(seed)), 20)[0]
    if torch.equal(few, more):
        raise Rejected(
            "generator starts again",
            "Two calls with one generator give the same texts, so a model would see them again "
            "and again. Draw from the generator itself: it goes on by itself.",
        )
    if not torch.equal(few, again):
        raise Rejected(
            "other randomness",
            "Two generators with the same seed give different texts. Something is drawn without "
            "the generator.",
        )
    return accept(generate(TEXTS, _seeded(seed + 1)), TEXTS)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def require_form(found: Any, shapes: Shapes, first: Callable[[Drawn], None]) -> Drawn:
    """A tuple of int64 tensors of these shapes. first: what to ask before their shapes."""
    names = [name for name, _ in shapes]
    if found is None:
        raise Rejected("none", "Your answer returns None. Is a return statement missing?")
    if not isinstance(found, (tuple, list)) or len(found) != len(names):
        n = f"{len(found)} things" if isinstance(found, (tuple, list)) else "one thing"
        raise Rejected("count", f"Your answer returns {n}, and asked are three: {listed(names)}.")
    for name, x in zip(names, found, strict=True):
        if not isinstance(x, Tensor):
            raise Rejected("type", f"{name} should be a tensor; yours is a {type(x).__name__}.")
        if x.dtype != torch.int64:
            dtype = str(x.dtype).removeprefix("torch.")
            raise Rejected("dtype", f"{name} should be int64; yours is {dtype}.")
    found = tuple(found)
    first(found)
    for (name, shape), x in zip(shapes, found, strict=True):
        if tuple(x.shape) != shape:
            raise Rejected(
                f"shape of {name}",
                f"{name} should have shape {shape} here; yours has {tuple(x.shape)}.",
            )
    return found


def too_far(counts: Tensor, chances: Tensor | float, n: int) -> int | None:
    """The cell whose count of n is farthest from its chance, if it is too far; counts is flat."""
    p = torch.as_tensor(chances, dtype=torch.float64).expand(counts.shape)
    off = (counts - n * p).abs() - (6 * (n * p * (1 - p)).clamp(min=0).sqrt() + 3)
    off[(p == 0) & (counts > 0)] = math.inf
    worst = int(off.argmax())
    return worst if off[worst] > 0 else None


def counted(x: Tensor, cells: int) -> Tensor:
    return torch.bincount(x.flatten(), minlength=cells)[:cells].double()


def tally(bad: Tensor) -> str:
    """In 212 of 3,000 texts; bad: one flag a text."""
    n = int(bad.sum())
    return f"In all {len(bad):,} texts" if n == len(bad) else f"In {n:,} of {len(bad):,} texts"


def texts_repeat(tokens: Tensor, ways: int, sizes: str) -> Rejected | None:
    """Texts that occur twice though there are far too many of them for that."""
    n = len(tokens)
    twice = n - len(tokens.unique(dim=0))
    if not twice or n * n / (2 * ways) > 1e-6:
        return None
    return Rejected(
        "texts repeated",
        f"Of {n:,} texts with {sizes}, {twice:,} are copies of others in the same call. So many "
        "different ones are possible that no two should be alike.",
    )


def expected(count: float, chance: float, n: int) -> str:
    where = f"where about {round(n * chance):,} are to be expected"
    return f"in {int(count):,} of {n:,} cases, {where}"


def listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def spelt(tokens: Tensor, names: str) -> str:
    """The first text in characters; ~ for a token that there is not."""
    return "".join(names[x] if 0 <= x < len(names) else "~" for x in tokens.tolist())


def block_names(alphabet: int) -> str:
    return string.ascii_lowercase[:alphabet] + ".#"


NEEDLE_NAMES = string.ascii_uppercase[:12] + string.digits + string.ascii_lowercase[:14] + "?"
