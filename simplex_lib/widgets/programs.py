"""Which program of a kernel touches which elements: tensors as cells, step by step.

`step_programs` is what a notebook calls. What runs touched is read or recorded in
`programs_recording.py`; cells, words and drawing are made in `programs_cells.py`,
`programs_words.py` and `programs_view.py`; the kernels are in `programs_kernels.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from simplex_lib.errors import kind as kind_of
from simplex_lib.errors import require_choice
from simplex_lib.widgets import programs_view as view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.programs_cells import (
    ProgramsPayload,
    Show,
    cells_of,
    element_text,
    payload_choices,
    programs_payload,
)
from simplex_lib.widgets.programs_recording import PRESETS, Recording, record, recorded
from simplex_lib.widgets.programs_view import OWN
from simplex_lib.widgets.programs_words import table_of

FIRST = {"vector": 2, "softmax": 1, "matmul": 4, "attention": 1, "trilinear": 1, "dq": 1,
         "dkv": 1, "race": 1, "even odd": 2}  # fmt: skip


def step_programs(
    preset: str = "vector",
    program: int | None = None,
    access: int = 0,
    *,
    show: Show = "one program",
    element: str = "",
    presets: Sequence[str] | None = None,
    kernel: Any = None,
    grid: Sequence[int] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> "Programs":
    """Step through the programs of a kernel and see which elements each loads and stores.

    Args:
        preset: a kernel that was run and recorded: "vector", "softmax", "matmul", "attention",
            "trilinear", "dq", "dkv", "race", "even odd".
        program: counted in the order in which they run, those of a second launch after those of
            the first. None: one that shows the point.
        access: 0 for the whole program, n for its n-th load or store.
        show: "one program", or "all programs": who stores an element, or how many load it.
        element: one to ask about, as in "dk2[12, 3]".
        presets: those that the menu offers. None: all, or none of them beside a kernel.
        kernel: a function with @triton.jit to run and record in place of a preset.
        grid: how many programs it has, one to three numbers, up to 64 in all.
        arguments: of the kernel, in order; tensors, of 4,096 elements at most, under the names
            to be shown.
    """
    if kernel is None:
        if grid is not None or arguments is not None:
            raise ValueError("grid and arguments belong to a kernel; got no kernel.")
        own = None
    elif grid is None or arguments is None:
        raise ValueError("kernel must come with its grid and its arguments.")
    else:
        own, preset = record(kernel, grid, arguments), OWN
    offered = _offered(presets, () if own else tuple(PRESETS))
    if not own:
        require_choice("preset", preset, offered)
    if program is None:
        program = FIRST.get(preset, 0)
    choices = dict(preset=preset, program=program, access=access, show=show, element=element)
    return Programs(own, offered, **choices)


def _offered(presets: Any, usual: tuple[str, ...]) -> tuple[str, ...]:
    if presets is None:
        return usual
    if isinstance(presets, str) or not isinstance(presets, Sequence) or not presets:
        names = ", ".join(map(repr, PRESETS))
        got = kind_of(presets)
        raise ValueError(f"presets must be some of {names}, in a tuple; got {got}.")
    for name in presets:
        require_choice("presets", name, tuple(PRESETS))
    return tuple(presets)


class Programs(Widget):
    question = "Which program touches which elements?"
    help = (
        "On the picture: ← → another program, ↑ ↓ another access, Home all of them. "
        "Click a cell to ask who touches it."
    )
    lines = 4

    def __init__(
        self, own: Recording | None, offered: Sequence[str] = tuple(PRESETS), **choices: Any
    ) -> None:
        self.own, self.offered = own, tuple(offered)
        super().__init__(**choices)

    def payload(self, **choices: Any) -> ProgramsPayload:
        return programs_payload(self._recording(choices), **payload_choices(choices))

    def _recording(self, choices: Mapping[str, Any]) -> Recording:
        if choices["preset"] == OWN and self.own is not None:
            return self.own
        require_choice("preset", choices["preset"], self.offered)
        return recorded(choices["preset"])

    def change(self, **choices: Any) -> None:
        """Another kernel starts anew; a program or an access is shown alone.

        Another program keeps the number of the access, if it has so many.
        """
        choices = {name: x for name, x in choices.items() if x != self.choices.get(name, ...)}
        new = self.choices | choices
        if new["preset"] != self.choices["preset"]:
            start = dict(program=FIRST.get(new["preset"], 0), access=0, element="")
            choices = start | choices
        elif {"program", "access"} & set(choices):
            choices = dict(show="one program") | choices
        if "program" in choices and not {"preset", "access"} & set(choices):
            programs = self._recording(new).by_program
            n = choices["program"]
            if type(n) is int and 0 <= n < len(programs):
                choices["access"] = min(self.choices["access"], len(programs[n]))
        super().change(**choices)

    def table(self) -> str:
        return table_of(self.seen)

    def controls(self) -> dict[str, Any]:
        menu = [(PRESETS[name], name) for name in self.offered]
        if self.own is not None:
            menu.insert(0, (self.own.kernel, OWN))
        return view.controls(self.seen, self.choices["preset"], menu, self.choices["element"])

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        named = list(controls.values())
        menu = len(controls["preset"].options) > 1  # one kernel needs none
        self.id_label = view.id_label(self.seen)
        return [named[:2] if menu else named[1:2], [named[2], self.id_label, *named[3:]]]

    def adapt(self, controls: dict[str, Any]) -> None:
        view.fit(controls, self.seen)
        self.id_label.value = view.id_text(self.seen)

    def picture(self) -> Any:
        return view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        picture.scene = view.scene(self.seen, dark)

    def bind(self, shown: Any) -> None:
        shown.on_msg(self._heard)

    def _heard(self, _: Any, said: dict[str, Any], __: Any) -> None:
        if "step" in said:
            self._step(said["step"], int(said["by"]))
        elif said.get("tensor") in self.seen.recording.tensors:
            self._choose(said["tensor"], int(said["row"]), int(said["column"]))

    def _step(self, what: str, by: int) -> None:
        """One program or access on, as far as there are any; or back to the whole program."""
        if what == "program":
            last = len(self.seen.recording.programs) - 1
            self.change(program=min(max(self.choices["program"] + by, 0), last))
        elif what == "access":
            last = len(self.seen.touches)
            self.change(access=min(max(self.choices["access"] + by, 0), last))
        else:
            self.change(access=0)

    def _choose(self, name: str, row: int, column: int) -> None:
        recording = self.seen.recording
        rows, columns, _ = cells_of(recording, name)
        position = row * columns + column
        if 0 <= row < rows and 0 <= column < columns and position < recording.size(name):
            element = element_text(recording, name, position)
            again = element == self.choices["element"]
            self.change(element="" if again else element)

    def still(self) -> bytes:
        from simplex_lib.widgets.programs_still import still  # matplotlib

        return still(self.seen)
