""" "Show me my bug": what can be shown of a failing case, and the picture that shows it.

`bug_view` decides: a tensor of third order goes to the explorer, anything with rows and columns
becomes two tables of numbers side by side, and for the rest there is nothing to show.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from simplex_lib.course.page import FAINT, NOT_YET, panel

MOST = 12  # rows and columns of a table
EXPLORED = 64  # the explorer's largest axis in one view


def bug_view(report: Any, outputs: Sequence[str] = ()) -> Callable[[], Any] | None:
    """How to show the failing case of a report; None if there is nothing to show.

    Args:
        report: with got, expected, case and first_wrong.
        outputs: names and axes of what the exercise returns, as in "lse: b h i".
    """
    got, expected = getattr(report, "got", None), getattr(report, "expected", None)
    shape = _shape(got)
    if report.passed or report.case is None or not shape or shape != _shape(expected):
        return None
    if math.prod(shape) == 0 or len(shape) < 2:
        return None
    name, axes = output_of(shape, outputs)
    triples = axes[-3:] == ["i", "j", "k"] and 1 < shape[-1] <= EXPLORED  # one cell is a number
    if triples and find_spec("ipywidgets"):
        return lambda: _explorer(report, name)
    return lambda: Tables(got, expected, report.first_wrong, axes)


def output_of(shape: Sequence[int], outputs: Sequence[str]) -> tuple[str, list[str]]:
    """Name and axes of the output that has this many axes; plain numbers if none has."""
    for output in outputs:
        name, _, axes = output.partition(":")
        if len(axes.split()) == len(shape):
            return name.strip(), axes.split()
    return "", [f"axis {n}" for n in range(len(shape))]


def _explorer(report: Any, name: str) -> Any:
    """The explorer at the first difference; tables where it cannot show the numbers."""
    from simplex_lib.widgets import explore_pairs

    probs, sizes = name.startswith("prob"), report.case.sizes
    place = report.first_wrong or ()
    at = dict(zip(("query", "head", "batch"), reversed(place[:-2]), strict=False))
    try:
        return explore_pairs(
            report.got,
            compare=report.expected,
            kind="probs" if probs else "logits",
            mode="probs" if probs else "logits",
            causal=probs,  # logits are shown before any mask
            w1=sizes.get("w1"),
            w2=sizes.get("w2"),
            title="Your smallest failing case; “other” is the right answer",
            **at,
        )
    except ValueError:
        return Tables(report.got, report.expected, report.first_wrong)


def _shape(x: Any) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in x.shape)
    except (AttributeError, TypeError):
        return ()


class Tables:
    """Two tables of numbers, the learner's and the expected one, with the differences framed."""

    def __init__(
        self,
        got: Any,
        expected: Any,
        first_wrong: tuple[int, ...] | None = None,
        axes: Sequence[str] = (),
    ):
        shape = _shape(got)
        self.axes = list(axes) if len(axes) == len(shape) else output_of(shape, ())[1]
        wrong = first_wrong if first_wrong and len(first_wrong) == len(shape) else None
        self.lead = wrong[:-2] if wrong else (0,) * (len(shape) - 2)
        self.rows = _around(wrong[-2] if wrong else 0, shape[-2])
        self.columns = _around(wrong[-1] if wrong else 0, shape[-1])
        self.got, self.expected = (self._cut(x) for x in (got, expected))
        self.whole = len(self.rows) == shape[-2] and len(self.columns) == shape[-1]

    def _cut(self, x: Any) -> list[list[float]]:
        matrix = x[tuple(self.lead)] if self.lead else x
        return [[float(matrix[i, j]) for j in self.columns] for i in self.rows]

    def differs(self, row: int, column: int) -> bool:
        a, b = self.got[row][column], self.expected[row][column]
        return not (a == b or math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6))

    @property
    def sentence(self) -> str:
        places = [(r, c) for r in range(len(self.rows)) for c in range(len(self.columns))]
        wrong = sum(self.differs(r, c) for r, c in places)
        lead = zip(self.axes, self.lead, strict=False)
        at = f" at {', '.join(f'{axis} {n}' for axis, n in lead)}" if self.lead else ""
        part = "" if self.whole else " that are shown"
        return (
            f"The smallest failing case{at}: {wrong} of {len(places)} numbers{part} differ. They "
            "are framed and marked with *."
        )

    def __str__(self) -> str:
        def lines(x: list[list[float]]) -> str:
            return "\n".join("  ".join(f"{v:9.3g}" for v in row) for row in x)

        return f"{self.sentence}\nyours\n{lines(self.got)}\nexpected\n{lines(self.expected)}"

    def _repr_html_(self) -> str:
        largest = max((abs(v) for row in self.expected for v in row if math.isfinite(v)), default=0)
        tables = "".join(
            self._table(name, x, largest or 1.0)
            for name, x in (("yours", self.got), ("expected", self.expected))
        )
        return panel(
            f"<div>{html.escape(self.sentence)}</div>"
            f"<div style='display:flex;flex-wrap:wrap;gap:28px;margin-top:8px'>{tables}</div>",
            NOT_YET,
        )

    def _table(self, name: str, x: list[list[float]], largest: float) -> str:
        head = "".join(f"<th scope='col' style='{_HEAD}'>{j}</th>" for j in self.columns)
        body = "".join(
            f"<tr><th scope='row' style='{_HEAD}'>{i}</th>"
            + "".join(self._cell(r, c, v, largest) for c, v in enumerate(x[r]))
            + "</tr>"
            for r, i in enumerate(self.rows)
        )
        corner = f"{self.axes[-2]} ↓ {self.axes[-1]} →"
        return (
            "<table style='border-collapse:collapse;font-variant-numeric:tabular-nums'>"
            f"<caption style='text-align:left;font-weight:600;color:inherit'>{name}</caption>"
            f"<tr><td style='{_HEAD}'>{html.escape(corner)}</td>{head}</tr>{body}</table>"
        )

    def _cell(self, row: int, column: int, value: float, largest: float) -> str:
        wrong = self.differs(row, column)
        share = min(1.0, abs(value) / largest) if math.isfinite(value) else 0.0
        hue = "25, 118, 210" if value >= 0 else "198, 110, 20"
        frame = f"outline:2px solid {NOT_YET};outline-offset:-2px;" if wrong else ""
        return (
            f"<td style='padding:3px 8px;text-align:right;{frame}"
            f"background:rgba({hue}, {0.4 * share:.2f})'>{value:.3g}{'*' if wrong else ''}</td>"
        )


_HEAD = f"padding:3px 8px;text-align:right;font-weight:400;color:{FAINT}"


def _around(place: int, size: int) -> range:
    """At most MOST indices, with `place` among them."""
    start = max(0, min(place - MOST // 2, size - MOST))
    return range(start, min(size, start + MOST))
