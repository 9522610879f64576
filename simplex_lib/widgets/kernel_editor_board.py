"""The board of the three editors: grids of numbers, some to be edited, all walked by arrow keys.

`Panel` is one grid, `scene` what `kernel_editor.js` draws of several, `Editor` a widget round them:
its `told` answers what is done on the board. `kernel_editor_still.py` draws the same panels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kernel_editor_words import read_number

Rows = Sequence[Sequence[float]]
# of numbers on the page and on its inverse: one of them has contrast 4.5 on any paper
INK = {False: ("#000000", "#ffffff"), True: ("#ffffff", "#000000")}
FAINT = {False: "#5a616c", True: "#a3a9b3"}  # zeros
ROOMY = 26  # pixels that four signs need
STEP = 0.5  # of a number, by + and −


@dataclass
class Panel:
    """One grid. Marks: off, read, near, cut, now, each a list of cells (row, column)."""

    id: str
    title: str
    down: list[str]
    across: list[str]
    numbers: Rows
    kind: Literal["logits", "shares"]
    reach: float = 1.0  # the number that has the fullest colour
    note: str = ""
    edit: bool = False
    at: tuple[int, int] = (0, 0)
    marks: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    links: list[list[str]] | None = None  # cells with the same link light up together
    link: str = ""  # what all of them start with
    sums: list[str] | None = None  # a column of its own on the right
    cell: int = 20  # width in pixels
    split: int | None = None  # labels from here on are of the words that ask


def cell_text(x: float) -> str:
    """Three characters and a sign: 4, −1.5, .22, 12; a zero is only an exact or invisible one."""
    size = abs(x)
    if size >= 999.5:
        text = f"{size:.0e}".replace("e+0", "e").replace("e+", "e")
    elif size >= 9.95 or round(size, 2) == round(size):
        text = f"{size:.0f}"
    else:
        text = f"{size:.1f}" if size >= 0.995 else f"{size:.2f}".removeprefix("0")
    return f"−{text}" if x < 0 and text != "0" else text


def panel_text(x: float, panel: Panel) -> str:
    """A number that can be edited keeps two digits where there is room."""
    if panel.edit and panel.cell >= ROOMY and 1 <= abs(x) < 9.95:
        return f"{x:.2f}".rstrip("0").rstrip(".").replace("-", "−")
    return cell_text(x)


def shade(x: float, panel: Panel, dark: bool) -> tuple[str, str]:
    """Colours of paper and ink of a number: violet below 0, and green or blue above."""
    ends = PALETTE["dark" if dark else "light"]
    part = max(-1.0, min(1.0, x / panel.reach))
    if panel.kind == "shares" and part >= 0:
        paper = _between(ends["sequential"], part**0.5)
    else:
        part = part if panel.kind == "logits" else -((-part) ** 0.5)
        paper = _between(ends["diverging"], (part + 1) / 2)
    if cell_text(x) == "0":
        return paper, FAINT[dark]
    return paper, max(INK[dark], key=lambda ink: contrast(ink, paper))


def contrast(one: str, other: str) -> float:
    """Of two colours, as the WCAG count it: 1 to 21."""
    dim, bright = sorted((_light(one), _light(other)))
    return (bright + 0.05) / (dim + 0.05)


def scene(panels: Sequence[Panel], dark: bool) -> dict[str, Any]:
    """What `kernel_editor.js` draws; colours are counted once, as most cells share them."""
    looks: dict[tuple[str, str], int] = {}

    def look(x: float, panel: Panel) -> int:
        return looks.setdefault(shade(x, panel, dark), len(looks))

    drawn = []
    for p in panels:
        width = len(p.across)
        drawn.append(
            dict(
                id=p.id, title=p.title, note=p.note, down=p.down, across=p.across, edit=p.edit,
                at=p.at, texts=[panel_text(x, p) for row in p.numbers for x in row],
                looks=[look(x, p) for row in p.numbers for x in row], link=p.link,
                marks={k: [r * width + c for r, c in v] for k, v in p.marks.items()},
                links=None if p.links is None else [x for row in p.links for x in row],
                sums=p.sums, cell=p.cell, split=p.split,
            )
        )  # fmt: skip
    return dict(panels=drawn, looks=list(looks))


@cache
def _board_class() -> type:
    import anywidget
    import traitlets

    class Board(anywidget.AnyWidget):
        """Grids; what is done on them comes as messages, so that none is swallowed."""

        _esm = Path(__file__).with_name("kernel_editor.js")
        _css = Path(__file__).with_name("kernel_editor.css")
        scene = traitlets.Dict().tag(sync=True)

    return Board


class Editor(Widget):
    """A widget whose picture is a board."""

    def panels(self) -> list[Panel]:
        """What is drawn of the payload."""
        raise NotImplementedError

    def told(self, panel: str, row: int, column: int, new: Any) -> None:
        """A cell was chosen (new is None), or a number changed: `new` is called with the old."""
        raise NotImplementedError

    def picture(self) -> Any:
        return _board_class()()

    def draw(self, picture: Any, dark: bool) -> None:
        picture.scene = scene(self.panels(), dark)

    def bind(self, shown: Any) -> None:
        shown.on_msg(self._heard)

    def _heard(self, _: Any, said: dict[str, Any], __: Any) -> None:
        panel = next((p for p in self.panels() if p.id == said.get("panel")), None)
        row, column = int(said["row"]), int(said["column"])
        if panel is None or row >= len(panel.down) or column >= len(panel.across):
            return  # the grid has another size by now
        self.attempt(self.told, panel.id, row, column, _new_number(said))

    def attempt(self, act: Any, *arguments: Any) -> None:
        """Do it, or say why not and keep the last good state."""
        words = ""
        try:
            act(*arguments)
        except ValueError as wrong:
            words = f"⚠ {wrong} The picture is the one before."
        if self._view is not None:
            self._view.sentence.value = self._view._words(words)

    def still(self) -> bytes:
        from simplex_lib.widgets.kernel_editor_still import still  # matplotlib

        return still(self.panels())


def _new_number(said: dict[str, Any]) -> Any:
    """Of an old number: what was typed, a step, or 1 and 0 in turn; None if it was only chosen."""
    if "typed" in said:
        return lambda old: read_number(str(said["typed"]))
    if "steps" in said:
        return lambda old: round(old + STEP * int(said["steps"]), 6)
    if "turn" in said:
        return lambda old: 0.0 if old else 1.0
    return None


def _between(colours: Sequence[str], part: float) -> str:
    """The colour at a part, 0 to 1, of a row of colours."""
    at = part * (len(colours) - 1)
    n = min(int(at), len(colours) - 2)
    mixed = (
        round(a + (b - a) * (at - n))
        for a, b in zip(_rgb(colours[n]), _rgb(colours[n + 1]), strict=True)
    )
    return "#" + "".join(f"{x:02x}" for x in mixed)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5))


def _light(colour: str) -> float:
    parts = [x / 255 for x in _rgb(colour)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
