"""Mirrors simplex_lib/course/progress.py."""

import json
import multiprocessing
import os
import signal
import time

import pytest

from simplex_lib.course import progress
from simplex_lib.course.progress import Progress, read, record_check, record_choice, record_hint


def backups(work):
    return sorted(work.glob("progress.json.broken-*"))


def test_what_is_recorded_is_read_back(work):
    assert read() == Progress()
    record_check("2.1", passed=False, cause="stub")
    record_check("2.1", passed=False, cause="library")
    assert read().exercises["2.1"].last_cause == "library"
    record_check("2.1", passed=True, cause=None)
    first = read().exercises["2.1"]
    assert first.attempts == 2 and first.last_cause is None  # a stub is no attempt
    assert first.passed_at and first.passed_at.endswith("+00:00")
    record_check("2.1", passed=False, cause="raised")
    assert read().passed("2.1") and read().exercises["2.1"].passed_at == first.passed_at
    assert [record_hint("2.2") for _ in range(4)] == [1, 2, 3, 3]
    assert read().hints_seen("2.2") == 3 and not read().passed("2.2")
    assert json.loads((work / "progress.json").read_text())["version"] == 1


def test_the_first_choice_and_the_right_one_are_kept():
    assert not record_choice("02.3", "4", right=False).right
    record_choice("02.3", "16", right=True)
    kept = record_choice("02.3", "64", right=False)  # looked at afterwards
    assert (kept.first, kept.last, kept.right) == ("4", "16", True)


BAD = {
    "truncated": lambda good: good[: len(good) // 2],
    "empty": lambda good: b"",
    "no_json": lambda good: b"passed everything",
    "bytes": lambda good: b"\xff\xfe\x00\x80",
    "list": lambda good: b"[1, 2]",
    "deep": lambda good: b"[" * 100_000,
    "entry": lambda good: good.replace(b'"attempts": 1', b'"attempts": "many"'),
    "negative": lambda good: good.replace(b'"attempts": 1', b'"attempts": -1'),
    "future": lambda good: good.replace(b'"version": 1', b'"version": 7'),
    "true": lambda good: good.replace(b'"version": 1', b'"version": true'),
    "missing": lambda good: good.replace(b'"questions"', b'"answers"'),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_file_that_makes_no_sense_is_kept_aside(work, capsys, name, first):
    record_check("2.1", passed=True, cause=None)
    path = work / "progress.json"
    bad = BAD[name](path.read_bytes())
    assert bad != path.read_bytes()
    path.write_bytes(bad)
    if first == "read":
        assert read() == Progress()
    record_check("2.2", passed=True, cause=None)
    assert [kept.read_bytes() for kept in backups(work)] == [bad]
    assert not read().passed("2.1") and read().passed("2.2")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and backups(work)[0].name in said[0]  # once, in a plain sentence
    if name == "future":
        assert "has version 7, and this course writes version 1" in said[0]


def _many(path, name, count):
    for _ in range(count):
        record_check(name, passed=False, cause="other", path=path)
        record_check("shared", passed=False, cause="other", path=path)


def test_two_terminals_at_once_lose_no_update(work):
    context = multiprocessing.get_context("fork")
    path = progress.progress_path()
    each = [context.Process(target=_many, args=(path, f"2.{n}", 15)) for n in range(6)]
    for process in each:
        process.start()
    for process in each:
        process.join(60)
    known = read().exercises
    assert known["shared"].attempts == 6 * 15
    assert [known[f"2.{n}"].attempts for n in range(6)] == [15] * 6
    assert not list(work.glob("*.part"))


def test_a_process_killed_while_writing_leaves_a_whole_file(work):
    record_check("1.1", passed=True, cause=None)
    path = progress.progress_path()
    child = multiprocessing.get_context("fork").Process(target=_many, args=(path, "2.1", 10_000))
    child.start()
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert read().passed("1.1")
    record_check("1.2", passed=True, cause=None)  # the lock went with the process
    assert read().passed("1.2") and not backups(work)


def test_a_failed_write_leaves_the_old_file(work, monkeypatch):
    record_check("1.1", passed=True, cause=None)
    before = (work / "progress.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        record_check("1.2", passed=True, cause=None)
    assert (work / "progress.json").read_bytes() == before
    assert not list(work.glob(".*.part"))
