"""One query without a view: a picture (PNG, matplotlib imported when asked) and a table (HTML)."""

from __future__ import annotations

import html
import io
from typing import Any

import numpy as np

from simplex_lib.widgets.explorer.book import Book
from simplex_lib.widgets.explorer.colours import FIRST, PALETTE, SECOND
from simplex_lib.widgets.explorer.explaining import GOOD, Explained
from simplex_lib.widgets.explorer.sentences import label, name, number

SIGNED = ("asymmetry", "difference")
BAR = {
    "probs": "probability A[i, j, k]",
    "logits": "logit of (i, j, k)",
    "asymmetry": "A[i, j, k] − A[i, k, j]",
    "difference": "this − other",
}
BAD = "#b3261e"


def still(book: Book, h: int, i: int, mode: str) -> bytes:
    """The map of query i with its marginals; a second map for each further recipe or the compared."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [book.explained(h, i, r) for r in book.recipes]
    panels = [(x, _values(x, mode), r) for x, r in zip(shown, book.recipes, strict=True)]
    if book.compare is not None and len(panels) == 1:
        panels = [(shown[0], _values(shown[0], mode), "this")]
        panels.append((shown[0], shown[0].other, "the other tensor"))
    figure = Figure(figsize=(1.2 + 4.6 * len(panels), 5.2), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(book.start["title"], fontsize=13, fontweight="bold", x=0.02, ha="left")
    grid = figure.subplots(
        2,
        2 * len(panels),
        squeeze=False,
        gridspec_kw=dict(height_ratios=[1, 7], width_ratios=[7, 1] * len(panels)),
    )
    for at, (x, values, text) in enumerate(panels):
        as_mode = "probs" if text == "the other tensor" else mode
        scale = _scale(book, x, panels, as_mode)
        image = _map(grid[:, 2 * at : 2 * at + 2], x, values, scale, book.pairs.tokens)
        several = len(panels) > 1
        total = float(np.nansum(values)) if text == "the other tensor" else x.faults.total
        lead = f"{text}, " if several else f"query {_plain(i, book.pairs.tokens)}, "
        sums = f"{lead}sum {total:.3f}" if as_mode not in SIGNED else lead.rstrip(", ")
        colour = BAD if abs(total - 1) > 5e-4 and as_mode not in SIGNED else "#333333"
        grid[0, 2 * at].set_title(sums, fontsize=10, loc="left", color=colour)
        bar = figure.colorbar(image, ax=list(grid[1, 2 * at : 2 * at + 2]), location="bottom")
        bar.set_label(BAR[as_mode], fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    out = io.BytesIO()
    canvas.print_png(out)
    return out.getvalue()


def _values(x: Explained, mode: str) -> np.ndarray:
    return getattr(x, mode)


def _scale(book: Book, x: Explained, panels: list, mode: str) -> dict[str, Any]:
    """Colours of one map; all maps of one picture share them."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    way = "diverging" if mode in SIGNED else "sequential"
    colours = LinearSegmentedColormap.from_list(way, PALETTE["light"][way])
    colours.set_bad((0, 0, 0, 0))
    found = [np.nan_to_num(p[1][np.isfinite(p[1])]) for p in panels]
    every = np.concatenate([*found, [0.0]])
    if mode in SIGNED:
        most = max(
            float(np.abs(_values(x, mode)[np.isfinite(_values(x, mode))]).max(initial=0)), 1e-9
        )
        return dict(cmap=colours, norm=Normalize(-most, most))
    if mode == "logits":
        known = x.logits[np.isfinite(x.logits)]
        ends = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        return dict(cmap=colours, norm=Normalize(*ends))
    high = float(every.max()) or 1.0
    if book.start["scale"] == "linear" or not (every > 0).any():
        return dict(cmap=colours, norm=Normalize(0, high))
    low = max(float(every[every > 0].min()), 1e-6 * high)
    return dict(
        cmap=colours, norm=LogNorm(low, high * (1 + 1e-9) if high > low else low * 10, clip=True)
    )


