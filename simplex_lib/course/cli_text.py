"""What `simplex` prints: plain text that reads well in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from simplex_lib.course.grading import Grade


def print_grade(graded: Grade, titles: Mapping[str, str]) -> None:
    """One line an exercise, and the report of each that did not pass."""
    for outcome in graded.outcomes:
        mark = "✓" if outcome.state == "passed" else "✗" if outcome.state == "not yet" else "·"
        title = titles[outcome.exercise]
        typer.echo(f"{mark} {outcome.exercise}  {title}: {outcome.state}")
        if outcome.state in ("not yet", "not reached"):
            indented(outcome.message)
            typer.echo("")
    for note in graded.notes:
        indented(note)
        typer.echo("")
    done = sum(outcome.state == "passed" for outcome in graded.outcomes)
    typer.echo(f"{done} of {len(graded.outcomes)} passed.\n")


def indented(text: str) -> None:
    for line in text.splitlines():
        for part in textwrap.wrap(line, 76, break_long_words=False) or [""]:
            typer.echo(f"    {part}")


def wrapped(block: str) -> None:
    for line in block.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        more = indent + ("  " if line.lstrip().startswith("- ") else "")
        typer.echo(
            textwrap.fill(line.strip(), 78, initial_indent=indent, subsequent_indent=more,
                          break_long_words=False)
        )  # fmt: skip


def proven(row: dict[str, Any]) -> bool:
    """As the checks promise: all rejected, all named, at least one other way that passes."""
    return (
        row["wrong"] == row["rejected"] == row["named"]
        and row["stub_fails"]
        and row["solution_passes"]
        and row["alternatives"] == row["alternatives_pass"] > 0
    )


def print_audit(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = (
        "exercise",
        "wrong",
        "rejected",
        "named",
        "stub fails",
        "solution passes",
        "other ways",
    )
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        passing = f"{row['alternatives_pass']} of {row['alternatives']} pass"
        yes = ["yes" if row[key] else "NO" for key in ("stub_fails", "solution_passes")]
        counts = [str(row[key]) for key in ("exercise", "wrong", "rejected", "named")]
        table.add_row(*counts, *yes, passing)
    console = Console(highlight=False)
    console.print(table)
    bad = [row["exercise"] for row in rows if not proven(row)]
    console.print(f"Not proven: {', '.join(bad)}." if bad else "All proven.")
