"""Which elements of which tensors a kernel touches, program by program, in Triton's interpreter.

    with tracing() as trace:
        kernel[grid](x, out, n, BLOCK)
    trace.accesses  # every load and store, in order

The interpreter itself reads and writes any address it is given. Inside `tracing` an access that
lies in no tensor of the launch raises OutsideAccess before it happens, so memory is safe.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simplex_lib.triton_mode import imported_mode, prepare_triton

Kind = Literal["load", "store", "atomic"]


class Access(NamedTuple):
    """One load or store of one program.

    tensor: the name given to `tracing`, else that of the kernel's parameter without "_ptr".
    line: where it stands in the file of the kernel (the kernel's line if it calls a helper).
    elements: int64, in the shape of the block: position in the tensor, counted in row-major order
        whatever its strides; -1 where the mask is off.
    values: what was loaded or stored, in the same shape.
    kernel, launch: which kernel ran, and the number of the launch inside this `tracing`.
    """

    program: tuple[int, int, int]
    kind: Kind
    tensor: str
    line: int
    elements: np.ndarray
    values: np.ndarray
    kernel: str
    launch: int


class OutsideAccess(Exception):
    """A kernel asked for elements that are in no tensor it was given.

    program: always three numbers; the message has as many as the grid has axes.
    tensor: the one in whose memory, or nearest to whose memory, they lie; "" if there is none.
    n_outside, n_asked: elements outside, and all that the mask lets through.
    """

    def __init__(
        self,
        program: tuple[int, int, int],
        kind: Kind,
        tensor: str,
        line: int,
        n_outside: int,
        n_asked: int,
        axes: int = 3,
    ):
        self.program, self.kind, self.tensor, self.line = program, kind, tensor, line
        self.n_outside, self.n_asked = n_outside, n_asked
        verb = "reads" if kind == "load" else "writes"
        who = program[0] if axes == 1 else program[:axes]
        super().__init__(
            f"program {who} {verb} outside {tensor or 'every tensor'} in line {line}: "
            f"{n_outside} of the {n_asked} elements it asks for."
        )


@dataclass
class Trace:
    """accesses: in the order in which they happened, of all launches."""

    accesses: list[Access] = field(default_factory=list)


@contextlib.contextmanager
def tracing(*, masked_nan: bool = False, **tensors: Tensor) -> Iterator[Trace]:
    """Note every load and store of the kernels that are launched inside.

    Args:
        masked_nan: a load with a mask and without `other` gives NaN where the mask is off. The
            interpreter gives 0 there, and on a GPU it is undefined.
        tensors: names for tensors that are passed to the kernels. Others get the names of the
            parameters that take them.

    Raises:
        RuntimeError: kernels are compiled here (their loads cannot be seen), or there is no triton.
        OutsideAccess: an access of a kernel lies in none of its tensors.
    """
    prepare_triton()
    if imported_mode() is None:
        with contextlib.suppress(ImportError):
            import triton  # noqa: F401
    if imported_mode() != "interpreter":
        raise RuntimeError(
            "tracing must run in Triton's interpreter; here kernels are compiled or there is no "
            "triton. Set TRITON_INTERPRET=1 before Python starts."
        )
    from triton.runtime import interpreter

    builder = interpreter.interpreter_builder
    tracer = _Tracer(builder, tensors, masked_nan)
    methods = ("masked_load", "masked_store", "atomic_rmw", "atomic_cas")
    function = interpreter.InterpretedFunction
    run = function.run
    for name in methods:  # on the instance, over the methods of its class
        setattr(builder, f"create_{name}", getattr(tracer, name))
    function.run = lambda self, *args, **kwargs: tracer.run(run, self, *args, **kwargs)
    try:
        yield tracer.trace
    except interpreter.InterpreterError as error:
        root = innermost(error)
        if isinstance(root, OutsideAccess):
            raise root from None
        raise
    finally:
        function.run = run
        for name in methods:
            delattr(builder, f"create_{name}")


def innermost(error: BaseException) -> BaseException:
    """What a kernel really raised: the interpreter wraps it once for each function it calls."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error


class _Memory:
    """Where the elements of a tensor lie."""

    def __init__(self, name: str, x: Tensor):
        storage = x.untyped_storage()
        self.name, self.itemsize, self.start = name, x.itemsize, storage.data_ptr()
        self.place = _place(x)
        self.count = storage.nbytes() // x.itemsize
        table = torch.full((self.count,), -1)
        positions = torch.arange(x.numel()).view(x.shape)
        table.as_strided(x.shape, x.stride(), x.storage_offset()).copy_(positions)
        self.table = table.numpy()

    def elements(self, addresses: np.ndarray) -> np.ndarray:
        """Row-major positions in the tensor; -1 outside."""
        at = (addresses.astype(np.int64) - self.start) // self.itemsize
        inside = (at >= 0) & (at < self.count)
        return np.where(inside, self.table[np.where(inside, at, 0)], -1)

    def distance(self, address: int) -> int:
        return max(self.start - address, address - self.start - self.count * self.itemsize, 0)


class _Tracer:
    """Stands before the methods of the interpreter that reach memory."""

    def __init__(self, builder: Any, tensors: dict[str, Tensor], masked_nan: bool):
        self.builder, self.trace, self.launch = builder, Trace(), -1
        self.masked_nan = masked_nan
        self.named = [_Memory(name, x) for name, x in tensors.items()]
        self.memories = list(self.named)
        self.kernel, self.file, self.grid = "", "", None
        self.do = {
            name: getattr(type(builder), f"create_{name}")
            for name in ("masked_load", "masked_store", "atomic_rmw", "atomic_cas")
        }

    def run(self, run: Any, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        self.launch += 1
        self.kernel, self.file = kernel.fn.__name__, kernel.fn.__code__.co_filename
        self.grid = kwargs.get("grid")
        passed = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
        self.memories = list(self.named)
        for name, x in passed.items():
            if isinstance(x, Tensor) and not any(m.place == _place(x) for m in self.named):
                self.memories.append(_Memory(name.removesuffix("_ptr"), x))
        return run(kernel, *args, **kwargs)

    def masked_load(self, ptrs: Any, mask: Any, other: Any, *rest: Any) -> Any:
        memory, elements = self.place("load", ptrs.data, mask.data)
        result = self.do["masked_load"](self.builder, ptrs, mask, other, *rest)
        if other is None and self.masked_nan and np.issubdtype(result.data.dtype, np.floating):
            result.data = np.where(elements < 0, np.nan, result.data).astype(result.data.dtype)
        self.note("load", memory, elements, result.data)
        return result

    def masked_store(self, ptrs: Any, value: Any, mask: Any, *rest: Any) -> Any:
        memory, elements = self.place("store", ptrs.data, mask.data)
        self.note("store", memory, elements, np.broadcast_to(value.data, ptrs.data.shape))
        return self.do["masked_store"](self.builder, ptrs, value, mask, *rest)

    def atomic_rmw(self, operation: Any, ptr: Any, value: Any, mask: Any, *rest: Any) -> Any:
        memory, elements = self.place("atomic", ptr.data, mask.data)
        self.note("atomic", memory, elements, np.broadcast_to(value.data, ptr.data.shape))
        return self.do["atomic_rmw"](self.builder, operation, ptr, value, mask, *rest)

    def atomic_cas(self, ptr: Any, compare: Any, value: Any, *rest: Any) -> Any:
        memory, elements = self.place("atomic", ptr.data, np.ones_like(ptr.data, dtype=bool))
        self.note("atomic", memory, elements, np.broadcast_to(value.data, ptr.data.shape))
        return self.do["atomic_cas"](self.builder, ptr, compare, value, *rest)

    def place(self, kind: Kind, ptrs: np.ndarray, mask: np.ndarray) -> tuple[str, np.ndarray]:
        """The tensor, and the elements asked for in it."""
        mask = np.broadcast_to(mask, ptrs.shape).astype(bool)
        n_asked = int(mask.sum())
        if n_asked == 0:
            return "", np.full(ptrs.shape, -1)
        asked = ptrs[mask]
        found = [(m, m.elements(asked)) for m in self.memories]
        memory, inside = max(found, key=lambda pair: int((pair[1] >= 0).sum()))
        n_outside = int((inside < 0).sum())
        if n_outside:
            if n_outside == n_asked:
                memory = min(self.memories, key=lambda m: m.distance(int(asked[0])))
            name, program = memory.name, self.builder.grid_idx
            counts = n_outside, n_asked
            raise OutsideAccess(program, kind, name, self.line(), *counts, self.axes())
        elements = np.full(ptrs.shape, -1)
        elements[mask] = inside
        return memory.name, elements

    def note(self, kind: Kind, name: str, elements: np.ndarray, values: np.ndarray) -> None:
        program, line = self.builder.grid_idx, self.line()
        values = np.array(values).reshape(elements.shape)
        self.trace.accesses.append(
            Access(program, kind, name, line, elements, values, self.kernel, self.launch)
        )

    def axes(self) -> int:
        """Of the grid; where a function makes the grid, up to the last one that has programs."""
        if isinstance(self.grid, tuple | list):
            return len(self.grid)
        return max((n for n, size in enumerate(self.builder.grid_dim, 1) if size > 1), default=1)

    def line(self) -> int:
        """The line of the kernel that is running, seen from here."""
        frame: FrameType | None = sys._getframe(1)
        nearest = 0
        while frame is not None:
            code = frame.f_code
            if code.co_name == self.kernel and code.co_filename == self.file:
                return frame.f_lineno
            nearest = nearest or (0 if _of_triton(code.co_filename) else frame.f_lineno)
            frame = frame.f_back
        return nearest


def _place(x: Tensor) -> tuple[Any, ...]:
    """Two tensors with the same one hold the same elements."""
    return x.data_ptr(), tuple(x.shape), x.stride(), x.dtype


def _of_triton(path: str) -> bool:
    return path == __file__ or "triton" in Path(path).parts
