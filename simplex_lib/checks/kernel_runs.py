"""How a check runs a learner's kernel: guard bands round every tensor, and nothing goes unseen.

In the interpreter the kernel runs inside `simplex_lib.triton_trace`: reading or writing outside a
tensor, elements that no program stores, and two programs that touch the same element are told in
words, and what a mask hides is NaN unless the load says `other`. What a GPU would refuse is refused
here too. On a GPU the same call launches the compiled kernel, and only the NaN round and in the
tensors speak, and inputs that have changed.
"""

from __future__ import annotations

import contextlib
import linecache
import math
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.guard import CHAPTERS, GUARDED, Watch
from simplex_lib.checks.kernel_bands import look_at_bands, remember
from simplex_lib.checks.kernel_errors import ERRORS
from simplex_lib.checks.kernel_judge import Again, Output, Owners, judge, program_id, tiles, where
from simplex_lib.checks.kernel_loops import IEEE, PYTHONS_MAX, NotIeee, as_if_compiled
from simplex_lib.checks.kernel_source import check_source
from simplex_lib.triton_mode import prepare_triton
from simplex_lib.triton_trace import Access, OutsideAccess, innermost, tracing

__all__ = ["Again", "Output", "Stride", "Strides", "require_float32", "run_kernel", "tiles"]

MARGIN = 2  # NaN on both sides of each axis, so a tensor of two axes or more is never contiguous
FAR = 1 << 14  # and so many before and after all


class Strides(NamedTuple):
    """All strides of an argument, as a tuple."""

    name: str


class Stride(NamedTuple):
    """One stride of an argument."""

    name: str
    axis: int


def run_kernel(
    answer: Any,
    grid: tuple[int, ...],
    arguments: Mapping[str, Any],
    *,
    once: bool = False,
    owners: Owners | None = None,
    ieee: bool = False,
    look: Callable[[list[Access]], None] | None = None,
) -> dict[str, Tensor]:
    """Launch answer[grid](*arguments.values()) once.

    Args:
        answer: what the learner wrote; should be a @triton.jit function. A partial of one gives it
            the arguments that come last: a known mistake is often a kernel with switches.
        arguments: by the names that sentences use. Tensors are inputs and arrive as copies with the
            same order of strides (float64 as float32); Output, Again, Strides and Stride as said
            there; anything else as it is.
        once: each number of an output must be stored by one program only, also if two agree.
        owners: which program each element of an output (or of an input, for loads) belongs to: by
            the tensor's name, one tensor of whole numbers for each axis of the grid, as `tiles`
            makes them. They broadcast to its shape; below 0 nobody may touch it.
        ieee: each tl.dot of float32 must be given input_precision="ieee".
        look: called at last with all loads and stores, in the interpreter; may raise Rejected.

    Returns:
        The tensors of all Output and Again arguments by name, contiguous, on the CPU.

    Raises:
        Rejected: with the cause "triton", "not a kernel", "arguments", "library", "reads outside
            x", "writes outside x", "writes input x", "unwritten x", "reads unwritten x", "race in
            x", "stored twice", "stores another's x", "loads another's x", "atomics", "not
            ieee", "changes in a loop", "truth of a block", one of kernel_source.py or of ERRORS,
            or "raised".
        NotImplementedError: the kernel is a stub.
    """
    kernel: Any = answer
    if isinstance(answer, partial):
        kernel, arguments = answer.func, {**arguments, **answer.keywords}
    device = _device()
    _check_kernel(kernel, list(arguments))
    if not _path(kernel).startswith(CHAPTERS):
        return _run(kernel, grid, arguments, device, once=once, owners=owners, ieee=ieee, look=look)
    # one of ours, which is asked again and again to tell mistakes apart
    key = (_path(kernel), kernel.fn.__name__, grid, *(_plain(x) for x in arguments.values()))
    key += (
        once,
        ieee,
        look is None,
        *((name, *map(_plain, owner)) for name, owner in (owners or {}).items()),
    )
    if key not in _known:
        try:
            _known[key] = _run(
                kernel, grid, arguments, device, once=once, owners=owners, ieee=ieee, look=look
            )
        except Rejected as error:
            _known[key] = error
    known = _known[key]
    if isinstance(known, Rejected):
        raise Rejected(known.cause, str(known), known.where)
    return {name: x.clone() for name, x in known.items()}


def require_float32(name: str, found: Tensor, exact: Tensor) -> None:
    """Reject what is rounded to float16 on the way, by less than float16's tolerance shows.

    found, exact: what a kernel made of float16 inputs, and of the same numbers in float32.
    """
    size = max(1.0, float(exact.abs().nan_to_num(0, 0, 0).max()))
    error = (found - exact).abs()
    off = error[torch.isfinite(error)]
    if off.numel() and 2e-5 * size < float(off.max()) <= 1e-3 * size:
        raise Rejected(
            "rounded to float16",
            f"The same numbers, once as float16 and once as float32, give two `{name}` here. "
            "float32 holds every float16 number exactly; so something is rounded to float16 on "
            "the way, and it need not be.",
        )


_known: dict[Any, dict[str, Tensor] | Rejected] = {}


