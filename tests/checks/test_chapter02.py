"""The checks of chapter 02: every mistake is named, other algorithms pass, and more is caught.

`python tests/checks/test_chapter02.py` prints what a learner reads for every wrong answer.
"""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch02_layer import Layer
from simplex_lib.checks.ch02_memory import MemoryMeter
from simplex_lib.checks.engine import examine

IDS = ("2.1", "2.2", "2.3", "2.4", "2.5", "2.6")


def table(reports) -> str:
    return "\n".join(
        f"{name:32} {report.cause or 'passed':32} {report.says}" for name, report in reports.items()
    )


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "02"
    assert any(sizes.get("h", 1) > 1 for sizes in found.sizes)


# answers that are on no list ------------------------------------------------------------------


def causal(s, diagonal=0):
    return torch.ones(s, s, dtype=torch.bool).tril(diagonal)


def joint(logits, visible):
    return logits.masked_fill(~visible, -math.inf).flatten(-2).softmax(-1).view_as(logits)


def scaled_by_length(q, k1, k2):
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[2])


def key_as_query(q, k1, k2):
    return torch.einsum("bhid,bhjd,bhkd->bhijk", k1, q, k2) / math.sqrt(q.shape[-1])


def twice_as_sharp(logits):
    past = causal(logits.shape[-1])
    return joint(2 * logits, past[:, :, None] & past[:, None])


def first_key_strict(logits):
    s = logits.shape[-1]
    return joint(logits, causal(s, -1)[:, :, None] & causal(s)[:, None])


def keys_of_other_batches(logits):
    past = causal(logits.shape[-1])
    hidden = logits.masked_fill(~(past[:, :, None] & past[:, None]), -math.inf)
    return hidden.softmax(0)


def attention(q, k1, k2, v1, v2, w1, w2, *, longer=(0, 0)):
    s = q.shape[2]
    back = torch.arange(s)[:, None] - torch.arange(s)
    first = (back >= 0) & (back < w1 + longer[0])
    second = (back >= 0) & (back < w2 + longer[1])
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    probs = joint(logits, first[:, :, None] & second[:, None])
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)


def first_position_ignored(q, k1, k2, v1, v2, w1, w2):
    """The second value of position 0 is lost, as with a slice that starts one too late."""
    return attention(q, k1, k2, v1, v2 * (torch.arange(v2.shape[2]) > 0)[:, None], w1, w2)


def smaller_window_for_both(q, k1, k2, v1, v2, w1, w2):
    return attention(q, k1, k2, v1, v2, min(w1, w2), min(w1, w2))


def lse_of_means(q, k1, k2, v1, v2):
    """Right output; the lse takes the mean over pairs and not the sum."""
    outs, lses = [], []
    for i in range(q.shape[2]):
        past = slice(0, i + 1)
        logits = (q[:, :, i : i + 1] * k1[:, :, past]) @ k2[:, :, past].transpose(-1, -2)
        logits = logits / math.sqrt(q.shape[-1])
        probs = logits.flatten(-2).softmax(-1).view_as(logits)
        outs.append(((probs @ v2[:, :, past]) * v1[:, :, past]).sum(2))
        lses.append(logits.exp().mean((-2, -1)).log())
    return torch.stack(outs, 2), torch.stack(lses, 2)


class Uncut(Layer):
    def windows(self, s):
        return self.w1 + 1, self.w2 + 1


