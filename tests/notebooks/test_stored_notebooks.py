"""The stored notebooks: current, small, without widget state, answers or this machine's paths."""

import json
import re
import warnings
from pathlib import Path
from urllib.parse import unquote

import build_notebooks
import nbformat
import pytest
from notebook_run import foreign

from simplex_lib import checks

from .stored import NAMES, ROOT, SOURCES, code_cells, load, source

STEMS = [path.stem for path in SOURCES]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "claims/**/*.md", "simplex_lib/**/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?:src|href)\s*=\s*["']([^"']+)""")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def test_the_notebooks_are_what_their_sources_say(capsys):
    code = build_notebooks.main(["--check"])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small(name):
    size = (ROOT / name).stat().st_size / 1000
    if size > build_notebooks.TARGET_KB:
        warnings.warn(f"{name} is {size:.0f} kB", stacklevel=1)
    assert size <= build_notebooks.LIMIT_KB


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_and_names_its_kernel(name):
    notebook = load(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_where_they_belong(name):
    cells = code_cells(name)
    if name.startswith("exercises/"):
        assert not any(cell.outputs or cell.execution_count for cell in cells)
        return
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_no_widget_state_and_no_machine(name):
    notebook = load(name)
    assert "widgets" not in notebook.metadata
    for cell in code_cells(name):
        for output in cell.outputs:
            assert not [kind for kind in output.get("data", {}) if "widget-view" in kind]
    assert not foreign("\n".join(build_notebooks.all_texts(notebook)))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_words_beside_them(name):
    for cell in code_cells(name):
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                html = "".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)
                plain = data.get("text/plain", "")
                assert html or not plain.startswith("<"), f"{cell.source}\nhas a picture only"


@pytest.mark.parametrize("stem", STEMS)
def test_a_chapter_gives_no_answer_away(stem):
    notebook = load(f"chapters/{stem}.ipynb")
    shown = "".join(build_notebooks.squeeze(t) for t in build_notebooks.all_texts(notebook))
    for block in source(stem).solutions():
        answer = build_notebooks.squeeze(block)
        assert len(answer) < build_notebooks.SHORTEST_ANSWER or answer not in shown, block
    assert not [cell for cell in notebook.cells if "SOLUTION" in cell.source]
    roles = {cell.metadata.get("simplex", {}).get("role") for cell in notebook.cells}
    assert not roles & {"stub", "check", "extra"}


@pytest.mark.parametrize("stem", STEMS)
def test_the_exercises_of_a_chapter_are_those_of_its_checks(stem):
    known = {e.id: e.title for e in checks.exercises().values() if e.chapter == stem[:2]}
    assert source(stem).exercises == known


def test_every_check_has_a_chapter():
    assert {e.chapter for e in checks.exercises().values()} <= {stem[:2] for stem in STEMS}


@pytest.mark.parametrize("stem", STEMS)
def test_the_questions_of_a_chapter_are_on_file(stem):
    file = ROOT / "simplex_lib" / "data" / "questions" / f"{stem[:2]}.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    cells = (cell.metadata.get("simplex", {}) for cell in load(f"chapters/{stem}.ipynb").cells)
    assert [simplex["question"] for simplex in cells if "question" in simplex] == list(known)
    assert len(known) >= 2


@pytest.mark.parametrize("name", PAGES + NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    if page.suffix == ".md":
        texts = [page.read_text(encoding="utf-8")]
    else:
        markdown = [c.source for c in load(name).cells if c.cell_type == "markdown"]
        texts = [*markdown, *(text for text in html_outputs(name))]
    lost = [link for text in texts for link in links(text) if not leads_somewhere(page, link)]
    assert not lost


def html_outputs(name: str) -> list[str]:
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    return [output.get("data", {}).get("text/html", "") for output in outputs]


def links(text: str) -> list[str]:
    return [first or second for first, second in LINK.findall(CODE.sub("", text))]


def leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
        return True  # elsewhere: no test asks the network
    target, _, fragment = link.partition("#")
    if not target:
        return page.suffix != ".md" or unquote(fragment) in anchors(page)
    file = page.parent / unquote(target)
    if fragment and file.suffix == ".md" and file.exists():
        return unquote(fragment) in anchors(file)
    if fragment.startswith("cell-id=") and file.suffix == ".ipynb" and file.exists():
        cells = nbformat.read(file, as_version=4).cells
        return fragment.removeprefix("cell-id=") in {cell.id for cell in cells}
    return file.exists()


def anchors(page: Path) -> set[str]:
    """The names that web pages give to headings of a Markdown file, and those set by hand."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}
    return slugs | set(re.findall(r"""(?:id|name)=["']([^"']+)""", text))


def test_the_finder_of_links_finds_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One thing\n\n[a](b.md) ![c](d.png \"e\") <a href='f.md'> `[g](h)` [i](#x)")
    assert links(page.read_text()) == ["b.md", "d.png", "f.md", "#x"]
    assert leads_somewhere(page, "#one-thing") and leads_somewhere(page, "page.md#one-thing")
    assert not leads_somewhere(page, "#x") and not leads_somewhere(page, "b.md")
    assert not leads_somewhere(page, "page.md#two") and leads_somewhere(page, "https://x.org/y")
