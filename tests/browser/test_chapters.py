"""Each chapter in a real JupyterLab: it runs, its widgets move, its questions answer.

Every chapter is opened and run once; the tests of a chapter then share its page, in the order in
which they stand here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import CHAPTERS, ROOT

RUN_SECONDS = 60
EXPLORED = """(x) => ({
  query: x.dataset.query, pixels: x.querySelector("canvas.x3-canvas").toDataURL()
})"""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(lab: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    with lab.open(f"chapters/{request.param}.ipynb", height=1400) as notebook:
        notebook.run_all(RUN_SECONDS)
        yield notebook


def test_every_cell_runs(chapter):
    code = [cell for cell in chapter.cells() if cell.kind == "code"]
    assert [cell.source for cell in code if cell.count is None] == []
    assert [(cell.source, cell.errors) for cell in code if cell.errors] == []


def test_nothing_is_clipped_at_1200_pixels(chapter):
    for files in (True, False):
        chapter.files(open=files)
        assert settled(chapter, "clipped") == [], f"list of files open: {files}"


def test_no_two_widgets_share_a_name(chapter):
    assert chapter.page.evaluate("inPage.twice()") == []


def test_every_widget_moves_by_keyboard(chapter):
    widgets = chapter.widgets()
    assert widgets, "a chapter has at least one widget"
    for cell in widgets:
        name = f"{Path(chapter.path).stem[:2]}_cell{cell.index}"
        chapter.shot(f"{name}_before", chapter.area(cell))
        moved = {label(handle): chapter.press(handle) for handle in chapter.handles(cell)}
        chapter.shot(f"{name}_after", chapter.area(cell))
        assert "picture" in moved.values(), f"no key changes the picture of {cell.source}"
        stuck = [handle for handle, what in moved.items() if not what]
        assert stuck == [], f"arrow keys do not reach these in {cell.source}"


def label(handle: Any) -> str:
    return handle.evaluate(
        "(x) => `${x.className} ${x.ariaLabel ?? x.labels?.[0]?.innerText ?? x.id}`"
    )


def test_every_explorer_follows_the_keys_and_the_theme(chapter):
    explorers = chapter.page.locator(".x3[data-query]").all()
    assert explorers or not chapter.path.startswith("chapters/02"), "chapter 02 explores"
    for explorer in explorers:
        before = explorer.evaluate(EXPLORED)
        assert chapter.press(explorer.get_by_role("option", selected=True))
        after = explorer.evaluate(EXPLORED)
        assert before["query"] != after["query"] and before["pixels"] != after["pixels"]
        chapter.theme("JupyterLab Dark")
        explorer.and_(chapter.page.locator(".x3-dark")).wait_for()
        dark = explorer.evaluate(EXPLORED)
        chapter.theme("JupyterLab Light")
        assert dark["query"] == after["query"] and dark["pixels"] != after["pixels"]


def test_a_question_explains_the_wrong_option_and_the_right_one(chapter, lab):
    number = Path(chapter.path).stem[:2]
    file = ROOT / "simplex_lib" / "data" / "questions" / f"{number}.json"
    for name, asked in json.loads(file.read_text(encoding="utf-8")).items():
        cell = chapter.find(question=name)
        area, options = chapter.area(cell), asked["options"]
        right = next(n for n, option in enumerate(options) if option["right"])
        for n in ((right + 1) % len(options), right):
            letter = "ABCDEFGH"[n]
            area.get_by_role("button").nth(n).focus()
            chapter.page.keyboard.press("Enter")
            verdict = f"{letter} is right." if n == right else f"Not {letter}."
            said = area.locator(".jp-RenderedHTMLCommon", has_text=verdict)
            said.wait_for()
            assert plain(options[n]["why"] or "") in " ".join(said.inner_text().split())
        assert lab.progress()["questions"][name]["right"]


def plain(markdown: str) -> str:
    """The beginning of a text, up to its first code, math or emphasis."""
    return " ".join(re.split(r"[`$*_\\&<]", markdown)[0].split())


def test_the_dark_theme_leaves_everything_readable(chapter):
    chapter.theme("JupyterLab Dark")
    for cell in chapter.widgets():
        chapter.shot(f"{Path(chapter.path).stem[:2]}_cell{cell.index}_dark", chapter.area(cell))
    found = settled(chapter, "faint")
    chapter.theme("JupyterLab Light")
    assert found == []


def settled(chapter: Any, what: str, seconds: float = 5) -> list[str]:
    """What is clipped or faint under each cell, once it is in view and has laid itself out."""
    found = []
    for cell in chapter.cells():
        parts = chapter.node(cell).locator(".jp-OutputArea-output, .jp-MarkdownOutput")
        limit = time.monotonic() + seconds
        while any(wrong := parts.evaluate_all(f"(all) => all.flatMap((x) => inPage.{what}(x))")):
            if time.monotonic() > limit:
                found += [f"{cell.source[:40]!r}: {x}" for x in wrong]
                break
            chapter.page.wait_for_timeout(100)
    return found


def test_nothing_went_wrong_on_the_page(chapter):
    """Last: no console error, no failed request, and nothing asked of the network."""
    assert not chapter.trouble, str(chapter.trouble)
