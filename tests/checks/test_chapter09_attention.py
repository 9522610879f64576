"""The checks of 9.4 and 9.5: more is caught than what is listed, and no sentence is false.

`python tests/checks/test_chapter09_attention.py` prints what a learner reads for every wrong
answer, listed or not.
"""

import inspect
import itertools
import linecache
import math
import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
import torch

from simplex_lib.attention.dot_product import dot_product_attention_with_lse
from simplex_lib.attention.trilinear import trilinear_attention_with_lse
from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch09_attention import truth_attention
from simplex_lib.checks.ch09_attention_common import (
    HEAVY,
    ORDERS,
    PAIR_ORDERS,
    SCALE,
    VERY_FAR,
)
from simplex_lib.checks.ch09_attention_kernels import careless_attention, right_attention
from simplex_lib.checks.ch09_attention_reads import stride_left_out, turned_round
from simplex_lib.checks.ch09_trilinear import truth_trilinear
from simplex_lib.checks.ch09_trilinear_kernels import careless_trilinear, right_trilinear
from simplex_lib.checks.engine import examine
from simplex_lib.checks.jit import tl, triton
from simplex_lib.triton_mode import triton_installed

IDS = ("9.4", "9.5")
needs_triton = pytest.mark.skipif(not triton_installed(), reason="kernels need triton")


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "09" and found.kind == "kernel"
    assert len(found.wrong) >= 8 and len(found.right) >= 3


@needs_triton
@pytest.mark.parametrize("exercise", IDS)
def test_every_wrong_answer_is_named_by_a_sentence_of_its_own(exercise):
    reports = confusion(exercises()[exercise])
    assert {name: report.cause for name, report in reports.items()} == {n: n for n in reports}
    sentences = [wrong.says for wrong in exercises()[exercise].wrong]
    assert len(set(sentences)) == len(sentences)
    assert not any(report.passed or "raised" in report.says for report in reports.values())


@needs_triton
@pytest.mark.parametrize("exercise", IDS)
def test_other_right_kernels_pass(exercise):
    for right in exercises()[exercise].right:
        report = examine(exercises()[exercise], right.answer, trust_chapters=True)
        assert report.passed, (right.name, report.message)
    assert check(exercise, exercises()[exercise].right[0].answer).cause == "library"


# what the truths stand for -----------------------------------------------------------------------


def row(*numbers):
    """(1, 1, s, 1)"""
    return torch.tensor(numbers, dtype=torch.float64)[None, None, :, None]


def test_the_examples_of_the_page_come_out():
    out, lse = truth_attention(row(1, 1), row(0, math.log(3)), row(4, 8), 1.0, 16, 16)
    torch.testing.assert_close(out, row(4, 7))
    torch.testing.assert_close(lse[..., None], row(0, math.log(4)))
    x = (row(1, 1), row(1, 2), row(0, math.log(2)), row(1, 2), row(8, 16))
    out, lse = truth_trilinear(*x, 2, 2, 1.0, 16, 16)
    torch.testing.assert_close(out, row(8, 23))
    torch.testing.assert_close(lse[..., None], row(0, math.log(8)))
    out, lse = truth_trilinear(*x, 2, 1, 1.0, 16, 16)
    torch.testing.assert_close(out, row(8, 160 / 6))
    torch.testing.assert_close(lse[..., None], row(0, math.log(6)))


@pytest.mark.parametrize("exercise", IDS)
def test_truths_equal_the_library(exercise):
    for case in exercises()[exercise].cases():
        x = {k: v.double() if torch.is_tensor(v) else v for k, v in case.arguments.items()}
        if exercise == "9.4":
            truth = truth_attention(**x)
            library = dot_product_attention_with_lse(
                x["q"], x["k"], x["v"], causal=True, scale=x["scale"]
            )
        else:
            truth = truth_trilinear(**x)
            five = [x[name] for name in ("q", "k1", "k2", "v1", "v2")]
            library = trilinear_attention_with_lse(*five, w1=x["w1"], w2=x["w2"], scale=x["scale"])
        for mine, want in zip(truth, library, strict=True):
            torch.testing.assert_close(mine, want, rtol=1e-9, atol=1e-9)


