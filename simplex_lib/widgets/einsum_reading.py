"""What an einsum's text says: letters and sizes, or one sentence about what is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from simplex_lib.errors import kind

Sizes = Mapping[str, int] | Sequence[Sequence[int]] | str | None

# unlike sizes, so that axes can be told apart
COMMON = dict(i=3, j=4, k=2, d=2, b=2, h=2, g=2, s=3)
OTHER, LARGEST = 2, 6
MOST_INPUTS, MOST_AXES, MOST_LETTERS = 3, 3, 5


def read_equation(equation: str) -> tuple[list[str], str]:
    """The letters of each input and of the result; ValueError says what is wrong."""
    if not isinstance(equation, str):
        raise ValueError(f"equation must be text, as in 'ij,jk->ik'; got {kind(equation)}.")
    text = "".join(equation.split())
    got = f"got {equation!r}."
    strange = sorted(set(text.replace("->", "")) - set("abcdefghijklmnopqrstuvwxyz,"))
    if "->" not in text:
        wish = "an arrow -> before the letters of the result, as in ij,jk->ik"
        raise ValueError(f"equation must have {wish}; {got}")
    if strange or text.count("->") > 1:
        found = f"got {strange[0]!r} in {equation!r}." if strange else got
        raise ValueError(f"equation must be small letters, commas and one arrow ->; {found}")
    before, right = text.split("->")
    left = before.split(",")
    if "," in right:
        raise ValueError(f"equation must have one result, so no comma after the arrow; {got}")
    if not all(left):
        raise ValueError(f"equation must have letters for every input, between commas too; {got}")
    if len(left) > MOST_INPUTS:
        raise ValueError(f"equation must have at most {MOST_INPUTS} inputs to be drawn; {got}")
    for letters in (*left, right):
        if len(letters) > MOST_AXES:
            wish = f"at most {MOST_AXES} letters for a tensor to be drawn"
            raise ValueError(f"equation must have {wish}; got {letters!r} in {equation!r}.")
    if len(set(before) - {","}) > MOST_LETTERS:
        raise ValueError(f"equation must have at most {MOST_LETTERS} different letters; {got}")
    for letter in right:
        if letter not in before:
            why = f"{letter} is in no input, so nothing says how far it runs"
            raise ValueError(f"equation must take the result's letters from inputs: {why}; {got}")
        if right.count(letter) > 1:
            why = f"{letter} stands there {right.count(letter)} times"
            raise ValueError(f"equation must have each letter once in the result: {why}; {got}")
    return left, right


def read_sizes(sizes: Sizes, left: Sequence[str]) -> dict[str, int]:
    """How far every letter of the inputs runs; ValueError says what is wrong."""
    letters = dict.fromkeys("".join(left))
    if sizes is None or (isinstance(sizes, str) and not sizes.strip()):
        return {x: COMMON.get(x, OTHER) for x in letters}
    if isinstance(sizes, Mapping):
        unknown = [x for x in sizes if x not in letters]
        if unknown:
            raise ValueError(f"sizes must be of letters of the inputs; got {unknown[0]!r}.")
        given = {x: COMMON.get(x, OTHER) for x in letters} | dict(sizes)
        for x, n in given.items():
            _require_size(x, n)
        return given
    shapes = _shapes(sizes)
    if len(shapes) != len(left):
        wish = f"sizes must be {len(left)} shape{'s' * (len(left) > 1)}, one an input"
        raise ValueError(f"{wish}; got {len(shapes)}.")
    found: dict[str, int] = {}
    seen_in: dict[str, str] = {}
    for name, axes, shape in zip("ABC", left, shapes, strict=False):
        if len(shape) != len(axes):
            wish = f"sizes must give {name} one number a letter of {axes!r}"
            raise ValueError(f"{wish}, {len(axes)} in all; got {times(shape)}.")
        for x, n in zip(axes, shape, strict=True):
            _require_size(x, n)
            if found.setdefault(x, n) != n:
                raise ValueError(
                    f"sizes must agree on {x}: it is {found[x]} in {seen_in[x]}, and it cannot be "
                    f"{n} in {name}; got {', '.join(map(times, shapes))}."
                )
            seen_in.setdefault(x, name)
    return found


def _shapes(sizes: Any) -> list[tuple[int, ...]]:
    wish = "sizes must be a shape an input, as in 3x4, 4x2"
    if isinstance(sizes, str):
        parts = [re.sub(r"[()\[\]\s]", "", part) for part in sizes.split(",")]
        if not all(re.fullmatch(r"\d+([x×*]\d+)*", part) for part in parts):
            raise ValueError(f"{wish}; got {sizes!r}.")
        return [tuple(int(n) for n in re.split("[x×*]", part)) for part in parts]
    try:
        return [tuple(shape) for shape in sizes]
    except TypeError:
        raise ValueError(f"{wish}; got {kind(sizes)}.") from None


def _require_size(letter: str, n: Any) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= LARGEST:
        raise ValueError(f"sizes must be whole numbers from 1 to {LARGEST}; got {letter} = {n}.")


def times(shape: Sequence[int]) -> str:
    """3×4; one number for a tensor without axes."""
    return "×".join(map(str, shape)) if shape else "one number"
