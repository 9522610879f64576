"""How `simplex lab` starts JupyterLab: on the work folder, on the start page, without news."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from simplex_lib.course.workspace import WorkspaceError

START_PAGE = "chapters/00_start_here.ipynb"


def lab_command(folder: Path, extra: list[str], *, browser: bool, port: int | None) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    if (folder / START_PAGE).exists():
        command.append(f"--LabApp.default_url=/lab/tree/{START_PAGE}")
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command.append(f"--port={port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in extra:
        command.append("--allow-root")
    return command + extra


def lab_environment(folder: Path) -> dict[str, str]:
    """What kernels and terminals need to find work folder and `simplex`; own settings stay.

    JupyterLab asks for no news.
    """
    overrides = {
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
        # a link to the ledger opens a page, not its source
        "@jupyterlab/docmanager-extension:plugin": {
            "defaultViewers": {"markdown": "Markdown Preview"}
        },
    }
    settings = folder / ".jupyter" / "labconfig" / "default_setting_overrides.json"
    try:
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(overrides, indent=1), encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{settings} cannot be written: {error.strerror or error}.") from error
    paths = [os.environ.get("JUPYTER_CONFIG_PATH"), str(folder / ".jupyter")]
    own = dict(SIMPLEX_WORK=str(folder), JUPYTER_CONFIG_PATH=os.pathsep.join(filter(None, paths)))
    # unresolved: in a virtual environment python is a link, and simplex stands beside it
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH")]
    return os.environ | own | dict(PATH=os.pathsep.join(filter(None, programs)))
