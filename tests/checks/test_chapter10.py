"""The checks 10.1, 10.2 and 10.5: more is caught than what is listed, and no sentence is false.

`python tests/checks/test_chapter10.py` prints what a learner reads for every wrong answer.
10.3 and 10.4, the kernels, are in test_chapter10_kernels.py.
"""

import math

import pytest
import torch
from torch import einsum
from torch.autograd.function import once_differentiable

from simplex_lib.attention import trilinear_attention, trilinear_attention_with_lse
from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch10_function import truth_function
from simplex_lib.checks.ch10_function_kernels import Kernels, windows
from simplex_lib.checks.ch10_gradients import truth_gradients
from simplex_lib.checks.ch10_gradients_slips import ByHand
from simplex_lib.checks.ch10_recompute import recompute_inputs, truth_recompute

IDS = ("10.1", "10.2", "10.5")


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "10"
    assert len(found.wrong) >= 6 and len(found.right) >= 2


@pytest.mark.parametrize("exercise", IDS)
def test_every_wrong_answer_is_named_by_a_sentence_of_its_own(exercise):
    reports = confusion(exercises()[exercise])
    assert all(name == report.cause for name, report in reports.items())
    assert all("raised" not in report.says for report in reports.values())
    sentences = [report.says for report in reports.values()]
    assert len(set(sentences)) == len(sentences)
    assert not any(says.startswith("Refused") for says in sentences)


# what the truths stand for -----------------------------------------------------------------------


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1, 1)


def test_the_example_of_the_five_gradients_comes_out():
    inputs = ((0, math.log(2)), (0, 1), (1, 1), (0, 6), (1, 0), (0, 1))
    wanted = ((0, 2 / 3), (-2 / 3, 2 / 3), (4 / 3, -2 / 3), (1 / 6, 1 / 3), (2, 2))
    for answer in (truth_gradients, ByHand()):
        found = [x.flatten() for x in answer(*(vector(*x) for x in inputs), 1.0)]
        for n, (got, want) in enumerate(zip(found, wanted, strict=True)):
            factor = math.log(2) if n in (1, 2) else 1
            torch.testing.assert_close(got, factor * torch.tensor(want, dtype=torch.float64))


def test_truths_are_the_gradients_of_the_library():
    inputs = [normal(2, 3, 5, 4, seed=n) for n in range(3)]
    inputs += [normal(2, 3, 5, 6, seed=n) for n in (3, 4)]
    dout, dlse = normal(2, 3, 5, 6, seed=5), normal(2, 3, 5, seed=6)
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = trilinear_attention(*leaves, scale=0.7)
    wanted = torch.autograd.grad((out * dout).sum(), leaves)
    for got, want in zip(truth_gradients(*inputs, dout, 0.7), wanted, strict=True):
        torch.testing.assert_close(got, want)
    w1, w2 = windows(5)
    assert w1 < w2 < 5
    out, lse = trilinear_attention_with_lse(*leaves, scale=0.7, w1=w1, w2=w2)
    wanted = torch.autograd.grad((out * dout).sum(), leaves)
    found = truth_function(*inputs, dout, dlse, 0.7)
    for got, want in zip(found, (out, lse, *wanted), strict=True):
        torch.testing.assert_close(got, want.detach())


def test_a_tile_knows_its_probabilities_and_the_delta_of_all_pairs():
    logits = torch.tensor([0, math.log(2)], dtype=torch.float64).view(1, 1, 1, 1, 2)
    lse = torch.full((1, 1, 1), math.log(8), dtype=torch.float64)
    out, dout = (torch.tensor([[[x]]]).double() for x in ([3, 1], [1, -2]))
    probs, delta = truth_recompute(logits, lse, out, dout)
    assert torch.allclose(probs.flatten(), torch.tensor([1 / 8, 2 / 8]).double()) and delta == 1
    for case in exercises()["10.2"].cases():
        probs, _ = truth_recompute(**{k: x.double() for k, x in case.arguments.items()})
        assert bool((probs[:, :, 0] == 0).all()), "query 0 sees no pair of the tile"
        if case.variant == "float64":
            assert bool((probs.sum((-2, -1)) < 1 + 1e-9).all()) and bool((probs > 0).any())


def test_some_logits_are_beyond_what_exp_can_hold():
    cases = [case.arguments for case in exercises()["10.2"].cases()]
    assert any(bool(x["logits"].exp().isinf().any()) for x in cases)
    assert any(bool((x["lse"].exp() == 0).all()) for x in cases)
    assert recompute_inputs.__doc__


