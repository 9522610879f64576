"""The still form of a `Match3Payload`: the map, both heads as bars, wrong tokens against c."""

from typing import Any

from simplex_lib.widgets.kit import COLOURS, png, still_figure
from simplex_lib.widgets.match3_pairs import Layout, Match3Payload, compact_c, yes_no
from simplex_lib.widgets.match3_view import shade


def still(p: Match3Payload) -> bytes:
    drawn = still_figure(8.4, 4.4)
    left, right = drawn.subfigures(1, 2, width_ratios=[1.15, 1])
    _map(left.subplots(), p)
    upper, middle, lower = right.subplots(3, 1, height_ratios=[1, 1, 0.8])
    for axes, layout in ((upper, p.layouts[0]), (middle, p.layouts[1])):
        _bars(axes, p, layout)
    _curve(lower, p)
    return png(drawn)


def _map(axes: Any, p: Match3Payload) -> None:
    n = len(p.numbers)
    letters = max(len(str(x)) for row in [p.numbers, *p.sums] for x in row)
    size = min(9.0, 370 / (n * letters))  # what a cell has room for
    for j in range(n):
        for k in range(n):
            back, ink = shade(p.scores[j][k], False)
            fires = p.sums[j][k] == 0
            edge = COLOURS[False]["query"] if fires else "white"
            box = dict(facecolor=back, edgecolor=edge, linewidth=2 if fires else 0.5)
            axes.fill([k - 0.45, k + 0.45, k + 0.45, k - 0.45],
                      [j - 0.45, j - 0.45, j + 0.45, j + 0.45], **box)  # fmt: skip
            text = "✓" if fires else str(p.sums[j][k])
            axes.text(k, j, text, ha="center", va="center", color=ink, fontsize=size)
    axes.set(xlim=(-0.6, n - 0.4), ylim=(n - 0.4, -0.6), aspect="equal")
    axes.set_xticks(range(n), [str(x) for x in p.numbers], fontsize=size)
    axes.set_yticks(range(n), [str(x) for x in p.numbers], fontsize=size)
    axes.set(xlabel="second key k", ylabel="first key j")
    title = f"{p.numbers[p.token]} + x[j] + x[k] modulo {p.modulus}, ✓ where it is 0"
    axes.set_title(title, fontsize=9.5)
    axes.spines[:].set_visible(False)


def _bars(axes: Any, p: Match3Payload, layout: Layout) -> None:
    colour, n = COLOURS[False], len(p.numbers)
    inks = [colour["query" if i in layout.wrong else "key"] for i in range(n)]
    fills = ["none" if i in layout.wrong else ink for i, ink in enumerate(inks)]
    axes.bar(range(n), layout.shares, 0.6, color=fills, edgecolor=inks, linewidth=1.4)
    for i, share in enumerate(layout.shares):
        mark = "✗" if i in layout.wrong else "✓"
        axes.text(i, share + 0.02, mark, ha="center", va="bottom", fontsize=8)
    axes.axhline(layout.threshold, color=colour["query"], lw=1.4, ls="--")
    axes.set(xlim=(-0.6, n - 0.4), ylim=(0, 1.25), yticks=[0, layout.threshold, 1])
    names = [f"{x}\n{yes_no(a)}" for x, a in zip(p.numbers, p.answers, strict=True)]
    axes.set_xticks(range(n), names, fontsize=8)
    axes.get_xticklabels()[p.token].set_fontweight("bold")
    title = f"{layout.name}: share, {n - len(layout.wrong)} of {n} right"
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelsize=8)


def _curve(axes: Any, p: Match3Payload) -> None:
    colour = COLOURS[False]
    for layout, ink, style in zip(
        p.layouts, (colour["key"], colour["out"]), ("-", "--"), strict=True
    ):
        axes.plot(p.sweep, layout.sweep, style, color=ink, lw=1.8)
    enough = max(layout.enough for layout in p.layouts)
    axes.axvline(enough, color=colour["faint"], lw=1, ls=":")
    axes.axvline(min(max(p.c, p.sweep[0]), p.sweep[-1]), color=colour["query"], lw=2)
    axes.set_xscale("log")
    axes.set(xlim=(p.sweep[0], p.sweep[-1]), ylim=(-0.3, len(p.numbers) + 0.3))
    title = f"wrong tokens; c = {compact_c(p.c)}, enough {compact_c(enough)} (dotted)"
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
