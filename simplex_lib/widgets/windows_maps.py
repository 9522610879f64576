"""The maps of a `WindowsPayload` as arrays, and where its frames stand. NaN is not drawn."""

from typing import NamedTuple

import numpy as np

from simplex_lib.widgets.windows_counts import WindowsPayload


class Frame(NamedTuple):
    """A rectangle on a map: left, upper, right and lower edge, in keys or queries."""

    left: float
    top: float
    right: float
    bottom: float


def margin(s: int) -> int:
    """How far maps of pairs reach back before the first key."""
    return max(round(s / 6), 1)


def pair_map(p: WindowsPayload) -> np.ndarray:
    """(s, s) over first and second keys: 1 a pair the query sees, 0 the rest of its past."""
    found = np.full((p.s, p.s), np.nan)
    past = p.query + 1
    found[:past, :past] = 0
    found[p.first.start : past, p.second.start : past] = 1
    return found


def seen_map(p: WindowsPayload) -> np.ndarray:
    """(2, s): 1 a first key, 2 a second key that the query sees, 0 the rest of its past."""
    found = np.full((2, p.s), np.nan)
    found[:, : p.query + 1] = 0
    for n, keys in enumerate((p.first, p.second)):
        found[n, keys.start : keys.stop] = n + 1
    return found


def kept_map(p: WindowsPayload) -> np.ndarray:
    """(2, places) of both caches: 0 an empty place, 1 and 2 one that holds a first, second key."""
    found = np.full((2, max(p.w1, p.w2)), np.nan)
    for n, slots in enumerate(p.slots):
        found[n, : len(slots)] = [0 if position is None else n + 1 for position in slots]
    return found


def tile_maps(p: WindowsPayload) -> tuple[np.ndarray, np.ndarray]:
    """(rows, keys) for first and second keys: 1 useful, 0 computed in a tile and then hidden."""
    maps = []
    for seen, computed in zip(p.seen, p.computed, strict=True):
        found = np.full((len(computed), max(p.s, *(keys.stop for keys in computed))), np.nan)
        for i, keys in enumerate(computed):
            found[i, keys.start : keys.stop] = 0
        for i, keys in enumerate(seen):
            found[i, keys.start : keys.stop] = 1
        maps.append(found)
    return maps[0], maps[1]


def tile_frames(p: WindowsPayload) -> tuple[Frame, Frame]:
    """What the tile of the query computes."""
    rows = p.rows
    first, second = (computed[p.query] for computed in p.computed)
    edges = rows.start - 0.5, rows.stop - 0.5
    return tuple(Frame(x.start - 0.5, edges[0], x.stop - 0.5, edges[1]) for x in (first, second))  # type: ignore[return-value]


def window_frame(p: WindowsPayload) -> Frame:
    """The whole window of pairs, as it would be if the sequence had no start."""
    end = p.query + 0.5
    return Frame(end - p.w2, end - p.w1, end, end)


def ticks(n: int, most: int = 9) -> list[int]:
    """At most so many of 0 to n - 1, evenly."""
    step = next(x for x in (1, 2, 3, 4, 5, 6, 8, 10, 16) if n / x <= most)
    return list(range(0, n, step))