def test_the_kernels_of_the_exercise_pass_gradcheck_by_the_reference_function():
    leaves = [normal(1, 2, 3, 2, seed=n).requires_grad_() for n in range(3)]
    leaves += [normal(1, 2, 3, 4, seed=n).requires_grad_() for n in (3, 4)]
    kernels, function = Kernels(1, 2, 3, 2, 4), written()
    assert torch.autograd.gradcheck(lambda *x: function.apply(*x, 0.6, kernels), leaves)
    out = function.apply(*leaves, 0.6, kernels)[0]
    w1, w2 = windows(3)
    torch.testing.assert_close(out, trilinear_attention(*leaves, scale=0.6, w1=w1, w2=w2))


# answers that are on no list: 10.1 ---------------------------------------------------------------


def pieces(q, k1, k2, v1, v2, dout, scale):
    s = q.shape[2]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past[:, :, None] & past[:, None]
    logits = scale * einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)
    logits = logits.masked_fill(~visible, -math.inf)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return logits, probs, einsum("bhid,bhjd,bhkd->bhijk", dout, v1, v2)


def gathered(probs, dlogits, q, k1, k2, v1, v2, dout):
    return (
        einsum("bhijk,bhjd,bhkd->bhid", dlogits, k1, k2),
        einsum("bhijk,bhid,bhkd->bhjd", dlogits, q, k2),
        einsum("bhijk,bhid,bhjd->bhkd", dlogits, q, k1),
        einsum("bhijk,bhid,bhkd->bhjd", probs, dout, v2),
        einsum("bhijk,bhid,bhjd->bhkd", probs, dout, v1),
    )


def by_hand(*, probs=None, dlogits=None, after=None):
    """The right answer, with another step where one is given."""

    def gradients(q, k1, k2, v1, v2, dout, scale):
        logits, p, dp = pieces(q, k1, k2, v1, v2, dout, scale)
        p = probs(p, logits) if probs else p
        delta = (p * dp).sum((-2, -1), keepdim=True)
        ds = dlogits(p, dp, scale) if dlogits else scale * p * (dp - delta)
        found = gathered(p, ds, q, k1, k2, v1, v2, dout)
        return after(found) if after else found

    return gradients


def by_autograd(q, k1, k2, v1, v2, dout, scale):
    x = [t.clone().requires_grad_() for t in (q, k1, k2, v1, v2)]
    out = einsum("bhijk,bhjd,bhkd->bhid", pieces(*x, dout, scale)[1], x[3], x[4])
    return torch.autograd.grad(out, x, dout)


def by_backward(q, k1, k2, v1, v2, dout, scale):
    x = [t.clone().requires_grad_() for t in (q, k1, k2, v1, v2)]
    probs = pieces(*x, dout, scale)[1]
    (einsum("bhijk,bhjd,bhkd->bhid", probs, x[3], x[4]) * dout).sum().backward()
    return tuple(t.grad for t in x)


def by_vjp(q, k1, k2, v1, v2, dout, scale):
    def forward(*x):
        return einsum("bhijk,bhjd,bhkd->bhid", pieces(*x, dout, scale)[1], x[3], x[4])

    return torch.func.vjp(forward, q, k1, k2, v1, v2)[1](dout)


def scaled_in_place(q, k1, k2, v1, v2, dout, scale):
    q *= scale
    return by_hand()(q, k1, k2, v1, v2, dout, 1.0)


def scaled_at_the_start(q, k1, k2, v1, v2, dout, scale):
    return by_hand()(q * scale, k1, k2, v1, v2, dout, 1.0)


def scaled_at_the_start_and_after(q, k1, k2, v1, v2, dout, scale):
    found = by_hand()(q * scale, k1, k2, v1, v2, dout, 1.0)
    return *(scale * x for x in found[:3]), *found[3:]


def in_bfloat16(*x):
    *tensors, scale = x
    found = by_hand()(*(t.bfloat16() for t in tensors), scale)
    return tuple(t.to(tensors[0].dtype) for t in found)


def masked_by(hidden):
    def answer(*x):
        def probs(_, logits):
            seen = torch.where(logits == -math.inf, hidden, logits)
            return seen.flatten(-2).softmax(-1).view_as(logits)

        return by_hand(probs=probs)(*x)

    return answer


