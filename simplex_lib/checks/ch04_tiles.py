"""Exercise 4.4: which share of the pairs that matrix tiles compute is visible.

Axes: i query, s sequence length. A tile has some rows, which all compute the same keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

TILINGS = ("sequence", "heads")
Answer = Callable[[int, int, int, int, int, str], float]


def tiles_inputs(
    draw: Draw, *, s: int, w1: int, w2: int, rows: int, kv_block: int
) -> dict[str, Any]:
    return dict(seq_len=s, w1=w1, w2=w2, rows=rows, kv_block=kv_block)


def ask_tiles(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Asks for both tilings; one tensor, so that what is said of all numbers holds for both."""
    shares = []
    for tiling in TILINGS:
        share = answer(*arguments.values(), tiling)
        if isinstance(share, Tensor) and share.numel() == 1:
            share = share.item()
        if share is None:
            return None
        if isinstance(share, bool) or not isinstance(share, Real):
            raise Rejected(
                "type",
                f'With tiling = "{tiling}" your answer returns a {type(share).__name__}. It '
                "should return one number, the share.",
            )
        shares.append(float(share))
    return torch.tensor(shares, dtype=torch.float64)


def truth_tiles(seq_len: int, w1: int, w2: int, rows: int, kv_block: int) -> Tensor:
    """Every key of every tile, by name."""
    sees = [
        [set(range(max(0, i - w + 1), i + 1)) for w in sorted((w1, w2))] for i in range(seq_len)
    ]
    visible = sum(len(short) * len(long) for short, long in sees)
    shares = []
    for queries in (rows, 1):
        computed = 0
        for start in range(0, seq_len, queries):
            tile = sees[start : start + queries]
            singles = set.union(*(short for short, _ in tile))
            needed = set.union(*(long for _, long in tile))
            loaded, first = 0, min(needed)
            while first <= max(needed):
                loaded, first = loaded + kv_block, first + kv_block
            computed += queries * len(singles) * loaded
        shares.append(visible / computed)
    return torch.tensor(shares, dtype=torch.float64)


def _visible(s: int, w1: int, w2: int) -> int:
    return sum(min(i + 1, w1) * min(i + 1, w2) for i in range(s))


def _not_itself(s: int, w1: int, w2: int) -> int:
    return sum(min(i, w1) * min(i, w2) for i in range(s))


def _up(n: int, block: int) -> int:
    return math.ceil(n / block) * block


def _exact_span(start: int, end: int, w: int) -> int:
    """Keys that the queries start, ..., end - 1 see together."""
    return end - max(start - w + 1, 0)


