"""Alive in a lab, still while notebooks are built.

Read from the top: put `Shown` first among the bases of a widget and give it `still`, `sentence`
and `table`. With SIMPLEX_BUILD=1 in the environment the widget then leaves two plain outputs, its
picture (image/png) and its sentence with its table (text/html), and no widget state. Otherwise it
shows itself.

    class PairMap(Shown, ipywidgets.VBox):          # or anywidget.AnyWidget, or a FigureWidget
        sentence = "Query 3 reads key 1."
        def still(self) -> bytes: ...
        def table(self) -> str: ...

A class that holds a widget and is none itself returns that widget from `live`.
"""

from __future__ import annotations

import html
import os
from typing import Any

BUILD = "SIMPLEX_BUILD"


def building() -> bool:
    """True while notebooks are being built: widgets show their still form."""
    return os.environ.get(BUILD) == "1"


class Shown:
    """Displays the live widget, or, while notebooks are built, its picture, sentence and table."""

    sentence: str = ""

    def still(self) -> bytes:
        """The picture as a PNG; b"" if there is none."""
        return b""

    def table(self) -> str:
        """The numbers as an HTML table; "" if there is none."""
        return ""

    def live(self) -> Any:
        """What a lab displays: the widget itself, or the one that a plain object holds."""
        return self

    def outputs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The still form as (data, metadata) of each output."""
        found, sentence = [], str(self.sentence)
        if picture := self.still():
            data = {"image/png": picture, "text/plain": sentence}
            found.append((data, {"image/png": {"alt": sentence}}))
        if sentence or self.table():
            text = f"<p>{html.escape(sentence)}</p>\n{self.table()}"
            found.append(({"text/html": text, "text/plain": sentence}, {}))
        return found

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        if building():
            for data, metadata in self.outputs():
                display(data, metadata=metadata, raw=True)
            return
        shown = self.live()
        if shown is not self:
            display(shown)
            return
        # display(self) would come back to this method, so the bundle of the widget is asked for
        bundle = self._repr_mimebundle_()  # type: ignore[attr-defined]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)
