"""What causal windows show, keep and cost: all numbers and words of `explore_windows`.

`windows_payload` is called with the learner's choices. What is counted over all queries comes from
`simplex_lib.attention.costs`; here are the ranges of one query, of its caches and of its tile.

Axes: i query, j first key, k second key, s sequence length. A window of w is i - w < j <= i.
"""

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Literal, NamedTuple

from simplex_lib.attention import costs
from simplex_lib.errors import kind, require_choice
from simplex_lib.widgets.kit import require_index

LONGEST = 48  # positions: more would be too small to see
TALLEST = 16  # rows of a tile
ITEMSIZE = 2  # bytes of a number in a cache: bfloat16
TILINGS: tuple[Literal["sequence"], Literal["heads"]] = ("sequence", "heads")
PAPER = dict(s=8192, w1=512, w2=32)  # its windows, at the length of its public tile counter


class Count(NamedTuple):
    """One line of the table; all whole numbers."""

    name: str
    windows: int
    everything: int  # trilinear attention without windows
    dot_product: int


@dataclass(frozen=True)
class WindowsPayload:
    """One query looked at closely, all of them in tiles, and what all of it costs."""

    s: int
    w1: int
    w2: int
    query: int
    tiling: Literal["sequence", "heads"]
    tile: int  # queries in a tile, if it is tiled over the sequence
    kv_block: int
    first: range  # the keys that the query sees
    second: range
    slots: tuple[list[int | None], list[int | None]]  # position at each place of both caches
    seen: tuple[list[range], list[range]]  # per query, the first and the second keys it sees
    computed: tuple[list[range], list[range]]  # per row, padded to whole tiles, what tiles compute
    counts: list[Count]
    break_even: tuple[int, int]  # by the formula, and exact
    useful: dict[str, float]  # per tiling, the useful share
    paper_useful: dict[str, float]  # the same two for the paper's windows
    paper_break_even: tuple[int, int]

    @property
    def rows(self) -> range:
        """The queries in the tile of the chosen one; itself where the rows are heads."""
        height = self.tile if self.tiling == "sequence" else 1
        start = self.query // height * height
        return range(start, start + height)

    @property
    def sentence(self) -> str:
        """What the query sees and what cuts it, what all queries cost, and what tiles waste."""
        a, b, i = len(self.first), len(self.second), self.query
        words = (
            f"Query {i} sees {_keys(self.first, 'first')} and {_keys(self.second, 'second')}: "
            f"{a} × {b} = {a * b:,} {'pair' if a * b == 1 else 'pairs'}{self._cut()}. "
            f"Without windows it would see {i + 1} × {i + 1} = {(i + 1) ** 2:,}. "
        )
        flops = self.counts[2]
        against = f"6 s w1 w2 = {flops.windows:,} FLOPs against 2 s² = {flops.dot_product:,}"
        length = self.break_even[0]
        if self.s == length:
            words += f"All queries: {against}, just as many as dot-product attention. "
        else:
            ratio = flops.windows / flops.dot_product
            words += f"All queries: {against} of dot-product attention, {times(ratio)} as many; "
            words += f"both are equal at s = {length:,}. "
        return f"{words}Of what tiles over {_tiles(self)} compute, {self._share()} is useful."

    def _cut(self) -> str:
        """Which windows the start of the sequence cuts."""
        cut = [
            f"{name} = {w}" for name, w in (("w1", self.w1), ("w2", self.w2)) if w > self.query + 1
        ]
        return f" (the start cuts {' and '.join(cut)})" if cut else ""

    def _share(self) -> str:
        return f"{self.useful[self.tiling]:.1%}"


def windows_payload(
    seq_len: int = 24,
    w1: int = 8,
    w2: int = 4,
    query: int = 13,
    *,
    tiling: Literal["sequence", "heads"] = "sequence",
    tile: int = 4,
    kv_block: int = 4,
    head_dim: int = 128,
) -> WindowsPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    require_whole(1, LONGEST, seq_len=seq_len, w1=w1, w2=w2)
    require_whole(1, TALLEST, tile=tile, kv_block=kv_block)
    require_whole(1, 4096, head_dim=head_dim)
    require_index(seq_len, "one of the positions", query=query)
    require_choice("tiling", tiling, TILINGS)
    queries = range(seq_len)
    first, second = ([range(max(i - w + 1, 0), i + 1) for i in queries] for w in (w1, w2))
    return WindowsPayload(
        s=seq_len,
        w1=w1,
        w2=w2,
        query=query,
        tiling=tiling,
        tile=tile,
        kv_block=kv_block,
        first=first[query],
        second=second[query],
        slots=(_slots(query, w1), _slots(query, w2)),
        seen=(first, second),
        computed=_computed(seq_len, w1, w2, tile if tiling == "sequence" else 1, kv_block),
        counts=_counts(seq_len, w1, w2, query, head_dim),
        break_even=_break_even(w1, w2),
        useful=_useful(seq_len, w1, w2, tile, kv_block),
        paper_useful=_useful(**PAPER, tile=64, kv_block=128),
        paper_break_even=_break_even(PAPER["w1"], PAPER["w2"]),
    )


