"""An einsum taken apart: letters, loops, and the input cells behind one result cell.

`einsum_payload` makes everything the widget shows; `einsum_reading.py` refuses what is no einsum.
The numbers come from plain loops, so that nothing here calls the function that it explains.
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simplex_lib.widgets.einsum_reading import Sizes, read_equation, read_sizes
from simplex_lib.widgets.kit import require_index

Cell = tuple[int, ...]

COMMON = dict(i=3, j=4, k=2, d=2, b=2, h=2, g=2, s=3)


@dataclass(frozen=True)
class Operand:
    """An input or the result: its letters, and a number for every cell."""

    name: str
    letters: str
    shape: tuple[int, ...]
    numbers: dict[Cell, int]


@dataclass(frozen=True)
class Letter:
    """One loop of the einsum."""

    letter: str
    size: int
    inputs: list[str]  # names of the inputs that have it
    kept: bool  # in the result; if not, it is summed

    @property
    def fate(self) -> str:
        matched = "matched, then " if len(self.inputs) > 1 else ""
        return matched + ("kept" if self.kept else "summed")


@dataclass(frozen=True)
class EinsumPayload:
    """The whole einsum, and one cell of its result looked at closely."""

    equation: str
    inputs: list[Operand]
    out: Operand
    letters: list[Letter]
    loops: str  # as Python text
    multiplications: int
    additions: int
    cell: Cell
    lit: list[list[Cell]]  # per input, the cells that feed the chosen one
    terms: list[list[Cell]]  # per term of its sum, one cell of each input

    @property
    def sentence(self) -> str:
        """The chosen cell as a sum in symbols and numbers, what meets, and what it costs."""
        return f"{self._sum}. {self._meeting}. {self._cost}."

    @property
    def _sum(self) -> str:
        symbols, numbers = [], []
        for term in self.terms:
            pairs = list(zip(self.inputs, term, strict=True))
            symbols.append("·".join(f"{x.name}{_index(c)}" for x, c in pairs))
            numbers.append("·".join(str(x.numbers[c]) for x, c in pairs))
        text = f"out{_index(self.cell)} = {_plus(symbols, 3)}"
        if len(self.terms) > 1 or len(self.inputs) > 1:
            text += f" = {_plus(numbers, 8)}"
        return f"{text} = {self.out.numbers[self.cell]}"

    @property
    def _meeting(self) -> str:
        met = [x.letter for x in self.letters if len(x.inputs) > 1]
        summed = [x.letter for x in self.letters if not x.kept]
        twice = [x for x in self.letters if any(o.letters.count(x.letter) > 1 for o in self.inputs)]
        if met:
            text = f"Cells meet where they have the same {_and(met)}"
        elif len(self.inputs) > 1:
            text = "No letter is shared, so every cell meets every other"
        elif twice:
            text = f"{twice[0].letter} stands twice, so only the diagonal is read"
        else:
            text = "There is one input, so nothing meets"
        summing = f"the sum runs along {_and(summed)}" if summed else "nothing is summed"
        return f"{text}, and {summing}"

    @property
    def _cost(self) -> str:
        shapes = _and([str(x.shape).replace(",)", ")") for x in self.inputs])
        result = str(self.out.shape).replace(",)", ")") if self.out.shape else "one number"
        text = f"{shapes} give{'s' * (len(self.inputs) == 1)} {result}"
        counts = {"multiplications": self.multiplications, "additions": self.additions}
        if costs := [f"{n} {what}" for what, n in counts.items() if n]:
            text += f", in {_and(costs)}"
        return text


def einsum_payload(
    equation: str = "ij,jd->id", sizes: Sizes = None, *, cell: int = 0
) -> EinsumPayload:
    """Everything the widget shows for an einsum over small whole numbers.

    Args:
        equation: up to three inputs of one to three letters, an arrow, up to three letters.
        sizes: how far each letter runs, as {"i": 3}; or a shape an input, as [(3, 4), (4, 2)] or
            "3x4, 4x2". None or "": sizes that tell the axes apart.
        cell: which cell of the result to look at, counted row by row.

    Raises:
        ValueError: what the equation or the sizes get wrong, in one sentence.
    """
    left, right = read_equation(equation)
    size = read_sizes(sizes, left)
    order = [*right, *sorted(set("".join(left)) - set(right))]  # kept letters are the outer loops
    inputs = [_operand("ABC"[n], letters, size, n) for n, letters in enumerate(left)]

    out = dict.fromkeys(itertools.product(*(range(size[x]) for x in right)), 0)
    feeding: dict[Cell, list[list[Cell]]] = {c: [] for c in out}
    for values in itertools.product(*(range(size[x]) for x in order)):
        at = dict(zip(order, values, strict=True))
        cells = [tuple(at[x] for x in operand.letters) for operand in inputs]
        target = tuple(at[x] for x in right)
        out[target] += math.prod(x.numbers[c] for x, c in zip(inputs, cells, strict=True))
        feeding[target].append(cells)

    require_index(len(out), "one of the result's cells", cell=cell)
    chosen = list(out)[cell]
    terms = feeding[chosen]
    steps = math.prod(size[x] for x in order)
    return EinsumPayload(
        equation=f"{','.join(left)}->{right}",
        inputs=inputs,
        out=Operand("out", right, tuple(size[x] for x in right), out),
        letters=[
            Letter(x, size[x], [o.name for o in inputs if x in o.letters], x in right)
            for x in order
        ],
        loops=_loops(order, right, size, inputs),
        multiplications=steps * (len(inputs) - 1),
        additions=steps - len(out),
        cell=chosen,
        lit=[sorted({term[n] for term in terms}) for n in range(len(inputs))],
        terms=terms,
    )


def _operand(name: str, letters: str, size: Mapping[str, int], seed: int) -> Operand:
    """The same small numbers for the same shape, every time."""
    shape = tuple(size[x] for x in letters)
    draw = random.Random(seed)
    cells = itertools.product(*(range(n) for n in shape))
    return Operand(name, letters, shape, {c: draw.randint(1, 5) for c in cells})


def _loops(
    order: Sequence[str], right: str, size: Mapping[str, int], inputs: Sequence[Operand]
) -> str:
    """The einsum as the loops that it stands for."""
    lines = []
    for depth, x in enumerate(order):
        line = f"{'    ' * depth}for {x} in range({size[x]}):"
        lines.append(f"{line:<34}# {'kept' if x in right else 'summed'}")
    product = " * ".join(f"{o.name}[{', '.join(o.letters)}]" for o in inputs)
    target = f"out[{', '.join(right)}]" if right else "out"
    return "\n".join([*lines, f"{'    ' * len(order)}{target} += {product}"])


def _plus(parts: Sequence[str], most: int) -> str:
    """Joined by +, the middle left out where there are too many."""
    if len(parts) > most:
        parts = [*parts[: most - 1], "…", parts[-1]]
    return " + ".join(parts)


def _and(letters: Sequence[str]) -> str:
    *first, last = letters
    return f"{', '.join(first)} and {last}" if first else last


def _index(cell: Cell) -> str:
    return str(list(cell)) if cell else ""
