"""One notebook on a page: run it, read it, write into it, press its keys, look at it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError as TooLong

# what takes the arrow keys, and keys that move it: forth, or back where it is at its end
HANDLES = (
    ".noUi-handle, input[type=range], [role=slider], [role=option][aria-selected=true], "
    "[role=application][tabindex='0'], [role=radio][aria-checked=true], input[type=radio]:checked, "
    "select"
)
KEYS = ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp")


@dataclass(frozen=True)
class Cell:
    """A cell as JupyterLab's model has it. simplex: its exercise and role, or its question."""

    index: int
    kind: str
    source: str
    simplex: dict[str, str]
    count: int | None
    outputs: list[dict[str, Any]]

    @property
    def errors(self) -> list[str]:
        found = [o for o in self.outputs if o["output_type"] == "error"]
        return [f"{o['ename']}: {o['evalue']}" for o in found]

    @property
    def text(self) -> str:
        """All that its outputs say in plain text."""
        parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in self.outputs]
        return "\n".join("".join(part) for part in parts)


class Notebook:
    """page: Playwright's page, for what is not wrapped here."""

    def __init__(self, page: Any, trouble: Any, path: str, artifacts: Path):
        self.page, self.trouble, self.path, self.artifacts = page, trouble, path, artifacts

    def wait_until_ready(self) -> None:
        self.page.locator(".jp-Notebook").first.wait_for(timeout=60_000)
        assert self._ask("ready", 60), f"{self.path}: no kernel within 60 s"
        self.files(open=False)

    def _ask(self, name: str, *arguments: Any) -> Any:
        """One function of in_page.js."""
        return self.page.evaluate("([f, args]) => inPage[f](...args)", [name, arguments])

    # the model

    def cells(self) -> list[Cell]:
        return [Cell(n, **found) for n, found in enumerate(self._ask("cells"))]

    def find(self, **simplex: str) -> Cell:
        """The cell of an exercise and a role, or of a question."""
        found = [cell for cell in self.cells() if simplex.items() <= cell.simplex.items()]
        assert len(found) == 1, f"{self.path}: {len(found)} cells are {simplex}"
        return found[0]

    def write(self, cell: Cell, source: str) -> None:
        """Replace the text of a cell, as an edit would."""
        self._ask("write", cell.index, source)

    def type(self, cell: Cell, source: str) -> None:
        """The same by hand: click into the cell, select all, type."""
        self.node(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        for n, line in enumerate(source.splitlines()):
            if n:  # the editor indents by itself: back to the first column
                self.page.keyboard.press("Enter")
                self.page.keyboard.press("Shift+Home")
            self.page.keyboard.type(line)

    # running

    def run_all(self, seconds: float = 120) -> float:
        """Run every cell; how long it took."""
        start = time.monotonic()
        self.command("notebook:run-all-cells", seconds)
        return time.monotonic() - start

    def run(self, cell: Cell, seconds: float = 60) -> Cell:
        """Run one cell; the cell as it is afterwards."""
        self.show(cell)
        self.command("notebook:run-cell", seconds)
        return self.cells()[cell.index]

    def run_above(self, cell: Cell, seconds: float = 60) -> None:
        self.show(cell)
        self.command("notebook:run-all-above", seconds)

    def command(self, name: str, seconds: float = 20, **arguments: Any) -> None:
        done = self._ask("command", name, seconds, arguments)
        assert done, f"{self.path}: {name} took more than {seconds} s"

    def restart(self) -> None:
        """A new kernel for the same page, as from the menu but without its question."""
        self._ask("restart")
        self.wait_until_ready()

    # the page

    def show(self, cell: Cell, *, above: int = 0) -> None:
        """Make it the active cell and scroll it to the top, or below some cells above it."""
        self._ask("show", cell.index, above)

    def node(self, cell: Cell) -> Any:
        """The cell on the page, scrolled to."""
        self.show(cell)
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell.index)

    def area(self, cell: Cell) -> Any:
        """What stands under the cell."""
        return self.node(cell).locator(".jp-Cell-outputArea")

    def widgets(self) -> list[Cell]:
        """The cells that show a live widget with a picture in it."""
        live = "application/vnd.jupyter.widget-view+json"
        cells = [x for x in self.cells() if any(live in o.get("data", {}) for o in x.outputs)]
        return [x for x in cells if self.area(x).evaluate("(x) => inPage.pictures(x).length")]

    def handles(self, cell: Cell) -> list[Any]:
        """All that takes arrow keys under a cell and is enabled."""
        found = self.area(cell).locator(HANDLES).all()
        return [handle for handle in found if handle.is_visible() and handle.is_enabled()]

    def press(self, handle: Any, keys: Sequence[str] = KEYS, seconds: float = 1) -> str:
        """What one of these keys, pressed on a handle, changes: "picture", "choice" or nothing.

        "off" if another control has switched it off meanwhile.
        """
        if handle.evaluate("(x) => x.closest('[disabled]') !== null"):
            return "off"
        self.page.evaluate("(x) => inPage.hold(x)", handle.element_handle())
        for key in keys:
            self.page.keyboard.press(key)
            try:
                found = self.page.wait_for_function(
                    "() => inPage.changed()", timeout=1000 * seconds
                )
                return found.json_value()
            except TooLong:  # at the end of its way, say: the next key goes back
                continue
        return ""

    def files(self, *, open: bool) -> None:
        """Open or close the list of files, which takes a quarter of the width."""
        self._ask("files", open)

    def theme(self, name: str) -> None:
        """'JupyterLab Dark' or 'JupyterLab Light'; back when the page is repainted in it."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function(
            "(light) => document.body.dataset.jpThemeLight === light",
            arg=str("Light" in name).lower(),
        )
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def shot(self, name: str, node: Any = None) -> Path:
        """A picture for people to look at: of a part of the page, or of what is in view."""
        file = self.artifacts / f"{name}.png"
        (node or self.page).screenshot(path=file)
        return file
