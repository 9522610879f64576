"""One chapter source to three notebooks: which cell goes where, and what becomes of it.

`project(source, kind)` is the rule. Read it first, then `read_source`, which finds every mistake
an author can make in the percent file and says what it is.

    tag in the source   chapters/            exercises/     solutions/
    none                yes                  -              -
    shared              yes                  yes            yes
    exercise            the text only        stub, check    answer, check
    predict             predict("02.1")      -              -

A statement and its exercise link to each other by the name of their cell, which no title changes.
"""

import ast
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jupytext
import nbformat
from notebook_questions import Entry, SourceError, read_question

Kind = Literal["chapters", "exercises", "solutions"]
KINDS: tuple[Kind, ...] = ("chapters", "exercises", "solutions")
PLACING_TAGS = {"shared", "exercise", "predict"}

HEADING = re.compile(r"^### Exercise (\d+\.\d+): (.+)$", re.M)
CHECK = re.compile(r"""^check\(\s*["'](\d+\.\d+)["']""", re.M)
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SOLUTION = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(.*?)^[ \t]*{END}[ \t]*$", re.S | re.M)
MARKER_LINE = re.compile(rf"^[ \t]*(?:{BEGIN}|{END})[ \t]*\n?", re.M)
RUN_FIRST = "**Run this cell first.**"
IMPORT_CHECK = "from simplex_lib.course import check"


@dataclass
class Cell:
    """One cell of the source with what the builder found out about it."""

    text: str
    is_markdown: bool
    place: str  # "chapter", "shared", "exercise" or "predict"
    tags: list[str]  # the tags that are not ours, kept in the notebooks
    exercise: str | None = None
    role: str | None = None  # "statement", "stub", "check", "extra"; "predict"
    question: str | None = None  # "02.1"


@dataclass
class Source:
    """A chapter file, read and found to be in order."""

    path: Path
    title: str
    cells: list[Cell]
    questions: dict[str, Entry] = field(default_factory=dict)
    exercises: dict[str, str] = field(default_factory=dict)  # id -> title

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    def solutions(self) -> list[str]:
        """The text between each pair of solution markers."""
        stubs = (cell.text for cell in self.cells if cell.role == "stub")
        return [block for text in stubs for _, block in SOLUTION.findall(text)]


def project(source: Source, kind: Kind) -> nbformat.NotebookNode:
    """The cells of one kind of notebook, without the cell on top and without outputs."""
    notebook = nbformat.v4.new_notebook()
    ids: set[str] = set()
    for cell in source.cells:
        text = _text_for(source, cell, kind)
        if text is None:
            continue
        if kind != "chapters" and cell is _first_shared(source):
            notebook.cells.append(nbformat.v4.new_markdown_cell(RUN_FIRST, id="run-first"))
        new_cell = nbformat.v4.new_markdown_cell if cell.is_markdown else nbformat.v4.new_code_cell
        metadata: dict[str, Any] = {"tags": cell.tags} if cell.tags else {}
        simplex = {"exercise": cell.exercise, "role": cell.role, "question": cell.question}
        if simplex := {key: value for key, value in simplex.items() if value is not None}:
            metadata["simplex"] = simplex
        notebook.cells.append(new_cell(text, id=_cell_id(cell, ids), metadata=metadata))
    return notebook


def _text_for(source: Source, cell: Cell, kind: Kind) -> str | None:
    """What this cell says in this kind of notebook; None where it has no place."""
    if cell.place in ("chapter", "predict"):
        return cell.text if kind == "chapters" else None
    if cell.place == "shared":
        return cell.text
    if cell.is_markdown:
        return _statement(source, cell, kind)
    if kind == "chapters":
        return None
    text = cell.text
    if cell.role == "check" and _check_is_of_the_course(source):
        text = f"{IMPORT_CHECK}\n\n{text}"  # a check runs, whatever was run before it
    if kind == "exercises":
        return SOLUTION.sub(r"\1raise NotImplementedError", text)
    return MARKER_LINE.sub("", text).rstrip()


def _statement(source: Source, cell: Cell, kind: Kind) -> str:
    """With a link to the same exercise in the other notebook under the last of its texts."""
    texts = [c for c in source.cells if c.role == "statement" and c.exercise == cell.exercise]
    if cell is not texts[-1]:
        return cell.text
    name = _exercise_cell(cell.exercise or "", "statement")
    words, other = {
        "chapters": ("Write it in the exercise notebook", "exercises"),
        "exercises": ("Back to this place in the chapter", "chapters"),
        "solutions": ("Back to this place in the chapter", "chapters"),
    }[kind]
    return f"{cell.text}\n\n[{words}](../{other}/{source.path.stem}.ipynb#cell-id={name})"


def _first_shared(source: Source) -> Cell | None:
    """The first code cell of the exercise notebook, with the imports."""
    cells = (c for c in source.cells if c.place == "shared" and not c.is_markdown)
    return next(cells, None)


def _check_is_of_the_course(source: Source) -> bool:
    """A shared cell imports `check`; it does not write one of its own."""
    shared = (c.text for c in source.cells if c.place == "shared" and not c.is_markdown)
    imports = (n for text in shared for n in ast.walk(ast.parse(text)))
    return any(
        isinstance(n, ast.ImportFrom)
        and n.module == "simplex_lib.course"
        and "check" in {name.name for name in n.names}
        for n in imports
    )


