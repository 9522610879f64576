"""Draws a `ProgramsPayload`: what `programs.js` needs for it, and the controls."""

import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from simplex_lib.widgets.kit import WIDTH, fit_slider
from simplex_lib.widgets.programs_cells import (
    SHOWN,
    Area,
    Grid,
    ProgramsPayload,
    shape_text,
    short_name,
)
from simplex_lib.widgets.programs_words import program_name

OWN = "your own kernel"
TALLEST, GAP, NARROWEST, TITLE = 440, 12, 44, 34  # pixels: of all, between, of a tensor, above it
LARGEST, SMALLEST = 16, 5  # pixels of a cell
LANES_WIDTH, LANES_HEIGHT = 146, 150


class Look(NamedTuple):
    fill: str
    pattern: str = ""  # stripes, bars, dots, hatched
    line: str = ""


LOOKS = {
    False: {
        "L": Look("#93bff0"), "l": Look("#d9e8f9"), "S": Look("#f8bd8c", "stripes", "#a04400"),
        "s": Look("#fdebdc", "stripes", "#d79a6b"), "B": Look("#93bff0", "bars", "#f8bd8c"),
        "b": Look("#d9e8f9", "bars", "#fbe0cb"), "o": Look("#dfe2e7", "dots", "#6f7682"),
        "m": Look("#ffffff", "hatched", "#8b929d"), "w0": Look("#fbd3b0"), "w1": Look("#fdebdc"),
        "w2": Look("#fbd3b0", "stripes", "#b98760"), "n1": Look("#d9e8f9"), "n2": Look("#b6d4f5"),
        "n3": Look("#93bff0"), "n4": Look("#74abe8"),
    },
    True: {
        "L": Look("#27598f"), "l": Look("#1f4066"), "S": Look("#8a4b1c", "stripes", "#ffb27d"),
        "s": Look("#46301f", "stripes", "#8a6242"), "B": Look("#27598f", "bars", "#96531f"),
        "b": Look("#1c3550", "bars", "#4a3320"), "o": Look("#3a404a", "dots", "#9aa0aa"),
        "m": Look("#111111", "hatched", "#757d89"), "w0": Look("#6b3c18"), "w1": Look("#46301f"),
        "w2": Look("#6b3c18", "stripes", "#a8754d"), "n1": Look("#1c3550"), "n2": Look("#21466f"),
        "n3": Look("#27598f"), "n4": Look("#2d6bb0"),
    },
}  # fmt: skip
SIGNS = {"L": "L", "S": "S", "B": "LS"}
ROOM = (13, 7.5)  # pixels that a label needs: height, width of a letter


def cell_size(p: ProgramsPayload) -> int:
    """Pixels of a cell, so that all tensors of the recording fit."""
    wide = [max(g.columns for g in column) for column in p.grids]
    cell = LARGEST
    while cell > SMALLEST:
        across = sum(max(n * cell + 4, NARROWEST) for n in wide) + GAP * (len(wide) - 1)
        down = max(sum(g.rows * cell + TITLE for g in column) for column in p.grids)
        if across <= WIDTH - 6 and down <= TALLEST:
            break
        cell -= 1
    return cell


def look_of(area: Area) -> str:
    """The name of a look; of all programs two in turn, so that neighbours differ."""
    kind, rest = area.state[0], area.state[1:]
    if kind == "w":
        if "+" in rest:
            return "w2"
        return f"w{sum(int(x) for x in rest.strip('abcdefghijklmnopqrstuvwxyz').split(',')) % 2}"
    return f"n{min(int(rest), 4)}" if kind == "n" else kind


def sign_of(area: Area, grid: Grid, cell: int) -> str:
    """What is written into an area, if it has room and no crosses."""
    sign = area.label or SIGNS.get(area.state, "")
    high, wide = area.height * cell, area.width * cell
    crossed = any(_meet(area, cross) for cross in grid.crosses)
    return sign if not crossed and high >= ROOM[0] and wide >= ROOM[1] * len(sign) + 2 else ""


def _meet(one: Area, other: Area) -> bool:
    rows = one.row < other.row + other.height and other.row < one.row + one.height
    return (
        rows and one.column < other.column + other.width and other.column < one.column + one.width
    )


def framed(area: Area) -> bool:
    return area.state in SIGNS or area.state[0] in "wn"


def legend(p: ProgramsPayload) -> list[tuple[str, bool, str]]:
    """Of each kind of cell that can be there: its look, whether it has a cross, its words."""
    if p.show == "all programs":
        found = [
            ("n1", False, "how many programs load it"),
            ("w0", False, "which program stores it"),
        ]
        return [*found, ("", True, "two of one launch, one of them stores: a race")]
    found = [("L", False, "loaded"), ("S", False, "stored"), ("B", False, "both")]
    if p.access:
        found.append(("l", False, "pale: in an access before"))
    found.append(("o", False, "stored by a program before"))
    if any(g.crosses for column in p.grids for g in column):
        found.append(("", True, "another program races for it"))
    return [*found, ("m", False, "lane masked")]


