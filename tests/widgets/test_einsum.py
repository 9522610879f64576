"""Mirrors simplex_lib/widgets/einsum*.py: torch.einsum is the truth."""

import pytest
import torch

from simplex_lib.widgets.einsum import explore_einsum
from simplex_lib.widgets.einsum_loops import einsum_payload
from simplex_lib.widgets.einsum_view import OWN, PRESETS, board

EQUATIONS = [*PRESETS.values(), "ii->i", "ii->", "i,i->", "abc->cab", "ij,ij,ij->", "i->i"]


def tensor(operand):
    x = torch.zeros(operand.shape, dtype=torch.long)
    for cell, number in operand.numbers.items():
        x[cell] = number
    return x


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_result_equals_torch(equation):
    p = einsum_payload(equation)
    expected = torch.einsum(equation, *map(tensor, p.inputs))
    assert torch.equal(tensor(p.out), expected) and tuple(expected.shape) == p.out.shape


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_lit_cells_are_those_the_result_depends_on(equation):
    count = len(einsum_payload(equation).out.numbers)
    for number in {0, count // 2, count - 1}:
        p = einsum_payload(equation, cell=number)
        inputs = [tensor(x).double().requires_grad_() for x in p.inputs]
        torch.einsum(equation, *inputs)[p.cell].backward()
        for x, lit in zip(inputs, p.lit, strict=True):
            assert lit == [tuple(at) for at in x.grad.nonzero().tolist()]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_loops_run_and_give_the_result(equation):
    p = einsum_payload(equation)
    names = {x.name: tensor(x) for x in p.inputs} | {"out": torch.zeros(p.out.shape, dtype=int)}
    exec(p.loops, names)
    assert torch.equal(names["out"], tensor(p.out))


def test_what_happens_to_each_letter_and_what_it_costs():
    p = einsum_payload("id,jd,kd->ijk")
    assert {x.letter: (x.size, x.inputs, x.fate) for x in p.letters} == {
        "i": (3, ["A"], "kept"),
        "j": (4, ["B"], "kept"),
        "k": (2, ["C"], "kept"),
        "d": (2, ["A", "B", "C"], "matched, then summed"),
    }
    assert (p.multiplications, p.additions) == (3 * 4 * 2 * 2 * 2, 3 * 4 * 2)
    p = einsum_payload("bij,bjk->bik")
    assert {x.letter: x.fate for x in p.letters}["b"] == "matched, then kept"


def test_sentences():
    p = einsum_payload("ij,jk->ik", "2x2,2x2", cell=1)
    a, b = (x.numbers for x in p.inputs)
    assert p.sentence == (
        "out[0, 1] = A[0, 0]·B[0, 1] + A[0, 1]·B[1, 1] = "
        f"{a[0, 0]}·{b[0, 1]} + {a[0, 1]}·{b[1, 1]} = {a[0, 0] * b[0, 1] + a[0, 1] * b[1, 1]}. "
        "Cells meet where they have the same j, and the sum runs along j. "
        "(2, 2) and (2, 2) give (2, 2), in 8 multiplications and 4 additions."
    )
    words = {equation: einsum_payload(equation).sentence for equation in EQUATIONS}
    assert words["ij->"].startswith("out = A[0, 0] + A[0, 1] + … + A[2, 3] = ")
    assert (
        "so nothing meets, and the sum runs along i and j. (3, 4) gives one number" in words["ij->"]
    )
    assert "every cell meets every other, and nothing is summed" in words["i,j->ij"]
    assert "only the diagonal is read, and nothing is summed. (3, 3) gives (3)." in words["ii->i"]


@pytest.mark.parametrize(
    "sizes", [dict(i=2, j=5, d=3), [(2, 5), (5, 3)], "2x5, 5x3", "(2×5),[5 * 3]", ((2, 5), (5, 3))]
)
def test_sizes_in_all_forms(sizes):
    assert einsum_payload("ij,jd->id", sizes).out.shape == (2, 3)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij,jk", "equation must have an arrow -> .* got 'ij,jk'"),
        ("ij->k", "k is in no input, so nothing says how far it runs; got 'ij->k'"),
        ("ij->ii", "each letter once in the result: i stands there 2 times; got 'ij->ii'"),
        ("i1->i", "small letters, commas and one arrow ->; got '1' in 'i1->i'"),
        ("IJ->J", "small letters, commas and one arrow ->; got 'I' in 'IJ->J'"),
        ("...i->i", r"small letters, commas and one arrow ->; got '\.' in"),
        ("i->j->i", "one arrow ->; got 'i->j->i'"),
        ("ij,->i", "letters for every input, between commas too; got 'ij,->i'"),
        ("->", "letters for every input"),
        ("i,j->i,j", "one result, so no comma after the arrow"),
        ("a,b,c,d->a", "at most 3 inputs to be drawn"),
        ("abcd->a", "at most 3 letters for a tensor to be drawn; got 'abcd' in 'abcd->a'"),
        ("abc,def->a", "at most 5 different letters"),
        (None, "equation must be text, as in 'ij,jk->ik'; got None"),
    ],
)
def test_a_wrong_equation_gets_a_sentence(equation, message):
    with pytest.raises(ValueError, match=message):
        einsum_payload(equation)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("3x4, 5x2", "sizes must agree on j: it is 4 in A, and it cannot be 5 in B; got 3×4, 5×2"),
        ("3x4x2, 4x2", "sizes must give A one number a letter of 'ij', 2 in all; got 3×4×2"),
        ("3x4", "sizes must be 2 shapes, one an input; got 1"),
        ("9x4, 4x2", "sizes must be whole numbers from 1 to 6; got i = 9"),
        ([(3, 0), (0, 2)], "sizes must be whole numbers from 1 to 6; got j = 0"),
        ("three", "sizes must be a shape an input, as in 3x4, 4x2; got 'three'"),
        (dict(i=2.5), "sizes must be whole numbers from 1 to 6; got i = 2.5"),
        (dict(z=2), "sizes must be of letters of the inputs; got 'z'"),
        (7, "sizes must be a shape an input, .* got int 7"),
        ([3, 4], "sizes must be a shape an input, .* got"),
    ],
)
def test_wrong_sizes_get_a_sentence(sizes, message):
    with pytest.raises(ValueError, match=message):
        einsum_payload("ij,jd->id", sizes)


