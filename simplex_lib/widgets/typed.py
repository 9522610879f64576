"""A widget with fields to type in: what cannot be shown stays in its field, with its warning.

Other controls go on working meanwhile, with what the field held before. The warning goes when the
field is repaired, or when a button or code chooses something else for it.
"""

from collections.abc import Callable
from typing import Any

from simplex_lib.widgets.frame import Widget, _View


class TypedWidget(Widget):
    def change(self, **choices: Any) -> None:
        """Other choices; a field that is chosen anew forgets what was refused in it."""
        view = self._view
        mended = isinstance(view, _TypedView) and view.forget(choices)
        super().change(**choices)
        if mended and view is not None:  # even where the choice is the one before
            view.follow()

    def live(self) -> Any:
        if self._view is None:
            self._view = _TypedView(self)
        return self._view.box


class _TypedView(_View):
    """refused: warnings by the name of the control whose value cannot be shown."""

    def __init__(self, widget: Widget) -> None:
        self.refused: dict[str, str] = {}
        super().__init__(widget)

    def forget(self, names: dict[str, Any]) -> bool:
        """Whether one of these had been refused."""
        found = [name for name in names if self.refused.pop(name, None)]
        return bool(found)

    def _words(self, text: str = "") -> str:
        if text or not self.refused:
            return super()._words(text)
        return super()._words(" ".join([*self.refused.values(), self.widget.sentence]))

    def _changed(self, name: str) -> Callable[[Any], None]:
        def act(event: Any) -> None:
            try:
                self.widget.change(**{name: event["new"]})
            except ValueError as wrong:
                self.refused[name] = f"⚠ {wrong} The picture has the {name} before."
            self.sentence.value = self._words()

        return act

    def follow(self) -> None:
        widget = self.widget
        widget.adapt(self.controls)
        for name, control in self.controls.items():
            if name not in self.refused and control.value != widget.choices[name]:
                control.value = widget.choices[name]
        widget.draw(self.picture, self.sentence.dark)
        self.sentence.value = self._words()
        self.table.value = widget.table()
