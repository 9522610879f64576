"""Make .venv, install the course into it, and run a command there. Needs Python and nothing else.

python tools/setup.py                       create .venv and install the course
python tools/setup.py lab                   and open the lab
python tools/setup.py --dev                 and what building and testing need
python tools/setup.py --dev pytest tests    and run any program of .venv

Called again it is done at once, unless the dependencies or requirements.lock changed.
"""

from __future__ import annotations  # an old Python shall get as far as the message below

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")


def install(extra: str, torch_index: str | None) -> None:
    """Install with the exact versions of the lock, unless that is done already."""
    stamp = VENV / f"simplex-{extra or 'course'}.stamp"
    state = what_to_install()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return
    python = make_venv()
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-c", "requirements.lock"]
    if torch_index:
        run([*pip, "torch", "--index-url", torch_index])
    run([*pip, "-e", f".[{extra}]" if extra else "."])
    stamp.write_text(state, encoding="utf-8")


def what_to_install() -> str:
    """A hash of the lock and of what pyproject.toml says to pip; tool settings do not count."""
    import tomllib  # new in Python 3.11

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    del settings["tool"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps([settings, lock]).encode()).hexdigest()


def make_venv() -> str:
    python = BIN / ("python.exe" if os.name == "nt" else "python")
    if not python.exists():
        print(f"Making {VENV.name} with Python {sys.version.split()[0]}.", flush=True)
        try:
            venv.create(VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(
                f"Python could not make a virtual environment: {error}\n"
                "On Debian and Ubuntu, install the package python3-venv and try again."
            )
    return str(python)


def run(command: list[str]) -> None:
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def become(command: list[str]) -> None:
    """Go on as a program of .venv, so that Ctrl-C reaches it and nothing stands in between."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "VIRTUAL_ENV": str(VENV)}
    program = BIN / (f"{command[0]}.exe" if os.name == "nt" else command[0])
    if not program.exists():
        sys.exit(f"{command[0]} is not in {BIN.relative_to(ROOT)}; does it need --dev?")
    os.chdir(ROOT)
    if os.name != "nt":
        os.execve(program, [str(program), *command[1:]], environment)
    process = subprocess.Popen([str(program), *command[1:]], env=environment)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:  # the program got it, too, and decides
            continue


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(f"The course needs Python 3.11 or later; this is {sys.version.split()[0]}.")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--dev", action="store_true", help="install what the tests need, too")
    parser.add_argument("--torch-index", metavar="URL", help="install torch from this index")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="lab, or a program of .venv")
    options = parser.parse_args()
    install("", options.torch_index)
    if options.dev:
        install("dev", options.torch_index)
    command = ["simplex", "lab"] if options.command == ["lab"] else options.command
    if command:
        become(command)


if __name__ == "__main__":
    main()