def through_softmax_backward(q, k1, k2, v1, v2, dout, scale):
    _, p, dp = pieces(q, k1, k2, v1, v2, dout, scale)
    flat = torch._softmax_backward_data(dp.flatten(-2), p.flatten(-2), -1, p.dtype)
    return gathered(p, scale * flat.view_as(p), q, k1, k2, v1, v2, dout)


def through_lse(q, k1, k2, v1, v2, dout, scale):
    logits, _, dp = pieces(q, k1, k2, v1, v2, dout, scale)
    p = (logits - logits.logsumexp((-2, -1), keepdim=True)).exp()
    out = einsum("bhijk,bhjd,bhkd->bhid", p, v1, v2)
    ds = scale * p * (dp - (out * dout).sum(-1)[..., None, None])
    return list(gathered(p, ds, q, k1, k2, v1, v2, dout))


ONE_BY_ONE = (
    ("10.1", by_autograd, {"library"}),
    ("10.1", by_backward, {"library"}),
    ("10.1", by_vjp, {"library"}),
    ("10.1", scaled_in_place, {"mutated"}),
    ("10.1", scaled_at_the_start, {"no scale in dq"}),
    ("10.1", scaled_at_the_start_and_after, {"scale twice in the keys"}),
    ("10.1", in_bfloat16, {"rounded on the way"}),
    ("10.1", by_hand(probs=lambda p, _: p.float().to(p.dtype)), {"rounded on the way"}),
    ("10.1", by_hand(probs=lambda _, logits: logits.softmax(-1)), {"softmax over k alone, NaN"}),
    ("10.1", by_hand(probs=lambda _, logits: logits.softmax(-2)), {"softmax over j alone, NaN"}),
    ("10.1", masked_by(-1e9), {"finite mask"}),
    ("10.1", masked_by(-1e5), {"finite mask"}),
    ("10.1", by_hand(after=lambda found: found[:4]), {"count"}),
    ("10.1", by_hand(after=lambda found: found[::-1]), {"shape"}),
    ("10.1", by_hand(after=lambda found: None), {"none"}),
    ("10.1", by_hand(after=lambda found: tuple(x.float() for x in found)), {"dtype"}),
    ("10.1", by_hand(probs=lambda p, _: p.mT), {"part", "other", "axis"}),
    ("10.1", by_hand(dlogits=lambda p, dp, c: c * p * (dp - (p * dp).sum())), {"other", "axis"}),
)

# answers that are on no list: 10.2 ---------------------------------------------------------------


LOG2_E = math.log2(math.e)


def recomputed(probs=None, delta=None):
    def probs_and_delta(logits, lse, out, dout):
        right = (logits - lse[..., None, None]).exp()
        found = probs(logits, lse[..., None, None]) if probs else right
        return found, delta(out, dout) if delta else (out * dout).sum(-1)

    return probs_and_delta


def probs_in_place(logits, lse, out, dout):
    logits -= lse[..., None, None]
    return logits.exp_(), (out * dout).sum(-1)


def of_tile(logits, lse):
    return (logits - logits.logsumexp((-2, -1), keepdim=True)).exp()


ONE_BY_ONE += (
    ("10.2", probs_in_place, {"mutated"}),
    ("10.2", lambda logits, lse, out, dout: recomputed()(logits, lse, out, dout)[0], {"count"}),
    ("10.2", recomputed(lambda x, lse: (x * LOG2_E - lse).exp2()), {"mixed bases"}),
    ("10.2", recomputed(lambda x, lse: (x - lse * math.log(2)).exp()), {"mixed bases"}),
    ("10.2", recomputed(of_tile), {"normalised over the tile"}),
    ("10.2", recomputed(lambda x, lse: (x.exp() / lse.exp()).nan_to_num()), {"constant", "part"}),
    ("10.2", recomputed(lambda x, lse: (x - lse).exp().mT), {"shape"}),
    ("10.2", recomputed(lambda x, lse: (x - lse.mean(1, True)).exp()), {"part"}),
    ("10.2", recomputed(lambda x, lse: (x - lse.flip(2)).exp()), {"part"}),
    ("10.2", recomputed(lambda x, lse: (x - lse).sigmoid()), {"part"}),
    ("10.2", recomputed(delta=lambda out, dout: (out * dout).sum()), {"shape"}),
    ("10.2", recomputed(delta=lambda out, dout: (out * dout).sum(1)), {"shape"}),
    ("10.2", recomputed(delta=lambda out, dout: (out.float() * dout).sum(-1).float()), {"dtype"}),
)