def test_pairs_with_one_neutral_key_are_dot_product_attention():
    x = exercises()["9.4"].cases()[4].arguments
    one = torch.ones_like(x["q"])
    pairs = truth_trilinear(x["q"], x["k"], one, x["v"], one, 99, 1, x["scale"], 16, 16)
    for mine, want in zip(pairs, truth_attention(**x), strict=True):
        torch.testing.assert_close(mine, want)


def test_the_future_does_not_leak_into_the_truth():
    x = dict(exercises()["9.5"].cases()[6].arguments)
    before = truth_trilinear(**x)
    for name in ("q", "k1", "k2", "v1", "v2"):
        x[name] = x[name].clone()
        x[name][:, :, 9:] = 1e3
    for mine, want in zip(truth_trilinear(**x), before, strict=True):
        torch.testing.assert_close(mine[:, :, :9], want[:, :, :9])


@pytest.mark.parametrize("exercise", IDS)
def test_cases_hold_what_kernels_stumble_over(exercise):
    cases = exercises()[exercise].cases()
    sizes = [case.sizes for case in cases]
    assert any(x["s"] == 1 for x in sizes) and any(1 < x["s"] < x["rows"] for x in sizes)
    assert any(x["s"] > x["rows"] and x["s"] % x["rows"] for x in sizes)
    assert any(x["s"] > x["keys"] and x["s"] % x["keys"] for x in sizes)
    assert any(x["d"] & (x["d"] - 1) for x in sizes) and any(x["d"] == 16 for x in sizes)
    assert any(x["b"] > 1 and x["h"] > 1 and x["b"] != x["h"] for x in sizes)
    assert all(case.arguments["scale"] != case.sizes["d"] ** -0.5 for case in cases)
    if exercise == "9.5":
        assert any(x["w1"] < x["w2"] <= x["s"] for x in sizes)
        assert any(x["s"] >= x["w1"] > x["w2"] for x in sizes)
        assert any(x["w1"] == 1 for x in sizes) and any(x["w2"] == 1 for x in sizes)
        assert any(x["w1"] > x["s"] for x in sizes) and any(x["w2"] > x["s"] for x in sizes)
    for case in cases:
        far = case.sizes["logits"]
        lse = exercises()[exercise].truth(**case.arguments)[1]
        if far:
            assert lse[:, :, ::2].max() < -0.9 * far
            assert case.sizes["s"] > 1 and lse[:, :, 1::2].min() > 0.9 * far
    largest = [x for x in cases[-1].arguments.values() if torch.is_tensor(x)]
    assert len({order_of(x) for x in largest}) == len(largest)
    assert {x["logits"] for x in sizes} == {0, 128, VERY_FAR} and SCALE == 0.75
    assert "logits = as drawn" in str(cases[0])
    assert sum("logits = 2 billion away from 0" in str(case) for case in cases) == 1


@pytest.mark.parametrize("exercise", IDS)
def test_no_stride_is_always_1(exercise):
    ways = ORDERS if exercise == "9.4" else PAIR_ORDERS
    inputs = [name for name in ways[0] if name not in ("out", "lse")]
    for way in ways:
        assert len({way[name] for name in inputs}) == len(inputs)
    for name in ways[0]:
        for axis in "bhsd"[: len(ways[0][name])]:
            assert any(way[name][-1] != axis for way in ways), (name, axis)
    cases = [case for case in exercises()[exercise].cases() if case.sizes["s"] > 1]
    for way, d_odd in zip(ways, (0, 1), strict=True):
        for case in (case for case in cases if case.sizes["d"] % 2 == d_odd):
            for name in inputs:
                x = case.arguments[name]
                assert x.permute(["bhsd".index(axis) for axis in way[name]]).is_contiguous()
    turned = [case.sizes for case in cases if case.sizes["d"] % 2]
    assert any(x["d"] > 1 for x in turned) and any(x["s"] > 4 for x in turned)


