"""Mirrors simplex_lib/course/predict_cell.py."""

import json
import re

import pytest

from simplex_lib.course import page, predict, predict_cell, progress
from simplex_lib.course.predict_cell import QUESTIONS, Option, Prediction, Question, load

OPTIONS = {
    "4": "That is how many *keys* it sees.",
    "10": "That would be right if $k$ could not exceed $j$.",
    "$(i+1)^2 = 16$": ("right", "Four times four."),
    "64": "That counts the pairs of all four queries.",
}


@pytest.fixture
def question():
    options = tuple(
        Option(text, why is True or isinstance(why, tuple), why[1] if text[0] == "$" else why)
        for text, why in OPTIONS.items()
    )
    return Question("02.3", "Over how many pairs, for $q_i$ and $k_j$?", options)


def buttons(widget):
    return [row.children[0] for row in widget.children[:-1]]


def said(widget):
    """What stands in the place of the explanation."""
    texts = [out.outputs[0]["data"]["text/plain"] for out in widget.children[-1].children]
    return " ".join(texts)


def test_the_explanation_is_hidden_until_an_option_is_chosen(question):
    widget = Prediction(question).widget()
    assert [button.description for button in buttons(widget)] == ["A", "B", "C", "D"]
    assert said(widget) == ""
    buttons(widget)[1].click()
    assert said(widget).startswith("**Not B.** That would be right if $k$")
    assert "Choose again" in said(widget)
    buttons(widget)[2].click()
    assert said(widget) == "**C is right.** Four times four."
    buttons(widget)[0].click()  # out of curiosity
    assert "Choose again" not in said(widget)
    buttons(widget)[2].click()
    assert [b.icon for b in buttons(widget)] == ["times", "times", "check", ""]  # not colour alone


def test_a_click_on_the_text_of_an_option_is_one_on_its_button(question):
    """By style: the button reaches over its row, which carries the name in the style."""
    rows = Prediction(question).widget().children[:-1]
    assert all("simplex-option" in row._dom_classes for row in rows)
    assert ".simplex-option{position:relative}" in predict_cell.WHOLE_ROW


def test_a_choice_is_kept_and_shown_again(question):
    first = Prediction(question).widget()
    buttons(first)[0].click()
    assert "You chose A before. **Not A.**" in said(Prediction(question).widget())
    buttons(first)[2].click()
    buttons(first)[3].click()
    kept = progress.read().questions["02.3"]
    assert (kept.first, kept.last, kept.right) == ("4", "$(i+1)^2 = 16$", True)
    assert "You chose C before. **C is right.**" in said(Prediction(question).widget())


def test_an_option_that_is_gone_is_no_choice(question):
    progress.record_choice("02.3", "an option of an earlier version", right=False)
    assert said(Prediction(question).widget()) == ""


def test_a_question_written_in_place_works_and_is_not_kept(work):
    widget = predict("How many?", OPTIONS).widget()
    buttons(widget)[2].click()
    assert "C is right" in said(widget)
    assert not (work / "progress.json").exists()


def test_a_folder_that_cannot_be_written_does_not_stop_the_question(question, work):
    work.write_text("a file where the folder should be")
    widget = Prediction(question).widget()
    buttons(widget)[0].click()
    assert "Not A" in said(widget)
    assert "could not be saved" in widget.children[-1].children[0].outputs[0]["data"]["text/html"]


def test_the_static_form_folds_every_explanation(question, monkeypatch):
    monkeypatch.setenv("SIMPLEX_BUILD", "1")
    assert not page.live()
    html = Prediction(question)._repr_html_()
    assert html.count("<details") == 4 and "<details open" not in html
    assert html.count("<strong>No.</strong>") == 3 and html.count("<strong>Right.</strong>") == 1
    assert "$q_i$ and $k_j$" in html and "$(i+1)^2 = 16$" in html  # math is left for MathJax
    assert "<em>keys</em>" in html


def test_the_plain_form_gives_nothing_away(question):
    text = str(Prediction(question))
    assert "A  4" in text and "Four times four" not in text and "That is" not in text


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("a $q_i \\circ k_j$ b", "a $q_i \\circ k_j$ b"),
        ("$a<b$ and $a&b$", "$a&lt;b$ and $a&amp;b$"),
        ("`$x$` costs", "<code>$x$</code> costs"),
        ("**b** <script>", "<strong>b</strong> &lt;script&gt;"),
        ("from $5 to $6", "from $5 to $6"),
    ],
)
def test_markdown_keeps_math(markdown, html):
    assert page.to_html(markdown, inline=True) == html


def test_questions_are_read_from_the_data_of_their_chapter(tmp_path):
    entry = {
        "question": "q",
        "options": [
            {"text": "a", "right": True, "why": None},
            {"text": "b", "right": False, "why": "no"},
            {"text": "c", "right": False, "why": "no"},
        ],
    }
    (tmp_path / "02.json").write_text(json.dumps({"02.3": entry}))
    assert load("02.3", tmp_path).options[0] == Option("a", True, "")
    with pytest.raises(ValueError, match=r"no question '02.4'; there are 02.3"):
        load("02.4", tmp_path)
    with pytest.raises(ValueError, match=r"no question '03.1'; there are none"):
        load("03.1", tmp_path)


def test_every_question_of_the_course_is_well_made():
    names = [name for path in QUESTIONS.glob("*.json") for name in json.loads(path.read_text())]
    for name in names:
        question = load(name)
        for option in question.options:  # a dollar sign that opens no math would show as one
            assert "$" not in re.sub(r"`[^`]*`", "", page.MATH.sub("", option.text))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": True, "b": "no"}, "'Q\\?' must have at least three options; got 2"),
        ({"a": "no", "b": "no", "c": "no"}, "'Q\\?' must have exactly one right option; got 0"),
        ({"a": True, "b": True, "c": "no"}, "exactly one right option; got 2"),
        ({"a": True, "b": " ", "c": "no"}, "'Q\\?' must explain why 'b' is wrong"),
        ({"a": True, "b": False, "c": "no"}, r"option 'b' of question 'Q\?' must be a text"),
        ({"a": ("wrong", "x"), "b": "no", "c": "no"}, "must be a text"),
    ],
)
def test_a_question_that_is_not_well_made_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        predict("Q?", options)


@pytest.mark.errors
def test_a_question_without_options_needs_an_id():
    with pytest.raises(ValueError, match="a question is named as in"):
        predict("How many?")
