"""One query without a view: a picture (PNG, matplotlib imported when asked) and a table (HTML)."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplex_lib.widgets.explorer.book import Book
from simplex_lib.widgets.explorer.colours import FIRST, PALETTE, SECOND
from simplex_lib.widgets.explorer.explaining import Explained
from simplex_lib.widgets.explorer.looking import GOOD
from simplex_lib.widgets.explorer.sentences import label, name, number

SIGNED = ("asymmetry", "difference")
BAR = {
    "probs": "probability A[i, j, k]",
    "logits": "logit of (i, j, k)",
    "asymmetry": "A[i, j, k] − A[i, k, j]",
    "difference": "this − other",
}
BAD = "#b3261e"


@dataclass(frozen=True)
class Panel:
    x: Explained
    values: np.ndarray
    mode: str
    text: str


def still(book: Book, h: int, i: int, mode: str) -> bytes:
    """The map of query i with its marginals; one more for each further recipe, or the compared."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [Panel(x := book.explained(h, i, r), getattr(x, mode), mode, r) for r in book.recipes]
    x = panels[0].x
    if x.other is not None and len(panels) == 1:
        panels = [Panel(x, getattr(x, mode), mode, "this tensor")]
        panels.append(Panel(x, x.other, "probs", "the other tensor"))
    tokens = book.pairs.tokens
    wide, high = 0.75 + 4.45 * len(panels), 5.6  # inches
    figure = Figure(figsize=(wide, high), dpi=110, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    title = f"{book.start['title']}  Query {_plain(i, tokens)}"
    figure.text(0.18 / wide, 1 - 0.16 / high, title, fontsize=11, fontweight="bold", va="top")
    for at, panel in enumerate(panels):
        left, side = (1.0 + 4.45 * at) / wide, 3.1
        square = figure.add_axes((left, 1.35 / high, side / wide, side / high))
        image = _map(square, panel, _scale(book, panels, panel), tokens)
        total = float(np.nansum(panel.values)) if "other" in panel.text else panel.x.faults.total
        lead = panel.text if len(panels) > 1 else ""
        if panel.mode not in SIGNED:
            lead += (", " if lead else "") + f"sum {total:.3f}"
        wrong = abs(total - 1) > 5e-4 and panel.mode not in SIGNED
        at_top = (1.35 + side + 0.5) / high
        figure.text(left, at_top, lead, fontsize=9.5, color=BAD if wrong else "#333333")
        bar_axes = figure.add_axes((left, 0.42 / high, side / wide, 0.1 / high))
        bar = figure.colorbar(image, cax=bar_axes, orientation="horizontal")
        bar.set_label(BAR[panel.mode], fontsize=8.5, labelpad=1)
        bar.ax.tick_params(labelsize=8, length=2)
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)
    canvas.draw()
    return _small_png(np.asarray(canvas.buffer_rgba()))


def _small_png(pixels: np.ndarray) -> bytes:
    """A PNG of at most 128 colours: a third of the size, and nobody sees it."""
    from PIL import Image  # comes with matplotlib

    out = io.BytesIO()
    image = Image.fromarray(pixels).convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT)
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _scale(book: Book, panels: list[Panel], panel: Panel) -> dict[str, Any]:
    """Colours of one map; all maps of probabilities in one picture share them."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    way = "diverging" if panel.mode in SIGNED else "sequential"
    colours = LinearSegmentedColormap.from_list(way, PALETTE["light"][way])
    alike = [p.values[np.isfinite(p.values)] for p in panels if p.mode == panel.mode]
    every = np.concatenate([*alike, [] if panel.mode == "logits" else [0.0]])
    low, high = float(every.min(initial=np.inf)), float(every.max(initial=-np.inf))
    if panel.mode in SIGNED:
        most = max(high, -low, 1e-9)
        return dict(cmap=colours, norm=Normalize(-most, most))
    if panel.mode == "logits":
        return dict(cmap=colours, norm=Normalize(low, high) if high > low else Normalize(0, 1))
    if book.start["scale"] == "linear" or high <= 0:
        return dict(cmap=colours, norm=Normalize(0, high or 1))
    low = min(max(float(every[every > 0].min()), 1e-6 * high), 0.01 * high)
    return dict(cmap=colours, norm=LogNorm(low, high, clip=True))


def _map(square, panel: Panel, scale: dict, tokens: tuple[str, ...]):
    x, values = panel.x, panel.values
    n, size = len(values), 6 if len(values) > 20 else 8
    square.add_patch(_cell(0, 0, n, n, facecolor="none", edgecolor="#d5d8dd", hatch="////", lw=0))
    image = square.imshow(values, interpolation="nearest", zorder=2, **scale)
    for j, k in np.argwhere(x.marks != GOOD) if panel.text != "the other tensor" else ():
        square.add_patch(_cell(j, k, facecolor="#fbe3e0", edgecolor=BAD, hatch="xxx", zorder=3))
    if x.window:
        j_lo, j_hi, k_lo, k_hi = (max(0, e - x.origin) for e in x.window)
        look = dict(fill=False, edgecolor="black", linestyle="--", linewidth=1.2, zorder=4)
        square.add_patch(_cell(j_lo, k_lo, k_hi - k_lo + 1, j_hi - j_lo + 1, **look))
    if n <= 8:
        for j, k in np.argwhere(np.isfinite(values)):
            r, g, b, _ = image.cmap(image.norm(values[j, k]))
            ink = "white" if 0.3 * r + 0.59 * g + 0.11 * b < 0.5 else "#12151c"
            text = f"{values[j, k]:.2f}".replace("-", "−")
            square.text(k, j, text, ha="center", va="center", fontsize=9, color=ink, zorder=5)
    at = np.arange(0, n, max(1, -(-n // 40)))
    words = [label(tokens[p + x.origin])[:11] for p in at]
    square.set_xticks(at, words, rotation=90 if max(map(len, words)) > 2 else 0, fontsize=size)
    square.set_yticks(at, words, fontsize=size)
    square.tick_params(length=0, pad=2)
    square.set_xlabel("second key k", color=SECOND, fontsize=9, fontweight="bold")
    square.set_ylabel("first key j", color=FIRST, fontsize=9, fontweight="bold")
    p = np.where(np.isfinite(values), values, 0)
    ours = panel.text != "the other tensor"
    first, second = (x.first, x.second) if ours else (p.sum(1), p.sum(0))
    above = square.inset_axes((0, 1.02, 1, 0.12), sharex=square)
    beside = square.inset_axes((1.02, 0, 0.12, 1), sharey=square)
    above.bar(np.arange(n), second, width=0.86, color="#e08b43")
    beside.barh(np.arange(n), first, height=0.86, color="#5b93d6")
    for side in (above, beside):
        side.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        side.set_frame_on(False)
    for edge in square.spines.values():
        edge.set_color("#dcdee3")
    square.set_xlim(-0.5, n - 0.5)
    square.set_ylim(n - 0.5, -0.5)
    return image


def _cell(j: int, k: int, width: int = 1, height: int = 1, **look: Any):
    from matplotlib.patches import Rectangle

    return Rectangle((k - 0.5, j - 0.5), width, height, **look)


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
