"""Turn each chapters/NN_topic.py into its chapter, exercise and solution notebook.

python tools/build_notebooks.py             build and execute all
python tools/build_notebooks.py --only 00   one chapter (several: --only 00 01)
python tools/build_notebooks.py --check     execute and write nothing; list what is stale
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from notebook_questions import SourceError
from notebook_run import KERNELSPEC, LANGUAGE, OutputError, clean, cores, execute
from notebook_source import KINDS, Kind, Source, project, read_source

from simplex_lib.course.chapters import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]
BUILDER = tuple(sorted(path.name for path in Path(__file__).parent.glob("*notebook*.py")))
WORDS_PER_MINUTE = 220
CODE_LINES_PER_MINUTE = 12
TARGET_KB, LIMIT_KB = 100, 500
SHORTEST_ANSWER = 15  # characters without spaces; below that, likeness means nothing


def source_hash(path: Path) -> str:
    """Of the chapter and of the builder; line ends do not count."""
    digest = hashlib.sha256()
    for file in (path, *(Path(__file__).with_name(name) for name in BUILDER)):
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def content_hash(notebook: nbformat.NotebookNode) -> str:
    """Of what a reader came for: not the cells on top, with measured times, and at the end."""
    roles = [cell.metadata.get("simplex", {}).get("role") for cell in notebook.cells]
    kept = [c for c, role in zip(notebook.cells, roles, strict=True) if role not in ("top", "end")]
    cells = [(cell.cell_type, cell.source) for cell in kept]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def wanted(source: Source, kind: Kind, receipt: dict[str, Any] | None) -> nbformat.NotebookNode:
    """The notebook as it must be, but for its outputs."""
    notebook = project(source, kind)
    top = nbformat.v4.new_markdown_cell(_top(source, kind, notebook, receipt), id="top")
    top.metadata["simplex"] = {"role": "top"}
    notebook.cells.insert(0, top)
    end = nbformat.v4.new_markdown_cell(_end(source, kind), id="end")
    end.metadata["simplex"] = {"role": "end"}
    notebook.cells.append(end)
    notebook.metadata["kernelspec"], notebook.metadata["language_info"] = KERNELSPEC, LANGUAGE
    notebook.metadata["simplex"] = {
        "source_hash": source_hash(source.path),  # stale or not
        "content_hash": content_hash(notebook),  # new to a reader or not
    }
    if receipt:
        notebook.metadata["simplex"]["receipt"] = receipt
    return notebook


def _top(source: Source, kind: Kind, notebook: Any, receipt: dict[str, Any] | None) -> str:
    stem = source.path.stem
    links = {k: f"../{k}/{stem}.ipynb" for k in KINDS}
    if kind == "exercises":
        chapter, solutions = links["chapters"], links["solutions"]
        title = f"# {source.title}: exercises"
        return f"{title}\n\n[The chapter]({chapter}) · [Solutions]({solutions})"
    if kind == "solutions":
        title = f"# {source.title}: solutions"
        links_line = f"[The chapter]({links['chapters']}) · [Exercises]({links['exercises']})"
        return f"{title}\n\n{links_line}"
    count = reading_minutes(notebook)
    minutes = f"About {count} minute{'s' if count > 1 else ''} to read"
    if receipt:
        seconds, on = max(1, round(receipt["seconds"])), receipt["machine"]["cores"]
        minutes += f"; runs in {seconds} s on {on} core{'s' if on > 1 else ''}"
    exercises = f" · [Exercises]({links['exercises']})" if source.exercises else ""
    return f"{minutes}{exercises}"


def _end(source: Source, kind: Kind) -> str:
    """Where the notebook comes from and, below the last exercise, where to go on."""
    made = f"<small>Generated from `chapters/{source.path.stem}.py`.</small>"
    following = next(source.path.parent.glob(f"{int(source.number) + 1:02d}_*.py"), None)
    if kind == "chapters" or following is None:
        return made
    titles = {chapter.number: f"{chapter.number} {chapter.title}" for chapter in CHAPTERS}
    title = titles.get(following.stem[:2], following.stem)
    link = f"[{title}](../chapters/{following.stem}.ipynb)"
    return f"That was the last exercise of this chapter. **Next:** {link}.\n\n{made}"


def reading_minutes(notebook: nbformat.NotebookNode) -> int:
    """Words at a steady pace, lines of code at a slower one."""
    words = lines = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words += len(re.findall(r"\w[\w'-]*", cell.source))
        else:
            lines += sum(bool(line.strip()) for line in cell.source.split("\n"))
    return max(1, round(words / WORDS_PER_MINUTE + lines / CODE_LINES_PER_MINUTE))


def build(root: Path, source: Source) -> None:
    """Write the questions and the three notebooks of one chapter, executed."""
    _write_questions(root, source)
    for kind in sorted(KINDS, key=lambda kind: kind != "exercises"):  # they need no execution
        receipt = None
        notebook = wanted(source, kind, None)
        name = f"{kind}/{source.path.stem}.ipynb"
        if kind != "exercises":
            try:
                receipt = execute(notebook, strict=kind == "solutions")
            except OutputError as error:
                raise OutputError(f"{name} stopped.\n{error}") from error
            clean(notebook, name)
            top = wanted(source, kind, receipt)
            notebook.cells[0].source = top.cells[0].source
            notebook.metadata = top.metadata
        if kind == "chapters":
            _require_no_answers(source, notebook)
        target = root / name
        target.parent.mkdir(exist_ok=True)
        text = nbformat.writes(notebook) + "\n"
        size = len(text.encode()) / 1000
        if size > LIMIT_KB:
            raise OutputError(f"{name} is {size:.0f} kB; {LIMIT_KB} kB is the limit.")
        target.write_text(text, encoding="utf-8", newline="\n")
        note = f" (the target is {TARGET_KB} kB)" if size > TARGET_KB else ""
        took = f", ran in {receipt['seconds']} s on {cores()} cores" if receipt else ""
        print(f"{name}: {size:.0f} kB{note}{took}", flush=True)


def _require_no_answers(source: Source, notebook: nbformat.NotebookNode) -> None:
    """A chapter never gives an exercise's answer away, neither in a cell nor in an output."""
    shown = "\n".join(squeeze(text) for text in all_texts(notebook))
    for block in source.solutions():
        answer = squeeze(block).removeprefix("return")
        if len(answer) >= SHORTEST_ANSWER and answer in shown:
            name = source.path.name
            raise SourceError(name, f"the chapter shows a solution:\n{block.rstrip()}\n")