def order_of(x):
    return tuple(sorted(range(4), key=lambda axis: x.stride(axis)))


@pytest.mark.parametrize("exercise", IDS)
def test_some_sums_are_heavy_before_they_are_light(exercise):
    case = exercises()[exercise].cases()[-1]
    values = [case.arguments[name] for name in ("v", "v1", "v2") if name in case.arguments]
    assert case.variant == "float16" and all(v.max() == HEAVY == -v.min() for v in values)
    out = exercises()[exercise].truth(**{
        name: x.double() if torch.is_tensor(x) else x for name, x in case.arguments.items()
    })[0]  # fmt: skip
    assert out.abs().max() < 16


# answers that are on no list: the page's own kernel with one line written in another way ----------


@cache
def source_of(exercise):
    kernel = right_attention if exercise == "9.4" else right_trilinear
    return inspect.getsource(kernel.fn)


_numbers = itertools.count()


def edited(exercise, *changes):
    text = source_of(exercise)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = f"<kernel {next(_numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    space = dict(triton=triton, tl=tl)
    exec(compile(text, file, "exec"), space)
    return space["right_attention" if exercise == "9.4" else "right_trilinear"]


SUM, ACC = "l = l * rescale + tl.sum(p, 1)", "acc = acc * rescale[:, None] +"
HIDDEN, LSE = 'float("-inf"))\n', "m + tl.log(l)"
RIGHT = (
    ("9.4", "all of s", [("tl.minimum((tile + 1) * ROWS, s)", "s")]),
    ("9.4", "hidden as in the paper", [(HIDDEN, "-1e38)\n")]),
    ("9.4", "scaled before", [(" * scale", ""), ("tl.dot(q", "tl.dot((scale * q).to(k.dtype)")]),
    ("9.5", "all of the past", [("tl.maximum(tile * ROWS - w1 + 1, 0)", "0")]),
    (
        "9.5",
        "keys merged",
        [("merged.to(k2.dtype), tl.trans(k2)", "q, tl.trans(k1.to(tl.float32) * k2 * scale)")],
    ),
    ("9.5", "l from 1", [("tl.zeros((ROWS,), tl.float32)", "tl.full((ROWS,), 1.0, tl.float32)")]),
)
BOTH = (
    ("no rescaling", [(SUM, "l = l + tl.sum(p, 1)"), (ACC, "acc = acc +")]),
    ("only l rescaled", [(ACC, "acc = acc +")]),
    ("only acc rescaled", [(SUM, "l = l + tl.sum(p, 1)")]),
    (
        "float16 kept",
        [
            ("tl.zeros((ROWS,), tl.float32)", "tl.zeros((ROWS,), tl.float16)"),
            (SUM, "l = (l * rescale + tl.sum(p, 1)).to(tl.float16)"),
        ],
    ),
    ("hidden logits 0", [(HIDDEN, "0.0)\n")]),
    ("hidden logits -10,000", [(HIDDEN, "-6e4)\n")]),
    ("lse to base 2", [(LSE, "(m + tl.log(l)) / 0.6931471805599453")]),
    ("mixed bases", [(LSE, "m * 1.44269504 + tl.log(l)")]),
    ("unwritten lse", [("    tl.store(lse_ptr", "    if tile < 0:\n        tl.store(lse_ptr")]),
    ("writes outside lse", [(", mask=i < s)\n", ")\n")]),
    ("writes outside out", [("mask=q_ok)\n", "mask=(i < s)[:, None])\n")]),
    ("not divided", [("acc / l[:, None]", "acc")]),
    ("no scale", [(" * scale", "")]),
    ("powers of 2 throughout", [("tl.exp(", "tl.exp2("), ("tl.log(", "tl.log2(")]),
    ("nothing has other", [(", other=0.0", "")]),
    ("atomics", [("tl.store(", "tl.atomic_add(")]),
    ("stub", [("    tile, h, b", "    raise NotImplementedError\n    tile, h, b")]),
    ("shapes", [("rescale[:, None]", "rescale")]),
)
ONE = (
    ("9.4", "future inside the loop", [("j[None, :] <= i[:, None]", "j[None, :] < s")]),
    ("9.4", "own key hidden", [("j[None, :] <= i[:, None]", "j[None, :] < i[:, None]")]),
    ("9.4", "reads outside k", [("ok = (j < s)[:, None] &", "ok = (j >= 0)[:, None] &")]),
    ("9.4", "two dtypes", [("p.to(v.dtype)", "p")]),
    ("9.4", "two dtypes", [(" * scale", ""), ("tl.dot(q", "tl.dot(scale * q")]),
    ("9.4", "keys for values", [("tl.dot(p.to(v.dtype), v,", "tl.dot(p.to(v.dtype), k,")]),
    ("9.4", "maximum not below 0", [("tl.max(logits, 1)", "tl.max(logits)")]),
    ("9.5", "first window one too long, loop right", [("i - w1 < j", "i - w1 <= j")]),
    ("9.5", "second window in the loop only", [("(i[:, None] - w2 < k[None, :]) & ", "")]),
    ("9.5", "future first keys of the tile", [(" & (j <= i)", "")]),
    ("9.5", "future second keys and zeros", [(" & (k[None, :] <= i[:, None])", "")]),
    ("9.5", "maximum from -inf", [("-1e38", 'float("-inf")')]),
    ("9.5", "maximum from a finite number", [("-1e38", "-1e6")]),
    ("9.5", "first value forgotten", [("v2 * v1[None, :]", "v2")]),
    ("9.5", "precision", [("merged.to(k2.dtype)", "merged.to(tl.float16).to(k2.dtype)")]),
    ("9.5", "reads outside k1", [("b * k1_strides[0]", "b * q_strides[0]"),
                                 ("h * k1_strides[1]", "h * q_strides[1]")]),
)  # fmt: skip
J_LOOP, K_LOOP = "tl.maximum(tile * ROWS - w1 + 1, 0)", "tl.maximum(tile * ROWS - w2 + 1, 0)"
LEARNT = (  # of a learner
    ("m stays where it began", [("m = m_new\n", "pass\n")]),
    ("rescaling turned round", [("tl.exp(m - m_new)", "tl.exp(m_new - m)")]),
    ("lse without the logarithm", [(LSE, "m + l")]),
    ("lse with a minus sign", [(LSE, "m - tl.log(l)")]),
    ("last stride of out left out", [(" * out_strides[3]", "")]),
    ("last stride of lse left out", [(" * lse_strides[2]", "")]),
    ("last stride of q left out", [(" * q_strides[3]", "")]),
    ("tiles from the end", [("tile, h, b = ", "tile, h, b = tl.num_programs(0) - 1 - ")]),
    ("rescaled after adding", [
        (SUM, "l = (l + tl.sum(p, 1)) * rescale"), ("acc * rescale[:, None]", "acc"),
        ("m = m_new\n", "m, acc = m_new, acc * rescale[:, None]\n"),
    ]),
    ("acc rescaled after adding", [("acc * rescale[:, None]", "acc"),
                                   ("m = m_new\n", "m, acc = m_new, acc * rescale[:, None]\n")]),
)  # fmt: skip
LEARNT_ONE = (
    ("9.4", "changes in a loop", [("m = m_new\n", "m, acc = m_new, acc.to(v.dtype)\n")]),
    ("9.4", "accumulator in the inputs' dtype",
     [("m = m_new\n", "m, acc = m_new, acc.to(v.dtype)\n"),
      ("(ROWS, D), tl.float32", "(ROWS, D), v_ptr.dtype.element_ty")]),
    ("9.4", "last stride of v left out", [(" * v_strides[3]", "")]),
    ("9.4", "mask the other way round", [("j[None, :] <= i[:, None]", "j[None, :] >= i[:, None]")]),
    ("9.4", "loop begins at the own tile", [("in range(0,", "in range(tile * ROWS,")]),
    ("9.4", "loop ends with the first query",
     [("tl.minimum((tile + 1) * ROWS, s)", "tile * ROWS + 1")]),
    ("9.4", "last tile left out",
     [("tl.minimum((tile + 1) * ROWS, s)", "tl.minimum((tile + 1) * ROWS, s) - KEYS")]),
    ("9.4", "loop moves on by 1", [("s), KEYS)", "s))")]),
    ("9.4", "terms divided", [("tl.dot(p.to(v.dtype)", "tl.dot((p / l[:, None]).to(v.dtype)"),
                              ("acc / l[:, None],", "acc,")]),
    ("9.4", "divided in every step",
     [("m = m_new\n", "m, acc = m_new, acc / l[:, None]\n"), ("acc / l[:, None],", "acc,")]),
    ("9.5", "accumulator in the inputs' dtype",
     [("m = m_new\n", "m, acc = m_new, acc.to(v2.dtype)\n"),
      ("(ROWS, D), tl.float32", "(ROWS, D), v2_ptr.dtype.element_ty")]),
    ("9.5", "last stride of v2 left out", [(" * v2_strides[3]", "")]),
    ("9.5", "second window one too short", [("i[:, None] - w2 < k", "i[:, None] - w2 + 1 < k")]),
    ("9.5", "first window one too short", [("i - w1 < j", "i - w1 + 1 < j")]),
    ("9.5", "first keys before the text", [(J_LOOP, "tile * ROWS - w1 + 1")]),
    ("9.5", "second keys before the text", [(K_LOOP, "tile * ROWS - w2 + 1")]),
    ("9.5", "loops begin one late", [(J_LOOP, J_LOOP.replace("+ 1", "+ 2")),
                                     (K_LOOP, K_LOOP.replace("+ 1", "+ 2"))]),
    ("9.5", "first loop begins one late", [(J_LOOP, J_LOOP.replace("+ 1", "+ 2"))]),
    ("9.5", "loops end one early", [("* ROWS, s)\n", "* ROWS, s) - 1\n")]),
    ("9.5", "second loop ends one early", [("stop, KEYS", "stop - 1, KEYS")]),
    ("9.5", "loops begin too late", [("tile * ROWS - w", "stop - 1 - w")]),
    ("9.5", "inner loop moves on by 1", [("stop, KEYS)", "stop)")]),
    ("9.5", "first keys for first values", [("v1_ptr + j * v1_strides[2] + c * v1_strides[3]",
                                             "k1_ptr + j * k1_strides[2] + c * k1_strides[3]")]),
    ("9.5", "or in place of and", [("sees_j[:, None] & sees_k", "sees_j[:, None] | sees_k")]),
    ("9.5", "first keys all visible", [("(i - w1 < j) & (j", "(i - w1 < j) | (j")]),
    ("9.5", "second keys all visible", [("k[None, :]) & (k", "k[None, :]) | (k")]),
    ("9.5", "a constant on k2", [("tl.trans(k2)", "tl.trans((k2 + 1 / d).to(k2.dtype))")]),
    ("9.5", "constants on k2 and v2", [("tl.trans(k2)", "tl.trans((k2 + 1 / d).to(k2.dtype))"),
                                       ("v2 * v1", "(v2 + 1) * v1")]),
    ("9.5", "two dtypes", [("merged.to(k2.dtype)", "merged")]),
)  # fmt: skip
UNLISTED = [(n, *x) for n in IDS for x in LEARNT] + list(LEARNT_ONE)
UNLISTED += [("9.4", *x) for x in BOTH] + [("9.5", *x) for x in BOTH[:3] + BOTH[11:15]] + list(ONE)