@pytest.mark.parametrize(("exercise", "answer", "causes"), ONE_BY_ONE)
def test_an_answer_on_no_list_is_rejected_in_true_words(exercise, answer, causes):
    report = check(exercise, answer)
    assert not report.passed and report.cause in causes, report.says


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("10.1", through_softmax_backward),
        ("10.1", through_lse),
        ("10.2", recomputed(delta=torch.linalg.vecdot)),
        ("10.2", recomputed(delta=lambda out, dout: (out @ dout.mT).diagonal(dim1=-2, dim2=-1))),
        ("10.2", recomputed(lambda x, lse: ((x - lse) / math.log(2)).exp2())),
    ],
)
def test_an_answer_written_otherwise_passes(exercise, answer):
    report = check(exercise, answer)
    assert report.passed, report.says


# answers that are on no list: 10.5 ---------------------------------------------------------------

REFERENCE = """
class TrilinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k1, k2, v1, v2, scale, kernels):
        inputs = [x.contiguous() for x in (q, k1, k2, v1, v2)]
        out, lse = kernels.forward(*inputs, scale)
        ctx.save_for_backward(*inputs, out, lse)
        ctx.scale, ctx.kernels = scale, kernels
        return out, lse

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dlse):
        *inputs, out, lse = ctx.saved_tensors
        dout = dout.contiguous()
        delta = (dout * out).sum(-1) - dlse
        given = (dout, *inputs, lse, delta, ctx.scale)
        dq = dk1 = dk2 = dv1 = dv2 = None
        q, k1, k2, v1, v2, *_ = ctx.needs_input_grad
        if k1 or v1:
            dk1, dv1 = ctx.kernels.first_key(*given)
        if q or k2 or v2:
            dq, dk2, dv2 = ctx.kernels.second_key(*given)
        return dq, dk1, dk2, dv1, dv2, None, None
"""
SAVE, LOAD = "ctx.save_for_backward(*inputs, out, lse)", "ctx.saved_tensors"
RETURN = "return dq, dk1, dk2, dv1, dv2, None, None"
ALIKE = "        return out, lse\n"
KEEP, DOUT, GIVEN = (
    "        ctx.scale, ctx.kernels = scale, kernels\n",
    "        dout =",
    "        given =",
)


