"""Sentences for wrong numbers that match no named mistake: what is true of them, in general terms.

Each function looks at one difference and returns a cause and a sentence, or None. Only what can be
verified from the numbers is said.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from simplex_lib.checks.compare import differs
from simplex_lib.checks.exercise import Case, Difference, Exercise

Finding = tuple[str, str]


def diagnose(
    exercise: Exercise, differences: Sequence[Difference], passing: Sequence[Case]
) -> Finding | None:
    """The first general sentence that fits the failing cases, largest first, or None.

    passing: cases that the answer gets right. What is said of all cases must fit them too.
    """
    usable = [
        d for d in differences if isinstance(d.got, Tensor) and isinstance(d.expected, Tensor)
    ]
    if not usable or any(d.got.shape != d.expected.shape for d in usable):
        return None
    largest = usable[0]
    if len(exercise.outputs) == 1:
        return _say(exercise, usable, passing)
    same = [d for d in usable if d.output == largest.output]
    one = len(same) == len(usable)  # else another output fails elsewhere: speak of this case alone
    found = _say(exercise, same if one else [largest], passing if one else ())
    if found is None:
        return None
    says, of = found[1], f" of {exercise.output_name(largest.output)}"
    for words in ("very number", "he numbers", "our numbers"):
        says = says.replace(words, words + of)
    says = says.replace(" numbers are infinite", f" numbers{of} are infinite")
    if not one and not says.startswith("With "):
        says = f"With {largest.case}: {says[0].lower()}{says[1:]}"
    return found[0], says


def _say(
    exercise: Exercise, usable: Sequence[Difference], passing: Sequence[Case]
) -> Finding | None:
    """What is true of the output in which all of these differences lie."""
    largest = usable[0]
    lost = torch.isnan(largest.got) & ~torch.isnan(largest.expected)
    found = None if lost.any() else _precision(usable) or _factor(exercise, usable, passing)
    if found:
        return found
    looks = (_not_finite, _constant, _swapped, _offset, _sums, _shifted, _part)
    for look in (_part,) if lost.any() else looks:
        found = look(exercise, largest, largest.got, largest.expected)
        if found:
            text = found[1]
            says = f"With {largest.case}: {text[0].lower()}{text[1:]}"
            return found[0], says + _another_case(exercise, largest.case)
    return None


def _another_case(exercise: Exercise, case: Case) -> str:
    """What a sentence about this case has to add: the report goes on with a smaller one."""
    if all(size <= exercise.smallest.get(name, 1) for name, size in case.sizes.items()):
        return ""
    return " (Below is the smallest case that fails.)"


def _not_finite(_: Exercise, __: Difference, got: Tensor, want: Tensor) -> Finding | None:
    lost = torch.isinf(got) & ~torch.isinf(want)
    if lost.any():
        return (
            "inf",
            f"{int(lost.sum())} of {got.numel()} numbers are infinite and should not be.",
        )
    return None


def _constant(_: Exercise, __: Difference, got: Tensor, want: Tensor) -> Finding | None:
    if got.numel() > 1 and want.std() > 1e-6 and got.std() < 1e-12:
        return "constant", f"Every number you return is {float(got.flatten()[0]):.3g}."
    return None


def _swapped(
    exercise: Exercise, difference: Difference, got: Tensor, want: Tensor
) -> Finding | None:
    axes = exercise.output_axes(difference.output)
    if len(axes) != want.ndim:
        return None
    for a, b in itertools.combinations(range(want.ndim), 2):
        if want.shape[a] == want.shape[b] > 1 and _near(got, want.transpose(a, b)):
            swapped = f"{axes[a]} and {axes[b]}"
            return "swapped", f"The numbers are right, with the axes {swapped} swapped."
    for dim, axis in enumerate(axes):
        if want.shape[dim] > 1 and _near(got, want.flip(dim)):
            return "flipped", f"The numbers are right, in reverse order along the axis {axis}."
    return None


def _precision(differences: Sequence[Difference]) -> Finding | None:
    """Right to several digits in every failing case."""
    worst = max(
        float((d.got - d.expected).abs().max()) / max(1e-300, float(_top(d.expected)))
        for d in differences
    )
    if not worst < 1e-3:
        return None
    digits = round(-math.log10(worst))
    return "precision", (
        f"Your numbers are right to about {digits} digits and not beyond. Something in between is "
        "rounded, as by another dtype, or a small constant was added."
    )


def _factor(
    exercise: Exercise, differences: Sequence[Difference], passing: Sequence[Case]
) -> Finding | None:
    """One factor for all numbers, that fits every case, the passing ones (factor 1) included."""
    ratios = [_ratio(d) for d in differences]
    if any(r is None for r in ratios):
        return None
    known = [r for r in ratios if r is not None]
    if all(abs(r - 1) < 1e-6 for r in known):
        return None
    if all(abs(r + 1) < 1e-6 for r in known):
        return "sign", "Every number has the wrong sign."
    plain = [c for c in passing if c.variant == "float64"]
    sizes = [*(d.case.sizes for d in differences), *(c.sizes for c in plain)]
    for words, values in _explanations(sizes):
        pairs = zip([*known, *[1.0] * len(plain)], values, strict=True)
        if all(abs(r / v - 1) < 1e-6 for r, v in pairs):
            return "factor", f"Every number is the right one times {words}."
    if max(known) - min(known) < 1e-6 and len(known) > 1:
        return "factor", f"Every number is {known[0]:.4g} times the right one."
    case = differences[0].case
    says = f"With {case}, every number is {known[0]:.4g} times the right one."
    return "factor", says + _another_case(exercise, case)


def _offset(_: Exercise, __: Difference, got: Tensor, want: Tensor) -> Finding | None:
    seen = torch.isfinite(want) & torch.isfinite(got)
    if int(seen.sum()) < 2:
        return None
    offset = float((got - want)[seen].mean())
    if abs(offset) > 1e-9 and _near(got[seen], want[seen] + offset):
        return "offset", f"Every number is the right one plus {offset:.4g}."
    return None


def _ratio(difference: Difference) -> float | None:
    got, want = difference.got, difference.expected
    if (torch.isfinite(got) != torch.isfinite(want)).any():
        return None
    seen = torch.isfinite(want) & (want.abs() > 1e-9 * float(_top(want)))
    if not bool(seen.any()):
        return None
    ratio = float((got[seen] * want[seen]).sum() / (want[seen] ** 2).sum())
    fits = abs(ratio) > 1e-9 and _near(got[seen], ratio * want[seen])
    return ratio if fits else None


def _explanations(sizes: Sequence[Mapping[str, int]]) -> list[tuple[str, list[float]]]:
    """Factors that the sizes of the cases explain, or a change of the logarithm's base."""
    found: list[tuple[str, list[float]]] = []
    sizes = [{name: n for name, n in s.items() if all(t[name] for t in sizes)} for s in sizes]
    for name in sizes[0]:  # a size of 0 explains no factor
        values = [float(s[name]) for s in sizes]
        found += [
            (name, values),
            (f"1 / {name}", [1 / v for v in values]),
            (f"the square root of {name}", [math.sqrt(v) for v in values]),
            (f"1 over the square root of {name}", [1 / math.sqrt(v) for v in values]),
        ]
    for a, b in itertools.permutations(sizes[0], 2):
        words = f"the square root of {a} / {b}, as if {b} had been taken for {a} or the other way"
        found.append((words, [math.sqrt(s[a] / s[b]) for s in sizes]))
    found = [(words, v) for words, v in found if any(abs(x - 1) > 1e-9 for x in v)]
    n = len(sizes)
    found.append(("1 / ln 2, as if a logarithm had been taken to base 2", [1 / math.log(2)] * n))
    return [*found, ("ln 2, a change of the logarithm's base", [math.log(2)] * n)]


