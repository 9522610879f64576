"""Mirrors simplex_lib/course/workspace.py."""

import json
import multiprocessing
import os

import pytest

from simplex_lib.course import workspace
from simplex_lib.course.workspace import WorkspaceError, describe, prepare, work_folder

NAMES = ("chapters/01_a.ipynb", "exercises/01_a.ipynb", "solutions/01_a.ipynb")


def notebook(version, text="x = 1"):
    cell = {"cell_type": "code", "metadata": {}, "source": text, "outputs": []}
    return json.dumps({"metadata": {"simplex": {"content_hash": version}}, "cells": [cell]})


@pytest.fixture
def course(tmp_path):
    for name in NAMES:
        path = tmp_path / "course" / name
        path.parent.mkdir(parents=True)
        path.write_text(notebook("old"))
        path.with_suffix(".py").write_text("the source is not copied")
    return tmp_path / "course"


def test_the_first_start_copies_every_notebook(course, work):
    prepared = prepare(course)
    assert [str(p.relative_to(work)) for p in prepared.copied] == list(NAMES)
    assert all((work / name).read_text() == notebook("old") for name in NAMES)
    assert sorted(p.name for p in (work / "chapters").iterdir()) == ["01_a.ipynb"]
    assert describe(prepared) == [f"Copied 3 notebooks to {work}."]


def test_the_ledger_comes_along_since_chapters_link_to_it(course, work):
    (course / "claims").mkdir()
    (course / "claims/README.md").write_text("# The claims ledger")
    prepare(course)
    assert (work / "claims/README.md").read_text() == "# The claims ledger"


def test_what_is_there_is_never_overwritten(course, work):
    prepare(course)
    mine = work / "exercises/01_a.ipynb"
    mine.write_text(notebook("old", "my answer"))
    (work / "chapters/01_a.ipynb").unlink()
    for name in NAMES:
        (course / name).write_text(notebook("new"))
    prepared = prepare(course)
    assert mine.read_text() == notebook("old", "my answer")
    assert prepared.copied == (work / "chapters/01_a.ipynb",)
    assert prepared.older == (mine, work / "solutions/01_a.ipynb")
    text = "\n".join(describe(prepared))
    assert "newer version" in text and "exercises/01_a.ipynb" in text and "rename yours" in text


def test_a_broken_copy_is_kept_and_named(course, work):
    prepare(course)
    (work / "exercises/01_a.ipynb").write_text('{"cells": [')
    prepared = prepare(course)
    assert prepared.unreadable == (work / "exercises/01_a.ipynb",)
    assert (work / "exercises/01_a.ipynb").read_text() == '{"cells": ['
    assert "cannot be read as a notebook" in describe(prepared)[0]


def test_without_hard_links_copies_are_as_safe(course, work, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert len(prepare(course).copied) == 3
    (work / NAMES[0]).write_text("mine")
    assert prepare(course).copied == ()
    assert (work / NAMES[0]).read_text() == "mine"
    assert not list(work.rglob("*.part"))


def _prepare_many(root, folder, barrier, results):
    barrier.wait()
    results.put(len(prepare(root, folder).copied))


def test_two_labs_that_start_together_copy_each_notebook_once(course, work):
    for n in range(2, 30):
        (course / f"chapters/{n:02d}_b.ipynb").write_text(notebook("old"))
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=_prepare_many, args=(course, work, barrier, results))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    assert sum(results.get(timeout=20) for _ in both) == 31
    for process in both:
        process.join()
    assert not list(work.rglob("*.part"))


def test_the_work_folder_is_the_chosen_one_or_stands_in_the_clone(work, monkeypatch):
    assert work_folder() == work
    monkeypatch.delenv("SIMPLEX_WORK")
    assert work_folder() == workspace.ROOT / "work"


@pytest.mark.errors
def test_errors_say_what_to_do(tmp_path, monkeypatch, course):
    monkeypatch.delenv("SIMPLEX_WORK")
    monkeypatch.setattr(workspace, "ROOT", tmp_path)
    with pytest.raises(WorkspaceError, match="set SIMPLEX_WORK to a folder of yours"):
        work_folder()
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written to"):
        prepare(course, tmp_path / "file")
