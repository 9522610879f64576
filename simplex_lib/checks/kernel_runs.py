"""How a check runs a learner's kernel: guard bands round every tensor, and nothing goes unseen.

In the interpreter the kernel runs inside `simplex_lib.triton_trace`: reading or writing outside a
tensor, elements that no program stores, and two programs that touch the same element are told in
words, and what a mask hides is NaN unless the load says `other`. On a GPU the same call launches
the compiled kernel, and only the NaN round and in the tensors speak.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected
from simplex_lib.triton_mode import prepare_triton
from simplex_lib.triton_trace import Access, OutsideAccess, innermost, tracing

MARGIN = 2  # NaN on both sides of each axis, so a tensor of two axes or more is never contiguous
FAR = 1 << 14  # and so many before and after all


class Output(NamedTuple):
    """A tensor that the kernel has to fill."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    fill: float = math.nan


class Again(NamedTuple):
    """A tensor that an earlier launch wrote and this one may read and write."""

    tensor: Tensor


class Strides(NamedTuple):
    """All strides of an argument, as a tuple."""

    name: str


class Stride(NamedTuple):
    """One stride of an argument."""

    name: str
    axis: int


def run_kernel(
    kernel: Any, grid: tuple[int, ...], arguments: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Launch kernel[grid](*arguments.values()) once.

    Args:
        kernel: what the learner wrote; should be a @triton.jit function.
        arguments: by the names that sentences use. Tensors are inputs and arrive as copies with the
            same order of strides (float64 as float32); Output, Again, Strides and Stride as said
            there; anything else as it is.

    Returns:
        The tensors of all Output and Again arguments by name, contiguous, on the CPU.

    Raises:
        Rejected: with the cause "triton", "not a kernel", "arguments", "reads outside x", "writes
            outside x", "writes input x", "unwritten x", "reads unwritten x", "race in x" or
            "atomics".
        Exception: whatever the kernel raises.
    """
    device = _device()
    _check_kernel(kernel, list(arguments))
    tensors = {n: _banded(x, device) for n, x in arguments.items() if _is_tensor(x)}
    passed = [_passed(x, tensors.get(name), tensors) for name, x in arguments.items()]
    outputs = {n: x for n, x in arguments.items() if isinstance(x, (Output, Again))}
    if device.type == "cpu":
        accesses = _launch_traced(kernel, grid, passed, tensors)
        _judge(kernel, grid, accesses, tensors, outputs)
    else:
        if _is_stub(kernel):
            raise NotImplementedError
        with torch.cuda.device(device):
            kernel[grid](*passed)
    return {name: tensors[name].cpu().contiguous() for name in outputs}


def _device() -> torch.device:
    try:
        mode = prepare_triton()
    except RuntimeError as error:
        raise Rejected("triton", str(error)) from None
    if mode == "absent":
        raise Rejected(
            "triton",
            "This machine cannot run kernels: they need the package triton, which exists for "
            "Linux. The solution can be read all the same.",
        )
    return torch.device("cuda" if mode == "gpu" else "cpu")


def _check_kernel(kernel: Any, names: list[str]) -> None:
    from triton.runtime.jit import KernelInterface

    if not isinstance(kernel, KernelInterface):
        raise Rejected(
            "not a kernel", "Your answer is a plain function. @triton.jit above it makes a kernel."
        )
    takes = list(getattr(kernel, "arg_names", names))
    if len(takes) != len(names):
        raise Rejected(
            "arguments",
            f"Your kernel takes {len(takes)} arguments, and {len(names)} are passed: "
            f"{', '.join(names)}.",
        )


def _is_stub(kernel: Any) -> bool:
    """A compiled kernel cannot raise; its text tells."""
    return "raise NotImplementedError" in getattr(kernel, "src", "")


def _is_tensor(x: Any) -> bool:
    return isinstance(x, (Tensor, Output, Again))


def _passed(x: Any, tensor: Tensor | None, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(x, Strides):
        return tensors[x.name].stride()
    if isinstance(x, Stride):
        return tensors[x.name].stride(x.axis)
    return x if tensor is None else tensor


def _banded(x: Tensor | Output | Again, device: torch.device) -> Tensor:
    """A copy in the middle of NaN (of the lowest number, for whole numbers)."""
    if isinstance(x, Output):
        shape, dtype, order = x.shape, x.dtype, list(range(len(x.shape)))
    else:
        x = x.tensor if isinstance(x, Again) else x
        shape, dtype = tuple(x.shape), torch.float32 if x.dtype == torch.float64 else x.dtype
        order = sorted(range(x.ndim), key=lambda axis: x.stride(axis), reverse=True)
    outer = [shape[axis] + 2 * MARGIN for axis in order]
    none = math.nan if dtype.is_floating_point else torch.iinfo(dtype).min
    memory = torch.full((math.prod(outer) + 2 * FAR,), none, dtype=dtype, device=device)
    whole = memory[FAR : FAR + math.prod(outer)].view(outer)
    inside = whole[tuple(slice(MARGIN, -MARGIN) for _ in order)]
    inside = inside.permute([order.index(axis) for axis in range(len(order))])
    return inside.fill_(x.fill) if isinstance(x, Output) else inside.copy_(x)


def _launch_traced(
    kernel: Any, grid: tuple[int, ...], passed: list[Any], tensors: Mapping[str, Tensor]
) -> list[Access]:
    try:
        with tracing(masked_nan=True, **tensors) as trace:
            kernel[grid](*passed)
    except OutsideAccess as outside:
        verb = "reads" if outside.kind == "load" else "writes"
        name = f"`{outside.tensor}`" if outside.tensor else "every tensor"
        lost = "it" if outside.tensor else "any"
        raise Rejected(
            f"{verb} outside {outside.tensor}",
            f"Program {_id(outside.program, grid)} {verb} outside {name}: "
            f"{outside.n_outside} of the {outside.n_asked} elements that it asks for are not in "
            f"{lost}.",
            _where(kernel, outside.line),
        ) from None
    except Exception as error:
        root = innermost(error)
        if root is error:
            raise
        raise root from None  # the interpreter's wrapping hides what was raised, and where
    return trace.accesses


def _judge(
    kernel: Any,
    grid: tuple[int, ...],
    accesses: list[Access],
    tensors: Mapping[str, Tensor],
    outputs: Mapping[str, Output | Again],
) -> None:
    """Reject what would go wrong on a GPU, though the numbers may be right here."""
    touched = {name: _Touched(tensors[name]) for name in outputs}
    for access in accesses:
        if not access.tensor:  # its mask is off in every lane
            continue
        if access.kind == "atomic":
            raise Rejected(
                "atomics",
                "Your kernel uses atomics. They add in whatever order programs come, so the bits "
                "change from run to run; here every number has one program that owns it.",
                _where(kernel, access.line),
            )
        if access.tensor not in outputs:
            if access.kind == "store":
                raise Rejected(
                    f"writes input {access.tensor}",
                    f"Your kernel stores into `{access.tensor}`, which is an input.",
                    _where(kernel, access.line),
                )
            continue
        output = outputs[access.tensor]
        fresh = isinstance(output, Output) and math.isnan(output.fill)
        if fresh and access.kind == "load" and touched[access.tensor].unwritten(access):
            raise Rejected(
                f"reads unwritten {access.tensor}",
                f"Your kernel loads from `{access.tensor}` what nobody has stored yet: a new "
                "tensor holds whatever lay in its memory before.",
                _where(kernel, access.line),
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


class _Touched:
    """Who wrote and who read each element of an output, program by program."""

    def __init__(self, x: Tensor):
        self.shape = tuple(x.shape)
        self.writer, self.reader = np.full(x.numel(), -1), np.full(x.numel(), -1)
        self.value = np.zeros(x.numel())
        self.programs: dict[tuple[int, int, int], int] = {}

    def unwritten(self, access: Access) -> bool:
        return bool((self.writer[access.elements[access.elements >= 0]] < 0).any())

    def note(self, access: Access) -> tuple[str, tuple[int, int, int], tuple[int, ...]] | None:
        """What goes wrong, the other program and the index; None if nothing does."""
        me = self.programs.setdefault(access.program, len(self.programs))
        on = access.elements >= 0
        at, new = access.elements[on], access.values[on].astype(float)
        others = (self.writer[at] >= 0) & (self.writer[at] != me)
        if access.kind == "store":
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
    raise Rejected(
        f"race in {access.tensor}",
        f"Programs {_id(other, grid)} and {_id(access.program, grid)} {both}. The interpreter runs "
        "one program after the other; on a GPU they run at the same time, and the result depends "
        "on who comes first.",
        _where(kernel, access.line),
    )


def _id(program: tuple[int, int, int], grid: tuple[int, ...]) -> str:
    """3 in a grid of one axis, (3, 0) in one of two."""
    found = program[: len(grid)]
    return str(found[0]) if len(found) == 1 else f"({', '.join(map(str, found))})"


def _where(kernel: Any, line: int) -> str:
    source = linecache.getline(kernel.fn.__code__.co_filename, line).strip()
    return f"It is this line: `{source}`" if source else ""
