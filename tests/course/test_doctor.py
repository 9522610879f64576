"""Mirrors simplex_lib/course/doctor.py."""

import time

import pytest
import torch

from simplex_lib.course import doctor as d
from simplex_lib.course import doctor_report


def finding(subject):
    return next(f for f in d.doctor() if f.subject == subject)


def test_the_doctor_is_quick_and_finds_everything(work):
    start = time.monotonic()
    report = doctor_report()
    assert time.monotonic() - start < 3
    subjects = [f.subject for f in report.findings]
    for subject in ("Python", "PyTorch", "GPU", "Triton", "Memory", "Cores", "Disk", "Versions"):
        assert subject in subjects
    assert finding("PyTorch").found.startswith(torch.__version__)
    assert str(work) in finding("Work folder").found and not work.exists()


def test_what_needs_doing_is_said(work, monkeypatch):
    work.write_text("a file where the folder should be")
    monkeypatch.setattr(d, "memory_bytes", lambda: 2 * d.GIB)
    monkeypatch.setattr(d, "cores", lambda: 1)
    monkeypatch.setattr(d, "version_warnings", lambda: ["torch 9.9 was not tested"])
    monkeypatch.setattr(d, "_version", lambda name: "" if name == "ipywidgets" else "1.0")
    report = doctor_report()
    found = {f.subject: f for f in report.findings}
    assert found["Memory"].state == found["Cores"].state == found["Versions"].state == "note"
    assert found["ipywidgets"].state == "problem"
    assert found["ipywidgets"].todo == "Install it: pip install ipywidgets."
    assert found["Work folder"].state == "problem" and "SIMPLEX_WORK" in found["Work folder"].todo
    assert report.summary == "2 problems to mend."
    assert "problem</td>" in report._repr_html_() and "pip install ipywidgets" in str(report)


def test_a_page_for_everybody_names_no_folder(work, monkeypatch):
    monkeypatch.setenv("SIMPLEX_BUILD", "1")
    report = doctor_report()
    assert str(work) not in report._repr_html_()
    assert str(report).startswith("Recorded on another machine; run this cell to see yours.")
    assert "Recorded on another machine" in report._repr_html_()
    monkeypatch.delenv("SIMPLEX_BUILD")
    assert "another machine" not in report._repr_html_() + str(report)


@pytest.mark.parametrize(
    ("mode", "there", "found", "todo"),
    [
        ("gpu", range(13), "00 to 12 can run here", ""),
        ("interpreter", range(12), "00 to 11 can run here; 12 is to come", ""),
        ("absent", range(13), "00 to 08 can run here", "09 to 12: they run kernels."),
        ("absent", range(3), "00 to 02 can run here; 03 to 12 are to come", ""),
        ("gpu", (0, 1, 4), "00 to 01, 04 can run here; 02 to 03, 05 to 12 are to come", ""),
        ("gpu", (), "none can run here; 00 to 12 are to come", ""),
    ],
)
def test_chapters_follow_from_triton_and_from_what_is_there(monkeypatch, mode, there, found, todo):
    monkeypatch.setattr("simplex_lib.triton_mode.triton_mode", lambda: mode)
    monkeypatch.setattr(d, "notebooks", lambda *_: {f"{n:02d}": None for n in there})
    chapters = finding("Chapters")
    assert chapters.found == found and chapters.todo.startswith(todo)
    assert chapters.state == ("note" if todo else "good")
    assert finding("Triton").state == ("note" if mode == "absent" else "good")


def test_a_container_counts_by_its_own_limit(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(d, "Path", lambda _: limit)
    limit.write_text("1073741824\n")
    assert d.memory_bytes() == d.GIB
    limit.write_text("max\n")
    assert d.memory_bytes() > d.GIB
