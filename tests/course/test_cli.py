"""Mirrors simplex_lib/course/cli.py."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simplex_lib import checks
from simplex_lib.course import cli, grading, lab, progress, reset, workspace
from simplex_lib.course.grading import Grade, Outcome


def simplex(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture
def graded(monkeypatch, work, fake):
    """Chapter notebooks that are never run: the outcome of every exercise is given."""
    outcomes = {}
    seen = []

    def grade(notebook, wanted, limits):
        seen.append((notebook.name, wanted, limits))
        passed = Outcome("", "passed", None, "Passed.")
        return Grade([Outcome(n, *_rest(outcomes.get(n, passed))) for n in wanted])

    def _rest(outcome):
        return outcome.state, outcome.cause, outcome.message

    monkeypatch.setattr(grading, "grade", grade)
    for name in ("01_a", "02_b"):
        path = work / "exercises" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    outcomes["seen"] = seen
    return outcomes


def test_check_records_prints_and_exits_by_what_it_found(graded):
    assert simplex("check", "01").exit_code == 0
    assert progress.read().passed("1.1") and progress.read().passed("1.2")
    graded["2.2"] = Outcome("", "not yet", "mask", "Not yet. " + "word " * 40)
    graded["2.3"] = Outcome("", "not written", "stub", "")
    result = simplex("check", "2")
    assert result.exit_code == 1
    assert "✓ 2.1  title 2.1: passed" in result.output
    assert "✗ 2.2  title 2.2: not yet" in result.output and "    Not yet. word" in result.output
    assert "· 2.3  title 2.3: not written" in result.output and "1 of 3 passed." in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert progress.read().exercises["2.2"].last_cause == "mask"
    assert progress.read().exercises["2.3"].attempts == 0


def test_check_takes_chapters_exercises_or_everything(graded):
    simplex("check", "2.2", "02.1")
    simplex("check")
    simplex("check", "1", "2.3", "--memory", "1.5", "--seconds", "7")
    runs = [(name, wanted) for name, wanted, _ in graded["seen"]]
    assert runs == [
        ("02_b.ipynb", ["2.1", "2.2"]),
        ("01_a.ipynb", ["1.1", "1.2"]),
        ("02_b.ipynb", ["2.1", "2.2", "2.3"]),
        ("01_a.ipynb", ["1.1", "1.2"]),
        ("02_b.ipynb", ["2.3"]),
    ]
    limits = graded["seen"][-1][2]
    assert limits.seconds == 7 and limits.memory == 1.5 * 2**30


@pytest.mark.errors
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "9"], "There is no chapter 9 with exercises; there are 01, 02."),
        (["check", "x"], "There is no chapter x with exercises"),
        (["check", "2.9"], "There is no exercise 2.9; there are 2.1, 2.2, 2.3."),
        (["check", "2", "--memory", "0"], "--memory must be above 0 GiB; got 0."),
        (["check", "2", "--seconds", "-1"], "--seconds must be above 0; got -1."),
        (["hint", "2.9"], "There is no exercise 2.9"),
        (["reset", "99.1"], "There is no exercise 99.1"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(graded, arguments, message):
    result = simplex(*arguments)
    assert result.exit_code == 2 and message in result.output


def test_check_without_a_notebook_says_how_to_get_one(fake, work):
    result = simplex("check", "2")
    assert result.exit_code == 2 and "Run `simplex lab` once" in result.output


def test_an_unreadable_notebook_does_not_hide_the_others(work, fake):
    for name in ("01_a", "02_b"):
        path = work / "exercises" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"cells": [')
    result = simplex("check")
    assert result.exit_code == 1
    assert result.output.count("cannot be read as a notebook") == 2
    assert (work / "exercises/01_a.ipynb").read_text() == '{"cells": ['


def test_terminal_and_notebook_share_hints_and_progress(fake):
    from simplex_lib.course import check, hint

    hint("2.1")
    assert "Hint 2 of 3: where to look" in simplex("hint", "2.1").output
    check("2.1", None)
    progress.record_choice("02.1", "a", right=True)
    progress.record_choice("02.2", "a", right=False)
    output = simplex("progress").output
    assert re.search(r"02 +Trilinear attention .*2\.2 +2\.3", output)
    assert "2 answered, 1 of them right at first" in output


def test_symptom_finds_by_words():
    output = simplex("symptom", "mask", "one", "off").output
    assert output.startswith("My mask is one off") and max(map(len, output.splitlines())) <= 80
    assert "I get NaN" in simplex("symptom").output


def test_doctor_says_what_it_found():
    result = simplex("doctor")
    assert result.exit_code == 0 and "PyTorch" in result.output and "Triton" in result.output


ROW = dict(exercise="2.1", wrong=5, rejected=5, named=5, stub_fails=True, solution_passes=True)
ROW |= dict(alternatives=1, alternatives_pass=1)


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), (dict(named=4), 1), (dict(stub_fails=False), 1), (dict(alternatives_pass=0), 1)],
)
def test_audit_prints_json_alone_and_exits_by_what_is_proven(monkeypatch, change, code):
    monkeypatch.setattr(checks, "audit", lambda ids: [ROW | change])
    result = simplex("audit", "--json")
    assert json.loads(result.output) == [ROW | change] and result.exit_code == code
    table = simplex("audit")
    assert table.exit_code == code
    assert ("All proven." if code == 0 else "Not proven: 2.1.") in table.output


def test_reset_says_where_the_backup_is(monkeypatch, tmp_path, work):
    about = {"simplex": {"exercise": "2.1", "role": "stub"}}
    for folder, source in ((tmp_path / "course", "raise NotImplementedError"), (work, "mine")):
        (folder / "exercises").mkdir(parents=True)
        cell = {"cell_type": "code", "metadata": about, "source": source}
        (folder / "exercises/02_t.ipynb").write_text(json.dumps({"cells": [cell]}))
    monkeypatch.setattr(reset, "reset", partial(reset.reset, root=tmp_path / "course"))
    result = simplex("reset", "2.1")
    assert result.exit_code == 0 and str(work / "backups") in result.output
    assert "raise NotImplementedError" in (work / "exercises/02_t.ipynb").read_text()
    assert "stays in your progress" not in result.output
    progress.record_check("2.1", passed=True, cause=None)
    again = simplex("reset", "2.1")
    assert "You passed it before, and that stays in your progress." in again.output


def test_the_lab_keeps_the_learners_own_settings(work, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    work.mkdir()
    environment = lab.lab_environment(work)
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep) == ["/mine", str(work / ".jupyter")]
    assert environment["SIMPLEX_WORK"] == str(work)
    # a terminal of the lab finds simplex, also where the virtual environment is not active
    first, *rest = environment["PATH"].split(os.pathsep)
    assert Path(first) == Path(sys.executable).parent
    assert rest == os.environ["PATH"].split(os.pathsep)
    command = lab.lab_command(work, ["--foo=1"], browser=False, port=1234)
    assert command[-1] == "--foo=1" and "--no-browser" in command and "--port=1234" in command
    assert not any("token" in part for part in command)


def test_the_terminal_door_opens_without_the_heavy_parts():
    code = (
        "import sys, simplex_lib.course.cli;"
        "print([m for m in ('triton', 'plotly', 'ipywidgets', 'IPython', 'matplotlib',"
        " 'simplex_lib.checks.engine') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_lab_starts_and_serves_the_start_page(work, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {f"JUPYTER_{x}_DIR": str(tmp_path / x) for x in ("CONFIG", "DATA", "RUNTIME")}
    log = (tmp_path / "log").open("w+b")
    server = subprocess.Popen(
        [sys.executable, "-m", "simplex_lib.course.cli", "lab", "--no-browser", f"--port={port}",
         "--IdentityProvider.token=of-this-test"],
        env=os.environ | own, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/api/contents/chapters?token=of-this-test"
        listing = json.loads(_answer(url, server))
        made = [path.name for path in workspace.notebooks("chapters").values()]
        assert sorted(entry["name"] for entry in listing["content"]) == sorted(made)
        with pytest.raises(urllib.error.HTTPError, match="403"):  # the token stays
            urllib.request.urlopen(url.split("?")[0], timeout=10)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        log.close()


def _answer(url, server):
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.25)
    raise AssertionError("no answer within a minute")


def test_audit_of_chapters(monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "audit", lambda ids: asked.extend(ids) or [ROW])
    assert simplex("audit", "00", "--json").exit_code == 0 and asked == ["0.1"]
    result = simplex("audit", "00", "17")
    assert result.exit_code == 2 and "as 02; got 17" in result.output
