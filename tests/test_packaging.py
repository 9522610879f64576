"""One list of dependencies, one lock, and nothing in the repository that belongs to one machine."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lock
import pytest
import setup
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from simplex_lib import versions

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN_TIME = [Requirement(line) for line in PROJECT["dependencies"]]
DEV = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]
LOCKED = dict(
    line.split("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if not line.startswith("#")
)
PACKAGE_OF = {"markdown_it": "markdown-it-py", "PIL": "pillow"}  # where the import has another name


def tracked_files() -> list[Path]:
    """The files in git; without git, what a checkout holds."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    hidden = {".git", ".venv", "work", ".pytest_cache", ".ruff_cache", "__pycache__", ".hypothesis"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.parts)]


def test_environment_yml_points_at_the_project_and_nothing_else():
    found = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert found["name"] == PROJECT["name"] and found["channels"] == ["conda-forge"]
    python, pip, pip_section = found["dependencies"]
    assert pip == "pip" and pip_section == {"pip": ["-c requirements.lock", "-e ."]}
    name, pin = python.split("=")
    assert name == "python" and SpecifierSet(PROJECT["requires-python"]).contains(pin)


def test_pyproject_is_the_only_list_of_dependencies():
    names = {p.name for p in tracked_files()}
    rivals = {"setup.cfg", "Pipfile", "poetry.lock", "uv.lock", "conda.yml", "tox.ini"}
    assert not names & rivals
    assert not [name for name in names if re.fullmatch(r"requirements.*\.txt", name)]
    assert not (ROOT / "setup.py").exists()


@pytest.mark.parametrize("requirement", RUN_TIME + DEV, ids=lambda r: r.name)
def test_the_lock_holds_what_pyproject_asks_for(requirement):
    assert requirement.specifier.contains(LOCKED[requirement.name.lower()])


def test_the_lock_is_exact_versions_and_nothing_else():
    assert all(re.fullmatch(r"\d[\w.!]*", version) for version in LOCKED.values())
    assert not [name for name in LOCKED if name.startswith(("nvidia", "cuda"))]
    assert LOCKED["torch"] == "2.13.0" and LOCKED["triton"] == "3.7.1"


def test_the_lock_writer_leaves_out_builds_and_the_course():
    lines = lock.lock().splitlines()
    assert f"torch=={versions.version('torch').split('+')[0]}" in lines
    assert not [line for line in lines if "+" in line or line.startswith("simplex-course")]


def test_triton_is_asked_for_on_linux_only():
    (triton,) = (r for r in RUN_TIME if r.name == "triton")
    assert triton.marker is not None
    assert triton.marker.evaluate({"sys_platform": "linux"})
    assert not triton.marker.evaluate({"sys_platform": "darwin"})
    assert not triton.marker.evaluate({"sys_platform": "win32"})


def test_tested_and_oldest_versions_are_those_of_the_project():
    assert {name: LOCKED[name] for name in versions.TESTED} == versions.TESTED
    floors = {r.name: str(r.specifier).removeprefix(">=") for r in RUN_TIME}
    assert {name: floors[name] for name in versions.OLDEST} == versions.OLDEST


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "found", "says"),
    [
        ("torch", "2.13.0+cpu", None),
        ("torch", "2.13.1", None),
        (
            "torch",
            "2.15.0",
            "torch 2.15.0 is not the version that the course was tested with, ",
        ),
        ("torch", "2.9.1", "torch 2.9.1 is too old: the course needs 2.11 or later"),
        ("triton", "3.9.0", "triton 3.9.0 is not the version that the course was tested with, "),
    ],
)
def test_version_warning(name, found, says):
    line = versions.version_warning(name, found)
    assert line is None if says is None else line is not None and line.startswith(says)


def test_version_warnings_without_triton(monkeypatch):
    def version(name):
        if name == "triton":
            raise versions.PackageNotFoundError(name)
        return "2.14.0"

    monkeypatch.setattr(versions, "version", version)
    (line,) = versions.version_warnings()
    assert line.startswith("torch 2.14.0")


def test_what_the_library_imports_is_declared():
    only_when_building = {"matplotlib", "pillow"}  # the pictures in stored notebooks
    declared = {r.name.lower() for r in RUN_TIME} | only_when_building
    missing = set()
    for file in (ROOT / "simplex_lib").rglob("*.py"):
        for name in imported(file):
            package = PACKAGE_OF.get(name, name).lower()
            if name not in sys.stdlib_module_names | {"simplex_lib"} and package not in declared:
                missing.add(f"{file.relative_to(ROOT)} imports {name}")
    assert not missing


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_no_tracked_file_names_a_registry_or_a_place_on_one_machine():
    # put together here, so that this file does not find itself
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "download." + "pytorch", "npmjs" + ".org"]
    hosts += ["anaconda" + ".org", "cdn." + "jsdelivr", "unpkg" + ".com"]
    folders = [rf"/{name}/\w" for name in ("home", "Users", "root")] + [r"/tmp/ipy", r"\.pyenv"]
    pattern = re.compile("|".join([*map(re.escape, hosts), *folders, re.escape(str(ROOT))]))
    found = []
    for file in tracked_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if file != Path(__file__) and (match := pattern.search(text)):
            found.append(f"{file.relative_to(ROOT)}: {match[0]}")
    assert not found


def test_the_makefile_names_each_target_that_is_no_file():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    assert sorted(phony.split()) == sorted(re.findall(r"^([\w-]+):(?!=)", makefile, re.M))
    wanted = "setup lab test check notebooks test-slow test-gpu bench lock"
    assert set(wanted.split()) <= set(phony.split())


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A course without .venv; the list of what setup runs in it."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'\n[tool.b]\nc = 1\n")
    (tmp_path / "requirements.lock").write_text("torch==2.13.0")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(setup, "make_venv", lambda: "python")
    commands: list[list[str]] = []
    monkeypatch.setattr(setup, "run", commands.append)
    return tmp_path, commands


def test_setup_installs_once_and_again_when_the_lock_changes(bare):
    folder, commands = bare
    setup.install("", None)
    (folder / "pyproject.toml").write_text("[project]\nname = 'a'\n[tool.b]\nc = 2\n")
    setup.install("", None)
    assert [command[-4:] for command in commands] == [["-c", "requirements.lock", "-e", "."]]
    (folder / "requirements.lock").write_text("torch==2.14.0")
    setup.install("", None)
    assert len(commands) == 2


def test_setup_takes_torch_from_the_index_it_is_given(bare):
    _, commands = bare
    setup.install("dev", "https://an.index")
    first, second = commands
    assert first[-5:] == ["-c", "requirements.lock", "torch", "--index-url", "https://an.index"]
    assert second[-2:] == ["-e", ".[dev]"]


def test_setup_that_failed_is_tried_again(bare, monkeypatch):
    _, commands = bare
    monkeypatch.setattr(setup, "run", lambda command: sys.exit(1))
    with pytest.raises(SystemExit):
        setup.install("", None)
    monkeypatch.setattr(setup, "run", commands.append)
    setup.install("", None)
    assert len(commands) == 1


@pytest.mark.errors
def test_setup_names_a_program_that_is_missing(bare, monkeypatch):
    folder, _ = bare
    monkeypatch.setattr(setup, "BIN", folder / ".venv" / "bin")
    with pytest.raises(SystemExit, match=r"pytest is not in .*bin; does it need --dev"):
        setup.become(["pytest"])
