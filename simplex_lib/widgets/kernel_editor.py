"""A kernel to edit: raw logits, the taps, the logits after them and their softmax, side by side.

`edit_kernel` is what a notebook calls. The numbers and words are made in `kernel_editor_taps.py`,
the panels in `kernel_editor_view.py`, the board of all three editors in `kernel_editor_board.py`.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from simplex_lib.widgets import kernel_editor_view as view
from simplex_lib.widgets.kernel_editor_board import Editor, Panel
from simplex_lib.widgets.kernel_editor_presets import (
    preset,
    read_kernel,
    resized,
    tap_name,
    with_tap,
)
from simplex_lib.widgets.kernel_editor_taps import KernelPayload, kernel_payload
from simplex_lib.widgets.kernel_editor_words import Inputs, read_inputs


def edit_kernel(
    q: Tensor | None = None,
    k: Tensor | None = None,
    kernel: Any = "two words",
    *,
    tokens: Sequence[str] | None = None,
    text: str | None = None,
    question: str | None = None,
    entry: tuple[int, int] | None = None,
    c_q: int = 4,
    c_k: int = 5,
    head: int = 0,
    scale: float | None = None,
) -> "KernelEditor":
    """Change the taps of a key-query convolution and see what each logit becomes.

    Args:
        q, k: (1, h, s, d) and (1, g, s, d), or (s, d) both; up to 12 positions. None: words.
        kernel: (c_q, c_k) or (h, c_q, c_k), up to 6 by 11; or a preset: "two words", "identity",
            "constant", "diagonal", "look back", "edge".
        tokens: a word for each position of q and k.
        text, question: in place of q and k, up to 12 words. A word of the question has the logit
            4 with the same word of the text; every other logit is 0.
        entry: the query and the key looked at closely. None: the largest new logit of the last
            query.
        c_q, c_k: the size of a preset.
        head: which head of q, k and kernel.
        scale: factor on the logits of q and k. None: 1 / sqrt(d).
    """
    inputs = read_inputs(q, k, tokens, text, question, head=head, scale=scale)
    taps = preset(kernel, c_q, c_k) if isinstance(kernel, str) else read_kernel(kernel, head)
    return KernelEditor(inputs, kernel=taps, entry=view.first_entry(inputs, taps, entry))


class KernelEditor(Editor):
    question = "What does a logit become when it looks at its neighbours?"
    help = (
        "Click a tap: 0 or 1. Arrow keys move, + and − change a tap, digits or Enter type one. "
        "Click an entry of a map to see what it reads."
    )
    lines = 3

    def __init__(self, inputs: Inputs, **choices: Any) -> None:
        self.inputs = inputs
        super().__init__(**choices)

    def payload(self, **choices: Any) -> KernelPayload:
        return kernel_payload(self.inputs, **choices)

    def panels(self) -> list[Panel]:
        return view.panels(self.seen)

    def told(self, panel: str, row: int, column: int, new: Any) -> None:
        if panel != "kernel":
            self.change(entry=(row, column))
        elif new is not None:
            self.change_tap(row, column, new(self.choices["kernel"][row][column]))

    def change_tap(self, row: int, column: int, tap: float) -> None:
        """One tap of the kernel as it lies on the page; ValueError says where it reads."""
        kernel = self.choices["kernel"]
        view.require_tap(tap, tap_name(kernel, row, column))
        self.change(kernel=with_tap(kernel, row, column, tap))

    def table(self) -> str:
        return view.table_of(self.seen)

    def controls(self) -> dict[str, Any]:
        return {}

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        self._kernel = view.KernelControls(self.seen.kernel)
        self._kernel.observe(self._preset_chosen, self._size_chosen)
        return [self._kernel.row]

    def adapt(self, controls: dict[str, Any]) -> None:
        self._kernel.show(self.seen.kernel)

    def _preset_chosen(self, which: str) -> None:
        kernel = self.choices["kernel"]
        self.attempt(lambda: self.change(kernel=preset(which, len(kernel), len(kernel[0]))))

    def _size_chosen(self, c_q: int, c_k: int) -> None:
        self.attempt(lambda: self.change(kernel=resized(self.choices["kernel"], c_q, c_k)))
