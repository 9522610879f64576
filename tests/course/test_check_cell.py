"""Mirrors simplex_lib/course/check_cell.py, show.py and hints.py: what a notebook shows."""

import json
from types import SimpleNamespace

import pytest
import torch

from simplex_lib import checks
from simplex_lib.course import check, check_cell, hint, page, progress, symptoms, workspace
from simplex_lib.course.check_cell import buttons
from simplex_lib.course.show import Tables, bug_view, output_of


def row(widget):
    return {button.description: button for button in widget.children[0].children}


def test_a_check_records_and_says_where_that_leaves_the_learner(fake):
    assert not check("2.1", "mask").passed
    assert progress.read().exercises["2.1"].last_cause == "mask"
    first = check("2.1", None)
    assert first.passed and str(first).startswith("Exercise 2.1\nPassed.")
    assert first.note == "1 of 3 exercises of chapter 02 done. Next: 2.2, title 2.2."
    assert check("2.3", None).note.startswith("2 of 3") and "Next: 2.2" in check("2.3", None).note
    assert check("02.2", None).note.endswith("the chapter is complete.")
    assert "Next: 2.2" in first._repr_html_()
    assert check("2.1", "other").note == ""  # no praise, no count
    assert progress.read().passed("2.1")


def test_strict_raises_with_the_whole_report(fake, monkeypatch):
    monkeypatch.setenv("SIMPLEX_STRICT", "1")
    with pytest.raises(AssertionError, match=r"Not yet\. mask"):
        check("2.1", "mask")
    assert check("2.1", None).passed


def test_while_notebooks_are_built_nothing_is_recorded(fake, monkeypatch, work):
    monkeypatch.setenv("SIMPLEX_BUILD", "1")
    assert check("2.1", None).note == ""
    assert hint("2.1").texts == ("the idea",) == hint("2.1").texts
    assert not work.exists()


def test_a_folder_that_cannot_be_written_does_not_stop_a_check(fake, work):
    work.write_text("a file where the folder should be")
    checked = check("2.1", None)
    assert checked.passed and "could not be saved" in checked.note
    assert len(hint("2.1").texts) == 3


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("2.9", ValueError, "no exercise 2.9; there are 2.1, 2.2, 2.3"),
        ("9.1", ValueError, "no exercise 9.1; there are 1.1, 1.2, 2.1"),
        ("two", ValueError, "an exercise is named by a text such as"),
        (2.1, TypeError, 'an exercise is named by a text such as "2.1"; got 2.1'),
    ],
)
def test_an_unknown_exercise_is_named(fake, name, error, message):
    for ask in (lambda: check(name, None), lambda: hint(name)):
        with pytest.raises(error, match=message):
            ask()


def test_hints_come_one_by_one(fake):
    assert str(hint("2.1")) == "Hint 1 of 3: the idea"
    assert "Hint 2 of 3: where to look" in str(hint("2.1"))
    assert "These are all" in str(hint("2.1")) and "solutions/" in hint("2.1")._repr_html_()
    assert hint("2.2").texts == ("the idea",)


def test_the_hint_button_counts_with_the_function(fake):
    hint("2.1")
    widget = buttons(check("2.1", "mask").report)
    button = row(widget)["Hint 2 of 3"]
    button.click()
    assert button.description == "Hint 3 of 3"
    shown = widget.children[1].children[0].outputs[0]["data"]["text/html"]
    assert "the idea" in shown and "where to look" in shown and "pseudocode" not in shown
    button.click()
    assert button.disabled and button.description == "All hints shown"
    assert "pseudocode" in str(widget.children[1].children[0].outputs)


def test_after_the_last_hint_each_door_names_its_own_index_of_symptoms(fake):
    found = [hint("2.1") for _ in range(3)][-1]
    assert "`from simplex_lib.course import symptoms`" in str(found)
    assert "<code>from simplex_lib.course import symptoms</code>" in found._repr_html_()
    assert "`simplex symptom NaN`" in found.in_terminal() and "import" not in found.in_terminal()


@pytest.mark.parametrize(
    ("says", "note"),
    [
        ("raised NameError in line 3: name 'nn' is not defined", "which imports nn."),
        ("raised NameError in line 3: name 'np' is not defined", ""),
        ("raised NameError: name 'nn' is not defined. Did you mean: 'n'?", "which imports nn."),
        ("raised ValueError: nn", ""),
    ],
)
def test_a_missing_import_leads_to_the_first_cell(fake, monkeypatch, tmp_path, says, note):
    first = dict(cell_type="code", source=["import math\n", "from torch import nn\n"])
    cells = [dict(cell_type="markdown", source="Run this"), first]
    file = tmp_path / "02_t.ipynb"
    file.write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(check_cell, "notebooks", lambda *_: {"02": file})
    failed = checks.check("2.1", "raised")
    failed.message = f"Not yet. Your answer {says}"
    monkeypatch.setattr(checks, "check", lambda *_: failed)
    assert check("2.1", None).note.endswith(note) and bool(check("2.1", None).note) == bool(note)