def _share(
    *,
    span: Callable[[int, int, int], int] = _exact_span,
    short_span: Callable[[int, int, int], int] | None = None,
    load: Callable[[int, int], int] = _up,
    single: Callable[[int, int], int] = lambda n, block: n,
    roles: Callable[[int, int], tuple[int, int]] = lambda w1, w2: (min(w1, w2), max(w1, w2)),
    visible: Callable[[int, int, int], float] = _visible,
    idle: bool = True,
    clip_end: bool = True,
    floor: bool = False,
    tiled: tuple[str, ...] = ("sequence",),
    finish: Callable[[float, float], float] = lambda useful, computed: useful / computed,
    head_rows: bool = False,
    last: bool = True,
) -> Answer:
    """The count, with one thing changed at a time. tiled: the tilings whose rows are queries."""

    def answer(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
        short, long = roles(w1, w2)
        queries = rows if tiling in tiled else 1
        computed, stop = 0, s
        if not last and s >= queries:
            stop = s - s % queries
        for start in range(0, stop, queries):
            end = min(start + queries, s) if clip_end else start + queries
            singles = single((short_span or span)(start, end, short), kv_block)
            first = max(start - long + 1, 0)
            extra = first % kv_block if floor else 0  # blocks counted from position 0
            loaded = load(span(start, end, long) + extra, kv_block)
            height = queries if idle else end - start
            height = rows if head_rows else height
            computed += height * singles * loaded
        return finish(visible(s, w1, w2), computed)

    return answer


def _published(s: int, w1: int, w2: int) -> float:
    short, long = min(w1, w2), max(w1, w2)
    return short**3 / 4 + (long - short) * short * long / 2 + (s - short - long) * short * long


def _one_more(start: int, end: int, w: int) -> int:
    return end - max(start - w, 0)


def _no_edge(start: int, end: int, w: int) -> int:
    return w + end - start - 1


def _no_edge_one_more(start: int, end: int, w: int) -> int:
    return w + end - start


def _last_row(start: int, end: int, w: int) -> int:
    return min(end, w)


def _window(start: int, end: int, w: int) -> int:
    return w


def _first_row(start: int, end: int, w: int) -> int:
    return min(start + 1, w)


def _added(start: int, end: int, w: int) -> int:
    return sum(min(i + 1, w) for i in range(start, end))


def wrong_mean(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    short, long = min(w1, w2), max(w1, w2)
    queries = rows if tiling == "sequence" else 1
    shares = []
    for start in range(0, s, queries):
        end = min(start + queries, s)
        singles = _exact_span(start, end, short)
        computed = queries * singles * _up(_exact_span(start, end, long), kv_block)
        useful = sum(min(i + 1, w1) * min(i + 1, w2) for i in range(start, end))
        shares.append(useful / computed)
    return sum(shares) / len(shares)


def wrong_full_tile(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    """One tile far from the start stands for all."""
    short, long = min(w1, w2), max(w1, w2)
    queries = rows if tiling == "sequence" else 1
    singles, span = short + queries - 1, long + queries - 1
    return w1 * w2 / (singles * _up(span, kv_block))


def wrong_heads_times_rows(
    s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str
) -> float:
    share = _share()(s, w1, w2, rows, kv_block, tiling)
    return share * rows if tiling == "heads" else share


def wrong_one_row(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    share = _share()(s, w1, w2, rows, kv_block, tiling)
    return share * rows if tiling == "sequence" else share


def wrong_heads_over_rows(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    share = _share()(s, w1, w2, rows, kv_block, tiling)
    return share / rows if tiling == "heads" else share


def wrong_full_heads(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    if tiling == "sequence":
        return _share()(s, w1, w2, rows, kv_block, tiling)
    return _visible(s, w1, w2) / (s * min(w1, w2) * _up(max(w1, w2), kv_block))


def right_by_keys(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    """Marks the keys of each tile in a list."""
    short, long = sorted((w1, w2))
    step, visible, computed = (rows if tiling == "sequence" else 1), 0, 0
    for start in range(0, s, step):
        singles, needed = [False] * s, [False] * s
        for i in range(start, min(start + step, s)):
            for back in range(min(i + 1, long)):
                needed[i - back] = True
                singles[i - back] = singles[i - back] or back < short
            visible += min(i + 1, short) * min(i + 1, long)
        computed += step * sum(singles) * -(-sum(needed) // kv_block) * kv_block
    return visible / computed


def right_with_all_heads(s: int, w1: int, w2: int, rows: int, kv_block: int, tiling: str) -> float:
    """Counts the pairs of `rows` heads where the rows of a tile are heads."""
    if tiling == "sequence":
        return _share()(s, w1, w2, rows, kv_block, tiling)
    useful = rows * _visible(s, w1, w2)
    blocks = (_up(min(i + 1, max(w1, w2)), kv_block) for i in range(s))
    return useful / sum(rows * min(i + 1, w1, w2) * n for i, n in enumerate(blocks))


TILES = Exercise(
    id="4.4",
    title="The useful share of a tile",
    minutes=15,
    inputs=tiles_inputs,
    sizes=(
        dict(s=4, w1=2, w2=1, rows=2, kv_block=2),  # the example of the statement
        dict(s=4, w1=2, w2=1, rows=2, kv_block=3),
        dict(s=1, w1=1, w2=1, rows=1, kv_block=2),
        dict(s=8, w1=3, w2=5, rows=4, kv_block=2),
        dict(s=7, w1=5, w2=3, rows=4, kv_block=2),
        dict(s=6, w1=9, w2=11, rows=4, kv_block=5),
        dict(s=9, w1=1, w2=4, rows=2, kv_block=3),
        dict(s=30, w1=3, w2=12, rows=8, kv_block=5),
        dict(s=60, w1=16, w2=4, rows=1, kv_block=8),
        dict(s=150, w1=20, w2=6, rows=16, kv_block=7),
        dict(s=90, w1=4, w2=25, rows=11, kv_block=8),
    ),
    truth=truth_tiles,
    outputs=("share (0 is tiling the sequence, 1 is tiling heads): tiling",),
    wrong=(
        Wrong(
            "one key too many",
            _share(span=_one_more),
            "Your tiles load one key too many, one before the first that any row sees: of a "
            "window of w, a tile of r queries far from the start sees w + r − 1 keys, not w + r.",
        ),
        Wrong(
            "one key too many, edge ignored",
            _share(span=_no_edge_one_more),
            "Your tiles load w + r keys of a window of w, for r rows of queries, at the start as "
            "well. Count them for r = 1; and ask which keys a tile at the start has.",
        ),
        Wrong(
            "first key of the longer window",
            _share(span=_one_more, short_span=_exact_span),
            "The keys of the shorter window are right. Of the longer one your tiles begin one key "
            "too early.",
        ),
        Wrong(
            "first key of the shorter window",
            _share(short_span=_one_more),
            "The keys of the longer window are right. Of the shorter one your tiles begin one key "
            "too early.",
        ),
        Wrong(
            "edge ignored",
            _share(span=_no_edge),
            "Your tiles load keys from before position 0. The first tiles have fewer keys to "
            "load than those far from the start.",
        ),
        Wrong(
            "one window a tile",
            _share(span=_last_row),
            "Your tiles load the keys of their last query alone. The queries before it see keys "
            "further back, and a tile loads what any of its rows sees.",
        ),
        Wrong(
            "one full window a tile",
            _share(span=_window),
            "Every tile of yours loads w1 and w2 keys, whatever its rows and its place. "
            "Neighbouring queries do not see the same keys, and the first queries see fewer.",
        ),
        Wrong(
            "keys of the first row",
            _share(span=_first_row),
            "Your tiles load the keys of their first query alone. The queries after it see keys "
            "further on, and a tile loads what any of its rows sees.",
        ),
        Wrong(
            "windows of the rows added",
            _share(span=_added),
            "You add up the windows of all rows of a tile. Neighbouring queries share most of "
            "their keys, and a tile loads each key once.",
        ),
        Wrong(
            "blocks not rounded up",
            _share(load=lambda n, block: n),
            "kv_block changes nothing in your numbers. Keys of the longer window are computed in "
            "whole blocks, so the last one is often partly idle.",
        ),
        Wrong(
            "blocks from position 0",
            _share(floor=True),
            "Your blocks begin at multiples of kv_block. Here they are counted from the first key "
            "that the tile sees.",
        ),
        Wrong(
            "one block too many",
            _share(load=lambda n, block: (n // block + 1) * block),
            "Where the keys of a tile fill their blocks exactly, you count one block more.",
        ),
        Wrong(
            "block for each row",
            _share(load=lambda n, block: n * block),
            "You count a whole block for each key of the longer window. A block holds kv_block "
            "of them.",
        ),
        Wrong(
            "idle rows left out",
            _share(idle=False),
            "Your last tile is shorter than the others. A tile that reaches past the end computes "
            "all its rows all the same.",
        ),
        Wrong(
            "keys past the end",
            _share(clip_end=False),
            "Your last tile loads keys from past the end of the sequence. It has idle rows there, "
            "and idle rows see no keys.",
        ),
        Wrong(
            "last tile dropped",
            _share(last=False),
            "Where the last tile is not full it is missing from your count of computed pairs, "
            "while its queries count as visible.",
        ),
        Wrong(
            "blocks of the shorter window",
            _share(roles=lambda w1, w2: (max(w1, w2), min(w1, w2))),
            "Your blocks are made of the keys of the shorter window, and the longer one is taken "
            "key by key. It is the other way round.",
        ),
        Wrong(
            "blocks of the second key",
            _share(roles=lambda w1, w2: (w1, w2)),
            "Your blocks are always made of second keys. Those of the longer window are meant, "
            "and w1 may be the longer one.",
        ),
        Wrong(
            "blocks of the first key",
            _share(roles=lambda w1, w2: (w2, w1)),
            "Your blocks are always made of first keys. Those of the longer window are meant, and "
            "w2 may be the longer one.",
        ),
        Wrong(
            "both in blocks",
            _share(single=_up),
            "Both keys come in blocks in your count. Those of the shorter window are taken one by "
            "one.",
        ),
        Wrong(
            "visible pairs in full windows",
            _share(visible=lambda s, w1, w2: s * w1 * w2),
            "The computed pairs are right. Your visible pairs are s · w1 · w2, though the first "
            "queries see fewer.",
        ),
        Wrong(
            "visible pairs without the query itself",
            _share(visible=_not_itself),
            "The computed pairs are right. Of your visible pairs the query's own position is "
            "missing: query 0 sees one pair, and you count none.",
        ),
        Wrong(
            "visible pairs of the public code",
            _share(visible=_published),
            "The computed pairs are right. Your visible pairs are the estimate of the public "
            "code, which takes a quarter and a half for the first queries. Count them.",
        ),
        Wrong(
            "wasted",
            _share(finish=lambda useful, computed: 1 - useful / computed),
            "This is the wasted share, and the useful one is asked for: together they are 1.",
        ),
        Wrong(
            "upside down",
            _share(finish=lambda useful, computed: computed / useful),
            "Your fraction is upside down: it says how many pairs are computed for each visible "
            "one.",
        ),
        Wrong(
            "percent",
            _share(finish=lambda useful, computed: 100 * useful / computed),
            "This is the share in percent. A fraction of 1 is asked for.",
        ),
        Wrong(
            "percent wasted",
            _share(finish=lambda useful, computed: 100 - 100 * useful / computed),
            "This is the wasted share, in percent. The useful share is asked for, as a fraction "
            "of 1.",
        ),
        Wrong(
            "heads as queries",
            _share(tiled=TILINGS),
            'With tiling = "heads" you get the numbers of the other tiling. There, all rows of a '
            "tile stand at one position and see the same keys.",
        ),
        Wrong(
            "queries as heads",
            _share(tiled=()),
            'With tiling = "sequence" you get the numbers of the other tiling. There, the rows of '
            "a tile are neighbouring queries.",
        ),
        Wrong(
            "full windows of heads",
            wrong_full_heads,
            'With tiling = "heads" every tile of yours loads w1 and w2 keys. Those at the start '
            "have fewer keys to load.",
        ),
        Wrong(
            "tilings swapped",
            _share(tiled=("heads",)),
            "The two tilings changed places.",
        ),
        Wrong(
            "rows of heads",
            wrong_heads_over_rows,
            'With tiling = "heads" you count the computed pairs of all rows and the visible pairs '
            "of one. Every row is a query head of its own, with visible pairs of its own.",
        ),
        Wrong(
            "all heads visible",
            wrong_heads_times_rows,
            'With tiling = "heads" you count the visible pairs of all rows and the computed pairs '
            "of one.",
        ),
        Wrong(
            "one row computed",
            wrong_one_row,
            'With tiling = "sequence" you count the computed pairs of one row in each tile. All '
            "rows of a tile compute the same keys, each for itself.",
        ),
        Wrong(
            "mean of the tiles",
            wrong_mean,
            "You take the mean of the shares of the tiles. Asked for is one share, of all visible "
            "pairs in all computed ones: a tile with few keys counts less in it.",
        ),
        Wrong(
            "one tile for all",
            wrong_full_tile,
            "These are the numbers of a single full tile far from the start. At the start and at "
            "the end tiles look different, and they count as well.",
        ),
    ),
    right=(
        Right("marks the keys", right_by_keys),
        Right("pairs of all heads", right_with_all_heads),
    ),
    hints=(
        "Count two things separately. Visible pairs: a sum over the queries. Computed pairs: a "
        "sum over the tiles. What does one tile compute, for each of its rows?",
        "A tile of the queries start, ..., end − 1 sees the keys from the first one that query "
        "start sees to end − 1. How many are that, of a window of w? Which of the two numbers is "
        "rounded up?",
        "for start in 0, step, 2 step, ... below s (step = rows, or 1 for heads): end = start + "
        "step, at most s; n(w) = end − max(start − w + 1, 0); computed += step × n(short) × "
        "(n(long), rounded up to whole blocks). The share is visible / computed.",
    ),
    why="Neighbouring queries see windows that are shifted against each other: with 64 rows and "
    "a window of 32, a tile loads 95 keys, and each row sees 32 of them. Heads of one position "
    "see the same keys, so nothing but the last block of a window is idle.",
    another_way="mark the keys that each tile loads in a list and count the marks: slower, and "
    "impossible to get wrong by one.",
    variants=(),
    ask=ask_tiles,
    same_dtype=False,
)
