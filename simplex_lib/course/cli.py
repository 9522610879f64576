"""`simplex`, the terminal door: lab, checks with limits, hints, progress, reset, doctor, audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any, NoReturn

import typer

from simplex_lib.course.cli_text import print_audit, print_grade, proven, wrapped
from simplex_lib.course.lab import lab_command, lab_environment
from simplex_lib.course.workspace import (
    WorkspaceError,
    describe,
    notebooks,
    prepare,
    work_folder,
)

app = typer.Typer(
    help="The course on attention beyond pairs, from a terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=ANY_ARGUMENTS)
def lab(
    context: typer.Context,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    port: Annotated[int | None, typer.Option(help="Port of the server; else a free one.")] = None,
) -> None:
    """Copy what is missing into the work folder and open JupyterLab there.

    Arguments that this command does not know go to JupyterLab as they are.
    """
    try:
        prepared = prepare()
        for line in describe(prepared):
            typer.echo(line)
        environment = lab_environment(prepared.folder)
    except WorkspaceError as error:
        _fail(str(error))
    command = lab_command(prepared.folder, list(context.args), browser=browser, port=port)
    if "--allow-root" in command and "--allow-root" not in context.args:
        typer.echo("You are root, so JupyterLab is started with --allow-root.")
    sys.stdout.flush()
    if hasattr(os, "execve") and os.name == "posix":
        os.execve(command[0], command, environment)  # Ctrl-C and signals reach JupyterLab itself
    raise typer.Exit(subprocess.call(command, env=environment))


@app.command()
def check(
    what: Annotated[
        list[str] | None, typer.Argument(help="Chapters (02) or exercises (2.1); else all.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="Memory limit in GiB; else 8, or 3/4 of the machine's.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time limit for one notebook.")] = 120,
) -> None:
    """Run your notebooks in a process of their own and check the answers in them."""
    from simplex_lib.course.grading import GIB, Limits, grade, usual_memory

    if memory is not None and memory <= 0:
        _fail(f"--memory must be above 0 GiB; got {memory:g}.")
    if seconds <= 0:
        _fail(f"--seconds must be above 0; got {seconds:g}.")
    limits = Limits(usual_memory() if memory is None else int(memory * GIB), seconds)
    all_passed = True
    for chapter, wanted in _plan(what or []).items():
        try:
            notebook = notebooks("exercises").get(chapter)
            if notebook is None:
                _fail(
                    f"There is no notebook of chapter {chapter} in {work_folder() / 'exercises'}. "
                    "Run `simplex lab` once: it copies what is missing."
                )
            typer.echo(f"Chapter {chapter}: running {notebook.name} ...")
            graded = grade(notebook, wanted, limits)
        except WorkspaceError as error:
            typer.echo(str(error))
            all_passed = False
            continue
        _keep(graded)
        print_grade(graded, {name: e.title for name, e in _exercises().items()})
        all_passed &= graded.passed
    raise typer.Exit(0 if all_passed else 1)


def _plan(what: list[str]) -> dict[str, list[str]]:
    """Exercises to report on by chapter, in the order of the course."""
    from simplex_lib.course.hints import lookup

    known = _exercises()
    wanted = set() if what else set(known)
    for item in what:
        if "." in item:
            try:
                wanted.add(lookup(item).id)
            except ValueError as error:
                _fail(str(error))
            continue
        of = [e.id for e in known.values() if item.isdecimal() and int(e.chapter) == int(item)]
        if not of:
            chapters = ", ".join(dict.fromkeys(e.chapter for e in known.values()))
            _fail(f"there is no chapter {item} with exercises; there are {chapters}.")
        wanted.update(of)
    plan: dict[str, list[str]] = {}
    for exercise in known.values():
        if exercise.id in wanted:
            plan.setdefault(exercise.chapter, []).append(exercise.id)
    return plan


def _keep(graded: Any) -> None:
    from simplex_lib.course import progress

    for outcome in graded.outcomes:
        if outcome.state == "not reached" or outcome.cause == "missing":
            continue
        cause = "stub" if outcome.state == "not written" else outcome.cause
        try:
            progress.record_check(outcome.exercise, passed=outcome.state == "passed", cause=cause)
        except OSError as error:
            typer.echo(f"Your progress could not be saved. {error}")
            return


@app.command()
def hint(exercise: str) -> None:
    """The next hint of an exercise; three in all."""
    from simplex_lib.course.hints import hint as next_hint

    _say(lambda: next_hint(exercise).in_terminal())


@app.command()
def symptom(
    words: Annotated[list[str] | None, typer.Argument(help="What you see.")] = None,
) -> None:
    """Look up what you see: simplex symptom NaN."""
    from simplex_lib.course.hints import symptoms

    found = symptoms(" ".join(words or []))
    for n, block in enumerate(str(found).split("\n\n")):
        if n:
            typer.echo("")
        wrapped(block)


@app.command()
def progress() -> None:
    """What you have done, chapter by chapter."""
    from rich.console import Console
    from rich.table import Table

    from simplex_lib.course import progress as store
    from simplex_lib.course.map import map_payload

    try:
        known = store.read()
        stops = [stop for stop in map_payload(known) if stop.here or stop.total]
    except OSError as error:
        _fail(str(error))
    table = Table("chapter", "title", "exercises", "left", box=None, pad_edge=False)
    for stop in stops:
        of = [e.id for e in _exercises().values() if e.chapter == stop.chapter.number]
        left = "  ".join(name for name in of if not known.passed(name))
        table.add_row(stop.chapter.number, stop.chapter.title, stop.state, left)
    console = Console(highlight=False)
    console.print(table)
    right = sum(q.right and q.first == q.last for q in known.questions.values())
    if known.questions:
        console.print(
            f"Questions: {len(known.questions)} answered, {right} of them right at first."
        )
    console.print(f"Kept in {store.progress_path()}", soft_wrap=True)


@app.command()
def reset(exercise: str) -> None:
    """Begin one exercise anew. The notebook is backed up first; your other answers stay."""
    from simplex_lib.course.reset import reset as begin_anew

    try:
        done = begin_anew(exercise)
    except (ValueError, TypeError, OSError) as error:
        _fail(str(error))
    typer.echo(
        f"Exercise {exercise} is as it was at first; the rest of {done.notebook.name} stays."
    )
    if _is_passed(exercise):
        typer.echo("You passed it before, and that stays in your progress.")
    typer.echo(f"Backup: {done.backup}")
    typer.echo("Is the notebook open in JupyterLab? Then choose File, Reload Notebook from Disk.")


def _is_passed(exercise: str) -> bool:
    from simplex_lib.course import progress as store
    from simplex_lib.course.chapters import exercise_id

    try:
        return store.read().passed(exercise_id(exercise))
    except OSError:
        return False


@app.command()
def doctor() -> None:
    """What this machine can run, and what to do about what it cannot."""
    from rich.console import Console
    from rich.table import Table

    from simplex_lib.course.doctor import doctor_report

    report = doctor_report()
    table = Table("", "subject", "found, and what to do", box=None, pad_edge=False)
    for finding in report.findings:
        text = finding.found + (f"\n→ {finding.todo}" if finding.todo else "")
        table.add_row(finding.state, finding.subject, text)
    console = Console(highlight=False)
    console.print(table, markup=False)
    console.print(report.summary)
    raise typer.Exit(any(finding.state == "problem" for finding in report.findings))


@app.command()
def audit(
    chapters: Annotated[list[str] | None, typer.Argument(help="Chapters, as 02; else all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, nothing else.")] = False,
) -> None:
    """Prove the checks: every wrong answer rejected and named, every right one passed."""
    from simplex_lib import checks

    known = _exercises()
    unknown = sorted(set(chapters or ()) - {e.chapter for e in known.values()})
    if unknown:
        _fail(f"chapters must be ones with exercises, as 02; got {', '.join(unknown)}.")
    rows = checks.audit([e.id for e in known.values() if not chapters or e.chapter in chapters])
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        print_audit(rows)
    raise typer.Exit(0 if all(map(proven, rows)) else 1)


def _exercises() -> dict[str, Any]:
    from simplex_lib.checks import exercises

    return exercises()


def _say(make: Any) -> None:
    try:
        wrapped(str(make()))
    except (ValueError, TypeError) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    """Exit code 2: the command could not be carried out."""
    typer.echo(f"{text[:1].upper()}{text[1:]}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
