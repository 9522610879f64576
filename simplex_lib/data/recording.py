"""How a recorded run is written: with the machine, date, versions, seed and command that made it.

A file is replaced as a whole, so that an interrupt leaves the old one or the new one.
"""

import json
import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Any

import torch

NUMBERS = re.compile(r"\[\n((?:[\s\d.,eE+-]|null)*)\]")  # a list of numbers stands on one line


def facts(*, command: str, seed: int | list[int]) -> dict[str, Any]:
    """What every recorded figure names, to be merged into its file.

    >>> sorted(facts(command="python -m simplex_lib.training.match3", seed=0))
    ['command', 'date', 'machine', 'seed', 'versions']
    """
    return {
        "command": command,
        "machine": machine(),
        "date": date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seed": seed,
    }


def machine() -> str:
    """System, cores and the name of the processor."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{platform.system()}, {os.cpu_count()} cores, {cpu}"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace path by content, whole or not at all; its folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    text = json.dumps(content, indent=1)
    text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be JSON; got {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object; got {type(found).__name__}.")
    return found
