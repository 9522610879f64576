"""`predict`: a question before the answer. The explanations stay hidden until an option is chosen.

    predict("02.3")                                      # as a notebook calls it
    predict("Is it?", {"yes": "No, because ...", "no": True, "perhaps": "Look again at ..."})

The first form reads simplex_lib/data/questions/02.json, where the builder puts what a chapter's
source says in the second form, so that nobody reads the answer in the code of a cell.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simplex_lib.course import page, progress
from simplex_lib.course.check_cell import rendered

QUESTIONS = Path(__file__).resolve().parents[1] / "data" / "questions"


@dataclass(frozen=True)
class Option:
    """why: what to say when it is chosen; it may be empty for the right one only."""

    text: str
    right: bool
    why: str = ""


@dataclass(frozen=True)
class Question:
    """id: "02.3", or "" for a question written in place, whose answer is not kept.

    Raises:
        ValueError: fewer than three options, not one right one, or a wrong one not explained.
    """

    id: str
    text: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        name = f"question {self.id or self.text!r}"
        if len(self.options) < 3:
            raise ValueError(f"{name} must have at least three options; got {len(self.options)}.")
        if len({option.text for option in self.options}) < len(self.options):
            raise ValueError(f"{name} must not offer the same option twice.")
        right = sum(option.right for option in self.options)
        if right != 1:
            raise ValueError(f"{name} must have exactly one right option; got {right}.")
        for option in self.options:
            if not option.right and not option.why.strip():
                raise ValueError(f"{name} must explain why {option.text!r} is wrong.")

    def verdict(self, option: Option) -> str:
        """What a learner reads, in Markdown, when the option is chosen."""
        letter = LETTERS[self.options.index(option)]
        if option.right:
            return f"**{letter} is right.** {option.why}".strip()
        return f"**Not {letter}.** {option.why}"


# the button of an option reaches over its text, so that a click there counts
WHOLE_ROW = (
    "<style>.simplex-option{position:relative}.simplex-option .jupyter-button{position:static}"
    ".simplex-option .jupyter-button::after{content:'';position:absolute;inset:0;z-index:1;"
    "cursor:pointer}"
    ".simplex-option:has(.jupyter-button:hover){background:var(--jp-layout-color2,"
    "rgba(128,128,128,.1))}</style>"
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def predict(question: str, options: Mapping[str, Any] | None = None) -> Prediction:
    """Ask a question of the course by its id, or one written in place with its options.

    Args:
        question: "02.3", or the question itself, in Markdown with $math$.
        options: text of each option: why it is wrong, or True or ("right", why) for the right one.

    Raises:
        ValueError: there is no such question, or it is not well made (see `Question`).
    """
    if options is None:
        return Prediction(load(question))
    made = tuple(_option(question, text, why) for text, why in options.items())
    return Prediction(Question("", question, made))


def load(question: str, folder: Path | None = None) -> Question:
    """A question of the course by its id.

    Raises:
        ValueError: there is none, or it is not well made.
    """
    chapter = re.fullmatch(r"(\d\d)\.\d+", question)
    if not chapter:
        raise ValueError(
            f'a question is named as in "02.3", or comes with options; got {question!r}.'
        )
    path = (folder or QUESTIONS) / f"{chapter.group(1)}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if question not in known:
        raise ValueError(
            f"there is no question {question!r}; there are {', '.join(known) or 'none'}."
        )
    found = known[question]
    options = tuple(
        Option(o["text"], bool(o["right"]), o.get("why") or "") for o in found["options"]
    )
    return Question(question, found["question"], options)


def _option(question: str, text: str, why: Any) -> Option:
    if why is True:
        return Option(text, True)
    if isinstance(why, str):
        return Option(text, False, why)
    if isinstance(why, tuple) and len(why) == 2 and why[0] == "right" and isinstance(why[1], str):
        return Option(text, True, why[1])
    raise ValueError(
        f"option {text!r} of question {question!r} must be a text (why it is wrong), True or "
        f'("right", text); got {why!r}.'
    )


class Prediction:
    """A question on the page: buttons with a kernel, folded explanations without."""

    def __init__(self, question: Question):
        self.question = question
        self.note = ""

    def choose(self, option: Option) -> None:
        """Keep a choice; a question written in place has no name to keep it under."""
        if not self.question.id:
            return
        try:
            progress.record_choice(self.question.id, option.text, right=option.right)
        except OSError as error:
            self.note = f"Your choice could not be saved. {error}"

    def chosen_before(self) -> Option | None:
        """The last choice, if the question still offers it."""
        try:
            record = progress.read().questions.get(self.question.id)
        except OSError:
            return None
        last = record.last if record else None
        return next((option for option in self.question.options if option.text == last), None)

    def __str__(self) -> str:
        options = zip(LETTERS, self.question.options, strict=False)
        return "\n".join([self.question.text, *(f"  {a}  {o.text}" for a, o in options)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        folded = "".join(
            f"<details style='margin:4px 0'><summary style='cursor:pointer'><b>{letter}</b> &nbsp;"
            f"{page.to_html(option.text, inline=True)}</summary>"
            f"<div style='margin:2px 0 8px 24px'>{_static_verdict(option)}</div></details>"
            for letter, option in zip(LETTERS, self.question.options, strict=False)
        )
        return page.panel(
            f"<div><b>Predict, then open one.</b></div>{page.to_html(self.question.text)}{folded}"
        )

    def _ipython_display_(self) -> None:
        if page.live():
            asked = f"<div><b>Predict.</b></div>{page.to_html(self.question.text)}{WHOLE_ROW}"
            page.show_with(str(self), asked, self.widget())
        else:
            page.show(str(self), self._repr_html_())

    def widget(self) -> Any:
        """One button an option, and the place of the explanation."""
        import ipywidgets as w

        said = w.VBox([])
        buttons: list[Any] = []
        before = self.chosen_before()
        solved = before is not None and before.right

        def say(option: Option, first: str = "") -> None:
            again = "" if solved or option.right else " *Choose again.*"
            verdict = f"{first}{self.question.verdict(option)}{again}"
            rich = page.to_html(verdict, inline="\n\n" not in verdict)
            note = f"<div>{html.escape(self.note)}</div>" if self.note else ""
            color = page.GOOD if option.right else page.NOT_YET
            said.children = [rendered(page.panel(rich + note, color), verdict)]

        def mark(option: Option) -> None:
            for button, other in zip(buttons, self.question.options, strict=True):
                if other is option:
                    button.button_style = "success" if option.right else "warning"
                    button.icon = "check" if option.right else "times"
                    button.tooltip = "right" if option.right else "not this one"

        def choose(option: Option) -> None:
            nonlocal solved
            self.choose(option)
            solved = solved or option.right
            mark(option)
            say(option)

        rows = []
        for letter, option in zip(LETTERS, self.question.options, strict=False):
            button = w.Button(description=letter, tooltip=f"choose {letter}: {option.text}")
            button.layout = w.Layout(width="56px", flex="0 0 auto")
            button.on_click(lambda _, option=option: choose(option))
            buttons.append(button)
            text = rendered(page.to_html(option.text, inline=True), option.text)
            rows.append(w.HBox([button, text], layout=w.Layout(align_items="center")))
            rows[-1].add_class("simplex-option")
        if before is not None:
            mark(before)
            say(before, f"You chose {LETTERS[self.question.options.index(before)]} before. ")
        return w.VBox([*rows, said])


def _static_verdict(option: Option) -> str:
    word = "Right." if option.right else "No."
    return page.to_html(f"**{word}** {option.why}", inline=True)
