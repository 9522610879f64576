"""A kernel over queries and keys, and what one entry of the new map reads through it.

`kernel_payload` is called with the learner's choices. All maps come from
`simplex_lib.attention.multi_token`; here are the terms of one sum, and which of them the mask cuts.

Axes and layout of a kernel: as in `multi_token.py`; back counts queries before i, off keys right
of j, so that their tap is kernel[c_q - 1 - back][c_k // 2 + off].
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from simplex_lib.attention.multi_token import multi_token_maps
from simplex_lib.attention.multi_token_features import band_width
from simplex_lib.widgets.kernel_editor_presets import Taps, preset_of, read_kernel
from simplex_lib.widgets.kernel_editor_words import (
    Inputs,
    equals,
    factor,
    name,
    plain,
    require_entry,
)

SPELLED = 3  # terms of a sum written out


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
        sign = equals(float(self.logits[i, j]), *(x for t in found for x in (t.tap, t.raw)))
        return f"{' + '.join(spelled + rest)} {sign} {total}; the dot product alone was {old}"

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
