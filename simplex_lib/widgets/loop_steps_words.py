"""A `LoopPayload` in words: what this step did to m, l and acc of the query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simplex_lib.widgets.kit import compact, signed

if TYPE_CHECKING:
    from simplex_lib.widgets.loop_steps_payload import LoopPayload


def sentence(p: LoopPayload) -> str:
    if p.step == 0:
        return _before(p)
    words = f"Step {p.step} of {len(p.steps) - 1}, {place(p)}: {_update(p)} {_count(p)}"
    return f"{words} {_without(p)}" if p.without_rescale else words


def place(p: LoopPayload) -> str:
    """Which keys, or keys and second key, this step reads; those beyond the end are not counted."""
    keys = [j for j in p.now.keys if j < len(p.map[0])]
    text = f"{keys[0]} to {keys[-1]}" if len(keys) > 1 else str(keys[0])
    return f"key{'s' * (len(keys) > 1)} {text}" if p.now.k is None else f"j = {text}, k = {p.now.k}"


def span(queries: list[int]) -> str:
    return f"queries {queries[0]} to {queries[-1]}" if len(queries) > 1 else f"query {queries[0]}"


def things(p: LoopPayload, n: int) -> str:
    return f"{n} {'pair' if p.pairs_of_keys else 'key'}{'s' * (n != 1)}"


def bracket(x: float) -> str:
    """After a minus sign a negative number stands in brackets."""
    return f"({signed(x)})" if signed(x).startswith("−") else signed(x)


def _before(p: LoopPayload) -> str:
    queries = [i for i in p.queries if i is not None]
    last = len(p.steps) - 1
    return (
        f"Program {p.program} owns {span(queries)}. Before its loop, each of them has m = −∞, "
        f"l = 0 and acc = 0. The loop takes {last} step{'s' * (last > 1)}; query {p.query} sees "
        f"{things(p, p.pairs)} in {'them' if last > 1 else 'it'}."
    )


def _update(p: LoopPayload) -> str:
    old, new = p.steps[p.step - 1], p.now
    if new.largest is None:
        none = f"query {p.query} sees {'no pair' if p.pairs_of_keys else 'no key'} of the tile"
        if not new.l:
            return (
                f"{none}, nor did before. m stays −∞, and the kernel subtracts 0 instead "
                "(−∞ − (−∞) would be NaN): every p is 0."
            )
        return f"{none}; every p is 0, rescale is 1, nothing changes."
    largest = signed(new.largest)
    if not old.l:
        return (
            f"the largest logit that query {p.query} sees here, {largest}, becomes m, and l = "
            f"{signed(new.l, 3)}. There was nothing to rescale."
        )
    before, after, added = (signed(x, 3) for x in (old.l, new.l, new.added))
    here = f"the largest logit that query {p.query} sees here, {largest}, is"
    if new.rescale == 1:
        return (
            f"{here} not above m = {signed(old.m)}. m stays, rescale is 1, l = {before} + {added} "
            f"≈ {after}."
        )
    rescale = signed(new.rescale, 3)
    return (
        f"{here} above m = {signed(old.m)}. l and acc are multiplied by rescale = "
        f"exp2({signed(old.m)} − {bracket(new.m)}) ≈ {rescale}, and l = {before} × {rescale} + "
        f"{added} ≈ {after}."
    )


def _count(p: LoopPayload) -> str:
    if not p.done:
        return f"{p.read} of {things(p, p.pairs)} {'is' if p.read == 1 else 'are'} in."
    whole = f"All {things(p, p.pairs)} are in" if p.pairs > 1 else f"The {things(p, 1)} is in"
    return (
        f"{whole}: out = acc / l and lse = (m + log₂ l) · ln 2 = {signed(p.now.lse, 3)}, as by the "
        f"definition (largest difference {compact(p.error) if p.error else '0'})."
    )


def _without(p: LoopPayload) -> str:
    now = p.now
    if not now.l or not rescaled(p):
        if p.done:
            return "Without the rescale nothing differs: the largest logit came first."
        return "Without the rescale nothing would differ so far."
    out, plain = now.out or [], now.plain_out or []
    off = max(abs(a - b) for a, b in zip(out, plain, strict=True))
    lse = f", and lse {signed(now.plain_lse, 3)}" if p.done else ""
    return (
        f"Without the rescale l would be {signed(now.plain_l, 3)}, acc / l off by up to "
        f"{signed(off, 3)}{lse}."
    )


def rescaled(p: LoopPayload) -> bool:
    """Whether a sum that was not empty has been rescaled by now."""
    pairs = zip(p.steps[: p.step], p.steps[1 : p.step + 1], strict=True)
    return any(old.l and not math.isclose(new.rescale, 1) for old, new in pairs)
