"""Drives JupyterLab as a learner would: one server, one browser, one page a notebook.

Read from the top: `Lab` starts `simplex lab` with a work folder and Jupyter folders of its own and
opens pages; `notebook.py` holds what is done on one of them. Nothing here sleeps for a fixed time:
each step waits for what it needs, with a limit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMAND = (str(Path(sys.executable).with_name("simplex")), "lab", "--no-browser")
SEE_APP = "--LabApp.expose_app_in_browser=True"  # window.jupyterapp, which a learner does not need
START_SECONDS = 60
HERE = {"127.0.0.1", "localhost", "[::1]"}
# besides the sandbox, which root cannot have: no traffic of the browser's own
CHROMIUM = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def headless_browser() -> Iterator[Any]:
    """Debian's chromium under Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(CHROMIUM)
        )
        yield browser
        browser.close()


@dataclass
class Trouble:
    """What went wrong on a page without anyone looking."""

    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.console or self.failed or self.foreign)

    def __str__(self) -> str:
        parts = {
            "console errors": self.console,
            "failed requests": self.failed,
            "requests to the network": self.foreign,
        }
        return "\n".join(f"{name}:\n  " + "\n  ".join(x) for name, x in parts.items() if x)

    def watch(self, page: Any) -> None:
        page.on("console", lambda m: m.type == "error" and self.console.append(m.text[:500]))
        page.on("pageerror", lambda error: self.console.append(str(error)[:500]))
        page.on("request", lambda request: self._ask(request.url))
        page.on("websocket", lambda socket: self._ask(socket.url))
        page.on("response", self._answered)
        page.on("requestfailed", self._broke)

    def _ask(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob", "about") and not _is_here(url):
            self.foreign.append(url)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")

    def _broke(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a page that goes away leaves behind
            self.failed.append(f"{request.failure} {request.url}")


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in HERE or f"[{host}]" in HERE


class Lab:
    """The running course: `with Lab(folder) as lab: page = lab.open("chapters/00_start.ipynb")`."""

    def __init__(self, folder: Path, artifacts: Path, browser: Any = None):
        """browser: one that runs already and stays; None: one of the lab's own."""
        self.folder, self.artifacts, self.browser = folder, artifacts, browser
        self.work = folder / "work"
        self.url = self.token = ""

    def __enter__(self) -> Lab:
        try:
            self._start_server()
            if self.browser is None:
                self._own = headless_browser()
                self.browser = self._own.__enter__()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if own := self.__dict__.pop("_own", None):
            own.__exit__(None, None, None)
        if server := self.__dict__.pop("server", None):
            _end(server)

    def _start_server(self) -> None:
        places = dict(
            JUPYTER_CONFIG_DIR="config",
            JUPYTER_DATA_DIR="data",
            JUPYTER_RUNTIME_DIR="runtime",
            JUPYTERLAB_SETTINGS_DIR="settings",
            JUPYTERLAB_WORKSPACES_DIR="workspaces",
            IPYTHONDIR="ipython",
            SIMPLEX_WORK="work",
        )
        environment = {k: v for k, v in os.environ.items() if k != "SIMPLEX_BUILD"}
        environment |= {name: str(self.folder / place) for name, place in places.items()}
        self.log = self.folder / "server.log"
        self.server = subprocess.Popen(
            [*COMMAND, f"--port={_free_port()}", SEE_APP],
            env=environment,
            cwd=self.folder,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait_for_server()

    def _wait_for_server(self) -> None:
        """The server says its address and token in a file, as it does for a learner's browser."""
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            if self.server.poll() is not None:
                break
            try:
                (file,) = (self.folder / "runtime").glob("jpserver-*.json")
                found = json.loads(file.read_bytes())
                self.url, self.token = found["url"], found["token"]
                self.ask("api/status")
                return
            except (ValueError, OSError):  # not yet there, or half written
                time.sleep(0.1)
        log = self.log.read_text(encoding="utf-8")
        raise RuntimeError(f"the lab did not answer within {START_SECONDS} s; its log:\n{log}")

    def ask(self, path: str, method: str = "GET") -> Any:
        """One question to the server's own interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def progress(self) -> dict[str, Any]:
        """The learner's progress as it stands on disk."""
        file = self.work / "progress.json"
        return json.loads(file.read_bytes()) if file.exists() else {}

    @contextmanager
    def page(self, path: str, *, width: int = 1200, height: int = 900) -> Iterator[Any]:
        """A fresh browser window at a path of the lab; (page, trouble)."""
        context = self.browser.new_context(viewport=dict(width=width, height=height))
        context.add_init_script(path=Path(__file__).with_name("in_page.js"))
        page, trouble = context.new_page(), Trouble()
        page.set_default_timeout(20_000)
        trouble.watch(page)
        try:
            joint = "&" if "?" in path else "?"
            page.goto(f"{self.url}{path}{joint}token={self.token}", wait_until="domcontentloaded")
            yield page, trouble
        finally:
            context.close()

    @contextmanager
    def open(self, path: str, *, width: int = 1200, height: int = 900) -> Iterator[Any]:
        """A notebook of the work folder, with a kernel that is ready; both gone at the end."""
        from .notebook import Notebook  # needs playwright, which may be missing

        # in a layout of its own, so that the learner's first look at the lab stays a first look
        place = f"lab/workspaces/tests/tree/{path}?reset"
        with self.page(place, width=width, height=height) as (page, trouble):
            notebook = Notebook(page, trouble, path, self.artifacts)
            try:
                notebook.wait_until_ready()
                yield notebook
            finally:
                self.shut_kernels()

    def shut_kernels(self) -> None:
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _end(server: subprocess.Popen[bytes]) -> None:
    """The server and what it started: its process group is ours alone."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, wish)
            server.wait(15)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
