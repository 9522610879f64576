"""Compares an answer with the truth: the first difference, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Case, Exercise

# Unit round-off times a few operations; the error of a correct answer is added in `tolerance`.
FLOOR = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 4e-2}


@dataclass(frozen=True)
class Mismatch:
    """output: which output; cause: "value", or "none", "shape", "dtype", "type", "count", "nan"."""

    output: int
    cause: str
    says: str = ""
    index: tuple[int, ...] | None = None


def as_outputs(value: Any) -> tuple[Any, ...]:
    """Each output by itself; a number of numpy is a number."""
    outputs = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(x.item() if _of_numpy(x) and x.shape == () else x for x in outputs)


def _of_numpy(x: Any) -> bool:
    return type(x).__module__ == "numpy" and hasattr(x, "shape")


def to_float64(x: Any) -> Any:
    """Tensors and numbers become float64 tensors; words stay words."""
    if isinstance(x, Tensor):
        x = x.detach()
        return x.cpu().to(torch.complex128 if x.is_complex() else torch.float64)
    return torch.tensor(float(x), dtype=torch.float64) if isinstance(x, (bool, int, float)) else x


def expected_of(exercise: Exercise, case: Case) -> tuple[Any, ...]:
    """The truth in float64, from the very numbers the answer is given."""
    arguments = {
        k: x.double().contiguous() if isinstance(x, Tensor) and x.is_floating_point() else x
        for k, x in case.arguments.items()
    }
    return as_outputs(exercise.truth(**arguments))


def find_mismatch(
    exercise: Exercise, case: Case, value: Any, expected: tuple[Any, ...]
) -> Mismatch | None:
    """None if the answer is right in every output."""
    if value is None:
        return Mismatch(0, "none", "Your answer returns None. Is a return statement missing?")
    got = as_outputs(value)
    numbers = all(isinstance(x, (int, float)) for x in got)
    if numbers and len(expected) == 1 < len(got):  # a list of numbers is one output
        got = (torch.tensor(got, dtype=torch.float64),)
    if len(got) != len(expected):
        names = ", ".join(exercise.output_name(n) for n in range(len(expected)))
        mine, want = _things(len(got)), _things(len(expected))
        text = f"Your answer returns {mine}, and it should return {want}: {names}."
        return Mismatch(0, "count", text)
    for output, (mine, want) in enumerate(zip(got, expected, strict=True)):
        found = _compare_one(exercise, case, output, mine, want)
        if found:
            return found
    return None


def _things(n: int) -> str:
    return "one thing" if n == 1 else f"{n} things"


def _compare_one(
    exercise: Exercise, case: Case, output: int, mine: Any, want: Any
) -> Mismatch | None:
    name = exercise.output_name(output)
    if isinstance(want, (str, bool)) and not hasattr(mine, "shape"):
        if mine == want:
            return None
        return Mismatch(output, "value", index=())
    if not isinstance(mine, (Tensor, int, float, bool)):
        wish = "tensor" if isinstance(want, Tensor) else "number"
        text = f"{name} should be a {wish}; yours is a {type(mine).__name__}."
        if _of_numpy(mine):
            text = f"{name} should be a {wish}; yours is an array of numpy."
            text += " torch.from_numpy makes a tensor of it." if wish == "tensor" else ""
        return Mismatch(output, "type", text)
    got, target = to_float64(mine), to_float64(want)
    if got.shape != target.shape:
        return Mismatch(output, "shape", _say_shape(exercise, output, got, target))
    if exercise.same_dtype and isinstance(mine, Tensor) and isinstance(want, Tensor):
        floats = [x for x in case.arguments.values() if isinstance(x, Tensor)]
        floats = [x for x in floats if x.is_floating_point()]
        if floats and mine.dtype != floats[0].dtype:
            return Mismatch(
                output,
                "dtype",
                f"{name} should have the dtype of the inputs, {_short(floats[0].dtype)}; "
                f"yours has {_short(mine.dtype)}.",
            )
    bad_nan = torch.isnan(got) & ~torch.isnan(target)
    if bad_nan.any():
        index = first_index(bad_nan)
        text = f"{name} has {int(bad_nan.sum())} NaN among {got.numel()} numbers."
        return Mismatch(output, "nan", text, index)
    wrong = differs(got, target, tolerance(exercise, case, output, target))
    if wrong.any():
        return Mismatch(output, "value", index=first_index(wrong))
    return None


def differs(got: Tensor, target: Tensor, limit: float) -> Tensor:
    equal = (got == target) | (torch.isnan(got) & torch.isnan(target))
    return ~(equal | ((got - target).abs() <= limit))


def tolerance(exercise: Exercise, case: Case, output: int, target: Tensor) -> float:
    """Largest allowed error. Below float64: four times a correct answer's, plus a floor."""
    finite = target[torch.isfinite(target)] if target.numel() else target
    size = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    dtype = dtypes.get(case.variant)
    if dtype is None:
        return exercise.tolerance * size
    made = 0.0
    for outputs in _right_outputs(exercise, case):
        error = (to_float64(outputs[output]) - target).abs()
        error = error[torch.isfinite(error)]
        made = max(made, float(error.max()) if error.numel() else 0.0)
    return 4 * made + max(FLOOR[dtype] * 0.1 * size, exercise.tolerance * size)


def _right_outputs(exercise: Exercise, case: Case) -> list[tuple[Any, ...]]:
    """What the correct answers give for this case; asked once, since kernels take their time."""
    if case.known_right is None:
        asked = (exercise.ask(right.answer, dict(case.arguments)) for right in exercise.right)
        object.__setattr__(case, "known_right", [as_outputs(value) for value in asked])
    return case.known_right or []


def first_index(where: Tensor) -> tuple[int, ...]:
    """The first True in reading order; () for a scalar."""
    return tuple(map(int, where.nonzero()[0])) if where.ndim else ()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _say_shape(exercise: Exercise, output: int, got: Tensor, want: Tensor) -> str:
    name, axes = exercise.output_name(output), exercise.output_axes(output)
    named = f" ({', '.join(axes)})" if axes and len(axes) == want.ndim else ""
    text = f"{name} should have shape {tuple(want.shape)}{named}; yours has {tuple(got.shape)}."
    if sorted(got.shape) == sorted(want.shape) and got.ndim == want.ndim:
        text += " The sizes are right and their order is not."
    elif got.ndim == want.ndim - 1:
        text += " One axis is missing: was it summed over, or squeezed?"
    elif got.ndim == want.ndim + 1 and got.numel() == want.numel():
        if any((*got.shape[:n], *got.shape[n + 1 :]) == want.shape for n in range(got.ndim)):
            text += " An axis of size 1 is left over, as keepdim leaves it."
        else:
            text += " The numbers are as many; an axis was cut in two and not joined again."
    elif got.ndim == want.ndim + 1:
        text += " There is one axis too many: a sum over it is missing."
    return text
