"""How chapter 09 launches a kernel: once, with Triton's own errors in words, no number twice."""

import contextlib
import linecache
import math
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.ch09_vector_errors import ERRORS
from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.guard import CHAPTERS, GUARDED, Watch
from simplex_lib.checks.kernel_runs import Again, Output, Stride, run_kernel
from simplex_lib.triton_mode import imported_mode
from simplex_lib.triton_trace import tracing


def launched(
    answer: Any, grid: tuple[int, ...], arguments: Mapping[str, Any], output: str
) -> Tensor:
    """Launch an answer with `run_kernel` and return that output.

    answer: a kernel; a partial of one gives it the arguments that come last, by name.

    Raises:
        Rejected: as `run_kernel`, or with the name of one of ERRORS, or "stored twice".
    """
    kernel: Any = answer
    if isinstance(answer, partial):
        kernel, arguments = answer.func, {**arguments, **answer.keywords}
    _show_to_guard(kernel)
    if not _path(kernel).startswith(CHAPTERS):
        return _launch(kernel, grid, arguments, output)
    # one of ours, which is asked again and again to tell mistakes apart
    key = (_path(kernel), kernel.fn.__name__, grid, *(_plain(x) for x in arguments.values()))
    if key not in _known:
        try:
            _known[key] = _launch(kernel, grid, arguments, output)
        except Rejected as error:
            _known[key] = error
    known = _known[key]
    if isinstance(known, Rejected):
        raise Rejected(known.cause, str(known), known.where)
    return known.clone()


_known: dict[Any, Tensor | Rejected] = {}


def _plain(x: Any) -> Any:
    """Something that is equal only where a kernel would be launched with equal numbers."""
    if isinstance(x, Again):
        x = x.tensor
    if isinstance(x, Tensor):
        numbers = x.contiguous().numpy().tobytes()
        return str(x.dtype), tuple(x.shape), x.stride(), numbers
    return x


def _launch(
    kernel: Any, grid: tuple[int, ...], arguments: Mapping[str, Any], output: str
) -> Tensor:
    with _unwatched(), np.errstate(all="ignore"):  # what overflows is found in the numbers
        found = _run(kernel, grid, arguments)[output]
        if math.prod(grid) == 2 and imported_mode() == "interpreter":
            _reject_double_work(kernel, grid, arguments, output)
    return found


def _path(kernel: Any) -> str:
    """The file in which a kernel stands; "" if it is none."""
    return getattr(getattr(getattr(kernel, "fn", None), "__code__", None), "co_filename", "")


def _show_to_guard(kernel: Any) -> None:
    """Its calls are hidden from the guard; so it is told when the answer is one of ours."""
    watch, path = sys.getprofile(), _path(kernel)
    ours = path.startswith((*GUARDED, CHAPTERS))
    if isinstance(watch, Watch) and ours and not path.startswith(watch.exempt):
        watch.caught.append(kernel.fn.__name__)


@contextlib.contextmanager
def _unwatched() -> Iterator[None]:
    """The guard sees every Python call, and the interpreter makes a great many: a kernel would
    take five times as long."""
    watch = sys.getprofile()
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
