"""An einsum that can be edited, and the cells that meet in it.

`explore_einsum` is what a notebook calls. The numbers and words are made in `einsum_loops.py`, the
picture in `einsum_view.py`.
"""

from typing import Any

from simplex_lib.widgets import einsum_view
from simplex_lib.widgets.einsum_loops import EinsumPayload, einsum_payload
from simplex_lib.widgets.einsum_reading import Sizes, times
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import fit_slider


def explore_einsum(equation: str = "ij,jd->id", sizes: Sizes = None, *, cell: int = 0) -> "Einsum":
    """Edit an einsum and see which numbers meet and what is summed.

    Args:
        equation: up to three inputs of one to three letters, an arrow, up to three letters.
        sizes: how far each letter runs, as {"i": 3}; or a shape an input, as [(3, 4), (4, 2)] or
            "3x4, 4x2". None: sizes that tell the axes apart.
        cell: which cell of the result to look at first, counted row by row.
    """
    given = einsum_payload(equation, sizes, cell=cell)
    shapes = "" if sizes is None else ", ".join(times(x.shape) for x in given.inputs)
    return Einsum(equation=given.equation, sizes=shapes, cell=cell)


class Einsum(Widget):
    question = "Which numbers meet, and what is summed?"
    help = "Type an equation or choose an example; click a cell of the result, or use its slider."
    lines = 4

    def payload(self, **choices: Any) -> EinsumPayload:
        return einsum_payload(**choices)

    def change(self, **choices: Any) -> None:
        """As in Widget; a result too small for the chosen cell shows its first."""
        new = self.choices | choices
        if "cell" not in choices:
            count = len(einsum_payload(new["equation"], new["sizes"]).out.numbers)
            new["cell"] = min(new["cell"], count) % count
        super().change(**new)

    def table(self) -> str:
        return einsum_view.tables(self.seen)

    def controls(self) -> dict[str, Any]:
        return einsum_view.controls(self.seen, self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        self._presets = einsum_view.presets(self.choices["equation"])
        self._presets.observe(self._preset_chosen, "value")
        return [
            [self._presets, controls["equation"]],
            [controls["sizes"], controls["cell"]],
        ]

    def _preset_chosen(self, event: Any) -> None:
        if event["new"] != einsum_view.OWN:
            self.change(equation=event["new"], sizes="", cell=0)

    def adapt(self, controls: dict[str, Any]) -> None:
        self._presets.value = einsum_view.preset_of(self.choices["equation"])
        fit_slider(controls["cell"], len(self.seen.out.numbers))

    def picture(self) -> Any:
        return einsum_view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        picture.value = einsum_view.board(self.seen)

    def bind(self, shown: Any) -> None:
        shown.observe(self._cell_clicked, "clicked")

    def _cell_clicked(self, event: Any) -> None:
        cell = tuple(int(n) for n in event["new"].split(",") if n)
        cells = list(self.seen.out.numbers)
        if cell in cells:
            self.change(cell=cells.index(cell))

    def still(self) -> bytes:
        return einsum_view.still(self.seen)
