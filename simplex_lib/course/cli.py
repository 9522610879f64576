"""`simplex`, the terminal door: lab, checks with limits, hints, progress, reset, doctor, audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

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
START_PAGE = "chapters/00_start_here.ipynb"


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


def lab_command(folder: Path, extra: list[str], *, browser: bool, port: int | None) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    if (folder / START_PAGE).exists():
        command.append(f"--LabApp.default_url=/lab/tree/{START_PAGE}")
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command.append(f"--port={port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in extra:
        command.append("--allow-root")
    return command + extra


def lab_environment(folder: Path) -> dict[str, str]:
    """Kernels find the same work folder, JupyterLab asks for no news; own settings stay."""
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    settings = folder / ".jupyter" / "labconfig" / "default_setting_overrides.json"
    try:
        settings.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"@jupyterlab/apputils-extension:notification": quiet}, indent=1)
        settings.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{settings} cannot be written: {error.strerror or error}.") from error
    paths = [os.environ.get("JUPYTER_CONFIG_PATH"), str(folder / ".jupyter")]
    own = dict(SIMPLEX_WORK=str(folder), JUPYTER_CONFIG_PATH=os.pathsep.join(filter(None, paths)))
    return os.environ | own


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
        _print_grade(graded)
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


def _print_grade(graded: Any) -> None:
    known = _exercises()
    for outcome in graded.outcomes:
        mark = "✓" if outcome.state == "passed" else "✗" if outcome.state == "not yet" else "·"
        title = known[outcome.exercise].title
        typer.echo(f"\n{mark} {outcome.exercise}  {title}: {outcome.state}")
        if outcome.state == "not yet" or outcome.state == "not reached":
            _indented(outcome.message)
    for note in graded.notes:
        typer.echo("")
        _indented(note)
    done = sum(outcome.state == "passed" for outcome in graded.outcomes)
    typer.echo(f"\n{done} of {len(graded.outcomes)} passed.")


def _indented(text: str) -> None:
    import textwrap

    for line in text.splitlines():
        for part in textwrap.wrap(line, 76, break_long_words=False) or [""]:
            typer.echo(f"    {part}")


@app.command()
def hint(exercise: str) -> None:
    """The next hint of an exercise; three in all."""
    from simplex_lib.course.hints import hint as next_hint

    _say(lambda: next_hint(exercise))


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
        _wrapped(block)


def _wrapped(block: str) -> None:
    import textwrap

    for line in block.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        more = indent + ("  " if line.lstrip().startswith("- ") else "")
        typer.echo(
            textwrap.fill(line.strip(), 78, initial_indent=indent, subsequent_indent=more,
                          break_long_words=False)
        )  # fmt: skip


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
    typer.echo(f"Backup: {done.backup}")
    typer.echo("Is the notebook open in JupyterLab? Then choose File, Reload Notebook from Disk.")


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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, nothing else.")] = False,
) -> None:
    """Prove the checks: every wrong answer rejected and named, every right one passed."""
    from simplex_lib import checks

    rows = checks.audit()
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        _print_audit(rows)
    raise typer.Exit(0 if all(map(_proven, rows)) else 1)


def _proven(row: dict[str, Any]) -> bool:
    """As the checks promise: all rejected, all named, at least one other way that passes."""
    return (
        row["wrong"] == row["rejected"] == row["named"]
        and row["stub_fails"]
        and row["solution_passes"]
        and row["alternatives"] == row["alternatives_pass"] > 0
    )


def _print_audit(rows: list[dict[str, Any]]) -> None:
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
    bad = [row["exercise"] for row in rows if not _proven(row)]
    console.print(f"Not proven: {', '.join(bad)}." if bad else "All proven.")


def _exercises() -> dict[str, Any]:
    from simplex_lib.checks import exercises

    return exercises()


def _say(make: Any) -> None:
    try:
        _wrapped(str(make()))
    except (ValueError, TypeError) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    """Exit code 2: the command could not be carried out."""
    typer.echo(f"{text[:1].upper()}{text[1:]}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
