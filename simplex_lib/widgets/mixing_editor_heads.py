"""Heads of a group that mix, before or after the softmax: all numbers and words of `edit_mixing`.

New head o is sum_e mixing[o][e] * head e, entry by entry. All maps come from
`simplex_lib.attention.multi_token`; the example is made here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from simplex_lib.attention.multi_token import multi_token_maps, require_mixing
from simplex_lib.errors import check_inputs, kind, require_choice, require_groups, require_scale
from simplex_lib.widgets.kernel_editor_words import (
    FARTHEST,
    MATCH,
    equals,
    factor,
    name,
    plain,
    read_tokens,
    require_entry,
)
from simplex_lib.widgets.kit import require_index, require_number

LONGEST = 10  # positions, as three maps stand side by side
MOST_HEADS = 4  # of a group: more would not fit
FAR = 9.0  # the largest number of a mixing
WHEN: tuple[Literal["before"], Literal["after"]] = ("before", "after")
# who is white and an animal: each thing with its colour and its kind
THINGS = dict(
    rose=("white", "plant"), cat=("grey", "animal"), queen=("red", "person"),
    rabbit=("white", "animal"), tree=("green", "plant"), mouse=("grey", "animal"),
    lily=("white", "plant"),
)  # fmt: skip
ASKED, ASKER = ("white", "animal"), "which?"

Mixing = tuple[tuple[float, ...], ...]


class Group(NamedTuple):
    """Queries and keys of the c heads of one group, float64 (c, s, d), and what they are called."""

    q: Tensor
    k: Tensor
    scale: float
    words: tuple[str, ...]
    heads: tuple[str, ...]
    asked: int | None = None  # the first word that asks


@dataclass(frozen=True)
class MixingPayload:
    """The maps of a group step by step, and one entry of one new head looked at closely."""

    words: tuple[str, ...]
    heads: tuple[str, ...]
    mixing: Mixing
    when: Literal["before", "after"]
    head: int  # the new head looked at
    entry: tuple[int, int]  # query i, key j
    stages: tuple[Tensor, Tensor, Tensor]  # (c, s, s) each; entries of the future are 0
    asked: int | None  # the first word that asks

    @property
    def mixed(self) -> int:
        """Which stage the mixing makes; it reads the one before."""
        return 1 if self.when == "before" else 2

    @property
    def terms(self) -> list[tuple[float, float]]:
        """(number of the mixing, entry of that head), head by head."""
        i, j = self.entry
        read = self.stages[self.mixed - 1][:, i, j].tolist()
        return list(zip(self.mixing[self.head], read, strict=True))

    @property
    def total(self) -> float:
        """What the terms add up to; 0 in the future."""
        return float(self.stages[self.mixed][self.head, *self.entry])

    @property
    def sentence(self) -> str:
        i, j = self.entry
        query, key = name(self.words, i), name(self.words, j)
        if j > i:
            return f"Key {key} comes after query {query}: the entry is hidden in every head."
        sum_ = " + ".join(f"{factor(m)} × {factor(x)}" for m, x in self.terms)
        what = "logit" if self.when == "before" else "weight"
        sign = equals(self.total, *(x for term in self.terms for x in term))
        words = f"New head {self.head}, query {query}, key {key}: {what} {sum_} {sign} "
        words += f"{plain(self.total)}. "
        rows = [stage[self.head, i, : i + 1].tolist() for stage in self.stages]
        if self.when == "before":
            share = rows[2][j]
            return f"{words}The softmax comes after it and gives {share:.1%}; the row sums to 1."
        low = sum(x < 0 for x in rows[2])
        words += f"The softmax came before it: the row now sums to {plain(sum(rows[2]))}"
        if low:
            words += f", with {low} {'entry' if low == 1 else 'entries'} below 0"
        return f"{words}."


def read_group(
    q: Tensor | None,
    k: Tensor | None,
    tokens: Sequence[str] | None,
    mixing: Any,
    group: int,
    scale: float | None,
) -> tuple[Group, Mixing]:
    """The example of words, or one group of q (1, h, s, d), k (1, g, s, d), mixing (n, c, c)."""
    if q is None and k is None:
        if tokens is not None:
            raise ValueError("tokens name the positions of q and k; got tokens alone.")
        found = example()
        return found, read_mixing(mixing, 2)
    if q is None or k is None:
        raise ValueError(f"q and k belong together; got {'q' if k is None else 'k'} alone.")
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"))
    shared = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    if size["b"] != 1 or size["s"] > LONGEST:
        raise ValueError(
            f"q must be one sequence of {LONGEST} positions at most, (1, h, s, d); "
            f"got {tuple(q.shape)}."
        )
    c = size["h"]
    if isinstance(mixing, Tensor) and mixing.ndim == 3:
        check_inputs(mixing=(mixing, "n c c"))
        require_mixing(size["h"], mixing=mixing)
        require_index(len(mixing), "a group of heads", group=group)
        c, mixing = mixing.shape[1], mixing[group]
    elif group:
        raise ValueError(f"group chooses of a mixing (n, c, c); got {group} without one.")
    heads = range(group * c, (group + 1) * c)
    if not 2 <= c <= MOST_HEADS:
        raise ValueError(f"mixing must have 2 to {MOST_HEADS} heads a group; got {c}.")
    require_scale(scale)
    found = Group(
        q[0, list(heads)].detach().double().cpu(),
        k[0, [h // shared for h in heads]].detach().double().cpu(),
        size["d"] ** -0.5 if scale is None else float(scale),
        read_tokens(tokens, size["s"]),
        tuple(f"head {h}" for h in heads),
    )
    most = float((found.q @ found.k.mT * found.scale).abs().max())
    if not most <= FARTHEST:
        raise ValueError(
            f"The logits must lie between −{FARTHEST:g} and {FARTHEST:g}; got {most:.3g}."
        )
    return found, read_mixing(mixing, c)


def example() -> Group:
    """One head asks for a colour, the other for a kind; the last token asks, the things do not."""
    pairs = [*THINGS.values(), ASKED]
    keys = torch.zeros(2, len(pairs), 8, dtype=torch.float64)
    for head in range(2):
        known = sorted({pair[head] for pair in pairs})
        for n, pair in enumerate(pairs):
            keys[head, n, known.index(pair[head])] = 1
    q = torch.zeros_like(keys)
    q[:, -1] = keys[:, -1]
    keys[:, -1] = 0
    words = (*THINGS, ASKER)
    return Group(q, keys, MATCH, words, tuple(f"{what}?" for what in ASKED), len(THINGS))


def mixing_payload(
    group: Group, mixing: Any, when: str, head: int, entry: tuple[int, int]
) -> MixingPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    c = len(group.q)
    numbers = read_mixing(mixing, c)
    require_choice("when", when, WHEN)
    require_index(c, "a new head", head=head)
    i, j = require_entry(entry, len(group.words))
    tensor, q, k = torch.tensor(numbers, dtype=torch.float64)[None], group.q[None], group.k[None]
    if when == "before":
        maps = multi_token_maps(q, k, pre_mixing=tensor, scale=group.scale)
        stages = (maps.raw, maps.logits, maps.probs)
    else:
        maps = multi_token_maps(q, k, post_mixing=tensor, scale=group.scale)
        stages = (maps.raw, maps.probs, maps.weights)
    first, second, third = (x[0] for x in stages)
    return MixingPayload(
        words=group.words,
        heads=group.heads,
        mixing=numbers,
        when="before" if when == "before" else "after",
        head=head,
        entry=(i, j),
        stages=(first, second, third),
        asked=group.asked,
    )


def read_mixing(mixing: Any, c: int) -> Mixing:
    """(c, c) or (1, c, c) as nested tuples, [new head][old head]; or that of a preset."""
    if isinstance(mixing, str):
        require_choice("mixing", mixing, tuple(PRESETS))
        return PRESETS[mixing](c)
    if isinstance(mixing, Tensor):
        mixing = (mixing[0] if mixing.ndim == 3 else mixing).detach().cpu().tolist()
    if not isinstance(mixing, Sequence):
        raise ValueError(f"mixing must be rows of numbers, (c, c); got {kind(mixing)}.")
    shapes = [len(row) if isinstance(row, Sequence) else 1 for row in mixing]
    if shapes != [c] * c:
        raise ValueError(f"mixing must have {c} rows of {c} numbers; got rows of {shapes}.")
    for row in mixing:
        for x in row:
            require_number(-FAR, FAR, **{"a number of the mixing": x})
    return tuple(tuple(float(x) for x in row) for row in mixing)


def _square(c: int, same: float, other: float) -> Mixing:
    return tuple(tuple(same if o == e else other for e in range(c)) for o in range(c))


PRESETS: dict[str, Callable[[int], Mixing]] = {
    "identity": lambda c: _square(c, 1.0, 0.0),
    "sum": lambda c: _square(c, 1.0, 1.0),
    "average": lambda c: _square(c, 1 / c, 1 / c),
    "contrast": lambda c: _square(c, 1.0, -1 / (c - 1)),
}


def preset_of(mixing: Mixing) -> str:
    """The preset that is this mixing; "" if none is."""
    return next((which for which, make in PRESETS.items() if make(len(mixing)) == mixing), "")
