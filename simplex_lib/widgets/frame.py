"""The frame of a small widget: title, controls, picture, sentence and table.

A widget is a `Widget` with its choices as keywords. `payload` turns choices into numbers and words
and needs no browser; `controls`, `picture` and `draw` are the view, made when the widget is first
shown. Every control changes one choice, through `change`, and so may code:

    plane = explore_plane()
    plane.change(angle=90)
"""

import html
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from simplex_lib.widgets.kit import WIDTH, on_screen
from simplex_lib.widgets.shown import Shown


class Widget(Shown):
    """Choices, the payload they give, and, once shown, a view that follows both."""

    question = ""  # the title: what the widget answers
    lines = 2  # room kept for the sentence
    help = ""  # one line: which keys and clicks do something

    def __init__(self, **choices: Any) -> None:
        self.choices = choices
        self.seen: Any = self.payload(**choices)
        self.sentence: str = self.seen.sentence
        self._view: _View | None = None

    def payload(self, **choices: Any) -> Any:
        """Numbers and words for these choices; ValueError if one cannot be drawn."""
        raise NotImplementedError

    def change(self, **choices: Any) -> None:
        """Make other choices; an impossible one raises and changes nothing."""
        new = self.choices | choices
        if new == self.choices:
            return
        self.seen = self.payload(**new)
        self.sentence = self.seen.sentence
        self.choices = new
        if self._view is not None:
            self._view.follow()

    def controls(self) -> dict[str, Any]:
        """An ipywidgets control for each choice that the learner may change."""
        raise NotImplementedError

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        """The controls, row by row."""
        return [list(controls.values())]

    def adapt(self, controls: dict[str, Any]) -> None:
        """Bring the ranges of controls up to the payload, where they depend on it."""

    def picture(self) -> Any:
        """A plotly figure, or a `page`, with all that stays; asked for once."""
        raise NotImplementedError

    def draw(self, picture: Any, dark: bool) -> None:
        """Bring the picture up to the payload."""
        raise NotImplementedError

    def bind(self, shown: Any) -> None:
        """Make clicks on the picture change choices, where that makes sense."""

    def live(self) -> Any:
        if self._view is None:
            self._view = _View(self)
        return self._view.box


class _View:
    """Title, controls, picture, sentence, table: one box of fixed width."""

    def __init__(self, widget: Widget) -> None:
        import ipywidgets

        self.widget = widget
        self.controls = widget.controls()
        picture = widget.picture()
        widget.draw(picture, False)
        self.picture = on_screen(picture)
        widget.bind(self.picture)
        self.sentence = page(self._words(), live=True)
        self.sentence.add_class("sx-sentence")
        self.table = page(widget.table())
        title = page(
            f"<h4>{html.escape(widget.question)}</h4>"
            f'<p class="sx-help">{html.escape(widget.help)}</p>'
        )
        rows = [ipywidgets.HBox(row) for row in widget.rows(self.controls)]
        parts = [title, *rows, self.picture, self.sentence, self.table]
        self.box = ipywidgets.VBox(parts, layout=dict(width=f"{WIDTH + 8}px"))
        self.box.add_class("simplex-widget")
        for name, control in self.controls.items():
            control.observe(self._changed(name), "value")
        self.sentence.observe(lambda _: self.follow(), "dark")

    def _words(self, text: str = "") -> str:
        room = f"min-height: {1.45 * self.widget.lines:.2f}em"
        return f'<p style="{room}">{html.escape(text or self.widget.sentence)}</p>'

    def _changed(self, name: str) -> Callable[[Any], None]:
        def act(event: Any) -> None:
            try:
                self.widget.change(**{name: event["new"]})
                self.sentence.value = self._words()  # a refusal may still stand there
            except ValueError as wrong:
                self.sentence.value = self._words(f"⚠ {wrong} The picture is the one before.")

        return act

    def follow(self) -> None:
        widget = self.widget
        widget.adapt(self.controls)
        for name, control in self.controls.items():
            if control.value != widget.choices[name]:
                control.value = widget.choices[name]
        widget.draw(self.picture, self.sentence.dark)
        self.sentence.value = self._words()
        self.table.value = widget.table()


@cache
def _page_class() -> type:
    import anywidget
    import traitlets

    class Page(anywidget.AnyWidget):
        """HTML from Python; ipywidgets.HTML neither reports a click nor speaks when it changes."""

        _esm = Path(__file__).with_name("frame.js")
        _css = Path(__file__).with_name("frame.css")
        value = traitlets.Unicode().tag(sync=True)
        live = traitlets.Bool(False).tag(sync=True)
        clicked = traitlets.Unicode().tag(sync=True)
        dark = traitlets.Bool(False).tag(sync=True)

    return Page


def page(value: str, *, live: bool = False) -> Any:
    """A box of HTML; a live one is read out when it changes and knows the theme."""
    return _page_class()(value=value, live=live)
