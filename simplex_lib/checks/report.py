"""What a check says, as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

from simplex_lib.checks.exercise import Case


@dataclass(frozen=True)
class Report:
    """The result of one check.

    cause: None after a pass; else the name of the mistake that gives these very numbers, or what
        went wrong ("stub", "raised", "timeout", "exit", "library", "mutated", "none", "shape",
        "dtype", "nan", "memory", ...), or "other" where the numbers match nothing known.
    message: plain text, complete. details: the numbers, one line each, already in message.
    output: name and axes of the output that differs, as in "lse: b h i".
    first_wrong: index of its first difference; got, expected: that output (float64) for case,
        which is the smallest failing one that was found.
    """

    exercise: str
    title: str
    passed: bool
    cause: str | None
    headline: str
    says: str
    details: tuple[str, ...] = ()
    output: str = ""
    first_wrong: tuple[int, ...] | None = None
    got: Any = None
    expected: Any = None
    case: Case | None = None
    seconds: float = 0.0
    printed: str = ""
    named: bool = field(default=False)  # a named wrong answer or a general sentence was found

    @property
    def message(self) -> str:
        return "\n".join(_clean(x) for x in (f"{self.headline} {self.says}", *self.details))

    def __str__(self) -> str:
        return f"Exercise {self.exercise}, {self.title}\n{self.message}"

    def _repr_html_(self) -> str:
        tone = "--jp-success-color1, #2e7d32" if self.passed else "--jp-warn-color1, #b26a00"
        mark = "✓" if self.passed else "✗"
        lines = "".join(f"<div style='margin-top:4px'>{_rich(x)}</div>" for x in self.details)
        return (
            f"<div class='simplex-report' style='border-left:4px solid var({tone});"
            "padding:8px 14px;margin:4px 0;max-width:62em;line-height:1.5'>"
            f"<div><b>{mark} {_rich(self.headline)}</b> {_rich(self.says)}</div>{lines}</div>"
        )


def _clean(text: str) -> str:
    return text.replace("`", "")


def _rich(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
