"""The engine on small exercises of its own: every kind of answer, every way to go wrong."""

import contextlib
import importlib.util
import time

import numpy
import pytest
import torch

from simplex_lib.attention import windowed
from simplex_lib.checks.compare import as_outputs
from simplex_lib.checks.engine import examine
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong


def rows(draw: Draw, *, i, j):
    return dict(x=draw.normal(i, j), scale=2.0)


def truth_total(x, scale):
    return torch.tensor([scale * sum(row.tolist()) for row in x], dtype=torch.float64)


def wrong_says(difference: Difference) -> str:
    return f"You summed row {difference.index[0]} over the wrong axis: {difference.got_here:.2f}."


def total(**changes):
    return Exercise(
        **dict(
            id="0.9",
            title="Row sums",
            minutes=1,
            inputs=rows,
            sizes=(dict(i=1, j=1), dict(i=2, j=2), dict(i=3, j=5)),
            truth=truth_total,
            outputs=("total: i",),
            wrong=(
                Wrong("columns", lambda x, scale: scale * x.T.sum(-1)[: len(x)], wrong_says),
                Wrong("mean", lambda x, scale: scale * x.mean(-1), "You took the mean."),
                Wrong("unscaled", lambda x, scale: x.sum(-1), "The scale is missing."),
                Wrong("product", lambda x, scale: scale * x.prod(-1), "You multiplied."),
            ),
            right=(Right("einsum", lambda x, scale: scale * torch.einsum("ij->i", x)),),
            hints=("a", "b", "c"),
            why="A sum is a sum.",
            another_way="`einsum`.",
        )
        | changes
    )


def good(x, scale):
    return scale * x.sum(-1)


def test_a_right_answer_passes_and_says_why():
    report = examine(total(), good)
    assert report.passed and report.cause is None
    assert "A sum is a sum." in report.message and "Another way" in report.message
    assert "Passed" in report._repr_html_()


def test_a_named_mistake_is_named_with_its_smallest_case():
    report = examine(total(), lambda x, scale: x.mean(-1) * scale)
    assert report.cause == "mean" and "You took the mean." in report.message
    assert report.case.sizes == dict(i=1, j=2)
    assert report.first_wrong == (0,)
    assert report.got.shape == report.expected.shape == (1,)
    assert f"expected {float(report.expected[0]):.4g}" in report.message


def test_a_sentence_may_use_the_numbers_of_the_failing_case():
    report = examine(total(), lambda x, scale: scale * x.T.sum(-1)[: len(x)])
    assert report.cause == "columns"
    assert f"{float(report.got[report.first_wrong]):.2f}" in report.message


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (lambda x, scale: None, "none", "returns None"),
        (lambda x, scale: [][1], "raised", "IndexError"),
        (lambda x, scale: exit(), "exit", "called exit"),
        (lambda x, scale: good(x.mul_(1.0).add_(1), scale), "mutated", "changes its input x"),
        (lambda x, scale: good(x, scale)[:, None], "shape", "axis of size 1 is left over"),
        (lambda x, scale: scale * x, "shape", "one axis too many"),
        (lambda x, scale: good(x, scale) * (1 + 1e-4), "precision", "right to about 4 digits"),
        (lambda x, scale: good(x, scale) * len(x) ** 0.5, "factor", "the square root of i"),
        (
            lambda x, scale: good(x, scale) * (len(x) / x.shape[1]) ** 0.5,
            "factor",
            "the square root of i / j",
        ),
        (lambda x, scale: good(x, scale).float(), "dtype", "yours has float32"),
        (lambda x, scale: "six", "type", "yours is a str"),
        (lambda x, scale: (good(x, scale), 0), "count", "returns 2 things"),
        (lambda x, scale: good(x, scale) * torch.nan, "nan", "NaN"),
        (lambda x, scale: torch.empty(10**13), "memory", "more memory than there is"),
        (lambda x, scale: -good(x, scale), "sign", "wrong sign"),
        (lambda x, scale: good(x, scale) * x.shape[1], "factor", "the right one times j"),
        (lambda x, scale: good(x, scale) * 3, "factor", "3 times the right one"),
        (lambda x, scale: good(x, scale) + 0.5, "offset", "plus 0.5"),
        (lambda x, scale: good(x, scale).flip(0), "flipped", "reverse order along the axis i"),
        (lambda x, scale: good(x, scale).clamp(max=1e9) * 0, "constant", "every number you return"),
        (lambda x, scale: good(x, scale) / torch.ones(len(x)).cumsum(0), "part", "i = 1, 2"),
        (lambda x, scale: good(x.view(-1).view(x.shape), scale), "raised", "non-contiguous"),
        (17, "type", "wants a function"),
    ],
)
def test_the_report_says_what_happened(answer, cause, words):
    report = examine(total(), answer)
    assert not report.passed and report.cause == cause
    assert words in report.message
    assert report.message in str(report) or report.message.split("\n")[0] in str(report)


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (lambda x: (2 * x, -x.sum(-1)), "sign", "Every number of sums has the wrong sign."),
        (lambda x: (2 * x, 3 * x.sum(-1)), "factor", "Every number of sums is 3 times the right"),
        (lambda x: (2 * x + 1, x.sum(-1)), "offset", "every number of twice is the right one plus"),
        (
            lambda x: (2 * x * (-1) ** (len(x) > 2), -x.sum(-1)),  # first wrong here, then there
            "sign",
            "With i = 3, j = 5: every number of twice has the wrong sign.",
        ),
    ],
)
def test_of_several_outputs_the_wrong_one_is_named(answer, cause, words):
    def right(x):
        return 2 * x, x.sum(-1)

    exercise = total(
        inputs=lambda draw, *, i, j: dict(x=draw.normal(i, j)),
        truth=right,
        outputs=("twice: i j", "sums: i"),
        wrong=tuple(Wrong(str(n), lambda x, n=n: (n * x, x), "No.") for n in (5, 6, 7, 8)),
        right=(Right("same", right),),
    )
    report = examine(exercise, answer)
    assert report.cause == cause and words in report.says


