"""Is this the torch and the triton that the course was tested with? If not, one plain line each.

`tests/test_packaging.py` holds TESTED to requirements.lock and OLDEST to pyproject.toml.
"""

from importlib.metadata import PackageNotFoundError, version

TESTED = {"torch": "2.13.0", "triton": "3.7.1"}
OLDEST = {"torch": "2.11", "triton": "3.6"}


def version_warnings() -> list[str]:
    """One line for each package outside of what was tested; [] if all is well."""
    lines = []
    for name in TESTED:
        try:
            line = version_warning(name, version(name))
        except PackageNotFoundError:
            continue  # triton exists on Linux only; the doctor says what then works
        if line:
            lines.append(line)
    return lines


def version_warning(name: str, found: str) -> str | None:
    """What to say about one version; None for the tested one, whatever its last number."""
    tested, oldest = TESTED[name], OLDEST[name]
    if _release(found) == _release(tested):
        return None
    if _release(found) < _release(oldest):
        return (
            f"{name} {found} is too old: the course needs {oldest} or later and was tested with "
            f"{tested}. `make setup` installs that one."
        )
    return (
        f"{name} {found} is not the version that the course was tested with, {tested}. It should "
        "work; if something looks wrong, `make setup` installs the tested one."
    )


def _release(text: str) -> tuple[int, int]:
    """(2, 13) from "2.13.0+cpu": the last number brings repairs only."""
    major, minor = text.split("+")[0].split(".")[:2]
    return int(major), int(minor)
