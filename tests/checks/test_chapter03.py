"""The checks of chapter 03: other right answers pass, and more mistakes are caught than are listed.

`python tests/checks/test_chapter03.py` prints what a learner reads for every wrong answer.
"""

import math

import pytest
import torch

from simplex_lib.attention import determinant_logits
from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch03_choose import blank_ratio, hardest, right_bound, smallest
from simplex_lib.checks.ch03_common import determinants, product, rest, whole
from simplex_lib.checks.ch03_match3 import scores, share, truth_shares
from simplex_lib.checks.ch03_pairs import angles, turn
from simplex_lib.checks.ch03_triples import THIRD, right_third_axis, turn_about
from simplex_lib.checks.engine import examine
from simplex_lib.tasks.match3 import match3_hardest, match3_labels

IDS = ("3.1", "3.2", "3.3", "3.4", "3.5", "3.6")
GENERAL = {"other", "part", "axis", "factor", "variant", "shape", "dtype", "precision", "raised"}
GENERAL |= {"constant", "inf", "nan"}


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "03"
    assert len(found.wrong) >= 6 and len(found.right) >= 2


@pytest.mark.parametrize("exercise", IDS)
def test_every_mistake_is_named_by_its_own_sentence(exercise):
    reports = confusion(exercises()[exercise])
    assert {name: report.cause for name, report in reports.items()} == {n: n for n in reports}


@pytest.mark.parametrize("exercise", IDS)
def test_other_algorithms_pass(exercise):
    found = exercises()[exercise]
    reports = {r.name: examine(found, r.answer, trust_chapters=True) for r in found.right}
    assert all(r.passed for r in reports.values()), {n: r.message for n, r in reports.items()}


def test_the_sizes_of_a_case_differ_so_that_none_can_stand_for_another():
    for exercise in ("3.1", "3.2", "3.3", "3.4"):
        for sizes in exercises()[exercise].sizes[1:]:
            axes = [sizes[name] for name in ("b", "h", "s", "d")]
            assert len(set(axes)) == 4 or axes[:2] == [1, 1], (exercise, sizes)


EXAMPLES = (  # what the statements print
    ("3.1", dict(positions=[2], x=[[[[1, 0, 2, 0]]]]), [[[[0, 1, -2, 0]]]]),
    ("3.2", dict(q=[[[[1, 0, 0, 2, 0, 0]]]], k1=[[[[0, 1, 0, 0, 0, 3]]]]), [[[[[-5]]]]]),
    ("3.3", dict(q=[[[[1, 0, 0, 2, 1]]]], k1=[[[[0, 1, 0, 3, 1]]]]), [[[[[11]]]]]),
    ("3.4", dict(k1=[[[[1, 0, 0]]]], k2=[[[[0, 0, 1]]]], positions_k1=[1]), 0),
    ("3.5", dict(x=[[2, 2]], modulus=5, c=1.5), [[0.587, 0.587]]),
    ("3.5", dict(x=[[1, 2, 4]], modulus=8, c=30), [[0.0005, 0.6667, 0.5001]]),
    ("3.6", dict(seq_len=2, modulus=5), 0),
)


@pytest.mark.parametrize(("exercise", "given", "result"), EXAMPLES)
def test_the_examples_of_the_statements_are_cases(exercise, given, result):
    found = exercises()[exercise]
    numbers = lambda x: x.tolist() if isinstance(x, torch.Tensor) else x  # noqa: E731
    same = [
        case
        for case in found.cases()
        if case.variant == "float64"
        and all(numbers(case.arguments[name]) == x for name, x in given.items())
    ]
    assert len(same) == 1
    right = torch.as_tensor(found.truth(**same[0].arguments)).double()
    torch.testing.assert_close(right, torch.tensor(result).double(), atol=6e-4, rtol=0)


def test_the_numbers_in_the_statement_of_c_hold():
    assert not check("3.6", lambda s, m: 3.0 if (s, m) == (2, 5) else 1.01 * smallest(s, m)).passed
    assert round(blank_ratio(2, 5, 3.0) / (1 + blank_ratio(2, 5, 3.0)), 3) == 0.335
    assert round(blank_ratio(2, 5, 3.3) / (1 + blank_ratio(2, 5, 3.3)), 3) == 0.290
    assert 6 < 2 * smallest(2, 5) < 7


# answers that are on no list ------------------------------------------------------------------


def half_the_planes(x, positions, frequencies):
    right = turn(x, angles(positions, frequencies))
    return torch.cat([right[..., :2], x[..., 2:]], -1)


def twice_the_angle(x, positions, frequencies):
    return turn(x, 2 * angles(positions, frequencies))