def test_an_unwritten_answer_is_not_called_wrong():
    def stub(x, scale):
        raise NotImplementedError

    report = examine(total(), stub)
    assert report.cause == "stub" and "Fill in the cell above" in report.message

    def needs_it(x, scale):
        return stub(x, scale)

    report = examine(total(), needs_it)
    assert report.cause == "stub" and "calls stub, and that one is still empty" in report.message


def test_an_answer_right_for_one_variant_only_is_told_so():
    def rounds_to_half(x, scale):
        return (
            good(x.half().double(), scale).to(x.dtype)
            if x.dtype == torch.float32
            else good(x, scale)
        )

    report = examine(total(), rounds_to_half)
    assert report.cause == "variant" and "wrong for float32 inputs" in report.message


def test_an_endless_loop_is_stopped_even_if_it_swallows_exceptions():
    def forever(x, scale):
        while True:
            with contextlib.suppress(Exception):
                pass

    start = time.monotonic()
    assert examine(total(), forever, seconds=0.5).cause == "timeout"
    assert time.monotonic() - start < 5


def test_a_megabyte_of_printing_is_cut_and_mentioned(capsys):
    def chatty(x, scale):
        print("spam" * 250_000)
        return good(x, scale)

    report = examine(total(), chatty)
    assert report.passed and "printed 1,000,001 characters" in report.message
    assert len(report.message) < 2_000 and capsys.readouterr().out == ""


def test_the_librarys_own_answer_does_not_count():
    from simplex_lib.attention import dot_product_attention

    def borrow(x, scale):
        y = x[None, None]
        dot_product_attention(y, y, y)
        return good(x, scale)

    report = examine(total(), borrow)
    assert report.cause == "library" and "dot_product_attention" in report.message
    assert examine(total(uses=("dot_product_attention",)), borrow).passed


def test_the_librarys_tasks_count_as_answers_too():
    from simplex_lib.tasks import match3_random

    def borrow(x, scale):
        match3_random(1, 2, 3)
        return good(x, scale)

    report = examine(total(), borrow)
    assert report.cause == "library" and "match3_random" in report.message


def test_importing_the_library_inside_an_answer_calls_nothing():
    def imports(x, scale):  # under another name, so that it is run anew
        spec = importlib.util.spec_from_file_location("anew", windowed.__file__)
        assert spec and spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        return good(x, scale)

    assert examine(total(), imports).passed


def test_a_forbidden_torch_function_does_not_count_under_any_name():
    from torch.nn.functional import softmax as harmless

    report = examine(total(forbids=("softmax",)), lambda x, s: (harmless(x, 0), good(x, s))[1])
    assert report.cause == "library" and "softmax" in report.message


def test_an_answer_that_changes_its_input_cannot_move_the_truth():
    def cheat(x, scale):
        x.zero_()
        return torch.zeros(len(x), dtype=x.dtype)

    assert examine(total(), cheat).cause == "mutated"


def test_the_stop_button_still_works():
    def stopped(x, scale):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(total(), stopped)


def test_the_size_that_matters_is_found_by_asking():
    def right_in_the_first_row(x, scale):
        return good(x, scale) * (1 + torch.arange(len(x)).clamp(max=1))

    report = examine(total(), right_in_the_first_row)
    assert "i = 1, 2; the rest is right" in report.message
    assert "with i = 1 instead it is right" in report.message


