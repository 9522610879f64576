"""A run of a kernel as `step_programs` reads it: which program touched which elements, in order.

`recorded` gives the runs that ship, `record` one of any small kernel, in Triton's interpreter.
`pack` and `unpack` go to JSON and back: elements as runs of first, count and step, the same runs
kept once.
"""

import inspect
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from simplex_lib import data
from simplex_lib.errors import kind as kind_of
from simplex_lib.errors import require_choice

FILE = Path(data.__file__).with_name("program_traces.json")
PRESETS = {
    "vector": "a sum of vectors, its tail masked",
    "softmax": "softmax of rows, read with strides",
    "matmul": "a matrix product in tiles",
    "attention": "dot-product attention, forward",
    "trilinear": "trilinear attention, forward",
    "dq": "trilinear attention, dq",
    "dkv": "trilinear attention, dk1 and dv1",
    "race": "all query tiles add to dk2 at once",
    "even odd": "even query tiles add to dk2, then odd ones",
}
KINDS = ("load", "store", "atomic")
LARGEST = 4096  # elements of a tensor: more would be too small to see
MOST = 64  # programs

Grid = tuple[int, int, int]


class Touch(NamedTuple):
    """One load or store of a program; elements as in `simplex_lib.triton_trace.Access`."""

    program: int
    kind: str
    tensor: str  # "" if the mask is off everywhere
    line: int  # 1 is the first line of the source
    elements: np.ndarray  # of the block's shape; -1 where the mask is off

    @property
    def touched(self) -> np.ndarray:
        return self.elements[self.elements >= 0]


class Program(NamedTuple):
    launch: int
    id: Grid


@dataclass
class Recording:
    """touches: of all programs, in order. layout: tensors in columns, as they are drawn.

    owns: what each program owns ("tile 1"), where its number does not say it; or empty.
    """

    kernel: str
    source: list[str]
    tensors: dict[str, tuple[int, ...]]  # shapes without axes of size 1
    grids: list[Grid]  # of each launch
    touches: list[Touch]
    layout: list[list[str]]
    notes: dict[str, str] = field(default_factory=dict)
    owns: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        trace: Any,
        kernel: Any,
        shapes: Mapping[str, Sequence[int]],
        grids: Sequence[Grid],
        *,
        layout: Sequence[Sequence[str]],
        notes: Mapping[str, str] | None = None,
        owns: Sequence[str] = (),
        launch: int | None = None,
    ) -> "Recording":
        """A `Trace`, or one launch of it, without the values."""
        source, first = inspect.getsourcelines(kernel.fn)
        found = cls(
            kernel.fn.__name__,
            textwrap.dedent("".join(source)).rstrip().split("\n"),
            {name: tuple(n for n in shape if n != 1) for name, shape in shapes.items()},
            list(grids), [], [list(column) for column in layout], dict(notes or {}),
            list(owns),
        )  # fmt: skip
        number = {program: n for n, program in enumerate(found.programs)}
        for a in trace.accesses:
            if launch is not None and a.launch != launch:
                continue
            at = number[Program(0 if launch is not None else a.launch, a.program)]
            elements = np.atleast_1d(a.elements)
            found.touches.append(Touch(at, a.kind, a.tensor, a.line - first + 1, elements))
        return found

    @cached_property
    def programs(self) -> list[Program]:
        """In the order in which the interpreter runs them."""
        return [
            Program(launch, (x, y, z))
            for launch, grid in enumerate(self.grids)
            for x, y, z in product(*map(range, grid))
        ]

    def contested(self, touch: Touch) -> bool:
        """It stores an element that another program stores too, in whatever launch."""
        if touch.kind == "load" or not touch.tensor:
            return False
        return bool((self.written(touch.tensor).sum(0)[touch.touched] > 1).any())

    @cached_property
    def by_program(self) -> list[list[Touch]]:
        found: list[list[Touch]] = [[] for _ in self.programs]
        for touch in self.touches:
            found[touch.program].append(touch)
        return found

    @cached_property
    def maps(self) -> dict[tuple[str, str], np.ndarray]:
        """By kind and tensor, (programs, elements): True where this program touches it so."""
        found = {
            (kind, name): np.zeros((len(self.programs), math.prod(shape)), dtype=bool)
            for name, shape in self.tensors.items()
            for kind in KINDS
        }
        for touch in self.touches:
            if touch.tensor:
                found[touch.kind, touch.tensor][touch.program, touch.touched] = True
        return found

    def size(self, name: str) -> int:
        return math.prod(self.tensors[name])

    def written(self, name: str) -> np.ndarray:
        """(programs, elements): stored or added to."""
        return self.maps["store", name] | self.maps["atomic", name]

    def rivals(self, name: str, program: int) -> np.ndarray:
        """(programs, elements): touched by both programs of one launch, and stored by one.

        Two atomic additions are no rivals.
        """
        launch = self.programs[program].launch
        loads, stores, adds = (self.maps[kind, name] for kind in KINDS)
        any_mine = loads[program] | stores[program] | adds[program]
        found = (stores & any_mine) | ((loads | adds) & stores[program])
        found |= (loads & adds[program]) | (adds & loads[program])
        others = [n != program and p.launch == launch for n, p in enumerate(self.programs)]
        return found & np.array(others)[:, None]


