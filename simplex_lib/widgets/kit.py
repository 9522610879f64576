"""What the small widgets share: colours, figures, tables, checks of choices, words for numbers.

The frame round controls, picture, sentence and table is `frame.py`.
"""

import html
import io
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from simplex_lib.errors import kind
from simplex_lib.widgets.explorer.colours import PALETTE

WIDTH = 640  # of every picture, in pixels: fits beside a notebook's prompt
# per theme: the one thing that moves, what it meets, what comes out, and what stays in the back
COLOURS = {
    False: dict(query="#b04a00", key="#1f5fae", out="#04743a", faint="#6f7682", ink="#222222"),
    True: dict(query="#ff9d5c", key="#78b4ff", out="#58c98a", faint="#9aa0aa", ink="#eeeeee"),
}


def heat_scale(dark: bool) -> list[list]:
    """A colour scale for probabilities that opens up the small ones: position = (step / 7)^2."""
    colours = PALETTE["dark" if dark else "light"]["sequential"]
    last = len(colours) - 1
    return [[(n / last) ** 2, colour] for n, colour in enumerate(colours)]


def fit_slider(slider: Any, count: int) -> None:
    """Reach from 0 to count - 1; with one choice the slider is off, as it needs two ends."""
    slider.max = max(count - 1, 1)
    slider.disabled = count == 1


def fit_step(slider: Any, value: float, coarse: float) -> None:
    """The coarse step, or a finer one that meets a value set by code: a browser would round it."""
    steps = (coarse, *(step for step in (1, 0.5, 0.25, 0.1, 0.05) if step < coarse), 0.01)
    off = value - slider.min
    slider.step = next((x for x in steps if math.isclose(off / x, round(off / x))), 0.01)


def figure(height: int, **layout: Any) -> Any:
    """An empty figure of fixed size: see-through, nothing to drag."""
    import plotly.graph_objects as go

    picture = go.Figure()
    picture.update_layout(
        width=WIDTH, height=height, margin=dict(l=8, r=8, t=28, b=40), showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", dragmode=False,
        font=dict(size=12, color="#666"), hovermode="closest", template="none", **layout,
    )  # fmt: skip
    return picture


def quiet_axes(picture: Any) -> None:
    """For all axes of a figure, once it has them: fixed, with small titles close by."""
    quiet = dict(fixedrange=True, zeroline=False, ticklen=3, title=dict(standoff=6, font_size=12))
    picture.update_xaxes(**quiet)
    picture.update_yaxes(**quiet)


def on_screen(picture: Any) -> Any:
    """A figure as a widget; made in one piece, as traces added later lose arrays (plotly 7.1)."""
    import plotly.graph_objects as go

    if not isinstance(picture, go.Figure):
        return picture
    shown = go.FigureWidget(picture)
    shown._config = dict(displayModeBar=False, doubleClick=False, scrollZoom=False)
    return shown


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str, on: int | None = None
) -> str:
    """An HTML table; the row `on` stands out, by weight as well as by colour."""
    lines = [f'<table class="sx-table"><caption>{html.escape(caption)}</caption><thead><tr>']
    lines += [f'<th scope="col">{html.escape(str(cell))}</th>' for cell in head]
    lines.append("</tr></thead><tbody>")
    for n, (first, *rest) in enumerate(rows):
        lines.append('<tr class="sx-on">' if n == on else "<tr>")
        lines.append(f'<th scope="row">{html.escape(str(first))}</th>')
        lines += [f"<td>{html.escape(str(cell))}</td>" for cell in rest]
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])


def still_figure(width: float = 8.0, height: float = 3.6) -> Any:
    """A matplotlib figure without pyplot, so that nothing global is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(drawn)
    return drawn


def png(drawn: Any) -> bytes:
    file = io.BytesIO()
    # no version and no date inside, so that the same payload gives the same bytes
    drawn.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def require_number(low: float, high: float, **numbers: float) -> None:
    """A number between low and high, both included; NaN is refused."""
    for name, x in numbers.items():
        if isinstance(x, bool) or not isinstance(x, Real):
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}; got {kind(x)}.")
        if not low <= x <= high:
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}; got {x}.")


def require_index(size: int, of: str, **indices: int) -> None:
    """A whole number from 0 to size - 1, where `of` says what is counted."""
    for name, n in indices.items():
        wish = f"{name} must be a whole number from 0 to {size - 1}, {of}"
        if isinstance(n, bool) or not isinstance(n, Integral):
            raise ValueError(f"{wish}; got {kind(n)}.")
        if not 0 <= n < size:
            raise ValueError(f"{wish}; got {n}.")


def compact(x: float) -> str:
    """Four digits or so: 2.310, −0.004, 1.2e+37, ∞, NaN."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x and not 1e-3 <= abs(x) < 1e5:
        return f"{x:.1e}".replace("-", "−")
    return signed(x, 3)


def label(text: str) -> str:
    """For plotly, which reads a < as the start of a tag: the token <bos> would vanish."""
    return html.escape(text, quote=False)


def maths_free(text: str) -> str:
    """For matplotlib, which sets what stands between two $ as mathematics."""
    return text.replace("$", r"\$")


def signed(x: float, digits: int = 2) -> str:
    """2 digits, a true minus sign, and no minus before zero."""
    text = f"{x:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
