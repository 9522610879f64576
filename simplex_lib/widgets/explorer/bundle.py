"""The modules of view/ as one script: a notebook takes one, a page from a disk has no imports."""

import re
from functools import cache
from pathlib import Path

VIEW = Path(__file__).parent / "view"
# each after those that it imports from
MODULES = (
    *("words", "colours", "formulas", "editing", "space", "paint", "theme", "packets"),
    *("heat", "strip", "triangles", "table", "facts", "legend", "second", "edit", "edits"),
    *("stage", "cube", "parts", "mount"),
)


@cache
def script(*, widget: bool) -> str:
    """All modules joined, without imports; widget: ends in the default export of anywidget."""
    parts = [_module(name) for name in MODULES] + ([_module("widget")] if widget else [])
    return "\n".join(parts)


@cache
def style() -> str:
    return (VIEW / "view.css").read_text(encoding="utf-8")


def _module(name: str) -> str:
    """One module in a scope of its own that gives out what it exports."""
    text = (VIEW / f"{name}.js").read_text(encoding="utf-8")
    text = re.sub(r"^import [^;]*;\n", "", text, flags=re.M)
    if name == "widget":
        return text
    exports = re.findall(r"^export (?:async )?(?:function|const|let) (\w+)", text, flags=re.M)
    body = re.sub(r"^export ", "", text, flags=re.M)
    given = ", ".join(exports)
    return f"const {{ {given} }} = (() => {{\n{body}return {{ {given} }};\n}})();"
