"""Step through the loop of a real forward kernel: m, l and acc of one query.

`step_loop` is what a notebook calls. The numbers are made in `loop_steps_payload.py` from what
`loop_steps_recording.py` has noted, the words in `loop_steps_words.py`, the tables in
`loop_steps_tables.py`, the picture in `loop_steps_view.py`.
"""

from typing import Any

from simplex_lib.widgets import loop_steps_tables, loop_steps_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import fit_slider
from simplex_lib.widgets.loop_steps_payload import LoopPayload, loop_payload, row_steps
from simplex_lib.widgets.loop_steps_recording import Inputs, Kernel


def step_loop(
    kernel: Kernel = "dot product",
    inputs: Inputs = "late",
    *,
    query: int = 9,
    step: int = 0,
    without_rescale: bool = False,
) -> "LoopSteps":
    """Step through the loop of a forward kernel and see what one query has after each turn.

    Args:
        kernel: "dot product", one tile of keys a step, or "trilinear", one tile of first keys and
            one second key a step, in windows of 8 and 3. Both are the library's own, recorded in
            Triton's interpreter on 11 positions, in tiles of 4 rows and 4 keys.
        inputs: where the largest logits come: "late", "early" or anywhere, "mixed".
        query: 0 to 10; the loop is that of the program that owns it.
        step: turns of the loop that are done; 0 is before it.
        without_rescale: show too what comes out if old sums are not rescaled when m rises.
    """
    return LoopSteps(
        kernel=kernel, inputs=inputs, query=query, step=step, without_rescale=without_rescale
    )


class LoopSteps(Widget):
    question = "How do m, l and acc become out and lse?"
    help = "Next and back, or arrow keys on a slider. Logits and m are in base 2: times log₂ e."
    lines = 5

    def payload(self, **choices: Any) -> LoopPayload:
        return loop_payload(**choices)

    def change(self, **choices: Any) -> None:
        """A program with a shorter loop takes the step along, unless that is chosen too."""
        new = self.choices | choices
        if "step" not in choices and new != self.choices:
            try:
                last = len(row_steps(new["kernel"], new["inputs"], new["query"])) - 1
            except (StopIteration, TypeError, IndexError):  # a choice that the payload refuses
                last = new["step"]
            choices["step"] = min(new["step"], last)
        super().change(**choices)

    def go(self, by: int) -> None:
        """Forward or back by some steps, as far as there are any."""
        last = len(self.seen.steps) - 1
        self.change(step=min(max(self.choices["step"] + by, 0), last))

    def table(self) -> str:
        return loop_steps_tables.tables(self.seen)

    def controls(self) -> dict[str, Any]:
        return loop_steps_view.controls(self.seen)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        back, forward = loop_steps_view.buttons(self.go)
        upper = [controls[name] for name in ("kernel", "inputs", "without_rescale")]
        return [upper, [back, forward, controls["step"], controls["query"]]]

    def adapt(self, controls: dict[str, Any]) -> None:
        fit_slider(controls["step"], len(self.seen.steps))

    def picture(self) -> Any:
        return loop_steps_view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        loop_steps_view.draw(picture, self.seen, dark)

    def still(self) -> bytes:
        from simplex_lib.widgets.loop_steps_still import still  # matplotlib, for static pages only

        return still(self.seen)
