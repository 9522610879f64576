"""The checks of chapter 04: more is caught than what is listed, and no sentence is false.

`python tests/checks/test_chapter04.py` prints what a learner reads for every wrong answer.
"""

import math

import pytest
import torch
from torch.nn.functional import pad

from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch04_costs import count_by_products
from simplex_lib.checks.ch04_decode import TENSORS_IN
from simplex_lib.checks.ch04_tiles import truth_tiles
from simplex_lib.checks.ch04_windows import right_unfolded

IDS = ("4.1", "4.2", "4.3", "4.4", "4.5")


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "04"


def test_the_windows_asked_are_short_long_and_of_both_orders():
    for exercise in IDS:
        sizes = exercises()[exercise].sizes
        assert any(x["w1"] < x["w2"] for x in sizes) and any(x["w1"] > x["w2"] for x in sizes)
        assert any(x["w1"] > x["s"] for x in sizes) and any(x["s"] == 1 for x in sizes)
        assert any(1 in (x["w1"], x["w2"]) and x["s"] > 1 for x in sizes)


def test_the_sizes_of_a_case_differ_so_that_none_can_stand_for_another():
    for exercise in ("4.2", "4.5"):
        for sizes in exercises()[exercise].sizes:
            if sizes["b"] * sizes["h"] > 1:
                axes = [sizes[name] for name in ("b", "h", "s", "d", "dv")]
                assert len(set(axes)) == len(axes), (exercise, sizes)


BY_HAND = dict(v1=[[[[1], [3], [5]]]], v2=[[[[1], [10], [100]]]], q=[[[[0]] * 3]], w1=2, w2=1)
EXAMPLES = (  # what the statements print
    ("4.1", dict(seq_len=3, w1=2, w2=1), None),
    ("4.2", BY_HAND, [[[[1], [20], [400]]]]),
    ("4.3", dict(seq_len=10, w1=4, w2=2), [480, 200, 24]),
    ("4.4", dict(seq_len=4, w1=2, w2=1, rows=2, kv_block=2), [7 / 24, 7 / 8]),
    ("4.5", BY_HAND, [[[[1], [20], [400]]]]),
)


@pytest.mark.parametrize(("exercise", "given", "result"), EXAMPLES)
def test_the_examples_of_the_statements_are_cases(exercise, given, result):
    found = exercises()[exercise]
    numbers = lambda x: x.tolist() if isinstance(x, torch.Tensor) else x  # noqa: E731
    same = [
        case
        for case in found.cases()
        if all(numbers(case.arguments[name]) == x for name, x in given.items())
    ]
    assert len(same) == 1
    right = found.truth(**same[0].arguments)
    if result is None:
        pairs = [(0, 0, 0), (1, 0, 1), (1, 1, 1), (2, 1, 2), (2, 2, 2)]
        assert [tuple(x) for x in right.nonzero().tolist()] == pairs
    else:
        torch.testing.assert_close(right, torch.tensor(result, dtype=torch.float64))


@pytest.mark.parametrize("exercise", ["4.2", "4.5"])
def test_some_queries_and_keys_are_zeros(exercise):
    largest = exercises()[exercise].cases()[-1].arguments
    for name in ("q", "k1", "k2"):
        zeros = (largest[name] == 0).all(-1)
        assert zeros[1].any() and not zeros[1].all() and not zeros[0].any()


def test_the_truths_give_the_figures_of_the_paper():
    assert count_by_products(49_152, 512, 32) == (4_831_838_208, 4_831_838_208, 49_152)
    shares = truth_tiles(1024, 8, 64, 64, 128)
    assert shares.tolist() == truth_tiles(1024, 64, 8, 64, 128).tolist()
    assert shares[1] > 4 * shares[0]


# answers that are on no list ------------------------------------------------------------------


def inside(s, w):
    back = torch.arange(s)[:, None] - torch.arange(s)
    return (back >= 0) & (back < w)


def both(first, second):
    return first[:, :, None] & second[:, None]


