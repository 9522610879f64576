"""Control to painted in the small widgets, in JupyterLab and chromium: a table, no assertions.

    python benchmarks/widgets.py            needs jupyterlab, playwright and a chromium

A press counts from the time stamp of the key or mouse event to the first task after the frame that
follows the last change: the new picture (plotly says when it is drawn) and the new sentence.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from explorer import FLAGS, READY, jupyterlab, machine, write_notebook
from playwright.sync_api import Page, sync_playwright

PRESSES = 15
PAUSE_MS = 500  # between presses, so that each is on its own
MAKE = """import torch
from simplex_lib.widgets import explore_einsum, explore_heads, explore_online, explore_plane
from simplex_lib.widgets import explore_match3, explore_rotation
from simplex_lib.widgets import explore_windows, plan_windows
from simplex_lib.widgets import compare_pre_post, edit_kernel, edit_mixing
def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))
"""
SLIDER = ".simplex-widget .noUi-handle >> nth={}"
CASES = {  # name: (call, what gets the focus, key)
    "einsum, result cell": ("explore_einsum('id,jd,kd->ijk')", SLIDER.format(0), "ArrowRight"),
    "plane, angle": ("explore_plane()", SLIDER.format(0), "ArrowRight"),
    "plane, length": ("explore_plane(length=1)", SLIDER.format(1), "ArrowRight"),
    "heads, h = 4, s = 16, temperature": (
        *("explore_heads(random(1, 4, 16, 8), random(1, 4, 16, 8))", SLIDER.format(0)),
        "ArrowLeft",
    ),
    "heads, h = 8, s = 32, temperature": (
        *("explore_heads(random(1, 8, 32, 8), random(1, 8, 32, 8))", SLIDER.format(0)),
        "ArrowLeft",
    ),
    "heads, h = 8, s = 32, query": (
        *("explore_heads(random(1, 8, 32, 8), random(1, 8, 32, 8))", SLIDER.format(2)),
        "ArrowLeft",
    ),
    "heads, h = 16, s = 64, temperature": (
        *("explore_heads(random(1, 16, 64, 8), random(1, 16, 64, 8))", SLIDER.format(0)),
        "ArrowLeft",
    ),
    "online, blocks read": (
        *("explore_online(*[random(1, 1, 30, 4)] * 3, block_size=2)", SLIDER.format(0)),
        "ArrowRight",
    ),
    "online, offset": ("explore_online(step=4)", SLIDER.format(1), "ArrowRight"),
    "rotation, turn all three": ("explore_rotation()", SLIDER.format(0), "ArrowRight"),
    "rotation, turn k1 alone": ("explore_rotation()", SLIDER.format(1), "ArrowRight"),
    "match3, n = 8, token": ("explore_match3()", SLIDER.format(0), "ArrowRight"),
    "match3, n = 12, factor c": (
        *("explore_match3(range(1, 13), 97)", SLIDER.format(1)),
        "ArrowLeft",
    ),
    "windows, s = 24, query": ("explore_windows(query=4)", SLIDER.format(3), "ArrowRight"),
    "windows, s = 48, w1": ("explore_windows(48, 16, 12, 40)", SLIDER.format(1), "ArrowRight"),
    "windows, s from 48 down": ("explore_windows(48, 16, 12, 47)", SLIDER.format(0), "ArrowLeft"),
    "planner, w1": ("plan_windows(w1=1)", SLIDER.format(3), "ArrowRight"),
    "planner, length": ("plan_windows()", SLIDER.format(0), "ArrowLeft"),
    "kernel editor, tap": (
        *("edit_kernel(entry=(11, 4))", ".sx-panel-kernel td[tabindex='0']"),
        "+",
    ),
    "kernel editor, 6 x 11 taps, entry": (
        *("edit_kernel(kernel='constant', c_q=6, c_k=11)", ".sx-panel-logits td[tabindex='0']"),
        "ArrowRight",
    ),
    "mixing editor, number": ("edit_mixing()", ".sx-panel-mixing td[tabindex='0']", "+"),
    "mixing editor, 4 heads, entry": (
        *(
            "edit_mixing(*[random(1, 4, 10, 8)] * 2, entry=(9, 0))",
            ".sx-panel-h0s2 td[tabindex='0']",
        ),
        "ArrowRight",
    ),
    "pre and post, tap": ("compare_pre_post()", ".sx-panel-kernel td[tabindex='0']", "+"),
    "pre and post, entry": (
        *("compare_pre_post()", ".sx-panel-post td[tabindex='0']"),
        "ArrowUp",
    ),
}
WATCH = """() => {
  window.times = [];
  const root = document.querySelector('.simplex-widget');
  const sentence = root.querySelector('.sx-sentence');
  const plot = root.querySelector('.js-plotly-plot');
  const picture = plot ?? root.querySelector('.sx-board').parentNode;
  let start = null, seen = new Set();
  const changed = (what) => {
    if (start === null) return;
    seen.add(what);
    if (seen.size < 2) return;
    const from = start;
    start = null;
    requestAnimationFrame(() => { const c = new MessageChannel();
      c.port1.onmessage = () => window.times.push(performance.now() - from);
      c.port2.postMessage(0); });
  };
  const watch = (node, what) => new MutationObserver(() => changed(what))
    .observe(node, { childList: true, subtree: true, characterData: true });
  watch(sentence, 'sentence');
  if (plot) plot.on('plotly_afterplot', () => changed('picture'));
  else watch(picture, 'picture');
  addEventListener('keydown', (e) => { start = e.timeStamp; seen = new Set(); }, { capture: true });
}"""


def open_widget(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/lab/tree/{name}.ipynb?reset", wait_until="domcontentloaded")
    page.locator(".jp-Notebook").first.wait_for(timeout=90_000)
    if not page.evaluate(READY):
        raise RuntimeError(f"The kernel of {name} did not become idle within a minute.")
    page.evaluate("() => void jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")
    picture = ".simplex-widget .js-plotly-plot .infolayer, .simplex-widget .sx-board"
    page.locator(picture).first.wait_for(timeout=90_000, state="attached")
    page.wait_for_timeout(1500)  # the theme goes to the kernel and comes back as colours


def measure(browser, address: str, folder: Path) -> Iterator[str]:
    for at, (name, (call, control, key)) in enumerate(CASES.items()):
        write_notebook(folder / f"case{at}.ipynb", MAKE + call)
        page = browser.new_context(viewport=dict(width=1200, height=1100)).new_page()
        open_widget(page, address, f"case{at}")
        page.evaluate(WATCH)
        page.locator(control).focus()
        for _ in range(PRESSES):
            page.keyboard.press(key)
            page.wait_for_timeout(PAUSE_MS)
        times = page.evaluate("() => window.times") or [float("nan")]
        middle = statistics.median(times)
        yield f"| {name} | {middle:.0f} | {min(times):.0f} | {max(times):.0f} | {len(times)} |"
        page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
        page.context.close()


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("No chromium or google-chrome on the path; nothing was measured.")
    with (
        tempfile.TemporaryDirectory() as name,
        jupyterlab(Path(name)) as address,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        print(f"{machine()}; chromium {browser.version}, headless, {time.strftime('%Y-%m-%d')}\n")
        print("| control to painted, ms | median | least | most | presses |")
        print("| --- | --- | --- | --- | --- |")
        for line in measure(browser, address, Path(name)):
            print(line, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
