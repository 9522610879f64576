"""Draws an `EinsumPayload`: every tensor as a grid of numbers, the cells that meet lit."""

import html
import itertools
from collections.abc import Collection
from typing import Any

from simplex_lib.widgets.einsum_loops import Cell, EinsumPayload, Operand
from simplex_lib.widgets.frame import page
from simplex_lib.widgets.kit import COLOURS, fit_slider, png, still_figure, table

PRESETS = {
    "weights times values": "ij,jd->id",
    "matrix product": "ij,jk->ik",
    "queries times keys": "id,jd->ij",
    "sum of everything": "ij->",
    "sum of each row": "ij->i",
    "transpose": "ij->ji",
    "outer product": "i,j->ij",
    "elementwise product": "ij,ij->ij",
    "batch of matrix products": "bij,bjk->bik",
    "three factors": "id,jd,kd->ijk",
}
OWN = "your own"


def controls(p: EinsumPayload, choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    style = dict(description_width="initial")
    equation = ipywidgets.Text(
        choices["equation"], description="equation", style=style,
        layout=dict(width="226px", margin="2px 2px 2px 14px"),
    )  # fmt: skip
    sizes = ipywidgets.Text(
        choices["sizes"], description="shapes", placeholder="chosen for you, or 3x4, 4x2",
        style=style, layout=dict(width="290px"),
    )  # fmt: skip
    cell = ipywidgets.IntSlider(
        choices["cell"], min=0, max=1000, description="result cell",
        style=style, layout=dict(width="318px", margin="2px 2px 2px 14px"),
    )  # fmt: skip
    fit_slider(cell, len(p.out.numbers))
    return dict(equation=equation, sizes=sizes, cell=cell)


def presets(equation: str) -> Any:
    import ipywidgets

    names = [(f"{name}:  {text}", text) for name, text in PRESETS.items()]
    return ipywidgets.Dropdown(
        options=[*names, (OWN, OWN)], value=preset_of(equation), description="example",
        style=dict(description_width="initial"), layout=dict(width="300px"),
    )  # fmt: skip


def preset_of(equation: str) -> str:
    return equation if equation in PRESETS.values() else OWN


def picture() -> Any:
    return page("")


def board(p: EinsumPayload) -> str:
    """The inputs, an arrow, the result; cells of the result can be clicked."""
    grids = [_grid(x, lit) for x, lit in zip(p.inputs, p.lit, strict=True)]
    out = _grid(p.out, [p.cell], clickable=True)
    result = f'<div class="sx-result"><div class="sx-arrow">→</div>{out}</div>'
    return f'<div class="sx-board">{"".join(grids)}{result}</div>'


def tables(p: EinsumPayload) -> str:
    rows = [(x.letter, x.size, ", ".join(x.inputs), x.fate) for x in p.letters]
    letters = table(["letter", "size", "in", "what happens"], rows, caption="The letters")
    loops = f"<pre>{html.escape(p.loops)}</pre>"
    head = '<div class="sx-caption">The same as loops</div>'
    return f'<div class="sx-row"><div>{letters}</div><div>{head}{loops}</div></div>'


def _grid(x: Operand, lit: Collection[Cell], *, clickable: bool = False) -> str:
    """One tensor: a table for each index of the first of three letters."""
    shape = f"{x.letters} ({', '.join(map(str, x.shape))})" if x.shape else "one number"
    title = f"<b>{x.name}</b> {shape}"
    first = x.letters[0] if len(x.letters) == 3 else ""
    slices = []
    for index in range(x.shape[0]) if first else [None]:
        label = f'<div class="sx-slice">{first} = {index}</div>' if first else ""
        slices.append(label + _slice(x, lit, () if index is None else (index,), clickable))
    tables = "".join(f"<div>{part}</div>" for part in slices)
    return f'<div class="sx-operand"><div>{title}</div><div class="sx-slices">{tables}</div></div>'


def _slice(x: Operand, lit: Collection[Cell], at: Cell, clickable: bool) -> str:
    letters, shape = x.letters[len(at) :], x.shape[len(at) :]
    down = shape[0] if len(shape) > 1 else 1
    across = shape[-1] if shape else 1
    corner = f"{letters[0]} ↓ {letters[1]} →" if len(shape) > 1 else f"{letters} →"
    head = "".join(f'<th scope="col">{n}</th>' for n in range(across))
    corner = f'<th class="sx-corner">{corner}</th>' if shape else ""
    rows = []
    for r in range(down):
        cells = [(*at, *(r, c)[2 - len(shape) :]) for c in range(across)]
        side = f'<th scope="row">{r if len(shape) > 1 else ""}</th>' if shape else ""
        numbers = "".join(_number(x, cell, cell in lit, clickable) for cell in cells)
        rows.append(f"<tr>{side}{numbers}</tr>")
    top = f"<thead><tr>{corner}{head}</tr></thead>" if shape else ""
    return f'<table class="sx-grid">{top}<tbody>{"".join(rows)}</tbody></table>'


def _number(x: Operand, cell: Cell, lit: bool, clickable: bool) -> str:
    spot = f' data-cell="{",".join(map(str, cell))}"' if clickable else ""
    mark = ' class="sx-lit"' if lit else ""
    number = f"<mark>{x.numbers[cell]}</mark>" if lit else str(x.numbers[cell])
    return f"<td{mark}{spot}>{number}</td>"


def still(p: EinsumPayload) -> bytes:
    """The same grids, drawn in units of one cell, and the equation above."""
    parts: list[tuple[Operand, Collection[Cell]]] = list(zip(p.inputs, p.lit, strict=True))
    parts.append((p.out, [p.cell]))
    x, spots = 0.0, []
    for operand, lit in parts:
        gap = 1.6 if operand is p.out else 0.0
        spots.append((operand, lit, x + gap))
        x += gap + _span(operand)[0] + 1.3
    high = max(_span(operand)[1] for operand, _ in parts)
    drawn = still_figure(max(0.45 * x, 4.0), 0.45 * (high + 2.4))
    axes = drawn.subplots()
    axes.set(xlim=(-1, x - 0.5), ylim=(high + 0.4, -2.0), aspect="equal")
    axes.axis("off")
    for operand, lit, at in spots:
        _draw(axes, operand, lit, at)
    axes.text(spots[-1][2] - 1.5, high / 2, "→", ha="center", va="center", fontsize=20)
    return png(drawn)


def _span(x: Operand) -> tuple[float, float]:
    """Width and height of a drawn tensor in cells; slices lie side by side."""
    across = x.shape[-1] if x.shape else 1
    down = x.shape[-2] if len(x.shape) > 1 else 1
    slices = x.shape[0] if len(x.shape) == 3 else 1
    return slices * (across + 1.0) - 1.0, float(down)


def _draw(axes: Any, x: Operand, lit: Collection[Cell], left: float) -> None:
    colour = COLOURS[False]["query"]
    across = x.shape[-1] if x.shape else 1
    shape = f"({', '.join(map(str, x.shape))})"
    axes.text(left - 0.5, -1.5, f"{x.name}  {x.letters}  {shape}", fontsize=11, fontweight="bold")
    for cell in itertools.product(*(range(n) for n in x.shape)):
        part = cell[0] if len(cell) == 3 else 0
        row = cell[-2] if len(cell) > 1 else 0
        column = left + part * (across + 1.0) + (cell[-1] if cell else 0)
        on = cell in lit
        axes.add_patch(_square(column, row, colour if on else "#c8ccd2", on))
        bold = "bold" if on else "normal"
        axes.text(column, row, str(x.numbers[cell]), ha="center", va="center", fontweight=bold)
        if row == 0 and cell and cell[-1] == 0:
            slices = f"{x.letters[0]} = {part}   " if len(cell) == 3 else ""
            ways = zip(x.letters[-2:], "↓→"[-len(cell[-2:]) :], strict=True)
            text = slices + " ".join(f"{letter} {way}" for letter, way in ways)
            axes.text(column - 0.5, -0.75, text, fontsize=9, color="#555555")


def _square(column: float, row: float, colour: str, on: bool) -> Any:
    from matplotlib.patches import Rectangle

    face = "#ffe3cc" if on else "white"
    line = 2.2 if on else 0.8
    corner = (column - 0.5, row - 0.5)
    return Rectangle(corner, 1, 1, facecolor=face, edgecolor=colour, linewidth=line, zorder=1 + on)