def test_the_course_imports_torch_in_every_exercise_notebook():
    for chapter in workspace.notebooks("exercises", workspace.ROOT):
        assert {"torch", "check"} <= check_cell._imports(chapter)
    assert check_cell._imports("99") == set()


def report(got, expected, sizes, first_wrong=None):
    case = SimpleNamespace(sizes=sizes, arguments={})
    where = dict(first_wrong=first_wrong, output="")
    numbers = dict(got=got, expected=expected, case=case)
    return SimpleNamespace(exercise="2.1", passed=False, **numbers, **where)


def test_show_me_my_bug_is_there_only_if_there_is_something_to_show(fake):
    same = torch.zeros(1, 2, 3, 3)
    assert bug_view(report(same, same, {})) is not None
    for got, expected in [
        (None, same),
        (same, same[0]),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (1.0, 2.0),
        ((same, same), (same, same)),
    ]:
        assert bug_view(report(got, expected, {})) is None
    without_case = report(same, same, {})
    without_case.case = None
    assert bug_view(without_case) is None
    assert list(row(buttons(check("2.1", "mask").report))) == ["Hint 1 of 3"]


def test_the_button_opens_two_tables_and_closes_them_again(fake):
    got, expected = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 0.5], [0.0, 0.0]]]])
    widget = buttons(report(got, expected, dict(b=1, h=1, s=2), (0, 0, 0, 1)))
    row(widget)["Show me my bug"].click()
    shown = widget.children[2].children[0].outputs[0]["data"]
    assert "1 of 4 numbers differ" in shown["text/plain"]
    assert shown["text/html"].count("<table") == 2 and "0*" in shown["text/html"]
    row(widget)["Show me my bug"].click()
    assert widget.children[2].children == ()


def test_tables_show_the_first_difference_of_a_large_tensor():
    got, expected = torch.zeros(2, 40, 30), torch.zeros(2, 40, 30)
    expected[1, 35, 3] = 1.0
    tables = Tables(got, expected, (1, 35, 3))
    assert tables.lead == (1,) and 35 in tables.rows and 3 in tables.columns
    assert len(tables.rows) == len(tables.columns) == 12
    assert "1 of 144 numbers that are shown differ" in tables.sentence
    got[1, 35, 3] = float("nan")
    assert "nan*" in Tables(got, expected, (1, 35, 3))._repr_html_()


@pytest.mark.parametrize(
    ("outputs", "shape", "axes"),
    [
        (("probs: b h i j k",), (2, 4, 4, 4, 4), ["b", "h", "i", "j", "k"]),
        (("out: b h i d", "lse: b h i"), (4, 4, 4), ["b", "h", "i"]),
        (("lse: b h i",), (4, 4), ["axis 0", "axis 1"]),
    ],
)
def test_the_axes_come_from_the_exercise(outputs, shape, axes):
    assert output_of(shape, outputs)[1] == axes


def test_a_tensor_of_third_order_opens_the_explorer_at_the_first_difference():
    from simplex_lib.widgets import Explorer

    expected = torch.rand(1, 2, 3, 3, 3).softmax(-1)
    got = expected.clone()
    got[0, 1, 2, 0, 0] = float("nan")
    shown = bug_view(report(got, expected, dict(s=3), (0, 1, 2, 0, 0)), ("probs: b h i j k",))()
    assert isinstance(shown, Explorer) and (shown.query, shown.head) == (2, 1)
    one_cell = torch.ones(1, 1, 1, 1, 1)
    small = bug_view(report(one_cell, 2 * one_cell, dict(s=1)), ("logits: b h i j k",))()
    assert isinstance(small, Tables)
    four = bug_view(report(got[0], expected[0], dict(s=3)), ("out: b h i d",))()
    assert isinstance(four, Tables)


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("NaN", "I get NaN"),
        ("mask one off", "My mask is one off"),
        ("sum to 2", "Rows sum to 2"),
        ("bfloat16", "Right in float64, wrong in bfloat16"),
        ("view size is not compatible", "Wrong or an error for inputs that are not contiguous"),
        ("in-place", "In-place error"),
        ("constant factor", "Everything is off by a constant factor"),
        ("transposed", "The shape is transposed"),
        ("many heads", "Right for one head, wrong for many"),
        ("large logits", "It works until the logits are large"),
    ],
)
def test_symptoms_are_found_by_their_words(words, first):
    found = symptoms(words)
    assert found.found[0].seen.startswith(first)
    assert len(found.found) <= 3
    assert all(entry.causes and entry.attempt for entry in found.found)


def test_the_symptom_index_is_shown_as_a_whole_and_owns_up_to_ignorance():
    assert len(symptoms().found) >= 10
    assert "Nothing is known about 'zebra'" in str(symptoms("zebra"))
    assert symptoms()._repr_html_().count("<details") == len(symptoms().found)


def test_outside_a_kernel_nothing_is_live(fake):
    assert not page.live()
    assert check_cell.Checked(check("2.1", "mask").report)._repr_html_()