@needs_triton
@pytest.mark.parametrize(("exercise", "name", "changes"), RIGHT, ids=lambda x: str(x)[:24])
def test_kernels_written_in_another_way_pass(exercise, name, changes):
    report = check(exercise, edited(exercise, *changes))
    assert report.passed, report.message


@needs_triton
@pytest.mark.parametrize(("exercise", "cause", "changes"), UNLISTED, ids=lambda x: str(x)[:24])
def test_real_kernels_with_a_mistake_are_named_or_get_no_name(exercise, cause, changes):
    report = check(exercise, edited(exercise, *changes))
    assert not report.passed and report.cause == cause, report.message


TWO_PASSES = (
    "    for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):",
    """
    for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):
        j = first + tl.arange(0, KEYS)
        at = j[None, :] * k_strides[2] + tl.arange(0, D)[:, None] * k_strides[3]
        ok = (j < s)[None, :] & (tl.arange(0, D)[:, None] < d)
        logits = tl.dot(q, tl.load(k_ptr + at, mask=ok, other=0.0)) * scale
        m = tl.maximum(m, tl.max(tl.where(j[None, :] <= i[:, None], logits, -1e38), 1))
    for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):""",
)


@needs_triton
def test_a_second_pass_is_named_and_other_loads_are_not():
    report = check("9.4", edited("9.4", TWO_PASSES))
    assert report.cause == "two passes" and "met before" in report.says, report.message
    k1, k2 = "        k1 = tl.load", "            k2 = tl.load"
    line = next(x for x in source_of("9.5").splitlines() if x.startswith(k1))
    inside = (k2, f"    {line}\n{k2}")  # the single key again for each tile: wasteful, one pass
    report = check("9.5", edited("9.5", inside))
    assert report.passed, report.message