def _map(axes, x: Explained, values: np.ndarray, scale: dict, tokens: tuple[str, ...]):
    (above, corner), (square, beside) = axes
    corner.axis("off")
    n, size = len(values), 5 if len(values) > 40 else 7
    square.set_facecolor("white")
    square.add_patch(_hatched(n, "////", "#d5d8dd"))
    image = square.imshow(values, aspect="equal", interpolation="nearest", zorder=2, **scale)
    for j, k in np.argwhere(x.marks != GOOD):
        box = _cell(j, k, facecolor="#fbe3e0", edgecolor=BAD, hatch="xxx", linewidth=0.6, zorder=3)
        square.add_patch(box)
    if x.window:
        j_lo, j_hi, k_lo, k_hi = (max(0, e - x.origin) for e in x.window)
        wide = dict(width=k_hi - k_lo + 1, height=j_hi - j_lo + 1)
        look = dict(fill=False, edgecolor="black", linestyle="--", linewidth=1.2, zorder=4)
        square.add_patch(_cell(j_lo, k_lo, **wide, **look))
    step = max(1, -(-n // 32))
    at = np.arange(0, n, step)
    words = [label(tokens[p + x.origin])[:12] for p in at]
    square.set_xticks(at, words, rotation=90, fontsize=size + 1)
    square.set_yticks(at, words, fontsize=size + 1)
    square.tick_params(length=0, pad=2)
    square.set_xlabel("second key k", color=SECOND, fontsize=10, fontweight="bold")
    square.set_ylabel("first key j", color=FIRST, fontsize=10, fontweight="bold")
    p = np.nan_to_num(np.where(np.isfinite(values), values, 0)) if values is x.other else None
    first, second = (x.first, x.second) if p is None else (p.sum(1), p.sum(0))
    above.bar(np.arange(n), second, width=0.86, color="#e08b43")
    beside.barh(np.arange(n), first, height=0.86, color="#5b93d6")
    above.sharex(square)
    beside.sharey(square)
    for side in (above, beside):
        side.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        side.set_frame_on(False)
    for edge in square.spines.values():
        edge.set_color("#dcdee3")
    return image


def _cell(j: int, k: int, width: int = 1, height: int = 1, **look: Any):
    from matplotlib.patches import Rectangle

    return Rectangle((k - 0.5, j - 0.5), width, height, **look)


def _hatched(n: int, hatch: str, colour: str):
    return _cell(0, 0, n, n, facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0, zorder=1)


def _plain(at: int, tokens: tuple[str, ...]) -> str:
    return name(at, tokens).replace("“", "").replace("”", "")


def table(book: Book, h: int, i: int, mode: str, rows: int = 8) -> str:
    """The top pairs of each recipe as HTML tables."""
    return "\n".join(_table(book, book.explained(h, i, r), mode, rows) for r in book.recipes)


def _table(book: Book, x: Explained, mode: str, rows: int) -> str:
    tokens = book.pairs.tokens
    heads = ["rank", "first key", "second key", "probability"]
    heads += ["logit"] * (x.lse is not None) + ["product of the marginals"]
    heads += ["keys swapped"] * (mode == "asymmetry")
    heads += ["other tensor"] * (x.other is not None)
    lines = []
    for rank, r in enumerate(x.rows[mode][:rows], 1):
        cells = [str(rank), _plain(r.first, tokens), _plain(r.second, tokens), number(r.prob)]
        cells += ["–" if r.logit is None else f"{r.logit:.2f}"] * (x.lse is not None)
        cells += [number(r.product)] + [number(r.swapped)] * (mode == "asymmetry")
        cells += [number(r.other or 0.0)] * (x.other is not None)
        lines.append("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    recipe = f", softmax over {x.recipe}" if len(book.recipes) > 1 else ""
    caption = f"Top pairs of query {_plain(x.query, tokens)}{recipe}"
    top = "".join(f'<th scope="col">{c}</th>' for c in heads)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
