"""The same kernel before and after the softmax: all numbers and words of `compare_pre_post`.

Before the softmax sums of logits are exponentiated: evidence multiplies, rows sum to 1. After it
weights are summed: evidence adds, rows sum to anything and entries may be negative. All maps come
from `simplex_lib.attention.multi_token`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.attention.multi_token import multi_token_maps
from simplex_lib.widgets.kernel_editor_presets import Taps, preset_of, read_kernel
from simplex_lib.widgets.kernel_editor_taps import Term, terms_of
from simplex_lib.widgets.kernel_editor_words import (
    Inputs,
    equals,
    factor,
    name,
    plain,
    require_entry,
)

SPELLED = 2  # terms of a sum written out


@dataclass(frozen=True)
class Row:
    """One query on one side."""

    total: float
    negative: int  # entries below 0
    best: int  # the key with the largest entry
    second: int | None  # the next largest; None: query 0 sees one key
    ahead: float | None  # largest to next; None: the next one is not above 0

    @classmethod
    def of(cls, weights: list[float]) -> "Row":
        order = sorted(range(len(weights)), key=lambda n: -weights[n])
        best, second = order[0], order[1] if len(order) > 1 else None
        next_ = 0.0 if second is None else weights[second]
        ahead = weights[best] / next_ if next_ > 0 else None
        return cls(sum(weights), sum(x < 0 for x in weights), best, second, ahead)


@dataclass(frozen=True)
class PrePostPayload:
    """Both sides under one kernel, and one entry looked at closely."""

    words: tuple[str, ...]
    kernel: Taps
    entry: tuple[int, int]  # query i, key j
    raw: Tensor  # (s, s); entries of the future are 0 in all maps
    alone: Tensor  # the softmax of raw
    logits: Tensor  # raw after the kernel
    pre: Tensor  # the softmax of those
    post: Tensor  # alone after the kernel
    rows: dict[str, list[Row]]  # per side, "pre" and "post", a row a query
    asked: int | None  # the first word of the question
    terms: dict[str, list[list[Term]]]  # what the entry reads: raw logits, and weights

    @property
    def preset(self) -> str:
        return preset_of(self.kernel)

    @property
    def sentence(self) -> str:
        i, j = self.entry
        query, key = name(self.words, i), name(self.words, j)
        if j > i:
            return (
                f"Key {key} comes after query {query}: before the softmax −∞ hides the entry, "
                "after it 0."
            )
        pre, post = (self.rows[side][i] for side in ("pre", "post"))
        negative = ""
        if post.negative:
            count = f"{post.negative} {'entry' if post.negative == 1 else 'entries'}"
            negative = f", {count} below 0"
        return (
            f"Query {query}, key {key}. Kernel before the softmax: logit {self._sum('pre')}, share "
            f"{float(self.pre[i, j]):.1%}; {self._ahead(pre)}. Kernel after it: weight "
            f"{self._sum('post')}; {self._ahead(post)}, and the row sums to "
            f"{plain(post.total)}{negative}."
        )

    def _sum(self, side: str) -> str:
        """The terms written out if they are few."""
        found = [t.product for row in self.terms[side] for t in row if t.product]
        found.sort(key=lambda x: -abs(x))
        i, j = self.entry
        exact = float((self.logits if side == "pre" else self.post)[i, j])
        total, sign = plain(exact), equals(exact, *found)
        if not found:
            return total
        more = len(found) - SPELLED
        spelled = [factor(x) for x in found[:SPELLED]] + ([f"{more} more"] if more > 0 else [])
        return f"{' + '.join(spelled)} {sign} {total}" if len(spelled) > 1 else total

    def _ahead(self, row: Row) -> str:
        if row.second is None:
            return "no other key to compare with"
        named = any(word != str(n) for n, word in enumerate(self.words))
        best = f"‘{self.words[row.best]}’" if named else f"key {row.best}"
        if row.ahead is None:
            return f"the largest, {best}, is the only one above 0"
        return f"the largest, {best}, is {plain(row.ahead)} times the next"


def pre_post_payload(inputs: Inputs, kernel: Any, entry: tuple[int, int]) -> PrePostPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    taps = read_kernel(kernel)
    i, j = require_entry(entry, len(inputs.words))
    pair = inputs.q[None, None], inputs.k[None, None]
    tensor = torch.tensor(taps, dtype=torch.float64)[None]
    before = multi_token_maps(*pair, pre_kernel=tensor, scale=inputs.scale)
    after = multi_token_maps(*pair, post_kernel=tensor, scale=inputs.scale)
    maps = dict(pre=before.probs[0, 0], post=after.weights[0, 0])
    raw, alone = before.raw[0, 0], after.probs[0, 0]
    return PrePostPayload(
        words=inputs.words,
        kernel=taps,
        entry=(i, j),
        raw=raw,
        alone=alone,
        logits=before.logits[0, 0],
        asked=inputs.asked,
        rows={
            side: [Row.of(row[: n + 1]) for n, row in enumerate(map_.tolist())]
            for side, map_ in maps.items()
        },
        terms=dict(pre=terms_of(taps, raw, i, j), post=terms_of(taps, alone, i, j)),
        **maps,
    )