def test_what_is_read_off_a_kernels_text():
    assert stride_left_out("f(q_strides): q_strides[0] + q_strides[2]", "q") == "q_strides[3]"
    assert stride_left_out("f(q_strides): q_strides[0] + q_strides[ 3]", "q") == ""
    assert stride_left_out("f(q_strides): a, b, c, d = q_strides; q_strides[0]", "q") == ""
    assert stride_left_out("f(q_strides): q_strides[-1] + q_strides[2]", "q") == ""
    assert stride_left_out("f(lse_strides): lse_strides[0]", "lse") == "lse_strides[2]"
    assert stride_left_out("", "q") == ""
    assert turned_round("p = exp(new - old)\nold = new") == "exp(new - old)"
    assert turned_round("p = exp(old - new)\nold = new") == ""
    assert turned_round("not python (") == ""


@needs_triton
def test_right_kernels_compile_for_a_gpu():
    pytest.importorskip("triton.backends.nvidia", reason="no compiler for NVIDIA GPUs")
    program = """
        import hopper, torch
        from simplex_lib.checks import ch09_attention_kernels, ch09_trilinear_kernels
        from simplex_lib.kernels.tiles import Blocks
        for module in (ch09_attention_kernels, ch09_trilinear_kernels):
            for name, kernel in vars(module).items():
                if name.startswith("right_"):
                    for ones in (False, True):
                        for dtype in (torch.float16, torch.float32):
                            blocks = Blocks(16, 32, 16, 16)
                            hopper.compiled(kernel, dtype, 16, blocks, ones=ones)
                    print(name)
    """
    folder = Path(__file__).parents[1] / "kernels"
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    env = os.environ | dict(TRITON_INTERPRET="0", PYTHONPATH=path)
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 6


@needs_triton
def test_kernels_for_wrong_memory_stand_beside_right_ones():
    for careless, right in (
        (careless_attention, right_attention),
        (careless_trilinear, right_trilinear),
    ):
        assert careless.arg_names[: len(right.arg_names)] == right.arg_names


if __name__ == "__main__":
    for number in IDS:
        for wrong, report in confusion(exercises()[number]).items():
            print(number, wrong, report.cause, report.says, sep=" | ")
    for number, cause, changes in UNLISTED:
        report = check(number, edited(number, *changes))
        flag = "" if report.cause == cause else " <<<<"
        print(number, cause, report.cause, report.says, report.details[:2], flag)