def test_a_size_that_fails_elsewhere_is_not_the_reason():
    def wrong_in_large_and_flat(x, scale):  # right where i = 1, but for j = 1 too
        bad = x.shape[0] > 1 or x.shape[1] == 1
        noise = torch.arange(1.0, 1 + x.shape[0], dtype=torch.float64) ** 2
        return good(x, scale) + bad * noise.to(x.dtype)

    report = examine(total(), wrong_in_large_and_flat)
    assert report.case.sizes["i"] == 1
    assert "with i = 1 instead" not in report.message


def test_arrays_of_numpy_are_named_and_numbers_of_numpy_are_numbers():
    report = examine(total(), lambda x, scale: good(x, scale).float().numpy())
    assert report.cause == "type" and "yours is an array of numpy" in report.message
    assert "torch.from_numpy" in report.message
    report = examine(total(), lambda x, scale: numpy.float32(3))
    assert report.cause == "shape"
    one = numpy.array([1.0, 2.0])
    number, array = as_outputs((numpy.float64(2.5), one))
    assert type(number) is float and array is one


def test_nothing_but_nan_proves_no_mistake():
    lost = Wrong("lost", lambda x, scale: x.sum(-1) * torch.nan, "You divided 0 by 0.")
    report = examine(total(wrong=(lost,)), lambda x, scale: x.sum(-1) / 0 * 0)
    assert report.cause == "nan" and "You divided" not in report.message


def test_one_infinity_is_no_factor():
    def masked(x, scale):
        return good(x, scale).index_fill(0, torch.tensor([0]), -torch.inf)

    report = examine(total(), masked)
    assert report.cause == "inf" and "times" not in report.says


# other kinds of answers ---------------------------------------------------------------------------


def test_a_number_is_compared_by_value_and_named():
    exercise = total(
        kind="number",
        inputs=lambda draw: {},
        sizes=({},),
        variants=(),
        truth=lambda: 49_152,
        outputs=("length",),
        ask=lambda answer, arguments: answer,
        wrong=(
            Wrong("k", 48_000, "48k here means 48 times 1,024."),
            Wrong("half", 24_576, "The causal half was counted twice."),
            Wrong("double", 98_304, "The causal half was not counted."),
            Wrong("square", 49_152**2, "A root is missing."),
        ),
        right=(Right("float", 49_152.0),),
    )
    assert examine(exercise, 49_152).passed
    assert examine(exercise, 48_000).cause == "k"
    assert examine(exercise, 7).cause not in (None, "k")
    assert examine(exercise, None).cause == "none"


def accepts(test, implementation) -> str:
    try:
        test(implementation)
    except AssertionError:
        return "rejects"
    return "accepts"


def test_a_test_is_judged_by_the_faults_it_lets_pass():
    def fair(x):
        return x.cumsum(0)

    def leaks(x):
        return x.cumsum(0) + x.sum()

    def ask(test, arguments):
        return accepts(test, leaks if arguments["leaks"] else fair)

    exercise = total(
        kind="test",
        inputs=lambda draw, leaks: dict(leaks=leaks),
        sizes=(dict(leaks=0), dict(leaks=1)),
        variants=(),
        truth=lambda leaks: "rejects" if leaks else "accepts",
        outputs=("verdict",),
        ask=ask,
        wrong=(
            Wrong(
                "shape only", lambda f: f(torch.ones(3)).shape, "Your test looks at shapes only."
            ),
        ),
        right=(),
    )

    def causal(f):
        x = torch.arange(4.0)
        y = torch.cat([x[:3], torch.tensor([9.0])])
        assert torch.equal(f(x)[:3], f(y)[:3])

    assert examine(exercise, causal).passed
    report = examine(exercise, lambda f: f(torch.ones(3)))
    assert report.cause == "shape only" and "expected rejects, got accepts" in report.message


def test_a_module_is_built_given_weights_and_called():
    def ask(layer, arguments):
        module = layer(3)
        if not isinstance(getattr(module, "w", None), torch.nn.Linear):
            raise ValueError("The layer needs a torch.nn.Linear named w.")
        module = module.double()
        with torch.no_grad():
            module.w.weight.copy_(arguments["w"])
        return module(arguments["x"])

    exercise = total(
        kind="module",
        inputs=lambda draw, i: dict(x=draw.normal(i, 3), w=draw.normal(3, 3)),
        sizes=(dict(i=1), dict(i=4)),
        variants=(),
        truth=lambda x, w: torch.stack([w @ row for row in x]),
        outputs=("out: i d",),
        ask=ask,
        wrong=(),
        right=(),
    )

    class Layer(torch.nn.Module):
        def __init__(self, d):
            super().__init__()
            self.w = torch.nn.Linear(d, d, bias=False)

        def forward(self, x):
            return self.w(x)

    class Nameless(torch.nn.Module):
        def __init__(self, d):
            super().__init__()

    assert examine(exercise, Layer).passed
    report = examine(exercise, Nameless)
    assert report.cause == "raised" and "needs a torch.nn.Linear named w" in report.message
