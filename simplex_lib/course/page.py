"""What the course shows in a notebook: where it is shown, Markdown as HTML, one set of colours.

Colours are JupyterLab's own variables with a fallback, so that light and dark both read well, and
a word always says what a colour says.
"""

from __future__ import annotations

import html
import os
import re
from functools import cache
from importlib.util import find_spec
from typing import Any

INK = "var(--jp-content-font-color1, currentColor)"
FAINT = "var(--jp-content-font-color2, #777)"
LINE = "var(--jp-border-color1, #9e9e9e)"
PAPER = "var(--jp-layout-color2, rgba(128, 128, 128, 0.1))"
GOOD = "var(--jp-success-color1, #2e7d32)"
NOT_YET = "var(--jp-warn-color1, #b26a00)"
BRAND = "var(--jp-brand-color1, #1976d2)"

MATH = re.compile(r"\$\$.+?\$\$|\$(?!\s)[^$\n]+?(?<!\s)\$", re.DOTALL)


def building() -> bool:
    """Notebooks are being built: nothing that depends on a learner, and no live widget."""
    return os.environ.get("SIMPLEX_BUILD") == "1"


def live() -> bool:
    """Someone can press a button: a kernel runs this, with ipywidgets, and nothing is built."""
    if building() or find_spec("ipywidgets") is None or find_spec("IPython") is None:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def show(text: str, rich: str) -> None:
    """Display HTML where HTML is read, and plain text elsewhere."""
    from IPython.display import display

    display({"text/plain": text, "text/html": rich}, raw=True)


def show_with(text: str, rich: str, widget: Any) -> None:
    """HTML, which stays in the saved notebook, and below it a widget, which needs the kernel.

    In a notebook opened again JupyterLab says "Error displaying widget: model not found" in its
    place. A style that comes with the HTML says instead what to do.
    """
    from IPython.display import display

    show(text, rich + _REVIVE)
    display(widget)


_DEAD = ".jp-OutputArea-output.jupyter-widgets:not(:has(*))"
_REVIVE = (  # one cell alone would lack the imports and the learner's functions
    f"<style>{_DEAD}{{font-size:0}}{_DEAD}::after{{content:'To use it, choose Run All Cells in the "
    f"menu Run.';font-size:var(--jp-content-font-size1,14px);color:{FAINT}}}</style>"
)


def panel(body: str, color: str = BRAND) -> str:
    """A quiet box with a coloured edge; its first words say what the colour says."""
    return (
        f"<div style='border-left:4px solid {color};padding:8px 14px;margin:4px 0;"
        f"max-width:62em;line-height:1.5'>{body}</div>"
    )


def to_html(markdown: str, *, inline: bool = False) -> str:
    """Markdown with $math$ as HTML. The math stays as it is, for MathJax to find."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(html.escape(match.group(), quote=False))
        return f"\ue000{len(kept) - 1}\ue001"

    # a dollar inside `code` is no math
    parts = re.split(r"(`[^`]*`)", markdown)
    parts[::2] = [MATH.sub(keep, part) for part in parts[::2]]
    render = _parser().renderInline if inline else _parser().render
    return re.sub(r"\ue000(\d+)\ue001", lambda m: kept[int(m.group(1))], render("".join(parts)))


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")