def sorted_positions(x, positions, frequencies):
    return turn(x, angles(positions.sort().values, frequencies))


def position_plus_frequency(x, positions, frequencies):
    return turn(x, positions[:, None] + frequencies.double())


def unit_length(x, positions, frequencies):
    turned = turn(x, angles(positions, frequencies))
    return turned / turned.norm(dim=-1, keepdim=True)


def rows_moved(q, k1, k2):
    return determinants(k1, q, k2)


def chunks_overlap(q, k1, k2):
    starts = range(q.shape[-1] - 2)
    return sum(determinants(*(x[..., c : c + 3] for x in (q, k1, k2))) for c in starts)


def largest_chunk(q, k1, k2):
    starts = range(0, q.shape[-1] - 2, 3)
    every = [determinants(*(x[..., c : c + 3] for x in (q, k1, k2))) for c in starts]
    return torch.stack(every).amax(0)


def one_head_for_all(q, k1, k2):
    return determinants(q, k1[:, :1].expand_as(k1), k2)


def hidden_with_zeros(q, k1, k2):
    past = torch.ones(q.shape[2], q.shape[2], dtype=q.dtype).tril()
    return determinants(q, k1, k2) * past[:, :, None] * past[:, None]


def first_left_over_only(q, k1, k2):
    more = (x[..., :1] for x in map(rest, (q, k1, k2)))
    return determinants(q, k1, k2) + product(*more)


def filled_up_with_ones(q, k1, k2):
    fill = (0, -q.shape[-1] % 3)
    return determinants(*(torch.nn.functional.pad(x, fill, value=1.0) for x in (q, k1, k2)))


def sums_of_the_rest(q, k1, k2):
    sums = (rest(x).sum(-1, keepdim=True) for x in (q, k1, k2))
    return determinants(q, k1, k2) + product(*sums)


def two_axes(x, positions, frequencies):
    angle = angles(positions, frequencies)
    return turn_about(turn_about(x, THIRD, angle), torch.eye(3)[0], angle)


def axis_by_parity(x, positions, frequencies):
    axis = torch.eye(3)[positions % 2][:, None]
    return turn_about(x, axis, angles(positions, frequencies))


def axis_of_the_vector(x, positions, frequencies):
    chunks = x.double().unflatten(-1, (-1, 3)).roll(1, -1)
    axis = chunks / chunks.norm(dim=-1, keepdim=True)
    return turn_about(x, axis, angles(positions, frequencies))


def last_chunk_stands(x, positions, frequencies):
    return torch.cat([right_third_axis(x, positions, frequencies)[..., :-3], x[..., -3:]], -1)


def about_second(change):
    return lambda x, p, f: turn_about(x, torch.eye(3)[1], change(p, f))


def first_head_only(x, positions, frequencies):
    turned = turn_about(x, torch.eye(3)[1], angles(positions, frequencies))
    return torch.cat([turned[:, :1], x[:, 1:]], 1)


def first_batch_only(x, positions, frequencies):
    turned = turn_about(x, torch.eye(3)[1], angles(positions, frequencies))
    return torch.cat([turned[:1], x[1:]])


def each_head_faster(x, positions, frequencies):
    heads = [
        right_third_axis(x[:, n : n + 1], positions, frequencies * (n + 1))
        for n in range(x.shape[1])
    ]
    return torch.cat(heads, 1)


def first_frequency_used_in_one_head(x, positions, frequencies):
    other = frequencies.clone()
    other[0] = 1
    turned = right_third_axis(x, positions, frequencies)
    return torch.cat([turned[:, :1], right_third_axis(x, positions, other)[:, 1:]], 1)


def positions_wrap(x, positions, frequencies):
    return right_third_axis(x, positions % 16, frequencies)


def mirrored_once(x, positions, frequencies):
    return -right_third_axis(x, positions, frequencies)


def mean_frequency(x, positions, frequencies):
    return right_third_axis(x, positions, frequencies.mean().expand_as(frequencies))


def longer(x, positions, frequencies):
    return 2 * right_third_axis(x, positions, frequencies)


def next_modulus(x, modulus, c):
    return share(scores(x, modulus + 1, c), c)


def two_blank_pairs(x, modulus, c):
    return share(scores(x, modulus, c), c, c)


def half_of_c(x, modulus, c):
    return share(scores(x, modulus, c / 2), c)


def squared_share(x, modulus, c):
    return share(scores(x, modulus, c), c) ** 2


def second_key_masked(x, modulus, c):
    at = torch.arange(x.shape[1])
    pairs = scores(x, modulus, c).masked_fill(at > at[:, None, None], -math.inf)
    return share(pairs, c)


