"""Whether a widget is still on the page: its cell may be deleted or run again."""

import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _spot_class() -> type:
    import anywidget
    import traitlets

    class Spot(anywidget.AnyWidget):
        """Takes no room; `views` is how many places of the page show it."""

        _esm = Path(__file__).with_name("presence.js")
        key = traitlets.Unicode().tag(sync=True)
        views = traitlets.Int(0).tag(sync=True)

    return Spot


def spot(gone: Callable[[], None]) -> Any:
    """An invisible part of a widget; gone is called when the last place that shows it is lost."""
    made = _spot_class()(key=uuid.uuid4().hex, layout=dict(width="0", height="0", margin="0"))
    made.observe(lambda event: None if event["new"] else gone(), "views")
    return made