def lanes_title(p: ProgramsPayload) -> str:
    touch = p.lanes_of
    return "" if touch is None else f"lanes of line {touch.line}"


def scene(p: ProgramsPayload, dark: bool) -> dict[str, Any]:
    """What `programs.js` draws."""
    lanes, cell = None, cell_size(p)
    if p.show == "one program" and p.lanes_of is not None:
        g = p.lanes
        size = min(LARGEST, LANES_WIDTH // g.columns, LANES_HEIGHT // g.rows)
        words = {"load": "load", "store": "store", "atomic": "add to"}[p.lanes_of.kind]
        lanes = _drawn(g, size := max(size, 1)) | dict(
            name="", title=lanes_title(p), cell=size, shape="", said=f"{lanes_title(p)}: {g.note}",
            note=f"{words} {g.name} {shape_text(g.shape)}: {g.note}",
        )  # fmt: skip
    marks = {str(line): SIGNS[letter] for line, letter in p.marks.items()}
    code = dict(lines=p.recording.source, line=p.line, marks=marks, first=p.first_line)
    return dict(
        columns=[[_drawn(g, cell) for g in column] for column in p.grids], cell=cell, lanes=lanes,
        code=code, looks=[(name, *look) for name, look in LOOKS[dark].items()], legend=legend(p),
        said=f"{program_name(p.recording, p.program)}, access {p.access} of {len(p.touches)}. Left "
        "and right: program; up and down: access; Home: the whole program.",
    )  # fmt: skip


def _drawn(grid: Grid, cell: int) -> dict[str, Any]:
    areas = [
        (look_of(a), a.row, a.column, a.height, a.width, framed(a), sign_of(a, grid, cell))
        for a in grid.areas
    ]
    return dict(
        name=grid.name, title=grid.name, shape=shape_text(grid.shape) if grid.shape else "",
        rows=grid.rows, columns=grid.columns, part=grid.part, count=math.prod(grid.shape),
        areas=areas, crosses=[a[1:5] for a in grid.crosses], chosen=grid.chosen, note=grid.note,
        said=f"{grid.name} {shape_text(grid.shape)}",
    )  # fmt: skip


def controls(
    p: ProgramsPayload, preset: str, menu: list[tuple[str, str]], element: str
) -> dict[str, Any]:
    """menu: of kernels, words and names."""
    import ipywidgets

    style = dict(description_width="initial")
    found = dict(
        preset=ipywidgets.Dropdown(
            options=menu, value=preset, description="kernel", style=style,
            layout=dict(width="350px"),
        ),
        show=ipywidgets.Dropdown(
            options=list(SHOWN), value=p.show, description="show", style=style,
            layout=dict(width="180px", margin="2px 2px 2px 14px"),
        ),
        program=ipywidgets.IntSlider(
            p.program, min=0, max=1000, description="program", readout=False, style=style,
            layout=dict(width="160px"),
        ),
        access=ipywidgets.IntSlider(
            p.access, min=0, max=1000, description="access", style=style,
            layout=dict(width="228px"),
        ),
        element=ipywidgets.Text(
            element, description="element", placeholder="click, or x[3]", style=style,
            continuous_update=False, layout=dict(width="184px"),
        ),
    )  # fmt: skip
    fit(found, p)
    return found


def fit(found: dict[str, Any], p: ProgramsPayload) -> None:
    """Set sliders before their ends, which would otherwise move them."""
    sizes = dict(program=len(p.recording.programs), access=len(p.touches) + 1)
    for name, size in sizes.items():
        slider = found[name]
        slider.max = max(slider.max, size - 1)
        slider.value = getattr(p, name)
        fit_slider(slider, size)


def id_text(p: ProgramsPayload) -> str:
    """Beside the slider: 2, or (1, 0) in a grid of two axes."""
    short = short_name(p.recording, p.program)
    return f"({short.replace(',', ', ')})" if "," in short else short


def id_label(p: ProgramsPayload) -> Any:
    import ipywidgets

    return ipywidgets.Label(id_text(p), layout=dict(width="50px", margin="2px 2px 2px 8px"))


@cache
def _board_class() -> type:
    import anywidget
    import traitlets

    class ProgramsBoard(anywidget.AnyWidget):
        """Cells and source; what is done on them comes as messages, so that none is swallowed."""

        _esm = Path(__file__).with_name("programs.js")
        _css = Path(__file__).with_name("programs.css")
        scene = traitlets.Dict().tag(sync=True)

    return ProgramsBoard


def picture() -> Any:
    return _board_class()()
