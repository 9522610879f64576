"""How chapter 09 launches a kernel: once, with Triton's own errors in words, no number twice."""

import contextlib
import linecache
import math
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.guard import CHAPTERS, GUARDED, Watch
from simplex_lib.checks.kernel_runs import Again, Output, Stride, run_kernel
from simplex_lib.triton_mode import imported_mode
from simplex_lib.triton_trace import tracing


class Error(NamedTuple):
    """What Triton says, and in which kind of line; the mistake's name, and the same in words."""

    text: str
    cause: str
    says: str
    line: str = ""


ERRORS = (
    Error(
        r"Expected dtype \['fp32', 'fp64'\] but got",
        "float16 kept",
        "A block has the dtype of the memory it was loaded from, float16 here, and functions like "
        "tl.exp take float32. Convert right after the load: .to(tl.float32).",
    ),
    Error(
        r"Value argument cannot be block type if pointer argument is not a block",
        "one pointer",
        "tl.store gets one pointer and a block of numbers. It wants a pointer for each number: the "
        "pointer plus a block of offsets.",
    ),
    Error(
        r"Mask argument cannot be block type if pointer argument is not a block",
        "one pointer",
        "One pointer goes together with a block as its mask. A block of pointers is wanted: the "
        "pointer plus a block of offsets.",
    ),
    Error(
        r"arange's range must be a power of 2",
        "arange",
        "tl.arange makes blocks whose size is a power of two, and nothing else. Take the size "
        "that is given in capitals, and let a mask switch off the lanes that do not exist.",
    ),
    Error(
        r"arange's arguments must be of type tl.constexpr",
        "arange",
        "tl.arange needs numbers that are known when the kernel is compiled: the names in "
        "capitals, marked tl.constexpr. Sizes and program ids are known only when it runs; add "
        "them to the block afterwards.",
    ),
    Error(
        r"reduction dimensions",
        "shapes of tl.dot",
        "tl.dot(a, b) takes (rows, inner) and (inner, columns): the last axis of a is the first "
        "of b.",
    ),
    Error(
        r"[Cc]annot make_shape_compatible|Expected pointer argument to have shape",
        "shapes",
        "Two blocks with shapes that do not fit meet in your kernel: only an axis of size 1 "
        "stretches. block[:, None] is a column, block[None, :] a row.",
    ),
    Error(
        r"invalid operands of type pointer",
        "address in place of number",
        "Your kernel computes with addresses. A pointer says where a number lies; tl.load gets "
        "the number.",
    ),
    Error(
        r"must be Tensor, not tensor",
        "function of torch",
        "Functions of torch take tensors of torch. A kernel has blocks, and they have functions "
        "of their own: tl.exp, tl.sum, tl.where ...",
    ),
    Error(
        r"axis \S+ out of bounds",
        "no such axis",
        "Your kernel names an axis that the block does not have. Axes are counted from 0, so a "
        "block of one axis has axis 0 alone.",
    ),
    Error(
        r"object is not iterable",
        "shape without tuple",
        "A shape is a tuple, also for one axis: (BLOCK,).",
        line=r"tl\.(zeros|full)\(\s*\w+\s*,",
    ),
    Error(
        r"object is not iterable|object does not support item assignment",
        "square brackets",
        "Square brackets reach no memory and pick no element; they only add axes, as in "
        "block[:, None]. Memory is read by tl.load(pointer + offsets) and written by tl.store.",
        line=r"\w\[",
    ),
)


def launched(
    answer: Any, grid: tuple[int, ...], arguments: Mapping[str, Any], output: str
) -> Tensor:
    """Launch an answer with `run_kernel` and return that output.

    answer: a kernel; a partial of one gives it the arguments that come last, by name.

    Raises:
        Rejected: as `run_kernel`, or with the name of one of ERRORS, or "stored twice".
    """
    kernel, more = (answer.func, answer.keywords) if isinstance(answer, partial) else (answer, {})
    arguments = {**arguments, **more}
    with _unwatched(kernel), np.errstate(all="ignore"):  # what overflows is found in the numbers
        found = _run(kernel, grid, arguments)[output]
        if math.prod(grid) == 2 and imported_mode() == "interpreter":
            _reject_double_work(kernel, grid, arguments, output)
    return found


@contextlib.contextmanager
def _unwatched(kernel: Any) -> Iterator[None]:
    """The guard sees every Python call, and the interpreter makes a great many: a kernel would
    take five times as long. So the guard is shown the kernel and closes its eyes while it runs."""
    watch = sys.getprofile()
    path = getattr(getattr(getattr(kernel, "fn", None), "__code__", None), "co_filename", "")
    of_course = path.startswith((*GUARDED, CHAPTERS))
    if isinstance(watch, Watch) and of_course and not path.startswith(watch.exempt):
        watch.caught.append(kernel.fn.__name__)
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(watch)


def _run(kernel: Any, grid: tuple[int, ...], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return run_kernel(kernel, grid, arguments)
    except (Rejected, NotImplementedError):
        raise
    except Exception as error:
        source = _line(kernel, error)
        where = f"It is this line: `{source}`" if source else ""
        for known in ERRORS:
            if re.search(known.text, str(error)) and re.search(known.line, source):
                raise Rejected(known.cause, known.says, where) from None
        words = f"Your kernel raised {type(error).__name__}: {str(error)[:300]}"
        raise Rejected("raised", words, where) from None


def _line(kernel: Any, error: BaseException | None) -> str:
    """The line of the kernel that stopped; where tl.sum and such stop, one error wraps another."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f.name == kernel.fn.__name__]
        if own:
            return linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
        error = error.__context__
    return ""


def _reject_double_work(
    kernel: Any, grid: tuple[int, ...], arguments: Mapping[str, Any], output: str
) -> None:
    """The numbers are right. Is every one of them written by one program alone?"""
    tensors: dict[str, Tensor] = {}
    for name, x in arguments.items():
        if isinstance(x, (Output, Again)):
            tensors[name] = torch.zeros(x.shape if isinstance(x, Output) else x.tensor.shape)
        elif isinstance(x, Tensor):
            tensors[name] = (x.float() if x.dtype == torch.float64 else x).contiguous().clone()
    passed = [
        tensors[x.name].stride(x.axis) if isinstance(x, Stride) else tensors.get(name, x)
        for name, x in arguments.items()
    ]
    with tracing(masked_nan=True, **tensors) as trace:
        kernel[grid](*passed)
    owner: dict[int, tuple[int, ...]] = {}
    stores, first = 0, None
    for access in trace.accesses:
        if access.kind != "store" or access.tensor != output:
            continue
        program = access.program[: len(grid)]
        for element in access.elements[access.elements >= 0].tolist():
            stores += owner.get(element) != program
            if owner.setdefault(element, program) != program and first is None:
                first = (owner[element], program, element)
            owner[element] = program
    if first is not None:
        one, other, element = first
        index = torch.unravel_index(torch.tensor(element), tensors[output].shape)
        place = ", ".join(str(int(n)) for n in index)
        raise Rejected(
            "stored twice",
            f"Programs {_id(one)} and {_id(other)} both store `{output}`[{place}]. All together "
            f"store {stores} numbers, and {tensors[output].numel()} are wanted.",
        )


def _id(program: tuple[int, ...]) -> str:
    return str(program[0]) if len(program) == 1 else f"({', '.join(map(str, program))})"