class Narrow(Layer):
    def __init__(self, d_model, n_heads, w1=None, w2=None):
        super().__init__(d_model, n_heads, w1, w2)
        self.wk2 = nn.Linear(d_model, d_model // n_heads, bias=False)


class Tied(Layer):
    def __init__(self, d_model, n_heads, w1=None, w2=None):
        super().__init__(d_model, n_heads, w1, w2)
        self.wk2 = self.wk1


def length_of_the_trilinear_product(q, k1, k2):
    return torch.einsum("bhid,bhjd,bhkd->bhijkd", q, k1, k2).norm(dim=-1)


def half_of_it(q, k1, k2):
    dots = torch.einsum("bhid,bhjd->bhij", q, k1)[..., None, None] * k2[:, :, None, None]
    return dots.norm(dim=-1)


UNLISTED = (
    ("2.1", scaled_by_length),
    ("2.1", key_as_query),
    ("2.2", twice_as_sharp),
    ("2.2", first_key_strict),
    ("2.2", keys_of_other_batches),
    ("2.3", first_position_ignored),
    ("2.3", smaller_window_for_both),
    ("2.4", lse_of_means),
    ("2.5", Uncut),
    ("2.5", Narrow),
    ("2.5", Tied),
    ("2.6", length_of_the_trilinear_product),
    ("2.6", half_of_it),
)


@pytest.mark.parametrize(("exercise", "answer"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected(exercise, answer):
    report = check(exercise, answer)
    assert not report.passed and report.message


def test_nan_counts_as_wrong_when_the_errors_are_located():
    assert "the rest is right" not in check("2.2", first_key_strict).says


# what once passed, or was named by a sentence that was not true of it -------------------------


def test_the_sizes_of_a_case_differ_so_that_none_can_stand_for_another():
    for exercise in IDS:
        for sizes in exercises()[exercise].sizes[1:]:
            axes = [sizes[name] for name in ("b", "h", "s", "d", "dv") if name in sizes]
            assert len(set(axes)) == len(axes), (exercise, sizes)


@pytest.mark.parametrize("low", [-50, -100, -1e4, -1e5])
def test_a_finite_mask_is_named(low):
    def probs(logits):
        past = causal(logits.shape[-1])
        hidden = logits.masked_fill(~(past[:, :, None] & past[:, None]), low)
        return hidden.flatten(-2).softmax(-1).view_as(logits)

    assert check("2.2", probs).cause == "finite mask"


class WindowOfOne(Layer):
    def windows(self, s):
        return self.w1 or 1, self.w2 or s


class BothSwapped(Layer):
    def project(self, x):
        q, k1, k2, v1, v2 = super().project(x)
        return q, k2, k1, v2, v1


def test_a_layer_without_windows_reads_its_whole_past():
    report = check("2.5", WindowOfOne)
    assert not report.passed and "None" in report.message


def test_keys_and_values_both_swapped_are_among_what_the_sentence_allows():
    report = check("2.5", BothSwapped)
    assert "wk1 and wk2" in report.says and "w1 limits" in report.says


# the memory meter of 2.4 ----------------------------------------------------------------------


def test_meter_sees_the_largest_tensor_and_what_is_held():
    x = torch.randn(1, 1, 8, 2)
    with MemoryMeter() as meter:
        kept = [x @ x.transpose(-1, -2) for _ in range(8)]
    assert (meter.largest_numbers, meter.held) == (64, 512)
    del kept
    assert meter.held == 0 and meter.most_held == 512


def test_meter_does_not_count_views_of_old_memory():
    x = torch.ones(8, 8)
    with MemoryMeter() as meter:
        x.expand(8, 8, 8).transpose(0, 1)
    assert meter.most_held == 0


def test_meter_starts_at_once():
    """Its first use once imported torch._dynamo, and the time limit of a check ran out."""
    code = (
        "import sys, torch; from simplex_lib.checks.ch02_memory import MemoryMeter\n"
        "with MemoryMeter(): torch.ones(2) + 1\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_mask_as_large_as_the_cube_is_the_cube():
    right = exercises()["2.4"].right[0].answer

    def with_mask(q, k1, k2, v1, v2):
        torch.ones(q.shape[2], q.shape[2], q.shape[2], dtype=torch.bool).tril()
        return right(q, k1, k2, v1, v2)

    report = examine(exercises()["2.4"], with_mask, trust_chapters=True)
    assert report.cause == "cube" and "(12, 12, 12)" in report.says and "einsum" in report.says


def test_the_merged_queries_of_all_second_keys_are_not_the_cube():
    """(b, h, i, k, d) has d numbers for each pair of positions, and d is small."""

    def merged_first(q, k1, k2, v1, v2):
        s, past = q.shape[2], causal(q.shape[2])
        merged = q[:, :, :, None] * k2[:, :, None] / math.sqrt(q.shape[-1])
        lse = torch.full_like(q[..., 0], -math.inf)
        out = torch.zeros_like(v1)
        for k in range(s):
            logits = merged[:, :, :, k] @ k1.transpose(-1, -2)
            logits = logits.masked_fill(~(past & past[:, k : k + 1]), -1e30)
            part = logits.logsumexp(-1)
            new = torch.logaddexp(lse, part)
            weight = (part - new).exp()[..., None]
            out = out * (lse - new).exp()[..., None]
            out = out + weight * (logits.softmax(-1) @ v1) * v2[:, :, k : k + 1]
            lse = new
        return out, lse

    assert check("2.4", merged_first).passed


if __name__ == "__main__":
    for name in IDS:
        print(name, table(confusion(exercises()[name])), sep="\n")
    for name, answer in UNLISTED:
        print(
            name, answer.__name__, check(name, answer).cause, check(name, answer).message, sep=" | "
        )
