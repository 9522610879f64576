"""Match3 looked at closely: which pairs fire, and what two hand-built heads answer.

Read from the top: `match3_payload` makes all numbers, `Match3Payload.sentence` says them. The heads
are run in `match3_heads.py`; the right answers are those of `simplex_lib/tasks/match3.py`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from simplex_lib.errors import kind, require_choice
from simplex_lib.tasks.match3 import match3_labels
from simplex_lib.widgets.kit import require_index, require_number
from simplex_lib.widgets.match3_heads import (
    BLANK,
    DTYPES,
    LEAST_C,
    MOST_C,
    PAPER,
    count_wrong,
    enough_c,
    limit_of,
    run_head,
    slider_values,
    sufficient,
)

MOST, LARGEST = 12, 9999  # tokens, modulus


@dataclass(frozen=True)
class Layout:
    """One head: the share of real pairs of each token, what it says, and whether that is right."""

    name: str
    threshold: float
    enough: float  # a c that makes no mistake on any input, in exact arithmetic
    shares: list[float]
    says: list[bool]
    wrong: list[int]  # tokens
    sweep: list[int]  # how many tokens are wrong at each c of `Match3Payload.sweep`


@dataclass(frozen=True)
class Match3Payload:
    """All tokens, and one of them looked at closely."""

    numbers: list[int]
    modulus: int
    token: int
    c: float
    dtype: str
    sums: list[list[int]]  # x_i + x_j + x_k modulo M of the chosen token i
    scores: list[list[float]]  # cos(2 pi sum / M)
    fires: list[tuple[int, int]]  # pairs (j, k) of the chosen token whose sum is 0
    answers: list[bool]  # for every token
    layouts: list[Layout]
    sweep: list[float]  # values of c

    @property
    def sentence(self) -> str:
        """The chosen token, what the heads say of it, and how all tokens fare."""
        i, n = self.token, len(self.fires)
        first = self.fires[0] if n else (0, 0)
        text = f"Token {i} is {self.numbers[i]}: "
        if n:
            j, k = (self.numbers[m] for m in first)
            text += f"{n} pair{'s' * (n > 1)} fire{'s' * (n == 1)}, as {self.numbers[i]} + {j} + "
            text += f"{k} = {self.numbers[i] + j + k} is 0 modulo {self.modulus}"
        else:
            text += f"no pair makes the sum 0 modulo {self.modulus}"
        text += f", so the answer is {yes_no(n > 0)}. "
        text += "".join(f"The {self._judged(layout)}. " for layout in self.layouts)
        return text + self._all

    def _judged(self, layout: Layout) -> str:
        share, limit = layout.shares[self.token], layout.threshold
        over = "above" if layout.says[self.token] else "not above"
        verdict = "wrong" if self.token in layout.wrong else "right"
        return f"{layout.name} says {yes_no(layout.says[self.token])}, {verdict}: share " + (
            f"{share:.3f}, {over} {limit:g}"
        )

    @property
    def _all(self) -> str:
        counts = [len(layout.wrong) for layout in self.layouts]
        n = len(self.numbers)
        if not any(counts):
            text = f"All {n} tokens are right in both" if n > 1 else "Both are right"
        else:
            text = "Wrong tokens: " + ", ".join(
                f"{count} of {n} with the {layout.name}"
                for count, layout in zip(counts, self.layouts, strict=True)
            )
        return f"{text}; {self._why(any(counts))}"

    def _why(self, wrong: bool) -> str:
        """What c = ... means here: enough or not, and whether rounding is to blame."""
        least, most = sorted(layout.enough for layout in self.layouts)
        c = f"c = {compact_c(self.c)}"
        if self.c < least:
            rest = "so mistakes are possible" if wrong else "but this input forgives it"
            return f"{c} is less than the {compact_c(least)} that is enough, {rest}."
        if self.c < most:
            return f"{c} is enough for the {self.layouts[0].name} only in exact arithmetic."
        if wrong:
            return f"{c} is enough in exact arithmetic: rounding to {self.dtype} is to blame."
        return f"{c} is enough for every input in exact arithmetic."


def match3_payload(
    numbers: str | Sequence[int],
    modulus: int,
    *,
    token: int = 0,
    c: float | None = None,
    dtype: str = "float64",
) -> Match3Payload:
    """Everything the widget shows.

    Args:
        numbers: up to 12 whole numbers from 0 to modulus - 1, or a text such as '3, 1, 4'.
        modulus: M, from 2 to 9999.
        token: which one is looked at.
        c: factor on the query, from 0.1 to 1e8. None: `enough_c`.
        dtype: of weights, features and logits: 'float64', 'float32' or 'bfloat16'.

    Raises:
        ValueError: one of these is something else.
    """
    require_index(LARGEST + 1, "the modulus", modulus=modulus)
    if modulus < 2:
        raise ValueError(f"modulus must be at least 2, else every sum is 0; got {modulus}.")
    x = read_numbers(numbers, modulus)
    n = len(x)
    require_index(n, "one of the tokens", token=token)
    c = enough_c(n, modulus) if c is None else c
    require_number(LEAST_C, MOST_C, c=c)
    require_choice("dtype", dtype, tuple(DTYPES))

    sums = [[(x[token] + a + b) % modulus for b in x] for a in x]
    sweep = slider_values(enough_c(n, modulus))
    layouts = []
    for name in (PAPER, BLANK):
        enough = sufficient(name, n, modulus)
        shares, says, wrong = run_head(name, x, modulus, float(c), dtype)
        counts = count_wrong(name, x, modulus, dtype, sweep)
        layouts.append(Layout(name, limit_of(name), enough, shares, says, wrong, counts))
    return Match3Payload(
        numbers=list(x),
        modulus=modulus,
        token=token,
        c=float(c),
        dtype=dtype,
        sums=sums,
        scores=[[math.cos(2 * math.pi * total / modulus) for total in row] for row in sums],
        fires=[(j, k) for j in range(n) for k in range(n) if sums[j][k] == 0],
        answers=match3_labels(torch.tensor([x]), modulus)[0].tolist(),
        layouts=layouts,
        sweep=list(sweep),
    )


def read_numbers(given: Any, modulus: int) -> tuple[int, ...]:
    """One to twelve whole numbers below the modulus; commas or spaces part those of a text."""
    wish = f"numbers must be 1 to {MOST} whole numbers from 0 to M − 1 = {modulus - 1}"
    if isinstance(given, str):
        words = given.replace(",", " ").split()
        odd = next((word for word in words if not (word.isascii() and word.isdigit())), None)
        if odd is not None:
            raise ValueError(f"{wish}, parted by commas; got {odd!r}.")
        found = [int(word) for word in words]
    else:
        given = given.tolist() if isinstance(given, Tensor) else given
        if not isinstance(given, Iterable):
            raise ValueError(f"{wish}; got {kind(given)}.")
        found = [_whole(x, wish) for x in given]
    if not 1 <= len(found) <= MOST:
        raise ValueError(f"{wish}; got {len(found)} of them.")
    outside = next((x for x in found if not 0 <= x < modulus), None)
    if outside is not None:
        raise ValueError(f"{wish}; got {outside}.")
    return tuple(found)


def write_numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def yes_no(answer: bool) -> str:
    return "yes" if answer else "no"


def compact_c(c: float) -> str:
    """Three digits, thousands parted: 0.158, 12.6, 2,510, 1,260,000.

    >>> [compact_c(x) for x in (0.15849, 12.589, 2511.9, 1258925.4)]
    ['0.158', '12.6', '2,510', '1,260,000']
    """
    digits = 2 - math.floor(math.log10(c))
    return f"{round(c, digits):,.{max(digits, 0)}f}"


def _whole(x: Any, wish: str) -> int:
    if isinstance(x, bool) or not isinstance(x, Integral):
        raise ValueError(f"{wish}; got {kind(x)}.")
    return int(x)
