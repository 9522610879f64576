"""Match3 looked at closely: which pairs fire, and what two hand-built heads answer.

Read from the top: `match3_payload` makes all numbers, `Match3Payload.sentence` says them. The heads
are those of `simplex_lib/attention/match3.py`; the right answers those of `tasks/match3.py`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from simplex_lib.attention.determinant import determinant_attention, determinant_logits
from simplex_lib.attention.match3 import (
    THRESHOLD,
    match3_blank_token_head,
    match3_blank_token_weights,
    match3_features,
    match3_head,
    match3_weights,
    sufficient_c,
    sufficient_c_and_tau,
)
from simplex_lib.errors import kind, require_choice
from simplex_lib.tasks.match3 import match3_hardest, match3_labels
from simplex_lib.widgets.kit import compact, require_index, require_number

MOST, LARGEST = 12, 9999  # tokens, modulus
LEAST_C, MOST_C = 0.1, 1e8
STEPS = 20  # of the slider, in a factor of 10
DTYPES = dict(float64=torch.float64, float32=torch.float32, bfloat16=torch.bfloat16)
PAPER, BLANK = "paper's layout", "blank-token layout"


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
        enough = (sufficient_c if name == PAPER else _blank_c)(n, modulus)
        shares, says, wrong = _run(name, x, modulus, float(c), dtype)
        counts = _sweep(name, x, modulus, dtype, sweep)
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


def enough_c(n: int, modulus: int) -> float:
    """The first place of the slider where both layouts make no mistake in exact arithmetic."""
    enough = max(sufficient_c(n, modulus), _blank_c(n, modulus))
    return _place(math.ceil(round(STEPS * math.log10(enough), 6)))


@lru_cache
def slider_values(centre: float) -> tuple[float, ...]:
    """Every second place of the slider, from c / 100 to 10 c."""
    middle = round(STEPS * math.log10(centre))
    places = range(middle - 2 * STEPS, middle + STEPS + 1, 2)
    return tuple(_place(n) for n in places if LEAST_C <= _place(n) <= MOST_C)


def random_numbers(n: int, modulus: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(modulus, (n,), generator=generator).tolist()


def hardest_numbers(n: int, modulus: int, *, single: bool = False) -> list[int]:
    """All pairs of some token miss by one; single: with one match for the first token, if M allows.

    >>> hardest_numbers(3, 5), hardest_numbers(3, 5, single=True)
    ([2, 2, 2], [2, 2, 4])
    """
    rows = match3_hardest(n, modulus)
    v = int(rows[0, 0])
    wished = (1 - 2 * v) % modulus if modulus % 3 == 0 else v
    if single:  # v + u + u = 0: the pair (last, last) alone
        odd = modulus % 2 == 1
        wished = -v * pow(2, -1, modulus) % modulus if odd else -v % modulus // 2
    return rows[(rows[:, -1] == wished).nonzero()[0, 0]].tolist()


def limit_of(name: str) -> float:
    return THRESHOLD if name == PAPER else 0.5


def tau_of(c: float) -> float:
    """c (1 - tau) = ln 4, as in `sufficient_c_and_tau`: the blank pair is ln 4 below a match."""
    return 1 - math.log(4) / c


def yes_no(answer: bool) -> str:
    return "yes" if answer else "no"


def compact_c(c: float) -> str:
    """Three digits, thousands parted: 0.158, 12.6, 2,510, 1,260,000.

    >>> [compact_c(x) for x in (0.15849, 12.589, 2511.9, 1258925.4)]
    ['0.158', '12.6', '2,510', '1,260,000']
    """
    digits = 2 - math.floor(math.log10(c))
    return f"{round(c, digits):,.{max(digits, 0)}f}" if c > 0 else compact(c)


def _blank_c(n: int, modulus: int) -> float:
    return sufficient_c_and_tau(n, modulus)[0]


def _place(n: int) -> float:
    return 10.0 ** (n / STEPS)


def _run(
    name: str, x: tuple[int, ...], modulus: int, c: float, dtype: str
) -> tuple[list[float], list[bool], list[int]]:
    """Shares, answers and wrong tokens of one head."""
    tokens = torch.tensor([x])
    if name == PAPER:
        shares = match3_head(tokens, modulus, c=c, dtype=DTYPES[dtype])
    else:
        shares = match3_blank_token_head(tokens, modulus, c=c, tau=tau_of(c), dtype=DTYPES[dtype])
    says = shares[0].double() > limit_of(name)
    wrong = (says != match3_labels(tokens, modulus)[0]).nonzero().flatten()
    return shares[0].tolist(), says.tolist(), wrong.tolist()


@lru_cache(maxsize=64)
def _sweep(
    name: str, x: tuple[int, ...], modulus: int, dtype: str, values: tuple[float, ...]
) -> list[int]:
    """How many tokens are wrong at each c; each c is a query head of its own, all in one pass."""
    tokens, number = torch.tensor([x]), DTYPES[dtype]
    features = match3_features(tokens, modulus, number)[:, None]  # (1, 1, s, 3)
    if name == PAPER:
        weights = [match3_weights(c, dtype=number) for c in values]
    else:
        weights = [match3_blank_token_weights(c, tau_of(c), dtype=number) for c in values]
        real = torch.nn.functional.pad(features, (0, 1))
        blank = torch.eye(4, dtype=number)[3].expand(1, 1, 1, 4)
        features = torch.cat([blank, real], -2)
    q = torch.cat([features @ w.wq.T for w in weights], 1)  # (1, c, s, 7)
    k1, k2, v = (features @ w.T for w in weights[0][1:])
    if name == PAPER:
        pairs = determinant_logits(q, k1, k2).flatten(-2)
        shares = torch.cat([pairs, q[..., 6:]], -1).softmax(-1)[..., :-1].sum(-1)
    else:
        shares = determinant_attention(q, k1, k2, v, v, causal=False, scale=1)[:, :, 1:, 0]
    says = shares[0].double() > limit_of(name)
    return (says != match3_labels(tokens, modulus)).sum(-1).tolist()


def _whole(x: Any, wish: str) -> int:
    if isinstance(x, bool) or not isinstance(x, Integral):
        raise ValueError(f"{wish}; got {kind(x)}.")
    return int(x)
