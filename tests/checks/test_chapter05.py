"""The checks of chapter 05: more is caught than what is listed, and no sentence is false.

The answers that are on no list are in `unlisted05.py`, and those to 5.2 here.
`python tests/checks/test_chapter05.py` prints what a learner reads for every wrong answer.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch05_common import truth_convolved
from simplex_lib.checks.ch05_diff import right_by_rows
from simplex_lib.checks.ch05_leaks import TRIALS

sys.path.insert(0, str(Path(__file__).parent))

from unlisted05 import UNLISTED, Layer, convolve, filtered, hide

IDS = tuple(f"5.{n}" for n in range(1, 9))


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "05"
    assert len(found.wrong) >= 6 and len(found.right) >= 2


def test_the_sizes_asked_tell_axes_apart_and_reach_past_the_sequence():
    for exercise in ("5.1", "5.3", "5.7"):
        sizes = exercises()[exercise].sizes
        assert any(x["cq"] > x["s"] and x["ck"] // 2 > x["s"] for x in sizes)
        assert {x["cq"] % 2 for x in sizes} == {0, 1} and any(x["s"] == 1 for x in sizes)
        assert any(len({x["b"], x["h"], x["s"]}) == 3 for x in sizes)
    assert any(x["n"] > 1 and x["c"] > 1 and x["n"] != x["c"] for x in exercises()["5.4"].sizes)


def test_the_convolution_by_loops_agrees_with_the_worked_examples():
    logits = torch.tensor([[[[1.0, 9, 9], [2, 3, 9], [4, 5, 6]]]])
    kernel = torch.tensor([[[1.0, 0, 0], [0, 1, 10]]])
    assert truth_convolved(logits, kernel)[0, 0].tril().tolist() == [
        [1, 0, 0],
        [32, 4, 0],
        [54, 67, 9],
    ]
    probs = torch.tensor([[[[1, 0], [0.25, 0.75]]]])
    new = truth_convolved(probs, torch.tensor([[[0.0, 2, 0], [-1, 1, 0]]]))
    assert new[0, 0].tolist() == [[1, -1], [2.25, 0.5]]


# answers that are on no list ------------------------------------------------------------------


@pytest.mark.parametrize(("exercise", "answer", "causes"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected_and_not_misnamed(exercise, answer, causes):
    report = check(exercise, answer)
    assert not report.passed and report.cause in causes, report.message


def test_every_exercise_met_fifteen_answers_that_are_on_no_list():
    met = [exercise for exercise, *_ in UNLISTED] + ["5.2"] * len(UNLISTED_TESTS)
    assert all(met.count(exercise) >= 15 for exercise in IDS)


# a learner's test of causality ------------------------------------------------------------------


def fresh(x, cut):
    return torch.cat([x[:, :, :cut], torch.randn_like(x[:, :, cut:])], 2)


def causality(cuts=range(1, 8), change=fresh, sizes=(2, 3, 8, 4), draw=torch.randn, limit=1e-5):
    def test(attention):
        inputs = [draw(*sizes) for _ in range(3)]
        before = attention(*inputs)
        for cut in cuts:
            after = attention(*(change(x, cut) for x in inputs))
            if (after - before)[:, :, :cut].abs().max() > limit:
                return True
        return False

    return test


def only_one_random_place(attention):
    return causality([int(torch.randint(1, 8, ()))])(attention)


def permuted(x, cut):
    return torch.cat([x[:, :, :cut], x[:, :, cut:].flip(2)], 2)


def nudged(x, cut):
    return torch.cat([x[:, :, :cut], x[:, :, cut:] + 1e-7], 2)


def zeros_of_zeros(attention):
    return causality(draw=torch.zeros, change=lambda x, cut: x.clone())(attention)


def past_changed(attention):
    """Early tokens change, and late outputs are to stand still."""
    inputs = [torch.randn(1, 2, 8, 4) for _ in range(3)]
    after = attention(*(torch.cat([torch.randn_like(x[:, :, :4]), x[:, :, 4:]], 2) for x in inputs))
    return bool((after - attention(*inputs))[:, :, 4:].abs().max() > 1e-5)


def shape_only(attention):
    q = torch.randn(2, 3, 8, 4)
    return attention(q, q, q).shape != q.shape


def default_closeness(attention):
    inputs = [torch.randn(2, 3, 8, 4) for _ in range(3)]
    before = attention(*inputs)
    return any(
        not torch.equal(attention(*(fresh(x, c) for x in inputs))[:, :, :c], before[:, :, :c])
        for c in range(1, 8)
    )


def all_verdicts(attention):
    inputs = [torch.randn(2, 3, 8, 4) for _ in range(3)]
    after = attention(*(fresh(x, 4) for x in inputs))
    return (after - attention(*inputs))[:, :, :4].abs().amax((0, 1, 3)) > 1e-5


def of_one_position(attention):
    inputs = [torch.randn(2, 3, 8, 4) for _ in range(3)]
    after = attention(*(fresh(x, 4) for x in inputs))
    return bool((after - attention(*inputs))[:, :, 3].abs().max() > 1e-5)


def two_axes(attention):
    return causality(sizes=(8, 4))(attention)


def keys_longer(attention):
    q, k = torch.randn(1, 2, 8, 4), torch.randn(1, 2, 9, 4)
    return bool(attention(q, k, k).abs().max() > 0)


def integers(attention):
    return causality(draw=lambda *sizes: torch.randint(0, 9, sizes), change=lambda x, cut: x)(
        attention
    )


def infinite(attention):
    return causality([4], change=lambda x, cut: torch.cat([x[:, :, :cut], x[:, :, cut:] / 0], 2))(
        attention
    )


def words(attention):
    return "leaks" if causality()(attention) else "fine"


def raises(attention):
    raise KeyError("q")


def truncated_once(attention):
    q, k, v = torch.randn(3, 1, 2, 8, 4)
    short = attention(q[:, :, :7], k[:, :, :7], v[:, :, :7])
    return bool((attention(q, k, v)[:, :, :7] - short).abs().max() > 1e-5)


def gradient_of_the_sum(attention):
    """All outputs summed: each token has a gradient."""
    q, k, v = (torch.randn(1, 2, 8, 4).requires_grad_() for _ in range(3))
    attention(q, k, v).sum().backward()
    return bool(v.grad[:, :, 4:].abs().max() > 1e-5)


NOT_BROUGHT_OUT = {"not brought out"}
UNLISTED_TESTS = (
    (causality(range(2, 8)), NOT_BROUGHT_OUT),
    (causality(range(1, 7)), NOT_BROUGHT_OUT),
    (causality(range(1, 8, 2)), NOT_BROUGHT_OUT),
    (causality(change=permuted), NOT_BROUGHT_OUT),
    (causality(change=nudged), NOT_BROUGHT_OUT | {"small move let pass"}),
    (causality(limit=1.0), {"small move let pass", "move let pass", "other heads let pass"}),
    (causality(limit=1e-4), {"small move let pass"}),
    (causality(limit=1e-3), {"small move let pass"}),
    (causality(limit=3e-3), {"small move let pass"}),
    (causality(limit=0.0), {"rounding"}),
    (causality(range(1, 5), sizes=(1, 2, 5, 3)), {"too short"}),
    (causality([0, 1, 2]), {"raised", "not brought out", "one place"}),
    (only_one_random_place, {"one place", "only the last token"}),
    (zeros_of_zeros, {"nothing changed"}),
    (past_changed, {"everything changed"}),
    (shape_only, {"one call"}),
    (default_closeness, {"rounding"}),
    (all_verdicts, {"type"}),
    (of_one_position, {"one place", "move let pass", "small move let pass"}),
    (two_axes, {"inputs"}),
    (keys_longer, {"inputs"}),
    (integers, {"inputs"}),
    (infinite, {"tokens not finite"}),
    (words, {"type"}),
    (raises, {"raised"}),
    (truncated_once, {"only the last token"}),
    (gradient_of_the_sum, {"gradients"}),
)


@pytest.mark.parametrize(("test", "causes"), UNLISTED_TESTS)
def test_unlisted_tests_are_rejected_and_not_misnamed(test, causes):
    report = check("5.2", test)
    assert not report.passed and report.cause in causes, report.message


@pytest.mark.parametrize("kind", [bool, torch.tensor, np.bool_])
def test_a_verdict_may_be_of_several_kinds(kind):
    assert check("5.2", lambda attention: kind(causality()(attention))).passed


@pytest.mark.parametrize("change", [lambda x, c: x.index_fill(2, torch.arange(c, 8), 0.0), fresh])
def test_later_tokens_may_be_put_to_zero(change):
    assert check("5.2", causality(change=change)).passed


def test_keywords_and_many_calls_are_welcome():
    def thorough(attention):
        found = False
        for name in "vkq":
            inputs = dict(zip("qkv", torch.randn(3, 1, 2, 24, 3, dtype=torch.float64), strict=True))
            before = attention(**inputs)
            for cut in range(1, 24):
                later = attention(**(inputs | {name: fresh(inputs[name], cut)}))
                found = found or bool((later - before)[:, :, :cut].abs().max() > 1e-5)
        return found

    assert check("5.2", thorough).passed


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_attentions_on_trial_are_what_they_are_said_to_be(trial, dtype):
    """By gradients: which of q, k, v of later tokens an output reads, and what s it takes."""
    torch.manual_seed(5)
    inputs = [x.requires_grad_() for x in torch.randn(3, 1, 2, 7, 3, dtype=dtype)]
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    out = trial.attention(*inputs)
    read = set()
    for i in range(6):
        for head in range(2):
            grads = torch.autograd.grad(
                (out[0, head, i] * torch.tensor([1.0, 2, -1])).sum(),
                inputs,
                retain_graph=True,
                allow_unused=True,
            )
            for name, grad in zip("qkv", grads, strict=True):
                if grad is not None and grad[:, :, i + 1 :].abs().max() > 1e-5:
                    read.add(name)
    assert read == (set(trial.through) if trial.leaks else set())
    for s in (1, 2, 5):
        assert trial.attention(*torch.randn(3, 1, 1, s, 2, dtype=dtype)).shape == (1, 1, s, 2)


# what a check of one exercise alone must do -----------------------------------------------------


@pytest.mark.parametrize("low", [-50, -1e4, -1e9])
def test_a_finite_mask_of_the_layer_is_found_out(low):
    class Low(Layer):
        def soft(self, logits):
            later = torch.ones_like(logits, dtype=torch.bool).triu(1)
            return logits.masked_fill(later, low).softmax(-1)

    assert check("5.6", Low).cause == "finite mask"


def test_a_layer_may_start_from_its_own_helpers_and_buffers():
    class WithBuffer(Layer):
        def __init__(self, *sizes, norm=False):
            super().__init__(*sizes, norm=norm)
            self.register_buffer("mask", torch.ones(64, 64, dtype=torch.bool).triu(1))

        def soft(self, logits):
            s = logits.shape[-1]
            return logits.masked_fill(self.mask[:s, :s], float("-inf")).softmax(-1)

    assert check("5.6", WithBuffer).passed and check("5.6", Layer).passed


def test_infinite_logits_may_be_mixed_if_the_gradient_is_mended():
    class Mended(Layer):
        def soft(self, logits):
            later = torch.ones_like(logits, dtype=torch.bool).triu(1)
            return torch.where(later, float("-inf"), logits).softmax(-1)

    assert check("5.6", Mended).passed


def test_masked_zeros_by_a_product_pass():
    def multiplied(logits, kernel):
        past = torch.ones(logits.shape[-2:], dtype=logits.dtype).tril()
        return hide(convolve(logits * past, kernel))

    assert check("5.1", multiplied).passed


def test_an_einsum_of_three_counts_from_its_first_factor():
    def shifted(q, k, kernel):
        rows, columns = kernel.shape[1:]
        s = q.shape[2]
        wide = torch.nn.functional.pad(q, (0, 0, rows - 1, 0))
        queries = torch.stack([wide[:, :, row : row + s] for row in range(rows)])
        wide = torch.nn.functional.pad(k, (0, 0, columns // 2, columns // 2))
        return queries, torch.stack([wide[:, :, t : t + s] for t in range(columns)])

    def kernel_first(q, k, kernel):
        return torch.einsum("hac,abhid,cbhjd->bhij", kernel, *shifted(q, k, kernel))

    def map_first(q, k, kernel):
        return torch.einsum("abhid,cbhjd,hac->bhij", *shifted(q, k, kernel), kernel)

    assert check("5.7", kernel_first).passed
    assert check("5.7", map_first).cause == "map convolved"


def test_dot_products_in_one_einsum_pass():
    def one_einsum(q, k, kernel):
        rows, columns = kernel.shape[1:]
        s = q.shape[2]
        wide = torch.nn.functional.pad(q, (0, 0, rows - 1, 0))
        queries = torch.stack([wide[:, :, row : row + s] for row in range(rows)], 2)
        wide = torch.nn.functional.pad(k, (0, 0, columns // 2, columns // 2))
        keys = torch.stack([wide[:, :, t : t + s] for t in range(columns)], 2)
        filters = torch.einsum("hat,bhtjd->bhajd", kernel, keys)
        return torch.einsum("bhaid,bhajd->bhij", queries, filters)

    assert check("5.7", one_einsum).passed and check("5.7", filtered()).passed


def test_torch_attention_and_the_checks_own_answers_do_not_count():
    def borrowed(q1, q2, k1, k2, v, lam):
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(q1, k1, v, is_causal=True) - lam * attend(q2, k2, v, is_causal=True)

    assert check("5.8", borrowed).cause == "library"
    assert check("5.8", lambda *x: right_by_rows(*x)).cause == "library"


def test_the_library_does_not_count():
    def borrowed(logits, kernel):
        from simplex_lib.attention import key_query_convolution

        return hide(key_query_convolution(logits, kernel))

    assert check("5.1", borrowed).cause == "library"


def test_sizes_left_over_are_said_as_what_they_are():
    report = check("5.4", lambda maps, mixing: maps.unflatten(1, mixing.shape[:2]))
    assert report.cause == "groups kept"


if __name__ == "__main__":
    for name in IDS:
        for wrong, report in confusion(exercises()[name]).items():
            print(name, wrong, report.cause, report.says, sep=" | ")
    for name, answer, _ in (*UNLISTED, *(("5.2", *x) for x in UNLISTED_TESTS)):
        report = check(name, answer)
        print(name, getattr(answer, "__name__", ""), report.cause, report.message, sep=" | ")