def all_texts(notebook: nbformat.NotebookNode) -> list[str]:
    """Every cell and every output that can be read as text."""
    texts = []
    for cell in notebook.cells:
        texts.append(cell.source)
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            data = output.get("data", {})
            texts += [str(text) for kind, text in data.items() if kind.startswith("text/")]
    return texts


def squeeze(code: str) -> str:
    """Code without comments and white space, so that layout does not hide a likeness."""
    lines = (re.sub(r"(^|\s)#.*$", "", line) for line in code.split("\n"))
    return re.sub(r"\s+", "", "".join(lines))


def _questions_file(root: Path, source: Source) -> Path:
    return root / "simplex_lib" / "data" / "questions" / f"{source.number}.json"


def _questions_text(source: Source) -> str:
    return json.dumps(source.questions, ensure_ascii=False, indent=1) + "\n"


def _write_questions(root: Path, source: Source) -> None:
    file = _questions_file(root, source)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_questions_text(source), encoding="utf-8", newline="\n")


def stale(root: Path, source: Source) -> list[str]:
    """The files of one chapter that are not what its source says."""
    found = []
    file = _questions_file(root, source)
    if not file.exists() or file.read_text(encoding="utf-8") != _questions_text(source):
        found.append(str(file.relative_to(root)))
    for kind in KINDS:
        name = f"{kind}/{source.path.stem}.ipynb"
        if not (root / name).exists():
            found.append(name)
            continue
        old = nbformat.read(root / name, as_version=4)
        ours = old.metadata.get("simplex", {})
        receipt = ours.get("receipt")
        new = wanted(source, kind, receipt)
        same = ours.get("source_hash") == new.metadata["simplex"]["source_hash"]
        has_outputs = any(cell.get("outputs") for cell in old.cells)
        if not same or content(old) != content(new) or has_outputs != bool(receipt):
            found.append(name)
    return found


def content(notebook: nbformat.NotebookNode) -> list[tuple[str, str, str, Any]]:
    return [(c.id, c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description="Build the notebooks from chapters/*.py.")
    parser.add_argument("--check", action="store_true", help="write nothing, list what is stale")
    parser.add_argument("--only", nargs="+", metavar="NN", help="these chapters only")
    options = parser.parse_args(arguments)
    paths = sorted((root / "chapters").glob("[0-9][0-9]_*.py"))
    chosen = [path for path in paths if not options.only or path.stem[:2] in options.only]
    if options.only and len(chosen) < len(set(options.only)):
        print(f"no such chapter; there are {', '.join(path.stem for path in paths)}")
        return 2
    found: list[str] = []
    try:
        for path in chosen:
            source = read_source(path)
            if options.check:
                found += stale(root, source)
            else:
                build(root, source)
    except (SourceError, OutputError) as error:
        print(error)
        return 1
    if not options.only:
        found += _without_source(root, {path.stem for path in paths}, remove=not options.check)
    if found:
        print("stale, run `make notebooks`: " + ", ".join(found))
    return 1 if found else 0


def _without_source(root: Path, stems: set[str], *, remove: bool) -> list[str]:
    """Notebooks whose chapter is gone: removed when building, reported when checking."""
    found = []
    for kind in KINDS:
        for file in sorted((root / kind).glob("*.ipynb")):
            if file.stem not in stems:
                found.append(str(file.relative_to(root)))
                if remove:
                    file.unlink()
    return [] if remove else found


if __name__ == "__main__":
    sys.exit(main())