def _sums(exercise: Exercise, difference: Difference, got: Tensor, want: Tensor) -> Finding | None:
    """Probabilities that no longer sum to 1 over the last axes."""
    axes = exercise.output_axes(difference.output)
    for n in (1, 2):
        if want.ndim <= n or len(axes) != want.ndim:
            return None
        dims = tuple(range(-n, 0))
        if (want < 0).any() or not _near(want.sum(dims), torch.ones_like(want.sum(dims))):
            continue
        mine = got.sum(dims)
        off = (mine - 1).abs() > 1e-6
        if off.any():
            at = tuple(map(int, off.nonzero()[0]))
            where = ", ".join(f"{a} {x}" for a, x in zip(axes, at, strict=False))
            over = " and ".join(axes[-n:])
            text = f"At {where} your numbers sum to {float(mine[at]):.3f} over {over}"
            return "sums", f"{text}, and they should sum to 1."
    return None


def _shifted(
    exercise: Exercise, difference: Difference, got: Tensor, want: Tensor
) -> Finding | None:
    axes = exercise.output_axes(difference.output)
    if len(axes) != want.ndim:
        return None
    for dim, axis in enumerate(axes):
        size = want.shape[dim]
        for by in (1, -1):
            if size > 2 and _near(
                got.narrow(dim, max(by, 0), size - 1), want.narrow(dim, max(-by, 0), size - 1)
            ):
                way = "late" if by > 0 else "early"
                return "shifted", f"The numbers are right, one place too {way} along {axis}."
    return None


def _part(exercise: Exercise, difference: Difference, got: Tensor, want: Tensor) -> Finding | None:
    """Which indices of one axis carry all the errors."""
    axes = exercise.output_axes(difference.output)
    wrong = differs(got, want, exercise.tolerance * max(1.0, float(_top(want))))  # NaN is wrong
    if len(axes) != want.ndim or bool(wrong.all()):
        return None
    for dim, axis in enumerate(axes):
        others = tuple(d for d in range(want.ndim) if d != dim)
        bad = wrong.any(dim=others) if others else wrong
        if want.shape[dim] > 2 and 0 < int(bad.sum()) < want.shape[dim]:
            where = _ranges(bad.nonzero().flatten().tolist())
            of = (
                f" of {exercise.output_name(difference.output)}"
                if len(exercise.outputs) > 1
                else ""
            )
            return "part", f"The errors{of} are all at {axis} = {where}; the rest{of} is right."
    return None


def _ranges(at: list[int]) -> str:
    if at == list(range(at[0], at[-1] + 1)) and len(at) > 2:
        return f"{at[0]} to {at[-1]}"
    return ", ".join(map(str, at[:8])) + (" ..." if len(at) > 8 else "")


def _top(x: Tensor) -> Tensor:
    finite = x[torch.isfinite(x)]
    return finite.abs().max() if finite.numel() else torch.zeros(())


def _near(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    close: Callable[..., bool] = torch.allclose
    return close(a, b, rtol=1e-6, atol=1e-9 * max(1.0, float(_top(b))), equal_nan=True)
