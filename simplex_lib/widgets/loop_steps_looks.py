"""What both pictures of `step_loop` share: fates of cells, letters in them, ranges, titles."""

from typing import NamedTuple

from simplex_lib.widgets.kit import signed
from simplex_lib.widgets.loop_steps_payload import Fate, LoopPayload

FATES: tuple[Fate, ...] = ("off", "wait", "skipped", "done", "now")
NOTHING = "\u00a0"  # in a cell with nothing in it: plotly loses track of texts that are empty
SIGNS = {"off": NOTHING, "wait": "·", "skipped": "×", "done": "✓", "now": "●"}
FILLS = {  # under letters in ink; cells that nobody computes are left empty
    False: ("#00000000", "#e6ebf2", "#ccd2da", "#b5dfc5", "#f2b98f"),
    True: ("#00000000", "#2a323d", "#444b56", "#1d5a38", "#8a4a1c"),
}
COLD, WARM = {False: "#f2f6fb", True: "#1c2733"}, {False: "#8fb8e6", True: "#2d6099"}
LEGEND = "● now &nbsp;✓ done &nbsp;· to come &nbsp;× computed, not used"


class Titles(NamedTuple):
    tile: str
    map: str
    m: str
    l: str  # noqa: E741
    out: str


def titles(p: LoopPayload) -> Titles:
    now = p.now
    if not p.step:
        where = "the loop has not begun"
    else:
        where = f"j0 = {now.keys[0]}" if now.k is None else f"j0 = {now.keys[0]}, k = {now.k}"
    kinds = "pairs (j, k)" if p.pairs_of_keys else "keys"
    return Titles(
        tile=f"logits of this step: {where}",
        map=f"{kinds} of query {p.query}: {p.read} of {p.pairs}",
        m=f"m = {signed(now.m)}" if now.l else "m = −∞",
        l=f"l = {signed(now.l, 3)}",
        out="out so far = acc / l",
    )


def tile_text(p: LoopPayload) -> list[list[str]]:
    """(rows, keys) what stands in the cells of the tile."""
    if not p.step:
        return [[NOTHING] * len(row) for row in p.now.tile]
    return [["−∞" if x is None else signed(x) for x in row] for row in p.now.tile]


def row_names(p: LoopPayload) -> list[str]:
    return ["no query" if i is None else f"query {i}" for i in p.queries]


def key_names(p: LoopPayload) -> list[str]:
    """Of the tile's columns; a key beyond the end is none."""
    if not p.step:
        return [""] * len(p.now.tile[0])
    last = len(p.map[0])
    return [f"j = {j}" if j < last else "no key" for j in p.now.keys]


def logit_range(p: LoopPayload) -> tuple[float, float]:
    """Of all steps, so that colours mean the same in each."""
    found = [x for one in p.steps for row in one.tile for x in row if x is not None]
    return min(found), max(found)


def largest_logits(p: LoopPayload) -> tuple[list[int], list[float]]:
    """Steps in which the query sees something, and its largest logit there."""
    found = [(n, one.largest) for n, one in enumerate(p.steps) if one.largest is not None]
    return [n for n, _ in found], [x for _, x in found]


def level(p: LoopPayload) -> tuple[list[int], list[float]]:
    """m after each step so far, from the first pair on."""
    found = [(n, one.m) for n, one in enumerate(p.steps[: p.step + 1]) if one.l]
    return [n for n, _ in found], [x for _, x in found]


def sums(p: LoopPayload) -> tuple[list[int], list[float], list[float]]:
    """Steps so far, l, and l with no rescale."""
    seen = p.steps[: p.step + 1]
    return list(range(len(seen))), [one.l for one in seen], [one.plain_l for one in seen]


def sum_range(p: LoopPayload) -> tuple[float, float]:
    highest = max(max(one.l, one.plain_l if p.without_rescale else 0) for one in p.steps)
    return 0, 1.08 * highest


def level_range(p: LoopPayload) -> tuple[float, float]:
    _, found = largest_logits(p)
    room = max(max(found) - min(found), 1)
    return min(found) - 0.15 * room, max(found) + 0.15 * room


def out_range(p: LoopPayload) -> tuple[float, float]:
    """Of all steps, with the wrong values if they are shown."""
    found = [0.0, *p.out]
    for one in p.steps:
        found += one.out or []
        if p.without_rescale:
            found += one.plain_out or []
    room = 0.08 * (max(found) - min(found))
    return min(found) - room, max(found) + room


def step_ticks(p: LoopPayload) -> list[int]:
    last = len(p.steps) - 1
    return list(range(0, last + 1, 1 if last <= 6 else 3))
