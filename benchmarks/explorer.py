"""Key press to painted in the explorer, in JupyterLab and chromium: a table, no assertions.

    python benchmarks/explorer.py            needs jupyterlab, playwright and a chromium

A press counts from the time stamp of the key event to the first task after the frame that shows the
map of the new query. "again": those queries were shown before, their maps are decoded already.
"""

import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PRESSES = 15
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
MAKE = """import torch
from simplex_lib.widgets import explore_pairs
x = torch.randn({s}, {s}, {s}, generator=torch.Generator().manual_seed(0))
y = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
"""
CASES = {  # name: (sequence length, call)
    "s = 16": (16, "explore_pairs(x, compare=y, w1=8, w2=4, query=2)"),
    "s = 64": (64, "explore_pairs(x, compare=y, w1=8, w2=4, query=2)"),
    "s = 64, second map": (64, "explore_pairs(x, compare=y, w1=8, w2=4, query=2)"),
    "s = 64, cube": (64, "explore_pairs(x, compare=y, w1=8, w2=4, query=2)"),
    "s = 64, kernel asked each time": (64, "explore_pairs(x, compare=y, query=2, chunk=1)"),
    "s = 128, 16 queries at a time": (128, "explore_pairs(x, compare=y, w1=8, w2=4, query=2)"),
}
READY = """async () => { const a = window.jupyterapp; await a.restored;
 for (let t = 0; t < 1200; t++) { const w = a.shell.currentWidget;
  if (w?.sessionContext && w.context) {
   await w.context.ready; await w.sessionContext.ready; const k = w.sessionContext.session?.kernel;
   if (k?.status === 'idle' && k.connectionStatus === 'connected') return true; }
  await new Promise((r) => setTimeout(r, 50)); } return false; }"""
WATCH = """() => { window.times = []; addEventListener('keydown', (e) => {
  const root = document.querySelector('.x3'), before = root.dataset.query;
  const painted = () => { const c = new MessageChannel();
    c.port1.onmessage = () => window.times.push(performance.now() - e.timeStamp);
    c.port2.postMessage(0); };
  (function look() {
    if (root.dataset.query !== before) requestAnimationFrame(painted);
    else if (performance.now() - e.timeStamp < 8000) setTimeout(look, 0); })();
}, { capture: true }); }"""


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """A lab of its own, without the reader's settings; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    labels = folder / "config" / "labconfig"
    labels.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    settings = {"@jupyterlab/apputils-extension:notification": quiet}
    (labels / "default_setting_overrides.json").write_text(json.dumps(settings))
    homes = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="run")
    homes |= dict(JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="spaces")
    homes |= dict(IPYTHONDIR="ipython")
    env = os.environ | {k: str(folder / v) for k, v in homes.items()}
    env |= dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--IdentityProvider.token=", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.extension_manager=readonly"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def write_notebook(path: Path, code: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    kernel = dict(name="python3", display_name="Python 3", language="python")
    notebook.metadata.kernelspec = kernel  # without it JupyterLab asks for a kernel and waits
    nbformat.write(notebook, path)


def open_notebook(page: Page, address: str, name: str) -> None:
    """Open, wait for the kernel, run all cells, wait for the explorer."""
    page.goto(f"{address}/lab/tree/{name}.ipynb?reset", wait_until="domcontentloaded")
    page.locator(".jp-Notebook").first.wait_for(timeout=90_000)
    if not page.evaluate(READY):
        raise RuntimeError(f"The kernel of {name} did not become idle within a minute.")
    page.evaluate("() => void jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".x3[data-query]").first.wait_for(timeout=90_000)
    page.wait_for_timeout(500)


def presses(page: Page, key: str) -> list[float]:
    page.evaluate("() => (window.times = [])")
    page.locator(".x3-chip[aria-selected=true]").focus()
    for _ in range(PRESSES):
        page.keyboard.press(key)
        page.wait_for_timeout(200)
    return page.evaluate("() => window.times")


def row(name: str, times: list[float]) -> str:
    middle, worst = statistics.median(times), max(times)
    return f"| {name} | {middle:.0f} | {min(times):.0f} | {worst:.0f} | {len(times)} |"


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{platform.system()}, {os.cpu_count()} cores, {cpu}"


def measure(browser, address: str, folder: Path) -> Iterator[str]:
    for at, (name, (s, call)) in enumerate(CASES.items()):
        write_notebook(folder / f"case{at}.ipynb", MAKE.format(s=s) + call)
        page = browser.new_context(viewport=dict(width=1360, height=1060)).new_page()
        open_notebook(page, address, f"case{at}")
        for part in ("Second map", "Cube"):
            if part.lower() in name:
                page.locator(".x3-tabs label", has_text=part).click()
                page.wait_for_timeout(1000)
        page.evaluate(WATCH)
        yield row(name, presses(page, "ArrowRight"))
        yield row(f"{name}, again", presses(page, "ArrowLeft"))
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
        print("| key press to painted, ms | median | least | most | presses |")
        print("| --- | --- | --- | --- | --- |")
        for line in measure(browser, address, Path(name)):
            print(line, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
