"""What `step_programs` shows: the cells of every tensor, the lanes of one access, the lines.

`programs_payload` is called with the learner's choices; all that the view draws comes from it.

A cell is one element. Its state is one letter: L loaded, S stored, B both, in lower case if that
was an access before the one looked at; o stored by programs before; in the view of all programs
a number, how many programs load it or which one stores it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from simplex_lib.errors import kind as kind_of
from simplex_lib.errors import require_choice
from simplex_lib.widgets.kit import require_index
from simplex_lib.widgets.programs_recording import Recording, Touch

SHOWN = ("one program", "all programs")
WIDEST = 64  # cells in a row of a vector
LANES = 16  # of a block of one axis, in a row
Show = Literal["one program", "all programs"]


class Area(NamedTuple):
    """A rectangle of cells in one state. label: a word to write into it."""

    state: str
    row: int
    column: int
    height: int
    width: int
    label: str = ""


@dataclass(frozen=True)
class Grid:
    """A tensor, or the lanes of a block, as rows and columns of cells."""

    name: str
    shape: tuple[int, ...]
    rows: int
    columns: int
    part: int  # rows of one index of the first of three axes
    areas: list[Area]
    crosses: list[Area]  # cells that two programs of one launch race for
    chosen: tuple[int, int] | None = None  # the element looked at
    note: str = ""


@dataclass(frozen=True)
class ProgramsPayload:
    """One program, or all; and one access of it, or all of them (access = 0)."""

    recording: Recording
    program: int
    access: int
    show: Show
    grids: list[list[Grid]]  # as laid out, column by column
    lanes: Grid
    lanes_of: Touch | None  # the access whose lanes these are
    marks: dict[int, str]  # by line of the source: L, S, B
    line: int  # the one being executed; 0 if all are shown
    element: tuple[str, int] | None  # tensor and position

    @property
    def touches(self) -> list[Touch]:
        """Of the program, in order."""
        return self.recording.by_program[self.program]

    @property
    def now(self) -> Touch | None:
        return self.touches[self.access - 1] if self.access else None

    @property
    def first_line(self) -> int:
        """The one to see where all accesses are shown: whose lanes, if others store there too."""
        if self.lanes_of and self.recording.contested(self.lanes_of):
            return self.lanes_of.line
        return min(self.marks, default=1)

    @property
    def sentence(self) -> str:
        from simplex_lib.widgets.programs_words import sentence

        return sentence(self)


def programs_payload(
    recording: Recording,
    program: int = 0,
    access: int = 0,
    show: Show = "one program",
    element: str = "",
) -> ProgramsPayload:
    """Everything the widget shows; ValueError names the choice that there is not.

    Args:
        program: counted in the order in which they run.
        access: 0 for the whole program, n for its n-th load or store.
        element: as in "dk2[12, 3]"; "" for none.
    """
    require_choice("show", show, SHOWN)
    require_index(len(recording.programs), "a program in the order they run", program=program)
    touches = recording.by_program[program]
    require_index(len(touches) + 1, "an access, or 0 for all of them", access=access)
    chosen = read_element(recording, element)
    draw = _all_programs if show == "all programs" else _one_program
    grids = [
        [draw(recording, name, program, access, chosen) for name in column]
        for column in recording.layout
    ]
    now = touches[access - 1] if access else None
    contested = [t for t in touches if recording.contested(t)]
    masked = [t for t in touches if (t.elements < 0).any()]
    lanes_of = now or (contested or masked or touches or [None])[0]
    return ProgramsPayload(
        recording=recording, program=program, access=access, show=show, grids=grids,
        lanes=_lanes(lanes_of), lanes_of=lanes_of, marks=_marks(touches),
        line=now.line if now else 0, element=chosen,
    )  # fmt: skip


def read_element(recording: Recording, text: str) -> tuple[str, int] | None:
    """ "dk2[12, 3]" as a tensor and a position in it."""
    if not isinstance(text, str):
        raise ValueError(f"element must be a text such as 'x[3]'; got {kind_of(text)}.")
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*([\w.]+)\s*\[([\d\s,]*)\]\s*", text)
    names = tuple(recording.tensors)
    if found is None or found[1] not in names:
        example = element_text(recording, names[-1], 0)
        raise ValueError(
            f"element must be one of {', '.join(names)}, such as {example}; got {text!r}."
        )
    shape, index = recording.tensors[found[1]], found[2].replace(",", " ").split()
    at = tuple(int(n) for n in index)
    if len(at) != len(shape) or any(n >= size for n, size in zip(at, shape, strict=False)):
        raise ValueError(f"element must lie in {found[1]} {shape_text(shape)}; got {text!r}.")
    return found[1], int(np.ravel_multi_index(at, shape)) if shape else 0


def element_text(recording: Recording, name: str, position: int) -> str:
    at = np.unravel_index(position, recording.tensors[name]) if recording.tensors[name] else ()
    return f"{name}[{', '.join(str(int(n)) for n in at)}]"


def shape_text(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def cells_of(recording: Recording, name: str) -> tuple[int, int, int]:
    """Rows, columns, rows of a part: cell (r, c) is the element r * columns + c."""
    shape, count = recording.tensors[name], math.prod(recording.tensors[name])
    if any(other[:-1] == shape and shape for other in recording.tensors.values()):
        return count, 1, shape[-1]  # a number for each row of another one: beside it
    wide = any(len(other) == 2 and other[1:] == shape for other in recording.tensors.values())
    if wide and count <= WIDEST:
        return 1, count, 1  # a number for each column of another one: above it
    if len(shape) < 2:
        columns = min(count, next(w for w in (16, 32, 64) if count <= w * w or w == 64))
        return math.ceil(count / columns), columns, math.ceil(count / columns)
    return count // shape[-1], shape[-1], shape[-2]


def areas(states: np.ndarray, labels: dict[str, str] | None = None) -> list[Area]:
    """Rectangles that cover all cells whose state is not blank."""
    found: list[Area] = []
    open_: dict[tuple[str, int, int], int] = {}  # by state, column and width: its place in found
    for r, row in enumerate(states.tolist()):
        still: dict[tuple[str, int, int], int] = {}
        c = 0
        while c < len(row):
            end = c + 1
            while end < len(row) and row[end] == row[c]:
                end += 1
            if row[c].strip():
                key = (row[c], c, end - c)
                if key in open_:
                    still[key] = open_[key]
                    found[still[key]] = found[still[key]]._replace(
                        height=found[still[key]].height + 1
                    )
                else:
                    still[key] = len(found)
                    label = (labels or {}).get(row[c], "")
                    found.append(Area(row[c], r, c, 1, end - c, label))
            c = end
        open_ = still
    return found


def _grid(
    recording: Recording,
    name: str,
    states: np.ndarray,
    crosses: np.ndarray,
    chosen: tuple[str, int] | None,
    labels: dict[str, str] | None = None,
) -> Grid:
    """From one state an element."""
    rows, columns, part = cells_of(recording, name)
    padded = np.full(rows * columns, " ", dtype=states.dtype)
    padded[: len(states)] = states
    crossed = np.full(rows * columns, " ")
    crossed[: len(crosses)] = np.where(crosses, "x", " ")
    at = divmod(chosen[1], columns) if chosen and chosen[0] == name else None
    inside = _areas_by_part(padded.reshape(rows, columns), part, labels)
    crossed_out = _areas_by_part(crossed.reshape(rows, columns), part)
    shape, note = recording.tensors[name], recording.notes.get(name, "")
    return Grid(name, shape, rows, columns, part, inside, crossed_out, at, note)


def _areas_by_part(
    states: np.ndarray, part: int, labels: dict[str, str] | None = None
) -> list[Area]:
    """No area reaches from one part into the next."""
    return [
        area._replace(row=area.row + n)
        for n in range(0, len(states), part)
        for area in areas(states[n : n + part], labels)
    ]


def _one_program(
    recording: Recording, name: str, program: int, access: int, chosen: tuple[str, int] | None
) -> Grid:
    touches = recording.by_program[program]
    count = math.prod(recording.tensors[name])
    seen = touches[:access] if access else touches
    loaded, stored, now = (np.zeros(count, dtype=bool) for _ in range(3))
    for n, touch in enumerate(seen, 1):
        if touch.tensor != name:
            continue
        (loaded if touch.kind == "load" else stored)[touch.touched] = True
        if touch.kind == "atomic":
            loaded[touch.touched] = True
        if not access or n == access:
            now[touch.touched] = True
    states = np.where(recording.written(name)[:program].any(0), "o", " ")
    for here, letter in ((loaded, "l"), (stored, "s"), (loaded & stored, "b")):
        states[here] = letter
    states[now] = np.char.upper(states[now])
    crosses = recording.rivals(name, program).any(0) & (loaded | stored)
    return _grid(recording, name, states, crosses, chosen)


def _all_programs(
    recording: Recording, name: str, _: int, __: int, chosen: tuple[str, int] | None
) -> Grid:
    """Who stores an element where the tensor is stored at all; else how many load it."""
    written = recording.written(name)
    who = written if written.any() else recording.maps["load", name]
    groups: dict[str, str] = {}  # by state, the label
    states = np.full(who.shape[1], " ", dtype="<U80")
    for n in range(who.shape[1]):
        programs = np.flatnonzero(who[:, n])
        if len(programs):
            words = [str(len(programs))]
            if who is written:
                words = [short_name(recording, int(p)) for p in programs]
            states[n] = ("w" if who is written else "n") + "+".join(words)
            groups[states[n]] = "+".join(words)
    crosses = np.zeros(who.shape[1], dtype=bool)
    for program in range(len(recording.programs)):
        crosses |= recording.rivals(name, program).any(0)
    return _grid(recording, name, states, crosses, chosen, groups)


def short_name(recording: Recording, program: int) -> str:
    """2, or 1,0 in a grid of two axes; a launch after the first has a letter: b2."""
    launch, id = recording.programs[program]
    axes = max((n for n, size in enumerate(recording.grids[launch]) if size > 1), default=0) + 1
    before = "abcdefghijklmnopqrstuvwxyz"[launch] if len(recording.grids) > 1 else ""
    return before + ",".join(str(n) for n in id[:axes])


def _lanes(touch: Touch | None) -> Grid:
    if touch is None:
        return Grid("", (), 0, 0, 1, [], [])
    shape, flat = touch.elements.shape, touch.elements.ravel()
    columns = min(shape[-1], LANES) if len(shape) == 1 else shape[-1]
    rows = math.ceil(flat.size / columns)
    letter = "L" if touch.kind == "load" else "S" if touch.kind == "store" else "B"
    states = np.full(rows * columns, " ")
    states[: flat.size] = np.where(flat >= 0, letter, "m")
    note = f"{int((flat < 0).sum())} of {flat.size} off" if (flat < 0).any() else "all on"
    return Grid(touch.tensor, shape, rows, columns, rows, areas(states.reshape(rows, columns)), [],
                note=note)  # fmt: skip


def _marks(touches: Sequence[Touch]) -> dict[int, str]:
    found: dict[int, str] = {}
    for touch in touches:
        letter = {"load": "L", "store": "S", "atomic": "B"}[touch.kind]
        found[touch.line] = letter if found.get(touch.line, letter) == letter else "B"
    return dict(sorted(found.items()))


def payload_choices(choices: dict[str, Any]) -> dict[str, Any]:
    """Those that `programs_payload` takes: all but the preset."""
    return {name: x for name, x in choices.items() if name != "preset"}
