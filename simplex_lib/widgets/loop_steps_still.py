"""The picture of a `LoopPayload` for a page without a live view."""

import io
from typing import Any

from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.patches import Rectangle

from simplex_lib.widgets import loop_steps_looks as looks
from simplex_lib.widgets.kit import COLOURS, still_figure
from simplex_lib.widgets.loop_steps_payload import LoopPayload
from simplex_lib.widgets.loop_steps_recording import TILE, S


def still(p: LoopPayload) -> bytes:
    drawn = still_figure(8.2, 6.0)
    drawn.set_dpi(92)
    upper, lower = drawn.subfigures(2, 1, height_ratios=[1.45, 1])
    tile, map_ = upper.subplots(1, 2, width_ratios=[1, 1.05])
    titles = looks.titles(p)
    _draw_tile(tile, p)
    _draw_map(map_, p)
    level, total, out = lower.subplots(1, 3)
    _draw_level(level, p)
    _draw_sum(total, p)
    _draw_out(out, p)
    for axes, title in zip((tile, map_, level, total, out), titles, strict=True):
        axes.set_title(title, fontsize=9, fontweight="bold", loc="left")
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_fontsize(8)
    for axes in (level, total, out):
        axes.spines[["top", "right"]].set_visible(False)
    return _small(drawn)


def _draw_tile(axes: Any, p: LoopPayload) -> None:
    low, high = looks.logit_range(p)
    grey = looks.FILLS[False][looks.FATES.index("skipped" if p.step else "wait")]
    shades = LinearSegmentedColormap.from_list("logits", [looks.COLD[False], looks.WARM[False]])
    shades = shades.with_extremes(bad=grey)
    shown = [[float("nan") if x is None else x for x in row] for row in p.now.tile]
    _cells(axes, shown, shades, low, high)
    for r, row in enumerate(looks.tile_text(p)):
        for c, text in enumerate(row):
            axes.text(c, r, text, ha="center", va="center", fontsize=9)
    axes.set(xticks=range(TILE), xticklabels=looks.key_names(p))
    axes.set(yticks=range(TILE), yticklabels=looks.row_names(p))
    axes.set(aspect="equal", xlabel=looks.LEGEND.replace("&nbsp;", " "))
    row = p.query % TILE
    _frame(axes, -0.5, TILE - 0.5, row - 0.5, row + 0.5, COLOURS[False]["ink"], 1.8)


def _draw_map(axes: Any, p: LoopPayload) -> None:
    rows, fills = len(p.map), ("#ffffff", *looks.FILLS[False][1:])
    fates = [[looks.FATES.index(fate) for fate in row] for row in p.map]
    _cells(axes, fates, ListedColormap(fills), 0, len(fills) - 1)
    for r, row in enumerate(p.map):
        for c, fate in enumerate(row):
            if fate != "off":
                axes.text(c, r, looks.SIGNS[fate], ha="center", va="center", fontsize=8)
    names = [str(j) for j in range(S)] if p.pairs_of_keys else looks.row_names(p)
    axes.set(xticks=range(S), yticks=range(rows), yticklabels=names)
    axes.set(aspect="equal" if p.pairs_of_keys else "auto")
    axes.set(xlabel="second key k" if p.pairs_of_keys else "key j")
    axes.set(ylabel="first key j" if p.pairs_of_keys else "")
    row, colour = p.query % TILE, COLOURS[False]
    if not p.pairs_of_keys:
        _frame(axes, -0.5, S - 0.5, row - 0.5, row + 0.5, colour["ink"], 1.8)
    if p.step:
        first, stop = p.now.keys[0] - 0.5, min(p.now.keys[-1] + 0.5, S - 0.5)
        k = p.now.k
        across = (first, stop, -0.5, TILE - 0.5) if k is None else (k - 0.5, k + 0.5, first, stop)
        _frame(axes, *across, colour["query"], 2.2)


def _draw_level(axes: Any, p: LoopPayload) -> None:
    colour = COLOURS[False]
    largest = list(zip(*looks.largest_logits(p), strict=True))
    done = [point for point in largest if point[0] <= p.step]
    come = [point for point in largest if point[0] > p.step]
    for points, fill, words in ((done, colour["key"], "largest logit"), (come, "none", "to come")):
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, "o", ms=4.5, mec=colour["key"], mfc=fill, label=words)
    steps, found = looks.level(p)
    axes.step(steps, found, where="post", color=colour["query"], lw=2.2)
    axes.legend(fontsize=7, frameon=False)
    axes.set(ylim=looks.level_range(p))
    _steps(axes, p)


def _draw_sum(axes: Any, p: LoopPayload) -> None:
    colour = COLOURS[False]
    steps, found, wrong = looks.sums(p)
    axes.plot(steps, found, "o-", color=colour["query"], lw=2.2, ms=3, label="l")
    if p.without_rescale:
        axes.plot(steps, wrong, "x--", color=colour["faint"], lw=1.6, ms=5, label="no rescale")
        axes.legend(fontsize=7, frameon=False)
    axes.set(ylim=looks.sum_range(p))
    _steps(axes, p)


def _draw_out(axes: Any, p: LoopPayload) -> None:
    colour, columns = COLOURS[False], range(len(p.out))
    width = 0.36 if p.without_rescale else 0.6
    left = [c - width / 2 if p.without_rescale else c for c in columns]
    if p.now.out:
        axes.bar(left, p.now.out, width, color=colour["out"], label="acc / l")
    if p.without_rescale and p.now.plain_out:
        right = [c + width / 2 for c in columns]
        axes.bar(right, p.now.plain_out, width, color="white", ec=colour["faint"], hatch="////",
                 label="no rescale")  # fmt: skip
    for c, x in enumerate(p.out):
        axes.plot([c - 0.4, c + 0.4], [x, x], color=colour["ink"], lw=2,
                  label="at the end" if not c else None)  # fmt: skip
    axes.axhline(0, color=colour["faint"], lw=0.8)
    axes.set(ylim=looks.out_range(p), xticks=list(columns), xlabel="coordinate")
    axes.legend(fontsize=7, frameon=False)


def _steps(axes: Any, p: LoopPayload) -> None:
    axes.set(xlim=(-0.4, len(p.steps) - 0.6), xticks=looks.step_ticks(p), xlabel="step")
    axes.axvline(p.step, color=COLOURS[False]["faint"], lw=1, ls=":")


def _cells(axes: Any, z: Any, shades: Any, low: float, high: float) -> None:
    rows, columns = len(z), len(z[0])
    edges = ([n - 0.5 for n in range(columns + 1)], [n - 0.5 for n in range(rows + 1)])
    axes.set_facecolor(shades.get_bad())
    axes.pcolormesh(*edges, z, cmap=shades, vmin=low, vmax=high, edgecolors="white", linewidth=0.6)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _frame(
    axes: Any, left: float, right: float, top: float, bottom: float, colour: str, width: float
) -> None:
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, ec=colour, lw=width)
    )


def _small(drawn: Any) -> bytes:
    """With few colours: a quarter of the bytes."""
    from PIL import Image

    drawn.canvas.draw()
    size = drawn.canvas.get_width_height()
    pixels = Image.frombuffer("RGBA", size, drawn.canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    pixels.quantize(64, kmeans=4, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return file.getvalue()
