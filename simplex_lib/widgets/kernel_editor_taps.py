"""A kernel over queries and keys, and what one entry of the new map reads through it.

`kernel_payload` is called with the learner's choices. All maps come from
`simplex_lib.attention.multi_token`; here are the terms of one sum, and which of them the mask cuts.

Axes and layout of a kernel: as in `multi_token.py`; back counts queries before i, off keys right
of j, so that their tap is kernel[c_q - 1 - back][c_k // 2 + off].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from simplex_lib.attention.multi_token import (
    constant_kernel,
    identity_kernel,
    multi_token_maps,
)
from simplex_lib.attention.multi_token_features import band_width
from simplex_lib.errors import kind, require_choice
from simplex_lib.widgets.kernel_editor_words import Inputs, factor, name, plain, require_entry
from simplex_lib.widgets.kit import require_index, require_number, signed

TALLEST, WIDEST = 6, 11  # taps over queries and keys: the paper's kernel of its language models
FAR = 9.0  # the largest tap
SPELLED = 3  # terms of a sum written out

Taps = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Term:
    """One tap and what it meets."""

    back: int
    off: int
    tap: float
    raw: float  # 0 where there is nothing to read
    fate: Literal["read", "future", "outside"]

    @property
    def product(self) -> float:
        return self.tap * self.raw


@dataclass(frozen=True)
class KernelPayload:
    """The maps under one kernel, and one entry looked at closely."""

    words: tuple[str, ...]
    kernel: Taps
    entry: tuple[int, int]  # query i, key j
    raw: Tensor  # (s, s); entries of the future are 0 in all maps
    logits: Tensor
    probs: Tensor
    alone: Tensor  # probs without a kernel
    terms: list[list[Term]]  # as the kernel lies on the page
    cut: Tensor  # (s, s): a tap that is not 0 would read the future there
    asked: int | None  # the first word of the question

    @property
    def band(self) -> int:
        """Only entries with i - j below it can be cut."""
        return band_width(len(self.kernel), len(self.kernel[0]))

    @property
    def preset(self) -> str:
        return preset_of(self.kernel)

    @property
    def sentence(self) -> str:
        i, j = self.entry
        query, key = name(self.words, i), name(self.words, j)
        if j > i:
            return (
                f"Key {key} comes after query {query}: the entry is hidden by −∞, whatever its "
                "neighbours hold, and their logits of the future count as 0."
            )
        share, before = float(self.probs[i, j]), float(self.alone[i, j])
        changed = "as without the kernel" if share == before else f"without the kernel {before:.1%}"
        return (
            f"Query {query}, key {key}: {self._sum()}. Share of the attention: {share:.1%}, "
            f"{changed}.{self._lost()}"
        )

    def _sum(self) -> str:
        """The terms that are not 0, the largest first, and what the dot product alone was."""
        i, j = self.entry
        found = [term for row in self.terms for term in row if term.product]
        found.sort(key=lambda term: -abs(term.product))
        total, old = plain(float(self.logits[i, j])), plain(float(self.raw[i, j]))
        if not found:
            return f"no tap meets a logit other than 0, so the sum is 0; the dot product was {old}"
        spelled = [f"{factor(t.tap)} × {factor(t.raw)} ({self._pair(t)})" for t in found[:SPELLED]]
        more = len(found) - SPELLED
        rest = [f"{more} more {'term' if more == 1 else 'terms'}"] if more > 0 else []
        return f"{' + '.join(spelled + rest)} = {total}; the dot product alone was {old}"

    def _pair(self, term: Term) -> str:
        i, j = self.entry
        return f"{self.words[i - term.back]}, {self.words[j + term.off]}"

    def _lost(self) -> str:
        lost = sum(t.fate == "future" and t.tap != 0 for row in self.terms for t in row)
        if not lost:
            return ""
        if lost == 1:
            return " One tap would read a key later than its query; that logit counts as 0."
        return f" {lost} taps would read keys later than their query; those logits count as 0."


def kernel_payload(inputs: Inputs, kernel: Any, entry: tuple[int, int]) -> KernelPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    taps = read_kernel(kernel)
    i, j = require_entry(entry, len(inputs.words))
    pair = inputs.q[None, None], inputs.k[None, None]
    tensor = torch.tensor(taps, dtype=torch.float64)
    maps = multi_token_maps(*pair, pre_kernel=tensor[None], scale=inputs.scale)
    raw = maps.raw[0, 0]
    return KernelPayload(
        words=inputs.words,
        kernel=taps,
        entry=(i, j),
        raw=raw,
        logits=maps.logits[0, 0],
        probs=maps.probs[0, 0],
        alone=multi_token_maps(*pair, scale=inputs.scale).probs[0, 0],
        terms=terms_of(taps, raw, i, j),
        cut=cut_map(tensor, len(raw)),
        asked=inputs.asked,
    )


def terms_of(taps: Taps, raw: Tensor, i: int, j: int) -> list[list[Term]]:
    """Every tap of the entry (i, j) and what it meets in the raw logits."""
    c_q, c_k, numbers = len(taps), len(taps[0]), raw.tolist()

    def term(row: int, column: int) -> Term:
        back, off = c_q - 1 - row, column - c_k // 2
        query, key = i - back, j + off
        if query < 0 or not 0 <= key < len(raw):
            return Term(back, off, taps[row][column], 0.0, "outside")
        if key > query:
            return Term(back, off, taps[row][column], 0.0, "future")
        return Term(back, off, taps[row][column], numbers[query][key], "read")

    return [[term(row, column) for column in range(c_k)] for row in range(c_q)]


def cut_map(kernel: Tensor, s: int) -> Tensor:
    """(s, s), True where a tap that is not 0 would read a key later than its query."""
    c_q, c_k = kernel.shape
    i, j = torch.arange(s)[:, None], torch.arange(s)
    found = torch.zeros(s, s, dtype=torch.bool)
    for row, column in kernel.nonzero().tolist():
        query, key = i - (c_q - 1 - row), j + column - c_k // 2
        found |= (query >= 0) & (key < s) & (key > query)
    return found.tril()


def read_kernel(kernel: Any, head: int = 0) -> Taps:
    """(c_q, c_k), or that of one head of (h, c_q, c_k), as nested tuples of numbers."""
    if isinstance(kernel, Tensor):
        if kernel.ndim == 3:
            require_index(len(kernel), "a head of the kernel", head=head)
            kernel = kernel[head]
        kernel = kernel.detach().cpu().tolist()
    if not _is_rows(kernel) or not all(_is_rows(row) for row in kernel):
        raise ValueError(f"kernel must be rows of taps, (c_q, c_k); got {kind(kernel)}.")
    c_q, widths = len(kernel), {len(row) for row in kernel}
    if len(widths) != 1 or not 1 <= c_q <= TALLEST or not 1 <= max(widths) <= WIDEST:
        shape = f"{c_q} rows of {' or '.join(map(str, sorted(widths)))}"
        raise ValueError(
            f"kernel must have 1 to {TALLEST} rows of 1 to {WIDEST} taps each; got {shape}."
        )
    require_sizes(c_q, *widths)
    for row in kernel:
        for tap in row:
            require_number(-FAR, FAR, **{"a tap": tap})
    return tuple(tuple(float(tap) for tap in row) for row in kernel)


def require_sizes(c_q: int, c_k: int) -> None:
    require_index(TALLEST + 1, "queries that a kernel covers", c_q=c_q)
    require_index(WIDEST + 1, "keys that a kernel covers", c_k=c_k)
    if c_q < 1 or c_k % 2 == 0:
        raise ValueError(
            "c_q must be 1 at least and c_k odd, so that one tap is (query i, key j) itself; "
            f"got c_q = {c_q}, c_k = {c_k}."
        )


def _is_rows(found: Any) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, str) and len(found) > 0


def _rows(kernel: Tensor) -> Taps:
    return tuple(tuple(row) for row in kernel.double().tolist())


def _diagonal(c_q: int, c_k: int) -> Taps:
    """Query i - a with key j - a: an order of words meets the same order."""
    return tuple(
        tuple(float(column - c_k // 2 == row - (c_q - 1)) for column in range(c_k))
        for row in range(c_q)
    )


def _back(c_q: int, c_k: int) -> Taps:
    """What earlier queries found at the same key."""
    return tuple(tuple(float(column == c_k // 2) for column in range(c_k)) for _ in range(c_q))


def _edge(c_q: int, c_k: int) -> Taps:
    """A logit less the one at the key before, or, with one key, at the query before."""
    rows = [[0.0] * c_k for _ in range(c_q)]
    rows[-1][c_k // 2] = 1.0
    if c_k > 1:
        rows[-1][c_k // 2 - 1] = -1.0
    elif c_q > 1:
        rows[-2][0] = -1.0
    return tuple(tuple(row) for row in rows)


def _ends(c_q: int, c_k: int) -> Taps:
    """The first and the last query of the window, each at any key of it."""
    return tuple(tuple(float(row in (0, c_q - 1)) for _ in range(c_k)) for row in range(c_q))


PRESETS: dict[str, Callable[[int, int], Taps]] = {
    "two words": _ends,
    "identity": lambda c_q, c_k: _rows(identity_kernel(1, c_q=c_q, c_k=c_k)[0]),
    "constant": lambda c_q, c_k: _rows(constant_kernel(1, c_q=c_q, c_k=c_k).double()[0]),
    "diagonal": _diagonal,
    "look back": _back,
    "edge": _edge,
}


def preset(which: str, c_q: int, c_k: int) -> Taps:
    require_choice("kernel", which, tuple(PRESETS))
    require_sizes(c_q, c_k)
    return PRESETS[which](c_q, c_k)


def preset_of(kernel: Taps) -> str:
    """The first preset that is this kernel; "" if none is."""
    size = len(kernel), len(kernel[0])
    return next((which for which, make in PRESETS.items() if make(*size) == kernel), "")


def resized(kernel: Taps, c_q: int, c_k: int) -> Taps:
    """The same preset in another size; of other kernels what is left round (query i, key j)."""
    if which := preset_of(kernel):
        return preset(which, c_q, c_k)
    old_q, old_k = len(kernel), len(kernel[0])

    def tap(row: int, column: int) -> float:
        r, c = row - c_q + old_q, column - c_k // 2 + old_k // 2
        return kernel[r][c] if 0 <= r < old_q and 0 <= c < old_k else 0.0

    return tuple(tuple(tap(row, column) for column in range(c_k)) for row in range(c_q))


def with_tap(kernel: Taps, row: int, column: int, tap: Any) -> Taps:
    """The kernel with one other tap, which `read_kernel` judges."""
    rows = [list(taps) for taps in kernel]
    rows[row][column] = tap
    return tuple(tuple(taps) for taps in rows)


def tap_name(kernel: Taps, row: int, column: int) -> str:
    """Where a tap reads: (i−1, j+2)."""
    back, off = len(kernel) - 1 - row, column - len(kernel[0]) // 2
    return f"({'i' if not back else f'i−{back}'}, {key_shift(off)})"


def key_shift(off: int) -> str:
    return "j" if not off else f"j{signed(off, 0) if off < 0 else f'+{off}'}"