def no_share(x, modulus, c):
    return torch.zeros(x.shape, dtype=torch.float64)


UNLISTED = (
    ("3.1", half_the_planes),
    ("3.1", twice_the_angle),
    ("3.1", sorted_positions),
    ("3.1", position_plus_frequency),
    ("3.1", unit_length),
    ("3.2", rows_moved),
    ("3.2", chunks_overlap),
    ("3.2", largest_chunk),
    ("3.2", one_head_for_all),
    ("3.2", hidden_with_zeros),
    ("3.3", rows_moved),
    ("3.3", chunks_overlap),
    ("3.3", first_left_over_only),
    ("3.3", filled_up_with_ones),
    ("3.3", sums_of_the_rest),
    ("3.5", next_modulus),
    ("3.5", two_blank_pairs),
    ("3.5", half_of_c),
    ("3.5", squared_share),
    ("3.5", second_key_masked),
    ("3.5", no_share),
)

BROKEN_SCHEMES = (
    (two_axes, "shift"),
    (axis_by_parity, "shift"),
    (positions_wrap, "shift"),
    (axis_of_the_vector, "same position"),
    (mirrored_once, "same position"),
    (last_chunk_stands, "position not seen"),
    (mean_frequency, "frequency of another chunk"),
    (longer, "lengths change"),
    (first_head_only, "own position not seen"),
    (first_batch_only, "own position not seen"),
    (about_second(lambda p, f: angles(p[:1].expand_as(p), f)), "position of another place"),
    (about_second(lambda p, f: angles(p[-1:].expand_as(p), f)), "own position not seen"),
    (about_second(lambda p, f: angles(p.max().expand_as(p), f)), "own position not seen"),
    (about_second(lambda p, f: angles(p.flip(0), f)), "position of another place"),
    (about_second(lambda p, f: angles(p.roll(1), f)), "position of another place"),
    (about_second(lambda p, f: angles(p.double().mean().expand_as(p), f)), None),
    (first_frequency_used_in_one_head, "frequency not used"),
    (each_head_faster, "rate"),
    (about_second(lambda p, f: angles(p, f) * math.pi / 180), "rate"),
    (about_second(lambda p, f: angles(p, f + 1)), "rate"),
    (about_second(lambda p, f: angles(p, f**2)), "rate"),
    (about_second(lambda p, f: angles(p, f.log())), "rate"),
    (about_second(lambda p, f: 13 * angles(p, f)), "rate"),  # 13 is 1 more than a whole turn of 12
    (about_second(lambda p, f: angles(p, f) / 2), "rate"),
    (about_second(lambda p, f: angles(p, f.clamp(min=0.01))), "turns at frequency 0"),
)