@pytest.mark.errors
def test_a_cell_outside_the_result_is_refused():
    with pytest.raises(ValueError, match=r"cell must be a whole number from 0 to 5, .* got 6"):
        explore_einsum(cell=6)


def test_a_smaller_result_brings_the_cell_back():
    widget = explore_einsum(cell=5)
    widget.change(equation="ij->i")
    assert widget.choices == dict(equation="ij->i", sizes="", cell=0)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_still_form_and_board(equation):
    widget = explore_einsum(equation)
    assert widget.still().startswith(b"\x89PNG")
    p = widget.seen
    assert board(p).count("data-cell") == len(p.out.numbers)
    assert board(p).count("sx-lit") == 1 + sum(map(len, p.lit))
    assert widget.table().count("<tr") == 1 + len(p.letters)


def test_the_view_follows_typing_examples_clicks_and_code():
    widget = explore_einsum()
    widget.live()
    view = widget._view
    view.picture.clicked = "2,1"
    assert widget.seen.cell == (2, 1) and view.controls["cell"].value == 5
    view.controls["equation"].value = "ij,jd->i"
    assert widget._presets.value == OWN and view.controls["cell"].max == 2
    before = view.picture.value
    view.controls["equation"].value = "ij,jd->iz"
    assert "⚠ equation must take" in view.sentence.value and view.picture.value == before
    view.controls["equation"].value = "ij,jd->i"
    assert "⚠" not in view.sentence.value
    view.controls["sizes"].value = "2x3, 3x3"
    assert widget.seen.out.shape == (2,)
    widget._presets.value = "ij->"
    assert widget.choices == dict(equation="ij->", sizes="", cell=0)
    view.controls["cell"].value = 1  # the slider of a single cell still has two ends
    assert "⚠ cell must be" in view.sentence.value
    widget.change(equation="ij,jd->id", cell=3)
    assert view.controls["equation"].value == "ij,jd->id" == widget._presets.value
