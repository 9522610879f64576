"""What an exercise is: plain data that the engine, the notebooks and the audit all read.

A chapter's file (`chapter01.py`, ...) lists its exercises. An exercise names its truth (explicit
loops or a property, which imports nothing from `simplex_lib.attention`), how its inputs are drawn,
the mistakes that learners make, correct answers that use another algorithm, and three hints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["function", "module", "kernel", "number", "test"]


class Draw:
    """Seeded inputs, float64 on the CPU: the same numbers on every machine."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        unit = torch.rand(*shape, dtype=torch.float64, generator=self.generator)
        return low + (high - low) * unit

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers low, ..., high - 1, int64."""
        return torch.randint(low, high, shape, generator=self.generator)


def _strided(x: Tensor) -> Tensor:
    """The same numbers, laid out the other way round in memory."""
    if x.ndim < 2:
        return torch.stack([x, x], dim=-1)[..., 0]
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


# Every variant keeps the shape of the inputs. The words complete "wrong for ...".
VARIANTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "float64": ("float64 inputs", lambda x: x),
    "float32": ("float32 inputs", lambda x: x.float()),
    "bfloat16": ("bfloat16 inputs", lambda x: x.bfloat16()),
    "float16": ("float16 inputs", lambda x: x.half()),
    "strided": ("non-contiguous inputs", _strided),
    "large": ("large inputs (40 times the usual)", lambda x: 40 * x),
    "offset": ("inputs far from zero (1,000 added)", lambda x: x + 1000),
}


@dataclass(frozen=True)
class Case:
    """One set of inputs. sizes: what the axes are; arguments: what the answer is called with."""

    sizes: dict[str, int]
    variant: str
    seed: int
    arguments: dict[str, Any] = field(repr=False)
    known_right: Any = field(default=None, init=False, repr=False, compare=False)  # see compare.py

    def __str__(self) -> str:
        text = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        return text if self.variant == "float64" else f"{text}, {VARIANTS[self.variant][0]}"


@dataclass(frozen=True)
class Difference:
    """Where an answer first differs, for the sentences of wrong answers."""

    case: Case
    output: int  # which of several outputs
    index: tuple[int, ...]
    got: Any
    expected: Any

    @property
    def got_here(self) -> float:
        return float(self.got[self.index])

    @property
    def expected_here(self) -> float:
        return float(self.expected[self.index])


@dataclass(frozen=True, eq=False)
class Wrong:
    """A mistake that learners make. says: one true sentence that names it, not the answer."""

    name: str
    answer: Any
    says: str | Callable[[Difference], str]

    def sentence(self, difference: Difference | None) -> str:
        """Always a sentence: an answer that only raises leaves no difference to speak of."""
        if isinstance(self.says, str):
            return self.says
        if difference is None:
            words = self.name.replace("_", " ")
            return f"It goes wrong just as a known mistake does, called “{words}” here."
        return self.says(difference)


@dataclass(frozen=True)
class Right:
    """A correct answer by another algorithm."""

    name: str
    answer: Any


class Rejected(Exception):
    """Raised by an exercise's `ask`: the answer is wrong in a way that its numbers do not show.

    says: one true sentence, shown as it is. cause: the short name in the Report. where: the line
    of the answer, if it is known.
    """

    def __init__(self, cause: str, says: str, where: str = ""):
        super().__init__(says)
        self.cause, self.where = cause, where


def call_with_arguments(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """The usual way to ask: tensors by position, in the order of the statement."""
    return answer(*arguments.values())


@dataclass(frozen=True, eq=False)
class Exercise:
    """See the module's docstring.

    Args:
        id, title, minutes: "2.1", what the notebook's heading says, how long it takes.
        inputs: (draw, **sizes) -> arguments by name, in the order in which they are passed.
        sizes: cases to try, small ones first; each names every size that `inputs` wants.
        truth: the right answer for the same arguments, in float64, by loops or by a property.
        outputs: one text an output: its name and axes, as in "lse: b h i".
        wrong, right: at least four mistakes and at least one other correct algorithm.
        hints: the idea, where to look, pseudocode.
        why, another_way: shown after a pass.
        variants: names from VARIANTS, tried on the largest sizes.
        tolerance: largest error in float64, relative to the largest expected number, so large
            that a constant rounded to float32 does no harm; other dtypes are held to the error
            that a correct answer makes in them.
        uses: library functions that an answer may call ("dot_product_attention").
        forbids: torch functions that would be the answer ("scaled_dot_product_attention").
        ask: how an answer is called; a module is built and given weights here.
        kind: what an answer is. Of a "number" the answer itself is compared.
        smallest: sizes below which shrinking must not go.
        same_dtype: the outputs must have the dtype of the first floating input.
    """

    id: str
    title: str
    minutes: int
    inputs: Callable[..., dict[str, Any]]
    sizes: tuple[dict[str, int], ...]
    truth: Callable[..., Any]
    outputs: tuple[str, ...]
    wrong: tuple[Wrong, ...]
    right: tuple[Right, ...]
    hints: tuple[str, str, str]
    why: str
    another_way: str
    variants: tuple[str, ...] = ("float32", "bfloat16", "strided")
    tolerance: float = 1e-6
    uses: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    ask: Callable[[Any, Mapping[str, Any]], Any] = call_with_arguments
    kind: Kind = "function"
    smallest: Mapping[str, int] = field(default_factory=dict)
    same_dtype: bool = True

    @property
    def chapter(self) -> str:
        return f"{int(self.id.split('.')[0]):02d}"

    def output_name(self, output: int) -> str:
        return self.outputs[output].split(":")[0].strip()

    def output_axes(self, output: int) -> list[str]:
        return self.outputs[output].partition(":")[2].split()

    def case(self, sizes: dict[str, int], variant: str = "float64", seed: int = 0) -> Case:
        change = VARIANTS[variant][1]
        arguments = {
            name: change(x) if isinstance(x, Tensor) and x.is_floating_point() else x
            for name, x in self.inputs(Draw(seed), **sizes).items()
        }
        return Case(dict(sizes), variant, seed, arguments)

    def cases(self) -> list[Case]:
        """Small to large in float64, then the variants on the largest sizes."""
        found = [self.case(sizes, seed=n) for n, sizes in enumerate(self.sizes)]
        return found + [self.case(self.sizes[-1], variant, len(found)) for variant in self.variants]