def _cell_id(cell: Cell, taken: set[str]) -> str:
    """Stable from build to build: an exercise's by its role, any other by what it says."""
    if cell.exercise and cell.role:
        stem = _exercise_cell(cell.exercise, cell.role)
    else:
        stem = f"{cell.place}-{hashlib.sha256(cell.text.encode()).hexdigest()[:10]}"
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    taken.add(name)
    return name


def _exercise_cell(exercise: str, role: str) -> str:
    return f"exercise-{exercise.replace('.', '-')}-{role}"


def read_source(path: Path) -> Source:
    """Read a percent file; a SourceError says which cell is not in order, and why."""
    notebook = jupytext.read(path, fmt="py:percent")
    if notebook.cells and _is_only_comment(notebook.cells[0]):
        del notebook.cells[0]  # a word to whoever edits the file
    source = Source(path, title="", cells=[])
    exercise: str | None = None
    for number, raw in enumerate(notebook.cells, start=1):
        first_line = raw.source.strip().split("\n")[0]
        where = f"{path.name}, cell {number} ({first_line[:50]!r})"
        tags = list(raw.metadata.get("tags", []))
        places = [tag for tag in tags if tag in PLACING_TAGS]
        if len(places) > 1:
            raise SourceError(where, f"has the tags {', '.join(places)}; it can have only one")
        if raw.cell_type not in ("markdown", "code"):
            raise SourceError(where, f"is a {raw.cell_type} cell; only markdown and code are kept")
        cell = Cell(
            text=raw.source,
            is_markdown=raw.cell_type == "markdown",
            place=places[0] if places else "chapter",
            tags=[tag for tag in tags if tag not in PLACING_TAGS],
        )
        if cell.place == "exercise":
            exercise = _read_exercise_cell(source, cell, exercise, where)
        elif BEGIN in cell.text or END in cell.text:
            raise SourceError(where, "has a solution marker but not the tag exercise")
        elif cell.place == "predict":
            cell.question = f"{source.number}.{len(source.questions) + 1}"
            source.questions[cell.question] = read_question(cell.text, where)
            cell.role, cell.text = "predict", f'predict("{cell.question}")'
        if not source.title and cell.is_markdown:
            heading = re.search(r"^# (.+)$", cell.text, re.M)
            source.title = heading[1].strip() if heading else ""
        source.cells.append(cell)
    _require_whole_exercises(source)
    return source


def _is_only_comment(cell: nbformat.NotebookNode) -> bool:
    lines = cell.source.strip().split("\n")
    return cell.cell_type == "code" and all(line.startswith("#") for line in lines)


def _read_exercise_cell(source: Source, cell: Cell, current: str | None, where: str) -> str:
    """Fill in role and exercise of a cell; return the id of the exercise it belongs to."""
    if cell.is_markdown and (heading := HEADING.search(cell.text)):
        current, title = str(heading[1]), str(heading[2])
        if current.split(".")[0] != str(int(source.number)):
            raise SourceError(where, f"exercise {current} does not belong to {source.path.name}")
        if current in source.exercises:
            raise SourceError(where, f"exercise {current} has a heading already")
        source.exercises[current] = re.sub(r"\s*(?:&nbsp;|\(\d).*$", "", title).strip()
    if current is None:
        raise SourceError(
            where, 'is tagged exercise, but no "### Exercise 2.1: title" stands above it'
        )
    checked = [] if cell.is_markdown else CHECK.findall(cell.text)
    if cell.is_markdown:
        cell.role = "statement"
        if BEGIN in cell.text or END in cell.text:
            raise SourceError(where, "has a solution marker in its text")
    elif BEGIN in cell.text or END in cell.text:
        cell.role = "stub"
        _require_sound_markers(cell.text, where)
        if checked:
            raise SourceError(where, "has both an answer and a check; give the check its own cell")
    else:
        cell.role = "check" if checked else "extra"
    if any(name != current for name in checked):
        raise SourceError(where, f"checks {checked[0]}, but stands in exercise {current}")
    cell.exercise = current
    return current


def _require_sound_markers(text: str, where: str) -> None:
    lines = [line.strip() for line in text.split("\n")]
    markers = [line for line in lines if line in (BEGIN, END)]
    if markers != [BEGIN, END] * (len(markers) // 2) or len(markers) % 2:
        raise SourceError(where, f"has unbalanced solution markers: {', '.join(markers)}")
    blocks = SOLUTION.findall(text)
    if any(not block.strip() for _, block in blocks):
        raise SourceError(where, "has an empty solution")
    stub = SOLUTION.sub(r"\1raise NotImplementedError", text)
    try:
        tree = ast.parse(stub)
    except SyntaxError as error:
        raise SourceError(where, f"is not Python once the answer is cut out: {error}") from error
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    inside = {id(node) for function in functions for node in ast.walk(function) if _is_stub(node)}
    if len(inside) < len(blocks):
        raise SourceError(where, "has a solution outside of a function: running all would stop")


def _is_stub(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and ast.unparse(node) == "raise NotImplementedError"


def _require_whole_exercises(source: Source) -> None:
    if not source.title:
        raise SourceError(source.path.name, 'has no title, a markdown line "# Title"')
    for exercise in source.exercises:
        roles = {cell.role for cell in source.cells if cell.exercise == exercise}
        for role, wish in (("stub", "solution markers"), ("check", f'check("{exercise}", ...)')):
            if role not in roles:
                raise SourceError(source.path.name, f"exercise {exercise} has no cell with {wish}")
