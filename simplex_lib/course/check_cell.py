"""`check` as a notebook calls it: the report, its buttons, and the learner's progress."""

from __future__ import annotations

import ast
import html
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simplex_lib.course import page, progress
from simplex_lib.course.hints import Hints, hint, lookup
from simplex_lib.course.reset import read_notebook
from simplex_lib.course.show import bug_view
from simplex_lib.course.workspace import ROOT, notebooks

# the terminal door puts a function here: it gets every report, and nothing is displayed or recorded
collect: Callable[[str, Any], Any] | None = None


def check(exercise: str, answer: Any) -> Any:
    """Check an answer to an exercise; the result displays why it is right or wrong.

    With SIMPLEX_STRICT=1 in the environment an answer that does not pass is an AssertionError.

    Raises:
        TypeError, ValueError: there is no such exercise. Nothing that the answer does raises here.
    """
    if collect is not None:
        return collect(exercise, answer)
    from simplex_lib import checks

    found = lookup(exercise)
    report = checks.check(found.id, answer)
    if os.environ.get("SIMPLEX_STRICT") == "1" and not report.passed:
        raise AssertionError(str(report))
    return Checked(report, _record(found, report))


def _record(exercise: Any, report: Any) -> str:
    """Keep the result; a sentence on where that leaves the learner."""
    if page.building():
        return ""
    from simplex_lib import checks

    try:
        known = progress.record_check(exercise.id, passed=report.passed, cause=report.cause)
    except OSError as error:
        return f"Your progress could not be saved. {error}"
    if not report.passed:
        return _not_imported(exercise, report)
    chapter = [e for e in checks.exercises().values() if e.chapter == exercise.chapter]
    left = [e for e in chapter if not known.passed(e.id)]
    done = f"{len(chapter) - len(left)} of {len(chapter)} exercises of chapter {exercise.chapter}"
    if not left:
        return f"{done} done: the chapter is complete."
    after = [e for e in left if chapter.index(e) > [e.id for e in chapter].index(exercise.id)]
    following = (after or left)[0]
    return f"{done} done. Next: {following.id}, {following.title}."


def _not_imported(exercise: Any, report: Any) -> str:
    """A sentence where the answer misses a name of the notebook's first code cell."""
    missing = re.search(r"NameError.*?name '(\w+)' is not defined", report.message, re.DOTALL)
    if report.cause != "raised" or not missing:
        return ""
    if missing[1] not in _imports(exercise.chapter):
        return ""
    return f"Run the first code cell of this notebook, which imports {missing[1]}."


def _imports(chapter: str) -> set[str]:
    """The names that the first code cell of a chapter's exercise notebook imports."""
    path = notebooks("exercises", ROOT).get(chapter)
    if path is None:
        return set()
    cells = read_notebook(path)["cells"]
    first = next(("".join(c["source"]) for c in cells if c["cell_type"] == "code"), "")
    imports = (n for n in ast.walk(ast.parse(first)) if isinstance(n, ast.Import | ast.ImportFrom))
    return {name.asname or name.name.split(".")[0] for n in imports for name in n.names}


@dataclass
class Checked:
    """A report with what the course adds to it."""

    report: Any
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.report.passed

    def __str__(self) -> str:
        return f"{self.report}\n{self.note}".rstrip()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        note = f"<div style='margin:4px 0 4px 18px'>{html.escape(self.note)}</div>"
        return self.report._repr_html_() + (note if self.note else "")

    def _ipython_display_(self) -> None:
        if self.passed or not page.live():
            page.show(str(self), self._repr_html_())
        else:
            page.show_with(str(self), self._repr_html_(), buttons(self.report))


def buttons(report: Any) -> Any:
    """The row under a failed check, and the place where a button's answer appears."""
    import ipywidgets as w

    exercise = lookup(report.exercise)
    places = {name: w.VBox([]) for name in ("hints", "bug")}
    row = []
    output = getattr(report, "output", "")
    view = bug_view(report, (output,) if output else ())
    if view is not None:
        row.append(w.Button(description="Show me my bug", layout=w.Layout(width="auto")))
        row[-1].on_click(lambda _: _toggle_bug(places["bug"], view))
    total = len(exercise.hints)
    more = w.Button(layout=w.Layout(width="auto"))
    more.description = _hint_label(_hints_seen(exercise.id), total)
    row.append(more)

    def next_hint(button: Any) -> None:
        found = hint(exercise.id)
        places["hints"].children = [_html(found)]
        button.disabled = len(found.texts) == total
        button.description = (
            "All hints shown" if button.disabled else _hint_label(len(found.texts), total)
        )

    more.on_click(next_hint)
    return w.VBox([w.HBox(row), *places.values()])


def _hint_label(seen: int, total: int) -> str:
    return f"Hint {seen + 1} of {total}" if seen < total else f"Show all {total} hints"


def _hints_seen(exercise: str) -> int:
    try:
        return progress.read().hints_seen(exercise)
    except OSError:
        return 0


def _html(found: Hints) -> Any:
    return rendered(found._repr_html_(), str(found))


def _toggle_bug(place: Any, view: Callable[[], Any]) -> None:
    """Open the picture, or close it again."""
    import ipywidgets as w

    if place.children:
        place.children = []
        return
    shown = view()
    if hasattr(shown, "live"):
        shown = shown.live()
    if not isinstance(shown, w.Widget):
        shown = rendered(shown._repr_html_(), str(shown))
    place.children = [shown]


def rendered(rich: str, text: str) -> Any:
    """HTML in a widget, drawn by the notebook itself, so that math in it is typeset."""
    import ipywidgets as w

    data = {"text/html": rich, "text/plain": text}
    return w.Output(outputs=({"output_type": "display_data", "data": data, "metadata": {}},))
