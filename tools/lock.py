"""Write requirements.lock: the exact version of everything installed, for every platform.

The lock is used as pip's constraints, so it needs no markers: a package that a platform does not
have is never asked for. Left out are the course itself and the CUDA libraries, whose versions the
CUDA build of torch pins by itself.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
LEFT_OUT = re.compile(r"simplex-course|pip|setuptools|wheel|nvidia-.*|cuda-.*")
HEAD = """\
# The versions the course was tested with, used as pip constraints by `make setup`.
# Written by `make lock` from .venv; edit pyproject.toml, not this file.
"""


def lock() -> str:
    found = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if not LEFT_OUT.fullmatch(name):
            found[name] = distribution.version.split("+")[0]  # 2.13.0+cpu is one build of 2.13.0
    return HEAD + "".join(f"{name}=={found[name]}\n" for name in sorted(found))


if __name__ == "__main__":
    LOCK.write_text(lock(), encoding="utf-8", newline="\n")
    print(f"{LOCK.name}: {len(lock().splitlines()) - 2} versions, Python {sys.version.split()[0]}")