def windows_summed(s, w1, w2):
    back = torch.arange(s)[:, None] - torch.arange(s)
    total = back[:, :, None] + back[:, None]
    return both(inside(s, s), inside(s, s)) & (total < w1 + w2)


def windows_halved(s, w1, w2):
    return both(inside(s, max(1, w1 // 2)), inside(s, max(1, w2 // 2)))


def one_key_only(s, w1, w2):
    return inside(s, w1)[:, :, None] ^ inside(s, w2)[:, None]


def no_long_windows(s, w1, w2):
    return both(inside(s, min(w1, s - 1)), inside(s, min(w2, s - 1)))


def as_numbers(s, w1, w2):
    return both(inside(s, w1), inside(s, w2)).float()


def unfolded(
    q, k1, k2, v1, v2, w1, w2, *, low=-math.inf, scale=None, either=False, flip=False, soft=None
):
    s = q.shape[2]
    w1, w2 = min(w1, s), min(w2, s)
    k1, v1, k2, v2 = (
        pad(x, (0, 0, w - 1, 0)).unfold(2, w, 1)
        for x, w in ((k1, w1), (v1, w1), (k2, w2), (v2, w2))
    )
    real = [torch.arange(s)[:, None] - w + 1 + torch.arange(w) >= 0 for w in (w1, w2)]
    visible = both(*real) if not either else real[0][:, :, None] | real[1][:, None]
    logits = torch.einsum("bhid,bhidu,bhidw->bhiuw", q, k1, k2)
    logits = (logits * (scale or q.shape[-1] ** -0.5)).masked_fill(~visible, low)
    probs = soft(logits) if soft else logits.flatten(-2).softmax(-1).view_as(logits)
    if flip:
        v1, v2 = v1.flip(-1), v2.flip(-1)
    return torch.einsum("bhiuw,bhidu,bhidw->bhid", probs, v1, v2)


def hidden_if_both_outside(*x):
    return unfolded(*x, either=True)


def scaled_by_windows(*x):
    return unfolded(*x, scale=(x[5] * x[6]) ** -0.5)


def values_in_another_order(*x):
    return unfolded(*x, flip=True)


def half_of_the_pairs(*x):
    return unfolded(*x, soft=lambda a: a.flatten(-2).softmax(-1).view_as(a) / 2)


def rounded(*x):
    return unfolded(*x).bfloat16().to(x[0].dtype)


def mean_of_values(q, k1, k2, v1, v2, w1, w2):
    return unfolded(torch.zeros_like(q), k1, k2, v1, v2, w1, w2)


def second_window_from_the_first(q, k1, k2, v1, v2, w1, w2):
    return unfolded(q, k1, k2, v1, v2, w1, w1 + w2 - 1)


def with_a_square_mask(*x):
    torch.ones(x[0].shape[2], x[0].shape[2], dtype=torch.bool)
    return unfolded(*x)


def five_flops(s, w1, w2):
    return 5 * s * w1 * w2, 2 * s * s, 3 * w1 * w2


def one_short(s, w1, w2):
    return 6 * s * w1 * w2, 2 * s * s, 3 * w1 * w2 - 1


def with_head_dim(s, w1, w2):
    return 6 * 64 * s * w1 * w2, 2 * 64 * s * s, 3 * w1 * w2


def square_rounded_down(s, w1, w2):
    return 6 * s * w1 * w2, 4 * (s * s // 2), 3 * w1 * w2


def tiles(s, w1, w2, rows, kv_block, tiling, *, spare=0, whole=False, joint=False):
    short, long = sorted((w1, w2))
    step, computed = (rows if tiling == "sequence" else 1), 0
    for start in range(0, s, step):
        end = min(start + step, s)
        singles, keys = (end - max(start - w + 1, 0) for w in (short, long))
        if whole:
            singles, keys = min(short + step - 1, end), min(long + step - 1, end)
        blocks = lambda n: math.ceil(n / kv_block) * kv_block  # noqa: E731
        computed += step * (blocks(singles * keys) if joint else singles * blocks(keys) + spare)
    return sum(min(i + 1, w1) * min(i + 1, w2) for i in range(s)) / computed


def one_more_pair(*x):
    return tiles(*x, spare=1)


def short_last_tile_at_full_length(*x):
    return tiles(*x, whole=True)


def pairs_in_blocks(*x):
    return tiles(*x, joint=True)


def heads_never_wasted(s, w1, w2, rows, kv_block, tiling):
    return 1.0 if tiling == "heads" else tiles(s, w1, w2, rows, kv_block, tiling)


def step(caches, q, *token, place=lambda seen, w: seen % w, keep=True):
    for name, x in zip(TENSORS_IN, token, strict=True):
        caches[name][:, :, place(caches["seen"], caches[name].shape[2])] = x[:, :, 0]
    caches["seen"] += 1
    k1, k2, v1, v2 = (caches[name][:, :, : caches["seen"]] for name in TENSORS_IN)
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)


def placed_one_early(*x):
    return step(*x, place=lambda seen, w: (seen - 1) % w)


def placed_from_the_end(*x):
    return step(*x, place=lambda seen, w: -1 - seen % w)


def ring_too_short(*x):
    return step(*x, place=lambda seen, w: seen % max(1, w - 1))


def own_value_missing(caches, q, k1, k2, v1, v2):
    out = step(caches, q, k1, k2, torch.zeros_like(v1), v2)
    caches["v1"][:, :, (caches["seen"] - 1) % caches["v1"].shape[2]] = v1[:, :, 0]
    return out


def heads_averaged(*x):
    return step(*x).mean(1, keepdim=True).expand(-1, x[1].shape[1], -1, -1)


def scaled_in_place(caches, q, *token):
    q *= 2
    return step(caches, q / 2, *token)


def keeps_all_tokens(caches, q, k1, *token):
    caches.setdefault("all", []).append(k1)
    return step(caches, q, k1, *token)


COUNT = {"n": 0}


def counts_outside(caches, *token):
    COUNT["n"] += 1
    caches["seen"] = COUNT["n"] - 1
    return step(caches, *token)


GENERAL = {"other", "part", "axis", "constant", "factor", "nan", "precision"}
UNLISTED = (
    ("4.1", windows_summed, GENERAL),
    ("4.1", windows_halved, GENERAL),
    ("4.1", one_key_only, GENERAL),
    ("4.1", no_long_windows, GENERAL),
    ("4.1", as_numbers, {"dtype"}),
    ("4.2", hidden_if_both_outside, GENERAL),
    ("4.2", scaled_by_windows, GENERAL),
    ("4.2", values_in_another_order, GENERAL),
    ("4.2", half_of_the_pairs, GENERAL),
    ("4.2", rounded, GENERAL),
    ("4.2", mean_of_values, GENERAL),
    ("4.2", second_window_from_the_first, GENERAL),
    ("4.2", with_a_square_mask, {"map"}),
    ("4.3", five_flops, GENERAL),
    ("4.3", one_short, GENERAL),
    ("4.3", with_head_dim, GENERAL),
    ("4.3", square_rounded_down, GENERAL),
    ("4.4", one_more_pair, GENERAL),
    ("4.4", short_last_tile_at_full_length, GENERAL),
    ("4.4", pairs_in_blocks, GENERAL),
    ("4.4", heads_never_wasted, GENERAL),
    ("4.5", placed_one_early, GENERAL),
    ("4.5", placed_from_the_end, GENERAL),
    ("4.5", ring_too_short, GENERAL),
    ("4.5", own_value_missing, GENERAL),
    ("4.5", heads_averaged, GENERAL),
    ("4.5", scaled_in_place, {"token changed"}),
    ("4.5", keeps_all_tokens, {"more tensors"}),
    ("4.5", counts_outside, {"kept elsewhere"}),
)


@pytest.mark.parametrize(("exercise", "answer", "causes"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected_and_not_misnamed(exercise, answer, causes):
    report = check(exercise, answer)
    assert not report.passed and report.cause in causes, report.message


# what a check of one exercise alone must do -----------------------------------------------------


@pytest.mark.parametrize("low", [-50, -1e4, -1e5, -1e9])
def test_a_finite_mask_is_named(low):
    assert check("4.2", lambda *x: unfolded(*x, low=low)).cause == "finite mask, zeros"


def test_padding_told_by_its_zeros_is_named():
    def zeros(q, k1, k2, v1, v2, w1, w2):
        k1, v1, k2, v2 = (
            pad(x, (0, 0, w - 1, 0)).unfold(2, w, 1)
            for x, w in ((k1, w1), (v1, w1), (k2, w2), (v2, w2))
        )
        logits = torch.einsum("bhid,bhidu,bhidw->bhiuw", q, k1, k2) * q.shape[-1] ** -0.5
        hidden = logits == 0
        if by_key:
            hidden = ~((k1 != 0).any(3)[..., :, None] & (k2 != 0).any(3)[..., None, :])
        probs = logits.masked_fill(hidden, -math.inf).flatten(-2).softmax(-1).view_as(logits)
        return torch.einsum("bhiuw,bhidu,bhidw->bhid", probs, v1, v2)

    by_key = False
    assert check("4.2", zeros).cause == "logits of 0 hidden"
    by_key = True
    assert check("4.2", zeros).cause == "keys of zeros hidden"


def test_an_answer_that_is_spoken_of_in_another_case_is_told_so():
    report = check("4.1", windows_summed)
    assert "Below is the smallest case" in report.says, report.message


def test_windows_of_any_length_may_be_padded_in_full():
    """Cutting a window at s saves time and is not asked for."""

    def uncut(q, k1, k2, v1, v2, w1, w2):
        s = q.shape[2]
        longer = [pad(x, (0, 0, max(w1, w2), 0)) for x in (pad(q, (0, 0, 0, 0)), k1, k2, v1, v2)]
        at = [torch.arange(s)[:, None] + torch.arange(1 - w, 1) for w in (w1, w2)]
        k1, v1 = (longer[n][:, :, at[0] + max(w1, w2)] for n in (1, 3))
        k2, v2 = (longer[n][:, :, at[1] + max(w1, w2)] for n in (2, 4))
        logits = torch.einsum("bhid,bhiud,bhiwd->bhiuw", q, k1, k2) * q.shape[-1] ** -0.5
        logits = logits.masked_fill(~both(at[0] >= 0, at[1] >= 0), -math.inf)
        probs = logits.flatten(-2).softmax(-1).view_as(logits)
        return torch.einsum("bhiuw,bhiud,bhiwd->bhid", probs, v1, v2)

    assert check("4.2", uncut).passed


def test_right_costs_as_floats_are_told_so_and_wrong_ones_are_not():
    right = check("4.3", lambda s, w1, w2: (6 * s * w1 * w2, 2 * s * s, 6 * w1 * w2 / 2))
    assert right.cause == "not an int" and "break_even" in right.says
    wrong = check("4.3", lambda s, w1, w2: (4.0 * s * w1 * w2, 2 * s * s, 3 * w1 * w2))
    assert wrong.cause == "two products"


@pytest.mark.parametrize("kind", [float, torch.tensor, lambda x: torch.tensor(x).double()])
def test_a_share_may_be_a_number_or_a_tensor(kind):
    assert check("4.4", lambda *x: kind(tiles(*x))).passed


def test_a_share_that_is_no_number_is_said_with_its_tiling():
    report = check("4.4", lambda *x: (tiles(*x), 1) if x[-1] == "heads" else tiles(*x))
    assert report.cause == "type" and '"heads"' in report.says


def test_a_step_may_keep_numbers_of_its_own():
    def counted(caches, *token):
        caches["steps"] = caches.get("steps", 0) + 1
        return step(caches, *token)

    assert check("4.5", counted).passed


def test_a_library_answer_does_not_count():
    def borrowed(*x):
        return right_unfolded(*x)

    assert check("4.2", borrowed).cause == "library"


if __name__ == "__main__":
    for name in IDS:
        for wrong, report in confusion(exercises()[name]).items():
            print(name, wrong, report.cause, report.says, sep=" | ")
    for name, answer, _ in UNLISTED:
        report = check(name, answer)
        print(name, answer.__name__, report.cause, report.message, sep=" | ")
