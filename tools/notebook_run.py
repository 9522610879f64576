"""Run a notebook as a reader would, and keep of its outputs what is true everywhere.

`execute` runs in a temporary folder with a kernel of its own; `clean` takes out widget views and
refuses what belongs to this machine: a path, an address in memory, an error.
"""

import json
import os
import platform
import re
import socket
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from notebook_pictures import smaller_png

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("torch", "triton", "numpy", "jupyterlab", "ipywidgets", "anywidget", "plotly")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT = 120  # seconds; the course promises 30
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


class OutputError(Exception):
    """A notebook that ran, but must not be stored as it is."""


def execute(notebook: nbformat.NotebookNode, *, strict: bool) -> dict[str, Any]:
    """Run all cells in place; return the receipt. strict: a check that does not pass stops it."""
    with tempfile.TemporaryDirectory(prefix="simplex-build-") as folder:
        here = Path(folder, "notebooks")
        here.mkdir()
        environment = os.environ | {
            "SIMPLEX_BUILD": "1",
            "SIMPLEX_WORK": str(Path(folder, "work")),
            "IPYTHONDIR": str(Path(folder, "ipython")),
            "PYTHONHASHSEED": "0",
        }
        for name in ("TRITON_INTERPRET", "SIMPLEX_STRICT"):
            environment.pop(name, None)
        if strict:
            environment["SIMPLEX_STRICT"] = "1"
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors, no advice on transports
            resources={"metadata": {"path": str(here)}},
        )
        started = time.perf_counter()
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError) as error:
            raise OutputError(re.sub(r"\x1b\[[\d;]*m", "", str(error))) from error
        seconds = time.perf_counter() - started
        _rename(notebook, str(Path(folder, "work")), "work")  # as a learner's clone calls it
    notebook.metadata["kernelspec"], notebook.metadata["language_info"] = KERNELSPEC, LANGUAGE
    return {
        "date": date.today().isoformat(),
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {"cpu": _cpu_model(), "cores": cores()},
    }


def clean(notebook: nbformat.NotebookNode, name: str) -> None:
    """Take out widget views and state; raise OutputError where this machine shows through."""
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_only_a_widget(output)]
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop(WIDGET_VIEW, None)
            if "image/png" in data:
                data["image/png"] = smaller_png(data["image/png"])
        for what, found in foreign(json.dumps(_texts(cell.outputs), ensure_ascii=False)):
            raise OutputError(f"{name}, cell {number}: its output holds {what}: {found!r}.")


def _rename(notebook: nbformat.NotebookNode, old: str, new: str) -> None:
    """In all outputs that are text."""
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        for texts in (output, output.get("data", {})):
            for key in [key for key, text in texts.items() if isinstance(text, str)]:
                texts[key] = texts[key].replace(old, new)


def foreign(text: str) -> list[tuple[str, str]]:
    """What in a text is true on this machine only: (kind, the words found)."""
    places = {str(ROOT), str(Path.home()), sys.prefix, tempfile.gettempdir(), socket.gethostname()}
    # a short name such as "/" or "pc" would be found everywhere
    machine = [place for place in places if len(place) > 3 and place not in ("localhost",)]
    found = [
        ("a path or the name of this machine", match[0])
        for place in machine
        for match in re.finditer(rf"{re.escape(place)}(?![\w.-])[^\s\"\\<]*", text)
    ]
    found += [
        ("a path in a home folder", match) for match in re.findall(r"(?<!\w)~/\.?\w\S*", text)
    ]
    address = re.search(r"\bat 0x[0-9a-f]{6,}", text)
    if address:
        found.append(("an address in memory (end the line with ; or print less)", address[0]))
    return found


def _texts(outputs: list[Any]) -> list[Any]:
    """The outputs without pictures, in whose base64 anything may turn up by chance."""
    kept = []
    for output in outputs:
        data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/png")}
        kept.append({**output, "data": data})
    return kept


def _is_only_a_widget(output: Any) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and set(data) <= {WIDGET_VIEW, "text/plain"}


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            continue  # triton exists on Linux only
    return found


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.M)
        if names:
            return names[0].strip()
    return platform.processor() or platform.machine()