def written(*changes):
    """The reference of the notebook, with pieces of its text replaced."""
    text = REFERENCE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    space = dict(torch=torch, once_differentiable=once_differentiable)
    exec(text, space)
    return space["TrilinearFunction"]


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        (((SAVE, "ctx.saved = (*inputs, out, lse)"), (LOAD, "ctx.saved")), {"tensor on ctx"}),
        (
            ((SAVE, "ctx.read = lambda: (*inputs, out, lse)"), (LOAD, "ctx.read()")),
            {"saved past autograd"},
        ),
        (
            ((SAVE, "kernels.kept = (*inputs, out, lse)"), (LOAD, "ctx.kernels.kept")),
            {"two calls mixed"},
        ),
        (
            (
                (SAVE, "TrilinearFunction.kept = (*inputs, out, lse)"),
                (LOAD, "TrilinearFunction.kept"),
            ),
            {"two calls mixed"},
        ),
        (
            ((SAVE, "ctx.save_for_backward(q, k1, k2, v1, v2, out, lse)"),),
            {"inputs not contiguous"},
        ),
        (((SAVE, "ctx.save_for_backward(*inputs, out, lse, scale)"),), {"raised"}),
        (((RETURN, "return dq, dk1, dk2, dv1, dv2, None"),), {"number of gradients"}),
        (((RETURN, "return [dq, dk1, dk2, dv1, dv2, None, None]"),), {"number of gradients"}),
        (((RETURN, "pass"),), {"number of gradients"}),
        (
            ((RETURN, "return dq, dk1, dk2, dv1, dv2, 0.0, None"),),
            {"gradient of what is no tensor"},
        ),
        ((("dk1, dv1 = ctx", "dv1, dk1 = ctx"),), {"order of the gradients"}),
        ((("dq, dk2, dv2 = ctx", "dk2, dq, dv2 = ctx"),), {"dq and dk2 exchanged"}),
        ((("k1 or v1:", "k1 and v1:"),), {"None for a needed gradient"}),
        ((("q or k2 or v2:", "q or k2:"),), {"None for a needed gradient"}),
        (
            (
                (
                    "q, k1, k2, v1, v2, *_ = ctx.needs_input_grad",
                    "q, k1, k2, v1, v2 = (x.requires_grad for x in inputs)",
                ),
            ),
            {"None for a needed gradient"},
        ),
        ((("dout.contiguous()", "dout.clone()"),), {"dout not contiguous"}),
        ((("dout.contiguous()", "dout.reshape(dout.shape)"),), {"dout not contiguous"}),
        (
            ((ALIKE, "        return out, lse.detach()\n"), (" - dlse", "")),
            {"lse without its gradient"},
        ),
        (
            ((ALIKE, "        ctx.mark_non_differentiable(out, lse)\n" + ALIKE),),
            {"out without a gradient"},
        ),
        ((("(dout * out).sum(-1)", "out.mul_(dout).sum(-1)"),), {"backward changes what it reads"}),
        (((" - dlse", " - 2 * dlse"),), {"gradient through lse"}),
        (((ALIKE, "        return lse, out\n"),), {"shape"}),
        ((("given = (dout, *inputs", "given = (*inputs, dout"),), {"shape for a kernel"}),
        ((("delta, ctx.scale)", "delta, torch.tensor(ctx.scale))"),), {"no scale"}),
        ((("    @once_differentiable\n", ""),), {"second derivative"}),
        (
            (("        inputs = [", "        raise NotImplementedError\n        inputs = ["),),
            {"stub"},
        ),
        (
            (("        *inputs, out", "        raise NotImplementedError\n        *inputs, out"),),
            {"stub"},
        ),
        ((("torch.autograd.Function", "torch.nn.Module"),), {"no function"}),
        (((RETURN, f"{RETURN}, None"),), {"more gradients than arguments"}),
        (
            (
                (SAVE, "ctx.save_for_backward(*inputs)"),
                ("*inputs, out, lse = ctx.saved_tensors", "inputs = ctx.saved_tensors"),
                (DOUT, f"        out, lse = ctx.kernels.forward(*inputs, ctx.scale)\n{DOUT}"),
            ),
            {"forward launched again"},
        ),
        (((KEEP, f"{KEEP}        kernels.forward(*inputs, scale)\n"),), {"forward launched twice"}),
        (((KEEP, f"{KEEP}        kernels.out = out\n"),), {"tensor on kernels"}),
        (((KEEP, f"{KEEP}        TrilinearFunction.seen = lse\n"),), {"tensor on the class"}),
        (((KEEP, f"{KEEP}        q *= scale\n"),), {"forward changes its input"}),
        (((GIVEN, f"        inputs[0] *= 1.0\n{GIVEN}"),), {"changed after it was kept"}),
        (
            (
                (GIVEN, f"        inputs[0] *= ctx.scale\n{GIVEN}"),
                ("delta, ctx.scale", "delta, 1.0"),
            ),
            {"scaled instead"},
        ),
        (
            (("(*inputs, scale)", "(inputs[0], *(inputs[n] for n in (2, 1, 4, 3)), scale)"),),
            {"both exchanged in forward"},
        ),
        (
            (("(dout, *inputs,", "(dout, inputs[0], *(inputs[n] for n in (2, 1, 4, 3)),"),),
            {"both exchanged on the way"},
        ),
        ((("lse, delta, ctx", "lse, delta.float(), ctx"),), {"converted"}),
        ((("lse, delta, ctx", "lse.half(), delta, ctx"),), {"converted"}),
        ((("x.contiguous() for", "x.contiguous().float() for"),), {"converted"}),
        ((("(-1) - dlse", "(-1).float().double() - dlse"),), {"rounded"}),
    ],
)
def test_a_function_on_no_list_is_rejected_in_true_words(changes, causes):
    report = check("10.5", written(*changes))
    assert not report.passed and report.cause in causes, report.says


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (("dout.contiguous()", "dout.clone(memory_format=torch.contiguous_format)"),),
        ((ALIKE, "        ctx.mark_non_differentiable(lse)\n" + ALIKE), (" - dlse", "")),
        ((SAVE, "ctx.save_for_backward(*(x.clone() for x in inputs), out, lse)"),),
    ],
)
def test_a_function_written_otherwise_passes(changes):
    report = check("10.5", written(*changes))
    assert report.passed, report.says


def test_the_check_wants_the_class_itself():
    assert check("10.5", written().apply).cause == "no function"
    assert check("10.5", torch.relu).cause == "no function"


if __name__ == "__main__":
    for name in IDS:
        for wrong, report in confusion(exercises()[name]).items():
            print(name, wrong, report.cause, report.says, sep=" | ")