@pytest.mark.parametrize(("exercise", "answer"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected_and_get_no_sentence_of_another(exercise, answer):
    report = examine(exercises()[exercise], answer, trust_chapters=True)
    assert not report.passed and report.message
    assert report.cause in GENERAL, report.says


@pytest.mark.parametrize(("answer", "cause"), BROKEN_SCHEMES)
def test_an_unlisted_scheme_is_told_which_property_fails(answer, cause):
    report = examine(exercises()["3.4"], answer, trust_chapters=True)
    assert not report.passed and cause in (None, report.cause), report.message


@pytest.mark.parametrize(
    ("formula", "cause"),
    [
        (lambda s, m: 3 * smallest(s, m), "too large"),
        (lambda s, m: 0.9 * smallest(s, m), "too small"),
        (lambda s, m: m * m, "too large"),
        (lambda s, m: m * m * (2 * math.log(s) + math.log(7 / 3)) / 20, "too small"),
        (lambda s, m: 4 * math.log(s) / (1 - math.cos(2 * math.pi / m)), "not positive"),
        (lambda s, m: -smallest(s, m), "not positive"),
        (lambda s, m: math.inf, "not finite"),
        (lambda s, m: True, "type"),
        (lambda s, m: None, "none"),
    ],
)
def test_an_unlisted_c_is_told_what_happens_with_it(formula, cause):
    report = check("3.6", formula)
    assert report.cause == cause and report.message


# what must pass -------------------------------------------------------------------------------


def test_angles_in_float32_are_allowed():
    def pairs(x, positions, frequencies):
        return turn(x, positions[:, None] * frequencies.float())

    def triples(x, positions, frequencies):
        return turn_about(x, THIRD, (positions[:, None] * frequencies.float()).double())

    assert examine(exercises()["3.1"], pairs, trust_chapters=True).passed
    assert examine(exercises()["3.4"], triples, trust_chapters=True).passed


@pytest.mark.parametrize(
    "change",
    [
        lambda p, f: -angles(p, f),
        lambda p, f: angles(p, f) * torch.tensor([(-1) ** n for n in range(len(f))]),
        lambda p, f: (p[:, None].float() * f.float()).double(),
        lambda p, f: angles(p + 1, f),
    ],
)
def test_any_scheme_with_the_properties_passes(change):
    def answer(x, positions, frequencies):
        return turn_about(x, torch.eye(3)[1], change(positions, frequencies))

    assert examine(exercises()["3.4"], answer, trust_chapters=True).passed


def test_the_head_may_call_the_library_for_its_logits_and_not_for_its_answer():
    def head(x, modulus, c):
        t = 2 * math.pi * x.double() / modulus
        cos, sin, o, one = t.cos(), t.sin(), 0 * t, torch.ones_like(t)
        q = c * torch.stack([cos, sin, o, -sin, cos, o, one], -1)[:, None]
        k1 = torch.stack([sin, cos, o, -sin, -cos, o, o], -1)[:, None]
        k2 = torch.stack([o, o, cos, o, o, -sin, o], -1)[:, None]
        pairs = determinant_logits(q, k1, k2).flatten(-2)
        probs = torch.cat([pairs, q[..., 6:]], -1).softmax(-1)
        return probs[:, 0, :, :-1].sum(-1)

    assert check("3.5", head).passed
    assert check("3.2", determinant_logits).cause == "library"


def test_a_share_just_above_the_limit_is_seen_to_be_above():
    for factor in (0.99, 0.9999, 0.99999):
        says = check("3.6", lambda s, m, f=factor: f * smallest(s, m)).says
        share = says.split("its share is ")[1].split(",")[0]
        assert float(share) > 0.3, says


def test_twice_the_bound_is_not_told_that_its_gap_is_half():
    twice = lambda s, m: 2 * right_bound(s, m)  # noqa: E731
    report = examine(exercises()["3.6"], twice, trust_chapters=True)
    assert report.cause == "half the gap" and report.says.startswith("Your c is twice what")


def test_a_vector_at_position_0_stays():
    def zeros(x, positions, frequencies):
        turned = turn(x, angles(positions, frequencies)).clone()
        turned[:, :, positions == 0] = 0
        return turned

    assert check("3.1", zeros).cause == "zeros at position 0"


def test_float32_inside_is_seen_whatever_the_order_of_the_products():
    def inside(x, modulus, c):
        t = 2 * math.pi * x.float() / modulus
        total = t[:, :, None, None] + t[:, None, :, None] + t[:, None, None]
        return torch.sigmoid((c * total.cos()).flatten(2).logsumexp(-1) - c).double()

    assert check("3.5", inside).cause == "float32 inside"


@pytest.mark.parametrize("change", [float, torch.tensor, math.ceil])
def test_c_may_be_any_kind_of_number(change):
    assert check("3.6", lambda s, m: change(1.01 * smallest(s, m))).passed


# the truths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("s", "modulus"), [(1, 5), (4, 8), (6, 17), (5, 9), (4, 12)])
def test_the_smallest_safe_factor_is_that_of_the_hardest_input(s, modulus):
    row = torch.tensor([hardest(s, modulus)])
    assert not match3_labels(row, modulus)[0, 0]
    c = smallest(s, modulus)
    worst = float(truth_shares(row, modulus, c)[0, 0])
    assert worst == pytest.approx(0.3) and blank_ratio(s, modulus, c) == pytest.approx(3 / 7)
    others = match3_hardest(s, modulus)
    shares = truth_shares(others, modulus, c)
    assert float(shares[~match3_labels(others, modulus)].max()) <= 0.3 + 1e-9
    assert float(shares[match3_labels(others, modulus)].min()) >= 0.5


def test_the_cases_of_the_head_hold_hits_and_near_misses():
    last = [c for c in exercises()["3.5"].cases() if c.sizes["b"] >= 4]
    for case in last:
        labels = match3_labels(case.arguments["x"], case.arguments["modulus"])
        assert labels.any() and not labels.all()


def test_a_vector_for_each_triple_is_larger_than_the_result():
    def each(q, k1, k2):
        vectors = whole(q)[:, :, :, None, None] * whole(k1)[:, :, None, :, None]
        return (vectors * whole(k2)[:, :, None, None]).sum(-1)

    report = examine(exercises()["3.3"], each, trust_chapters=True)
    assert report.cause == "larger than the result" and "numbers" in report.says


if __name__ == "__main__":
    for name in IDS:
        for mistake, report in confusion(exercises()[name]).items():
            print(f"{name}  {mistake:40} {report.cause or 'passed':40} {report.says}")
