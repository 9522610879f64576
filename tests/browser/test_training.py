"""A real training run in a real JupyterLab: started, watched, stopped, resumed, left alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

SMALL = "batch=16, every=5, tested=100, steps=4000, stop_below_percent=-1.0"
MODELS = f"""from dataclasses import replace
from simplex_lib.training.blocks_run import DOT_PRODUCT, MULTI_TOKEN
from simplex_lib.widgets import train_blocks
models = dict(first=MULTI_TOKEN, second=DOT_PRODUCT)
w = train_blocks({{name: replace(x, {SMALL}) for name, x in models.items()}})
w"""
THREADS = """import threading
sum(thread.name == "train_blocks" for thread in threading.enumerate())"""
STEPS = "w.status, [run.training.step for run in w.runs.values()]"
GOES_ON = """([box, step]) =>
  Number(box.querySelector("[role=progressbar]").getAttribute("aria-valuenow")) > step"""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]


def notebook(*sources: str) -> str:
    """A notebook of code cells."""
    base = dict(cell_type="code", metadata={}, outputs=[], execution_count=None)
    cells = [{**base, "id": f"cell-{n}", "source": text} for n, text in enumerate(sources)]
    kernel = dict(name="python3", display_name="Python 3", language="python")
    found = dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)
    return json.dumps(found)


class Training:
    """The widget under the first cell of a page."""

    def __init__(self, page: Any):
        self.page = page
        self.area = page.area(page.cells()[0])

    def button(self, text: str) -> Any:
        return self.area.locator("button", has_text=re.compile(rf"^\s*{text}$"))

    def press(self, text: str, then: str, seconds: float = 10) -> None:
        """Press a button by keyboard, and wait for the one that stands there afterwards."""
        self.button(text).focus()
        self.page.page.keyboard.press("Enter")
        self.button(then).wait_for(timeout=1000 * seconds)

    def steps(self) -> list[int]:
        bars = self.area.locator("[role=progressbar]").all()
        return [int(bar.get_attribute("aria-valuenow")) for bar in bars]

    def watch(self, beyond: int) -> None:
        """Until the first model has more steps than that."""
        box = self.area.element_handle()
        self.page.page.wait_for_function(GOES_ON, arg=[box, beyond], timeout=20_000)

    def marks(self) -> int:
        """Measured points of the first model: circles, one of them beside its name."""
        return self.area.locator("svg circle").count() - 1

    def sentence(self) -> str:
        return self.area.locator(".sx-sentence").inner_text()


@pytest.fixture
def page(lab):
    (lab.work / "training.ipynb").write_text(notebook(MODELS, STEPS, THREADS), encoding="utf-8")
    with lab.open("training.ipynb", height=1400) as opened:
        opened.run(opened.cells()[0])
        yield opened


def threads(page: Any) -> int:
    return int(page.run(page.cells()[-1]).text)


def no_thread(page: Any, seconds: float = 10) -> bool:
    for _ in range(int(seconds * 5)):
        if threads(page) == 0:
            return True
        page.page.wait_for_timeout(200)
    return False


def test_start_watch_stop_resume_and_start_again(page):
    training = Training(page)
    training.button("Start").wait_for()
    assert training.steps() == [0, 0] and training.marks() == 0
    page.shot("training_ready", training.area)

    training.press("Start", "Stop")
    training.watch(10)
    assert training.marks() >= 2 and "held-out texts" in training.sentence()
    assert threads(page) == 1
    page.node(page.cells()[0])

    training.press("Stop", "Resume", seconds=2)
    stopped = training.steps()
    assert max(stopped) - min(stopped) <= 1, "two models in turns"
    assert "nothing is lost" in training.sentence()
    assert page.run(page.cells()[1]).text == str(("stopped", stopped))
    assert threads(page) == 0
    points = training.marks()

    training.press("Resume", "Stop")
    training.watch(max(stopped) + 10)
    assert training.marks() > points
    page.shot("training_going_on", training.area)

    training.press("Start again, new seed", "Stop")
    page.page.wait_for_function(
        "(box) => Number(box.querySelector('[role=progressbar]').ariaValueNow) < 10",
        arg=training.area.element_handle(),
    )
    training.press("Stop", "Resume", seconds=2)
    assert training.area.locator("polyline[stroke-opacity]").count() == 2, "earlier seeds stay"
    assert page.page.evaluate("(x) => inPage.clipped(x)", training.area.element_handle()) == []
    page.theme("JupyterLab Dark")
    page.shot("training_dark", training.area)
    faint = page.page.evaluate("(x) => inPage.faint(x)", training.area.element_handle())
    page.theme("JupyterLab Light")
    assert faint == []
    assert not page.trouble, str(page.trouble)


def test_run_again_deleted_or_restarted_no_thread_stays(page):
    for end in ("run again", "deleted", "restarted"):
        training = Training(page)
        training.press("Start", "Stop")
        training.watch(1)
        assert threads(page) == 1, end
        first = page.cells()[0]
        if end == "run again":
            page.run(first)
        elif end == "deleted":
            page.show(first)
            page.command("notebook:delete-cell")
        else:
            page.restart()
        assert no_thread(page), end
        if end == "deleted":
            page.command("notebook:undo-cell-action")
            page.run(page.cells()[0])
    assert not page.trouble, str(page.trouble)


def test_what_a_model_raises_stands_in_the_widget(page):
    own = (
        "class Mine(__import__('torch').nn.Module):\n  def forward(self, x):\n    return x[:, :3]\n"
    )
    first = page.cells()[0]
    page.write(first, own + MODELS.replace("models.items()}", "models.items()}, attention=Mine"))
    page.run(first)
    training = Training(page)
    training.press("Start", "Resume")
    training.area.locator(".sx-sentence", has_text="your layer stopped at step 0").wait_for()
    assert "ValueError: attention must return" in training.sentence()
    assert training.area.get_by_text("⚠ error").count() == 1
    assert no_thread(page)
    page.node(page.cells()[0])
    page.shot("training_failed", training.area)
    training.press("Resume", "Stop")
    training.watch(5)
    training.press("Stop", "Resume", seconds=2)
    assert not page.trouble, str(page.trouble)