def _run(
    kernel: Any,
    grid: tuple[int, ...],
    arguments: Mapping[str, Any],
    device: torch.device,
    *,
    once: bool,
    owners: Owners | None,
    ieee: bool,
    look: Callable[[list[Access]], None] | None,
) -> dict[str, Tensor]:
    tensors = {n: _banded(x, device) for n, x in arguments.items() if _is_tensor(x)}
    passed = [_passed(x, tensors.get(name), tensors) for name, x in arguments.items()]
    check_source(kernel)
    outputs = {n: x for n, x in arguments.items() if isinstance(x, (Output, Again))}
    if device.type == "cpu":
        with _unwatched(), _silent():  # what overflows is found in the numbers
            passed = [_number(kernel, n, x) for n, x in enumerate(passed)]
            accesses = _launch_traced(kernel, grid, passed, tensors, ieee=ieee)
            judge(kernel, grid, accesses, tensors, outputs, once=once, owners=owners)
            if look is not None:
                look(accesses)
    else:
        if _is_stub(kernel):
            raise NotImplementedError
        before = remember(tensors, tensors.keys() - outputs.keys())
        with _in_words(kernel), torch.cuda.device(device):
            kernel[grid](*passed)
        look_at_bands(tensors, before)
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
    _show_to_guard(kernel)
    takes = list(getattr(kernel, "arg_names", names))
    if len(takes) != len(names):
        raise Rejected(
            "arguments",
            f"Your kernel takes {len(takes)} arguments, and {len(names)} are passed: "
            f"{', '.join(names)}.",
        )


def _show_to_guard(kernel: Any) -> None:
    """The kernel runs unwatched; so the guard is told if it, or a kernel it names, is ours."""
    watch = sys.getprofile()
    if not isinstance(watch, Watch):
        return
    function = kernel.fn
    names, space = function.__code__.co_names, function.__globals__
    for found in (kernel, *(space.get(name) for name in names)):
        ours = _path(found).startswith((*GUARDED, CHAPTERS))
        if ours and not _path(found).startswith(watch.exempt):
            watch.caught.append(found.fn.__name__)


def _path(kernel: Any) -> str:
    """The file in which a kernel stands; "" if it is none."""
    return getattr(getattr(getattr(kernel, "fn", None), "__code__", None), "co_filename", "")


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


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _plain(x: Any) -> Any:
    """Something that is equal only where a kernel would be launched with equal numbers."""
    x = x.tensor if isinstance(x, Again) else x
    if not isinstance(x, Tensor):
        return repr(x)  # NaN is not equal to itself
    return str(x.dtype), tuple(x.shape), x.stride(), x.contiguous().numpy().tobytes()


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
        shape, dtype, order = x.shape, x.dtype, list(x.order or range(len(x.shape)))
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
    kernel: Any,
    grid: tuple[int, ...],
    passed: list[Any],
    tensors: Mapping[str, Tensor],
    *,
    ieee: bool,
) -> list[Access]:
    try:
        with (
            _in_words(kernel),
            tracing(masked_nan=True, **tensors) as trace,
            as_if_compiled(kernel, ieee=ieee),
        ):
            kernel[grid](*passed)
    except OutsideAccess as outside:
        verb = "reads" if outside.kind == "load" else "writes"
        name = f"`{outside.tensor}`" if outside.tensor else "every tensor"
        lost = "it" if outside.tensor else "any"
        raise Rejected(
            f"{verb} outside {outside.tensor}",
            f"Program {program_id(outside.program, grid)} {verb} outside {name}: "
            f"{outside.n_outside} of the {outside.n_asked} elements that it asks for are not in "
            f"{lost}.",
            where(kernel, outside.line),
        ) from None
    except NotIeee as dot:
        raise Rejected("not ieee", IEEE, where(kernel, dot.line)) from None
    return trace.accesses


def _number(kernel: Any, place: int, x: Any) -> Any:
    """A float argument as a GPU gets it: float32, with .to. The interpreter would leave it."""
    from triton import language as tl
    from triton.runtime.interpreter import TensorHandle

    name = kernel.arg_names[place]
    fixed = "constexpr" in str(kernel.fn.__annotations__.get(name, ""))
    if fixed or not isinstance(x, float):
        return x
    return tl.tensor(TensorHandle(np.array([x], dtype=np.float32), tl.float32), tl.float32)


@contextlib.contextmanager
def _in_words(kernel: Any) -> Iterator[None]:
    """What Triton raises, in the words of ERRORS, with the line of the kernel."""
    try:
        yield
    except (Rejected, OutsideAccess, NotIeee):
        raise
    except Exception as error:
        root = innermost(error)  # the interpreter's wrapping hides what was raised
        if isinstance(root, NotImplementedError) and not root.args:
            raise root from None
        source = _line(kernel, error)
        at = f"It is this line: `{source}`" if source else ""
        if isinstance(root, Rejected):
            pythons = root.cause == "truth of a block" and re.search(r"(?<!\.)\bm(ax|in)\(", source)
            raise Rejected(root.cause, PYTHONS_MAX if pythons else str(root), at) from None
        for known in ERRORS:
            if re.search(known.text, str(root)) and re.search(known.line, source):
                raise Rejected(known.cause, known.says, at) from None
        words = f"Your kernel raised {type(root).__name__}: {str(root)[:300]}"
        raise Rejected("raised", words, at) from None


def _line(kernel: Any, error: BaseException | None) -> str:
    """The line of the kernel that stopped; where tl.sum and such stop, one error wraps another."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f.name == kernel.fn.__name__]
        if own:
            return linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
        error = error.__cause__ or error.__context__
    return ""
