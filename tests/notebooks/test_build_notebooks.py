"""The builder, on a chapter in small: what goes where, what is stale, what it refuses."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import build_notebooks
import nbformat
import notebook_questions
import numpy as np
import pytest
from notebook_pictures import smaller_png
from notebook_run import OutputError, clean, foreign
from notebook_source import SourceError, project, read_source
from PIL import Image

SAMPLE = Path(__file__).parent / "sample"
TEXT = (SAMPLE / "chapters" / "98_sample.py").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(SAMPLE, root, dirs_exist_ok=True)
    assert build_notebooks.main([], root) == 0
    return root


@pytest.fixture
def course(built, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(built, tmp_path / "course"))


def read(root, kind):
    return nbformat.read(root / kind / "98_sample.ipynb", as_version=4)


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def stale(root, capsys):
    code = build_notebooks.main(["--check"], root)
    printed = capsys.readouterr().out
    found = printed.split(": ")[1].split() if printed else []
    assert bool(found) == bool(code)
    return [name.strip(",") for name in found]


# what goes where


def test_the_chapter_states_and_links_and_shows_no_answer(built):
    text = "\n".join(sources(read(built, "chapters")))
    assert "### Exercise 98.1: twice" in text and "The end." in text
    assert text.count("(../exercises/98_sample.ipynb)") == 1  # on top
    for n in (1, 2):  # under each statement
        assert f"(../exercises/98_sample.ipynb#cell-id=exercise-98-{n}-statement)" in text
    assert "Run this cell first" not in text
    assert "def twice" not in text and "answer_in_the_sample" not in text


def test_the_exercises_have_stubs_and_no_outputs(built):
    notebook = read(built, "exercises")
    text = "\n".join(sources(notebook))
    assert '    """Twice x."""\n    raise NotImplementedError' in text
    assert "    def __call__(self, x):\n        raise NotImplementedError" in text
    assert "answer_in_the_sample" not in text and "SOLUTION" not in text and "The end." not in text
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert "(../chapters/98_sample.ipynb)" in text and "(../solutions/98_sample.ipynb)" in text


def test_the_solutions_are_filled_in_and_pass(built):
    notebook = read(built, "solutions")
    assert (
        "    answer_in_the_sample = x + x\n    return answer_in_the_sample" in sources(notebook)[4]
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output["text"] for output in outputs] == ["passed\n", "passed\n"]


@pytest.mark.parametrize("kind", ["exercises", "solutions"])
def test_cells_say_what_they_are_and_keep_their_names(built, kind):
    cells = read(built, kind).cells
    roles = [(c.id, c.metadata.simplex.exercise, c.metadata.simplex.role) for c in cells[3:6]]
    assert roles == [
        ("exercise-98-1-statement", "98.1", "statement"),
        ("exercise-98-1-stub", "98.1", "stub"),
        ("exercise-98-1-check", "98.1", "check"),
    ]


@pytest.mark.parametrize("kind", ["exercises", "solutions"])
def test_the_first_cell_asks_to_be_run_and_each_exercise_leads_back(built, kind):
    cells = read(built, kind).cells
    assert [c.source for c in cells].index("**Run this cell first.**") == 1
    assert cells[2].cell_type == "code" and cells[2].source.startswith("import os")
    back = "(../chapters/98_sample.ipynb#cell-id=exercise-98-1-statement)"
    assert cells[3].source.endswith(f"[Back to this place in the chapter]{back}")


@pytest.mark.parametrize("kind", ["chapters", "exercises", "solutions"])
def test_links_to_a_cell_find_it(built, kind):
    text = "\n".join(sources(read(built, kind)))
    links = re.findall(r"\(\.\./(\w+)/98_sample\.ipynb#cell-id=([\w-]+)\)", text)
    assert len(links) == 2
    assert all(name in {cell.id for cell in read(built, there).cells} for there, name in links)


def test_a_check_cell_imports_check_unless_the_chapter_has_its_own(built, tmp_path):
    assert 'check("98.1", twice)' in sources(read(built, "exercises"))
    file = tmp_path / "98_sample.py"
    shared = '# %% tags=["shared"]\n'
    several = "from simplex_lib.course import (\n    check,\n    hint,\n)\n"
    file.write_text(TEXT.replace(shared, f"{shared}{several}"))
    for kind in ("exercises", "solutions"):
        wanted = 'from simplex_lib.course import check\n\ncheck("98.1", twice)'
        assert wanted in sources(project(read_source(file), kind))


def test_the_last_exercise_leads_to_the_next_chapter_if_there_is_one(tmp_path):
    file = tmp_path / "01_sample.py"
    file.write_text(TEXT.replace("98.", "1."))

    def last(kind):
        return build_notebooks.wanted(read_source(file), kind, None).cells[-1].source

    before = build_notebooks.wanted(read_source(file), "exercises", None).metadata.simplex
    assert last("exercises") == last("chapters") and "Next" not in last("exercises")
    (tmp_path / "02_other.py").write_text(TEXT.replace("98.", "2."))
    link = "**Next:** [02 Trilinear attention](../chapters/02_other.ipynb)."
    assert (
        link in last("exercises") and link in last("solutions") and "Next" not in last("chapters")
    )
    after = build_notebooks.wanted(read_source(file), "exercises", None).metadata.simplex
    assert before.content_hash == after.content_hash  # no newer version for a learner


def test_a_prediction_hides_its_answer(built):
    assert 'predict("98.1")' in sources(read(built, "chapters"))
    file = built / "simplex_lib" / "data" / "questions" / "98.json"
    (entry,) = json.loads(file.read_text()).values()
    assert entry["question"] == "What is twice 3, and why?"
    assert entry["options"][2] == {"text": "6", "right": True, "why": "It is 3 + 3."}
    assert not entry["options"][0]["right"]


@pytest.mark.parametrize("kind", ["chapters", "exercises", "solutions"])
def test_every_notebook_says_where_it_comes_from(built, kind):
    notebook = read(built, kind)
    assert "Generated from `chapters/98_sample.py`" in notebook.cells[-1].source
    assert "Generated" not in notebook.cells[0].source  # the page does not open with bookkeeping
    assert notebook.metadata.kernelspec.name == "python3"
    assert ("receipt" in notebook.metadata.simplex) == (kind != "exercises")
    assert "A chapter in small" not in "".join(sources(notebook))  # a word to the author


def test_the_receipt_names_the_machine_but_not_its_name(built):
    receipt = read(built, "chapters").metadata.simplex.receipt
    assert set(receipt) == {"date", "seconds", "versions", "machine"}
    assert set(receipt["machine"]) == {"cpu", "cores"}
    assert receipt["versions"]["torch"] and receipt["seconds"] > 0
    top = read(built, "chapters").cells[0].source
    assert re.match(r"About \d+ minutes? to read; runs in \d+ s on \d+ cores?", top)


# what is stale


def test_what_was_just_built_is_not_stale(built, capsys):
    assert stale(built, capsys) == []


def test_a_changed_source_makes_everything_stale(course, capsys):
    source = course / "chapters" / "98_sample.py"
    source.write_text(TEXT.replace("The end.", "The end of it."))
    kinds = [f"{kind}/98_sample.ipynb" for kind in ("chapters", "exercises", "solutions")]
    assert stale(course, capsys) == kinds


def test_a_changed_builder_makes_everything_stale(course, capsys, monkeypatch):
    monkeypatch.setattr(build_notebooks, "BUILDER", ("build_notebooks.py",))
    assert len(stale(course, capsys)) == 3


def test_line_ends_do_not_count(course, capsys):
    source = course / "chapters" / "98_sample.py"
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    assert stale(course, capsys) == []


@pytest.mark.parametrize("kind", ["chapters", "exercises", "solutions"])
def test_a_notebook_edited_by_hand_is_stale(course, capsys, kind):
    notebook = read(course, kind)
    notebook.cells[1].source += "\n# mine"
    nbformat.write(notebook, course / kind / "98_sample.ipynb")
    assert stale(course, capsys) == [f"{kind}/98_sample.ipynb"]


def test_the_receipt_does_not_count(course, capsys):
    notebook = read(course, "solutions")
    notebook.metadata.simplex.receipt["seconds"] = 99
    nbformat.write(notebook, course / "solutions" / "98_sample.ipynb")
    assert stale(course, capsys) == []


def test_outputs_in_an_exercise_and_none_in_a_chapter_are_stale(course, capsys):
    chapter, exercise = read(course, "chapters"), read(course, "exercises")
    for cell in chapter.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    exercise.cells[1].outputs = [nbformat.v4.new_output("stream", text="x")]
    nbformat.write(chapter, course / "chapters" / "98_sample.ipynb")
    nbformat.write(exercise, course / "exercises" / "98_sample.ipynb")
    assert stale(course, capsys) == ["chapters/98_sample.ipynb", "exercises/98_sample.ipynb"]


def test_missing_and_orphaned_files_are_stale_and_building_mends_both(course, capsys):
    (course / "simplex_lib" / "data" / "questions" / "98.json").unlink()
    (course / "exercises" / "98_sample.ipynb").rename(course / "exercises" / "97_gone.ipynb")
    assert stale(course, capsys) == [
        "simplex_lib/data/questions/98.json",
        "exercises/98_sample.ipynb",
        "exercises/97_gone.ipynb",
    ]
    assert build_notebooks.main([], course) == 0
    capsys.readouterr()
    assert stale(course, capsys) == []
    assert not (course / "exercises" / "97_gone.ipynb").exists()


def test_only_wants_a_chapter_that_exists(course, capsys):
    assert build_notebooks.main(["--only", "97"], course) == 2
    assert "there are 98_sample" in capsys.readouterr().out


# what it refuses

BEGIN, END = "    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n"
STUB = '# %% tags=["exercise"]\n'


@pytest.mark.errors
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (END, "", "has unbalanced solution markers: ### BEGIN SOLUTION"),
        (BEGIN, "", "has unbalanced solution markers: ### END SOLUTION"),
        (BEGIN, BEGIN + BEGIN, "has unbalanced solution markers"),
        ("### Exercise 98.1: twice", "### twice", 'no "### Exercise 2.1: title" stands above it'),
        ("### Exercise 98.2", "### Exercise 98.1", "exercise 98.1 has a heading already"),
        ("### Exercise 98.1", "### Exercise 97.1", "exercise 97.1 does not belong to 98_sample"),
        ('check("98.2", Thrice())', "Thrice()", "98.2 has no cell with check"),
        ('check("98.2", Thrice())', 'check("98.1", twice)', "checks 98.1, but stands in"),
        (f'\n\n{STUB}check("98.1", twice)', 'check("98.1", twice)', "both an answer and a check"),
        ("        ### BEGIN SOLUTION\n        return 3 * x\n        ### END SOLUTION\n",
         "        return 3 * x\n", "98.2 has no cell with solution markers"),
        ("    def __call__(self, x):\n        ### BEGIN SOLUTION\n        return 3 * x\n    ",
         "    ### BEGIN SOLUTION\n    three = 3\n", "has a solution outside of a function"),
        ('# %% tags=["shared"]', '# %% tags=["shared", "exercise"]', "it can have only one"),
        ("1 + 1", "### BEGIN SOLUTION", "has a solution marker but not the tag exercise"),
        ("# A sample chapter", "A sample chapter", "has no title"),
        ('"5": "That is 3 + 2."', '"5": reason', "plain strings, no variables"),
        ('"5": "That is 3 + 2."', '"5": f"That is {3} + 2."', "plain strings, no variables"),
        ('"5": "That is 3 + 2."', '"5": ""', "must explain why '5' is wrong"),
        ('"5": "That is 3 + 2."', '"5": True', "exactly one right option; got 2"),
        ('"9": "That is 3 times 3."', '"5": "Or 4 + 1."', "offers the same option twice"),
        ('"5": "That is 3 + 2."', "5: 'That is 3 + 2.'", "must give its options as strings"),
        ("predict(\n", "x = predict(\n", "must hold one call, predict(question, options)"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_in_order(tmp_path, old, new, says):
    assert old in TEXT
    file = tmp_path / "98_sample.py"
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(SourceError, match=re.escape(says)) as caught:
        read_source(file)
    assert "98_sample.py" in str(caught.value)


@pytest.mark.errors
def test_a_predict_cell_that_calls_something_else():
    with pytest.raises(SourceError, match="two arguments"):
        notebook_questions.read_question('ask("?", {})', "here")
    with pytest.raises(SourceError, match="at least three options; got 2"):
        notebook_questions.read_question('predict("?", {"a": "no", "b": True})', "here")


@pytest.mark.errors
def test_a_chapter_that_shows_a_solution_is_refused(tmp_path):
    file = tmp_path / "98_sample.py"
    told = "answer_in_the_sample = x + x\n# as said\n    return answer_in_the_sample"
    file.write_text(TEXT.replace("The end.", f"```python\n{told}\n```"))
    source = read_source(file)
    with pytest.raises(SourceError, match="the chapter shows a solution"):
        build_notebooks._require_no_answers(source, project(source, "chapters"))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1 / 0", "chapters/98_sample.ipynb stopped.*ZeroDivisionError"),
        ("import sys; print(sys.executable)", "a path or the name of this machine"),
        ("object()", "an address in memory"),
        (
            r"print('fifty characters of one output, again and again\n' * 12_000)",
            "500 kB is the limit",
        ),
    ],
)
def test_a_chapter_that_must_not_be_stored(course, capsys, cell, says):
    source = course / "chapters" / "98_sample.py"
    source.write_text(TEXT.replace("1 + 1", cell))
    assert build_notebooks.main([], course) == 1
    assert re.search(says, capsys.readouterr().out, re.S)


@pytest.mark.errors
def test_a_solution_that_does_not_pass_its_check_is_refused(course, capsys):
    source = course / "chapters" / "98_sample.py"
    source.write_text(TEXT.replace("return 3 * x", "return 4 * x"))
    assert build_notebooks.main([], course) == 1
    printed = capsys.readouterr().out
    assert "solutions/98_sample.ipynb stopped" in printed and "98.2 is not solved" in printed


def test_widget_views_and_state_are_taken_out():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "Box()"}
    outputs = [
        nbformat.v4.new_output("display_data", data=dict(view)),
        nbformat.v4.new_output("display_data", data=view | {"text/html": "<p>seen</p>"}),
    ]
    notebook = nbformat.v4.new_notebook(metadata={"widgets": {"state": {}}})
    notebook.cells = [nbformat.v4.new_code_cell("box", outputs=outputs)]
    clean(notebook, "a notebook")
    (kept,) = notebook.cells[0].outputs
    assert set(kept["data"]) == {"text/plain", "text/html"} and "widgets" not in notebook.metadata


def test_pictures_become_small_but_keep_their_colours():
    rng = np.random.default_rng(0)
    flat = np.repeat(np.repeat(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8), 20, 0), 20, 1)
    noise = rng.integers(0, 255, (50, 50, 3), dtype=np.uint8)
    opaque = np.dstack([flat, np.full(flat.shape[:2], 255, np.uint8)])
    small = smaller_png(png(opaque))
    assert len(small) < len(png(opaque))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB"), dtype=int)
    assert np.abs(shown - flat).max() <= 8
    see_through = np.dstack([flat, np.full(flat.shape[:2], 100, np.uint8)])
    assert smaller_png(png(noise)) == png(noise)
    assert smaller_png(png(see_through)) == png(see_through)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.errors
def test_what_belongs_to_this_machine():
    here = Path(__file__).resolve().parents[2]
    assert foreign(f'File "{here}/simplex_lib/errors.py"') and foreign("see ~/.config/x")
    assert foreign("<Generator at 0x7f1234567890>")
    assert not foreign("k / s and ../exercises/02.ipynb at 0x7f")
    notebook = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("stream", text=str(here))
    notebook.cells = [nbformat.v4.new_code_cell("print()", outputs=[output])]
    with pytest.raises(OutputError, match="a notebook, cell 1: its output holds a path"):
        clean(notebook, "a notebook")