def require_whole(low: int, high: int, **numbers: int) -> None:
    """A whole number from low to high, both included."""
    for name, n in numbers.items():
        wish = f"{name} must be a whole number from {low:,} to {high:,}"
        if isinstance(n, bool) or not isinstance(n, Integral):
            raise ValueError(f"{wish}; got {kind(n)}.")
        if not low <= n <= high:
            raise ValueError(f"{wish}; got {n:,}.")


def times(ratio: float) -> str:
    """How many times as many: 4, 0.25, 0.0013."""
    return f"{float(f'{ratio:.2g}'):g} times" if ratio < 100 else f"{ratio:,.0f} times"


def _slots(query: int, w: int) -> list[int | None]:
    """The position that each place of a rolling cache holds after `query`: p stands at p mod w."""
    return [query - (query - n) % w if n <= query else None for n in range(w)]


def _computed(
    s: int, w1: int, w2: int, rows: int, kv_block: int
) -> tuple[list[range], list[range]]:
    """As `costs.tiled_pairs` counts: the longer window in blocks, the shorter key by key."""
    steps = (kv_block, 1) if w1 >= w2 else (1, kv_block)
    found: tuple[list[range], list[range]] = ([], [])
    for start in range(0, s, rows):
        end = min(start + rows, s)
        for ranges, w, step in zip(found, (w1, w2), steps, strict=True):
            low = max(start - w + 1, 0)
            blocks = -(-(end - low) // step)
            ranges += [range(low, low + blocks * step)] * rows
    return found


def _counts(s: int, w1: int, w2: int, query: int, d: int) -> list[Count]:
    """In windows, without, and of dot-product attention, which sees pairs (j, i)."""

    def count(name: str, of: list[int]) -> Count:
        return Count(name, *of)

    windows, sizes = ((w1, w2), (None, None), (None, 1)), dict(d=d, itemsize=ITEMSIZE)
    past = query + 1
    caches = (costs.cache_bytes(s, *w, **sizes) for w in ((w1, w2), (None, None), (None,)))
    return [
        count(f"pairs of query {query}", [min(past, w1) * min(past, w2), past**2, past]),
        count("pairs of all queries", [costs.visible_pairs(s, *w) for w in windows]),
        count("FLOPs, 6 s w1 w2 or 2 s²", [costs.trilinear_flops(s, w1, w2),
              costs.trilinear_flops(s, s, s), costs.dot_product_flops(s)]),
        count("FLOPs, visible pairs only", [costs.exact_trilinear_flops(s, w1, w2),
              costs.exact_trilinear_flops(s, None, None), costs.exact_dot_product_flops(s)]),
        count("bytes of the caches", list(caches)),
        count("bytes of the logits", [costs.logits_bytes(s, *w) for w in windows]),
    ]  # fmt: skip


def _break_even(w1: int, w2: int) -> tuple[int, int]:
    return costs.break_even_length(w1, w2), costs.exact_break_even_length(w1, w2)


@lru_cache(64)
def _useful(s: int, w1: int, w2: int, tile: int, kv_block: int) -> dict[str, float]:
    return {
        tiling: costs.useful_share(s, w1, w2, tiling=tiling, tile=tile, kv_block=kv_block)
        for tiling in TILINGS
    }


def _keys(keys: range, which: str) -> str:
    if len(keys) == 1:
        return f"1 {which} key ({keys[0]})"
    return f"{len(keys)} {which} keys ({keys[0]} to {keys[-1]})"


def _tiles(p: WindowsPayload) -> str:
    if p.tiling == "heads":
        return "query heads"
    return "one query" if p.tile == 1 else f"{p.tile} neighbouring queries"
