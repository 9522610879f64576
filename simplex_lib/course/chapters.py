"""The thirteen chapters: titles, and what each rests on. Map and tables are drawn from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chapter:
    """needs: chapters to read before. triton: it runs kernels, so it wants Triton."""

    number: str
    title: str
    needs: tuple[str, ...] = ()
    triton: bool = False


CHAPTERS = (
    Chapter("00", "Start here"),
    Chapter("01", "Dot-product attention", ("00",)),
    Chapter("02", "Trilinear attention", ("01",)),
    Chapter("03", "Determinants and rotary positions", ("02",)),
    Chapter("04", "Sliding windows", ("02",)),
    Chapter("05", "Multi-Token Attention", ("01",)),
    Chapter("06", "Alice and the rabbit", ("05",)),
    Chapter("07", "Transformers with triangles", ("04", "05")),
    Chapter("08", "Scaling laws", ("07",)),
    Chapter("09", "Triton, forward", ("02",), triton=True),
    Chapter("10", "Triton, backward", ("09",), triton=True),
    Chapter("11", "Speed", ("10",), triton=True),
    Chapter("12", "A kernel nobody has published", ("05", "11"), triton=True),
)


def exercise_id(given: object) -> str:
    """The id as the course writes it: "02.1" is "2.1".

    Raises:
        TypeError: not a text. 2.1 is a number, and as one it could not be told from 2.10.
        ValueError: not of the form "2.1".
    """
    if not isinstance(given, str):
        raise TypeError(f'an exercise is named by a text such as "2.1"; got {given!r}.')
    chapter, _, number = given.strip().partition(".")
    if not (chapter.isdecimal() and number.isdecimal()):
        raise ValueError(f'an exercise is named by a text such as "2.1"; got {given!r}.')
    return f"{int(chapter)}.{int(number)}"