def recorded(preset: str) -> Recording:
    """A run that ships with the course."""
    require_choice("preset", preset, tuple(PRESETS))
    return _shipped()[preset]


@cache
def _shipped() -> dict[str, Recording]:
    return {name: unpack(packed) for name, packed in data.load(FILE.stem)["presets"].items()}


def record(
    kernel: Any,
    grid: Sequence[int],
    arguments: Mapping[str, Any],
    *,
    layout: Sequence[Sequence[str]] | None = None,
    seen_as: Mapping[str, tuple[str, Tensor]] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Recording:
    """Run a kernel once in the interpreter and note what it touches.

    Args:
        kernel: a function with @triton.jit.
        grid: how many programs, one to three numbers.
        arguments: the kernel's arguments in order; tensors under the names that are shown.
        layout: names of tensors, column by column. None: as it fits.
        seen_as: for a tensor, a name and a tensor over the same memory to show in its place.
        notes: a line under a tensor.

    Raises:
        RuntimeError: there is no interpreter. OutsideAccess: the kernel leaves its tensors.
    """
    if not hasattr(kernel, "fn") or not hasattr(kernel, "run"):
        raise ValueError(f"kernel must be a function with @triton.jit; got {kind_of(kernel)}.")
    sizes = tuple(grid) if isinstance(grid, Sequence) else (grid,)
    if not 1 <= len(sizes) <= 3 or not all(type(n) is int and n >= 1 for n in sizes):
        raise ValueError(f"grid must be one to three whole numbers from 1 on; got {grid!r}.")
    if math.prod(sizes) > MOST:
        raise ValueError(f"grid must have {MOST} programs at most; got {math.prod(sizes)}.")
    shown = dict(
        (seen_as or {}).get(name, (name, x))
        for name, x in arguments.items()
        if isinstance(x, Tensor)
    )
    for name, x in shown.items():
        if not 1 <= x.numel() <= LARGEST:
            raise ValueError(f"{name} must have 1 to {LARGEST:,} elements; got {x.numel():,}.")
    if not shown:
        raise ValueError("arguments must hold a tensor at least, by its name.")
    from simplex_lib.triton_trace import tracing

    with tracing(**shown) as trace:  # type: ignore[arg-type]
        kernel[sizes](*arguments.values())
    full = (*sizes, *[1] * (3 - len(sizes)))
    shapes = {name: tuple(x.shape) for name, x in shown.items()}
    columns = _columns(shapes) if layout is None else layout
    return Recording.of(trace, kernel, shapes, [full], layout=columns, notes=notes)  # type: ignore[list-item]


def _columns(shapes: Mapping[str, tuple[int, ...]]) -> list[list[str]]:
    """Side by side; above one another vectors of one length, and a vector of columns its matrix."""
    found: list[list[str]] = []
    for name, shape in shapes.items():
        before = shapes[found[-1][-1]] if found else ()
        if len(before) == 1 and (before == shape or (before == shape[1:] and before != shape[:1])):
            found[-1].append(name)
        else:
            found.append([name])
    return found


def pack(recording: Recording) -> dict[str, Any]:
    """As JSON holds it."""
    names = ["", *recording.tensors]
    patterns: dict[tuple[int, ...], int] = {}
    touches = []
    for t in recording.touches:
        pattern = (*_runs(t.elements.ravel()),)
        at = patterns.setdefault(pattern, len(patterns))
        touches.append(
            [t.program, KINDS.index(t.kind), names.index(t.tensor), t.line, at, *t.elements.shape]
        )
    return dict(
        kernel=recording.kernel, source=recording.source,
        tensors={name: list(shape) for name, shape in recording.tensors.items()},
        grids=[list(grid) for grid in recording.grids], layout=recording.layout,
        notes=recording.notes, owns=recording.owns, patterns=[list(p) for p in patterns],
        touches=touches,
    )  # fmt: skip


def unpack(packed: Mapping[str, Any]) -> Recording:
    names = ["", *packed["tensors"]]
    patterns = [_lanes(runs) for runs in packed["patterns"]]
    touches = [
        Touch(program, KINDS[kind], names[tensor], line, patterns[at].reshape(shape))
        for program, kind, tensor, line, at, *shape in packed["touches"]
    ]
    tensors = {name: tuple(shape) for name, shape in packed["tensors"].items()}
    grids: list[Any] = [tuple(grid) for grid in packed["grids"]]
    return Recording(packed["kernel"], packed["source"], tensors, grids, touches,
                     packed["layout"], packed["notes"], packed["owns"])  # fmt: skip


def _runs(lanes: np.ndarray) -> list[int]:
    """first, count, step; first, count, step; ... with step 0 for lanes that are off."""
    found: list[int] = []
    n = 0
    while n < len(lanes):
        first = int(lanes[n])
        step = int(lanes[n + 1]) - first if n + 1 < len(lanes) and min(lanes[n : n + 2]) >= 0 else 0
        end = n + 1
        while end < len(lanes) and lanes[end] - lanes[end - 1] == step:
            if (lanes[end] < 0) != (first < 0):
                break
            end += 1
        found += [first, end - n, step]
        n = end
    return found


def _lanes(runs: Sequence[int]) -> np.ndarray:
    parts = [
        first + step * np.arange(count)
        for first, count, step in zip(runs[::3], runs[1::3], runs[2::3], strict=True)
    ]
    return np.concatenate(parts).astype(np.int64)
