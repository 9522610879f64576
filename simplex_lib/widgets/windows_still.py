"""The picture of a `WindowsPayload` for a page without a live view."""

from typing import Any

from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from simplex_lib.widgets.kit import COLOURS, png, still_figure
from simplex_lib.widgets.windows_counts import WindowsPayload
from simplex_lib.widgets.windows_maps import (
    Frame,
    kept_map,
    margin,
    pair_map,
    seen_map,
    ticks,
    tile_frames,
    tile_maps,
    window_frame,
)

PAST, WASTED = "#ccd2da", "#8b929d"
TINTS = ("#a9c8ec", "#f2c29f")


def still(p: WindowsPayload) -> bytes:
    colour = COLOURS[False]
    first, second = colour["key"], colour["query"]
    drawn = still_figure(8.2, 7.4)
    upper, lower = drawn.subfigures(2, 1, height_ratios=[1, 1.15])
    left, right = upper.subfigures(1, 2, width_ratios=[1, 1.3])
    _draw_pairs(left.subplots(), p, (PAST, colour["out"]))
    strip, kept = right.subplots(2, 1)
    _draw_seen(strip, p, (PAST, first, second))
    _draw_kept(kept, p, (PAST, *TINTS))
    looks = zip(lower.subplots(1, 2), ("first", "second"), tile_maps(p), tile_frames(p),
                (first, second), strict=True)  # fmt: skip
    for axes, name, map_, tile, shade in looks:
        _show(axes, map_, (WASTED, shade))
        _frame(axes, tile)
        axes.set(title=f"{name} keys in tiles; grey: computed for nothing", xlabel=f"{name} key",
                 ylabel="query", xticks=ticks(p.s), yticks=ticks(p.s))  # fmt: skip
        axes.title.set_fontsize(9)
    return png(drawn)


def _draw_pairs(axes: Any, p: WindowsPayload, colours: tuple[str, ...]) -> None:
    before, end = -margin(p.s) - 0.5, p.s - 0.5
    _show(axes, pair_map(p), colours)
    axes.axvspan(before, -0.5, color=PAST, alpha=0.35, lw=0)
    axes.axhspan(before, -0.5, color=PAST, alpha=0.35, lw=0)
    _frame(axes, window_frame(p), ls="--")
    axes.set(xlim=(before, end), ylim=(end, before), xticks=ticks(p.s), yticks=ticks(p.s))
    axes.set(xlabel="second key k", ylabel="first key j")
    count = len(p.first) * len(p.second)
    axes.set_title(f"pairs of query {p.query}: {count:,}", fontsize=9)


def _draw_seen(axes: Any, p: WindowsPayload, colours: tuple[str, ...]) -> None:
    before, whole = -margin(p.s) - 0.5, window_frame(p)
    _show(axes, seen_map(p), colours, aspect="auto")
    axes.axvspan(before, -0.5, color=PAST, alpha=0.35, lw=0)
    for row, start in enumerate((whole.top, whole.left)):
        _frame(axes, Frame(start, row - 0.5, whole.right, row + 0.5), ls="--")
    axes.set(xlim=(before, p.s - 0.5), xticks=ticks(p.s), xlabel="key")
    axes.set(yticks=[0, 1], yticklabels=["first key j", "second key k"])
    axes.set_title(f"keys that query {p.query} sees", fontsize=9)


def _draw_kept(axes: Any, p: WindowsPayload, colours: tuple[str, ...]) -> None:
    map_ = kept_map(p)
    _show(axes, map_, colours, aspect="auto")
    for row, slots in enumerate(p.slots):
        newest = p.query % len(slots)
        _frame(axes, Frame(newest - 0.5, row - 0.5, newest + 0.5, row + 0.5))
        for n, position in enumerate(slots):
            if position is not None and map_.shape[1] <= 20:
                axes.text(n, row, str(position), ha="center", va="center", fontsize=8)
    axes.set(xticks=ticks(map_.shape[1]), xlabel="place in the cache: position mod w")
    axes.set(yticks=[0, 1], yticklabels=["first cache", "second cache"])
    axes.set_title(f"positions kept after token {p.query}", fontsize=9)


def _show(axes: Any, map_: Any, colours: tuple[str, ...], aspect: str = "equal") -> None:
    look = dict(cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1, edgecolors="white")
    rows, keys = map_.shape
    edges = ([n - 0.5 for n in range(keys + 1)], [n - 0.5 for n in range(rows + 1)])
    axes.pcolormesh(*edges, map_, linewidth=0.4, **look)
    axes.set(aspect=aspect, ylim=(rows - 0.5, -0.5), xlim=(-0.5, keys - 0.5))
    axes.tick_params(labelsize=8)


def _frame(axes: Any, at: Frame, **line: Any) -> None:
    size = at.right - at.left, at.bottom - at.top
    look: dict[str, Any] = dict(fill=False, ec=COLOURS[False]["ink"], lw=1.6) | line
    axes.add_patch(Rectangle((at.left, at.top), *size, **look))
