"""What a kernel did to memory, judged: right numbers here are not yet right numbers on a GPU."""

from __future__ import annotations

import linecache
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected
from simplex_lib.triton_trace import Access


class Output(NamedTuple):
    """A tensor that the kernel has to fill.

    order: its axes from the outermost in memory to the innermost; () is (0, 1, 2, ...).
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    fill: float = math.nan
    order: tuple[int, ...] = ()


class Again(NamedTuple):
    """A tensor that an earlier launch wrote and this one may read and write."""

    tensor: Tensor


Owners = Mapping[str, Sequence[Tensor]]


def tiles(shape: tuple[int, ...], *axes: tuple[int, int]) -> tuple[Tensor, ...]:
    """Who owns each element of a tensor whose tiles are dealt out to the programs of a grid.

    axes: one (axis, size) for each axis of the grid, which counts tiles of `size` along `axis`.
    """
    found = []
    for axis, size in axes:
        number = torch.arange(shape[axis]) // size
        found.append(number.view([-1 if n == axis else 1 for n in range(len(shape))]))
    return tuple(found)


def judge(
    kernel: Any,
    grid: tuple[int, ...],
    accesses: list[Access],
    tensors: Mapping[str, Tensor],
    outputs: Mapping[str, Output | Again],
    *,
    once: bool,
    owners: Owners | None = None,
) -> None:
    """Reject what would go wrong on a GPU, though the numbers may be right here.

    once: also where two programs store the same number to one element.
    owners: also where a program stores into an output, or loads from an input, what is another's.
    """
    touched = {name: Touched(tensors[name]) for name in outputs}
    for access in accesses:
        if not access.tensor:  # its mask is off in every lane
            continue
        if access.kind == "atomic":
            raise Rejected(
                "atomics",
                "Your kernel uses atomics. They add in whatever order programs come, so the bits "
                "change from run to run; here every number has one program that owns it.",
                where(kernel, access.line),
            )
        if access.tensor not in outputs:
            if access.kind == "store":
                raise Rejected(
                    f"writes input {access.tensor}",
                    f"Your kernel stores into `{access.tensor}`, which is an input.",
                    where(kernel, access.line),
                )
            continue
        output = outputs[access.tensor]
        fresh = isinstance(output, Output) and math.isnan(output.fill)
        if fresh and access.kind == "load" and touched[access.tensor].unwritten(access):
            raise Rejected(
                f"reads unwritten {access.tensor}",
                f"Your kernel loads from `{access.tensor}` what nobody has stored yet: a new "
                "tensor holds whatever lay in its memory before.",
                where(kernel, access.line),
            )
        clash = touched[access.tensor].note(access)
        if clash is not None:
            _reject_race(kernel, grid, access, *clash)
    for name, output in outputs.items():
        missing = touched[name].writer < 0
        if isinstance(output, Output) and math.isnan(output.fill) and missing.any():
            index = np.unravel_index(int(missing.argmax()), output.shape)
            raise Rejected(
                f"unwritten {name}",
                f"{int(missing.sum())} of the {missing.size} elements of `{name}` are never "
                f"stored; the first is at index ({', '.join(str(int(n)) for n in index)}).",
            )
        if once:
            touched[name].reject_double_work(name, grid)
    for name, owner in (owners or {}).items():
        kind = "store" if name in outputs else "load"
        mine = [a for a in accesses if a.tensor == name and a.kind == kind]
        _reject_strangers(kernel, grid, mine, tuple(tensors[name].shape), owner)


def _reject_strangers(
    kernel: Any,
    grid: tuple[int, ...],
    accesses: list[Access],
    shape: tuple[int, ...],
    owner: Sequence[Tensor],
) -> None:
    """Of all elements that a stranger touches, the first in reading order is named."""
    owned = [np.broadcast_to(axis.numpy(), shape).reshape(-1) for axis in owner]
    found: tuple[int, Access] | None = None
    for access in accesses:
        at = access.elements[access.elements >= 0]
        others = [axis[at] != p for axis, p in zip(owned, access.program, strict=False)]
        strange = at[np.logical_or.reduce(others)]
        if strange.size and (found is None or int(strange.min()) < found[0]):
            found = int(strange.min()), access
    if found is None:
        return
    element, access = found
    verb, name = access.kind + "s", access.tensor
    place = ", ".join(str(int(n)) for n in np.unravel_index(element, shape))
    number = [int(axis[element]) for axis in owned]
    program = program_id((*number, 0, 0)[:3], grid)
    whose = f"belongs to program {program}" if min(number) >= 0 else "is no program's"
    raise Rejected(
        f"{verb} another's {name}",
        f"Program {program_id(access.program, grid)} {verb} {name}[{place}], which {whose}."
        f"{'' if verb == 'loads' else ' The numbers may be right all the same.'}",
        where(kernel, access.line),
    )


class Touched:
    """Who wrote and who read each element of an output, program by program."""

    def __init__(self, x: Tensor):
        self.shape = tuple(x.shape)
        self.writer, self.reader = np.full(x.numel(), -1), np.full(x.numel(), -1)
        self.value = np.zeros(x.numel())
        self.programs: dict[tuple[int, int, int], int] = {}
        self.stores = 0
        self.twice: tuple[int, int, int] | None = None

    def unwritten(self, access: Access) -> bool:
        return bool((self.writer[access.elements[access.elements >= 0]] < 0).any())

    def note(self, access: Access) -> tuple[str, tuple[int, int, int], tuple[int, ...]] | None:
        """What goes wrong, the other program and the index; None if nothing does."""
        me = self.programs.setdefault(access.program, len(self.programs))
        on = access.elements >= 0
        at, new = access.elements[on], access.values[on].astype(float)
        others = (self.writer[at] >= 0) & (self.writer[at] != me)
        if access.kind == "store":
            self.stores += int((self.writer[at] != me).sum())
            if others.any() and self.twice is None:
                element = int(at[others.argmax()])
                self.twice = (int(self.writer[element]), me, element)
            same = (self.value[at] == new) | (np.isnan(self.value[at]) & np.isnan(new))
            read = (self.reader[at] >= 0) & (self.reader[at] != me)
            bad, other = (others & ~same) | read, np.where(read, self.reader[at], self.writer[at])
            what = "store" if not read.any() else "read"
            self.writer[at], self.value[at] = me, new
        else:
            bad, other, what = others, self.writer[at], "load"
            self.reader[at] = me
        if not bad.any():
            return None
        first = int(bad.argmax())
        program = list(self.programs)[int(other[first])]
        index = np.unravel_index(int(at[first]), self.shape)
        return what, program, tuple(int(n) for n in index)

    def reject_double_work(self, name: str, grid: tuple[int, ...]) -> None:
        if self.twice is None:
            return
        programs, (one, other, element) = list(self.programs), self.twice
        place = ", ".join(str(int(n)) for n in np.unravel_index(element, self.shape))
        raise Rejected(
            "stored twice",
            f"Programs {program_id(programs[one], grid)} and {program_id(programs[other], grid)} "
            f"both store `{name}`[{place}]. All together store {self.stores} numbers, and "
            f"{self.value.size} are wanted.",
        )


def _reject_race(
    kernel: Any,
    grid: tuple[int, ...],
    access: Access,
    what: str,
    other: tuple[int, int, int],
    index: tuple[int, ...],
) -> None:
    place = f"element ({', '.join(map(str, index))}) of `{access.tensor}`"
    both = {
        "store": f"both store {place}, and not the same number",
        "load": f"share {place}: the first stores it, the second loads it",
        "read": f"share {place}: the first loads it, the second stores it",
    }[what]
    two = f"Programs {program_id(other, grid)} and {program_id(access.program, grid)}"
    raise Rejected(
        f"race in {access.tensor}",
        f"{two} {both}. The interpreter runs "
        "one program after the other; on a GPU they run at the same time, and the result depends "
        "on who comes first.",
        where(kernel, access.line),
    )


def program_id(program: Sequence[int], grid: tuple[int, ...]) -> str:
    """3 in a grid of one axis, (3, 0) in one of two."""
    found = program[: len(grid)]
    return str(found[0]) if len(found) == 1 else f"({', '.join(map(str, found))})"


def where(kernel: Any, line: int) -> str:
    source = linecache.getline(kernel.fn.__code__.co_filename, line).strip()
    return f"It is this line: `{source}`" if source else ""
