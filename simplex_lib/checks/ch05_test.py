"""Exercise 5.2: a test of causality. The attentions it is tried on are in `ch05_leaks.py`.

What is said of a test rests on the calls it made: which tokens it changed, and what moved then.
Read from the bottom: `ask_test` tries a test, `_missed` and `_accused` say what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks import ch05_tests as tests
from simplex_lib.checks.ch05_leaks import TRIALS
from simplex_lib.checks.ch05_record import Pair, Recorder
from simplex_lib.checks.ch05_tests import LEAK
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

SMALL = 0.01  # a move that a rough comparison lets pass
TOLD = "all told apart"


def ask_test(answer: Any, arguments: Mapping[str, Any]) -> str:
    """Tries the test on every attention; the random numbers of a test differ from case to case."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments["seed"])
        tried = [(Recorder(trial), trial) for trial in TRIALS]
        verdicts = [_verdict(answer, recorder) for recorder, _ in tried]
    if not any(recorder.calls for recorder, _ in tried):
        raise Rejected(
            "never called",
            f"Your test says {verdicts[0]} and never calls the attention that it is given.",
        )
    wrong = [
        (recorder, verdict)
        for (recorder, trial), verdict in zip(tried, verdicts, strict=True)
        if verdict != trial.leaks
    ]
    if len(wrong) == len(TRIALS):
        raise Rejected(
            "inverted",
            "Your test is right about every attention, the other way round: True should mean "
            "that it sees the future.",
        )
    if not wrong:
        return TOLD
    accused = [recorder for recorder, verdict in wrong if verdict]
    if accused:
        raise _accused(accused)
    raise _missed([recorder for recorder, _ in wrong])


def _verdict(answer: Callable[[Recorder], Any], recorder: Recorder) -> bool:
    try:
        found = answer(recorder)
    except AssertionError as error:
        raise Rejected(
            "asserts",
            f"Your test raises AssertionError for an attention that {recorder.trial.says}. It "
            "should return True or False.",
        ) from error
    if found is None:
        raise Rejected("none", "Your test returns None. Is a return statement missing?")
    if isinstance(found, Tensor) and found.dtype == torch.bool and found.numel() == 1:
        return bool(found)
    if type(found).__module__ == "numpy" and type(found).__name__ in ("bool", "bool_"):
        return bool(found)
    if isinstance(found, Tensor):
        raise Rejected(
            "type",
            f"Your test returns a tensor of shape {tuple(found.shape)} and should return one "
            "verdict, True or False. any() makes one of many.",
        )
    if not isinstance(found, bool):
        raise Rejected("type", f"It should return True or False; yours returned {_short(found)}.")
    return found


def _short(found: Any) -> str:
    return f"{found!r:.40} ({type(found).__name__})"


def _calls(recorders: list[Recorder]) -> Rejected | None:
    """What no test can do with these calls, whatever it compares."""
    most = max(recorders, key=lambda r: len(r.calls))
    if len(most.calls) < 2:
        return Rejected(
            "one call",
            "Your test calls the attention once at most. Whether an output moves when later tokens "
            "change takes two calls to tell.",
        )
    pairs = most.pairs
    if not pairs and len({call.out.shape for call in most.calls}) > 1:
        return Rejected(
            "shapes",
            "Your calls differ in more than the length of the sequence: no two of them share their "
            "first tokens. Change later tokens, and nothing else.",
        )
    if not pairs:
        return Rejected(
            "nothing changed",
            "Your test calls the attention with the same tokens every time. Where they are "
            "changed in place, both names may mean one tensor: clone() first.",
        )
    if all(pair.first == 0 for pair in pairs):
        return Rejected(
            "everything changed",
            "Whenever your test changes tokens it changes token 0 too, so no output is left that "
            "has to stand still. Keep the first tokens, and change the later ones.",
        )
    return None


def _by_gradients(recorders: list[Recorder], verdict: bool) -> Rejected | None:
    """For a test that asks for gradients, and may need one call only."""
    if not any(call.gradients for recorder in recorders for call in recorder.calls):
        return None
    for recorder in recorders:
        never = [n for n in "qkv" if not any(n in call.gradients for call in recorder.calls)]
        if not verdict and never and recorder.trial.through <= set(never):
            return Rejected(
                "gradients of some",
                f"Your test says False of an attention that {recorder.trial.says}. In your calls "
                f"no gradient is asked with respect to {' and '.join(never)}.",
            )
    says = f"Your test says {verdict} of an attention that {recorders[0].trial.says}."
    if verdict:
        return Rejected(
            "gradients",
            f"{says} The gradients of its outputs with respect to later tokens are 0, up to "
            "rounding. Which tokens do you look at?",
        )
    return Rejected(
        "gradients",
        f"{says} Some output of it has a gradient with respect to a later token. Do you ask for "
        "every position, in every head, one after the other?",
    )


def _infinite(recorder: Recorder) -> Rejected | None:
    if all(bool(torch.isfinite(x).all()) for call in recorder.calls for x in call.inputs):
        return None
    return Rejected(
        "tokens not finite",
        f"Your test is wrong about an attention that {recorder.trial.says}. Some of your tokens "
        "are NaN or infinite: times a weight of 0 they are NaN, and NaN is neither larger nor "
        "smaller than anything. Take finite numbers.",
    )


def _accused(recorders: list[Recorder]) -> Rejected:
    found = _by_gradients(recorders, True) or _calls(recorders)
    if found:
        return found
    recorder = recorders[0]
    begin = f"Your test says True of an attention that {recorder.trial.says}."
    infinite = _infinite(recorder)
    if infinite:
        return infinite
    largest = max(pair.largest for pair in recorder.pairs)
    if largest > LEAK:
        return Rejected(
            "large numbers",
            f"{begin} In your calls outputs before the first changed token moved by up to "
            f"{largest:.1g}: rounding, which is that large with numbers as large as yours. Take "
            "tokens of ordinary size, or float64.",
        )
    if largest > 0:
        return Rejected(
            "rounding",
            f"{begin} In your calls outputs before the first changed token moved by at most "
            f"{largest:.1g}. That is rounding; count a move only beyond 1e-5.",
        )
    return Rejected(
        "what may move",
        f"{begin} In your calls no output before the first changed token moved at all. Outputs at "
        "that token and after it may move: which ones do you compare?",
    )


def _missed(recorders: list[Recorder]) -> Rejected:
    found = _by_gradients(recorders, False) or _calls(recorders)
    if found:
        return found
    infinite = _infinite(recorders[0])
    if infinite:
        return infinite
    for recorder in recorders:
        pair = max(recorder.pairs, key=lambda pair: pair.largest)
        if pair.largest > LEAK:
            return _let_pass(recorder, pair)
    for recorder in recorders:
        never = [n for n in "qkv" if not any(n in pair.changed for pair in recorder.pairs)]
        if recorder.trial.through <= set(never):
            tensors, word = " and ".join(never), "changes" if len(never) == 1 else "change"
            return Rejected(
                f"{tensors} never {word}",
                f"Your test says False of an attention that {recorder.trial.says}. In your calls "
                f"{tensors} never {word}.",
            )
    recorder = recorders[0]
    begin = f"Your test says False of an attention that {recorder.trial.says}."
    pairs, needs = recorder.pairs, recorder.trial.needs
    longest = max(call.s for call in recorder.calls)
    if longest < needs:
        return Rejected(
            "too short",
            f"{begin} Your longest sequence has {longest} positions, and this leak does not show "
            f"with fewer than {needs}.",
        )
    most = max(call.out.shape[1] for call in recorder.calls)
    if most < recorder.trial.heads:
        return Rejected(
            "one head",
            f"{begin} Your tensors have one head, and this leak does not show with fewer than "
            f"{recorder.trial.heads}.",
        )
    firsts = {pair.first for pair in pairs if pair.first > 0}
    if len(firsts) == 1:
        first = firsts.pop()
        if first == longest - 1:
            return Rejected(
                "only the last token",
                f"{begin} Your calls differ in the last token only, and this leak lies elsewhere. "
                "Let the changes begin at every position once.",
            )
        return Rejected(
            "one place",
            f"{begin} With this one your changes always begin at token {first}. Queries from there "
            "on are never asked, and neither is what hides between the tokens before it. Let the "
            "changes begin at every position once.",
        )
    return Rejected(
        "not brought out",
        f"{begin} In your calls no output before the first changed token moved by more than 1e-5: "
        "your tokens, or the places where your changes begin, do not bring this leak out. Take "
        "random tokens, change them for other random ones, and let the changes begin at every "
        "position once.",
    )


def _let_pass(recorder: Recorder, pair: Pair) -> Rejected:
    """The calls did bring the leak out, and the test did not say so."""
    heads = (pair.moved > LEAK).any(-1).any(-1).any(0).nonzero().flatten().tolist()
    _, head, i, _ = (int(x) for x in torch.unravel_index(pair.moved.argmax(), pair.moved.shape))
    text = (
        f"Your test says False of an attention that {recorder.trial.says}, and its own calls show "
        f"the leak: two of them differ from token {pair.first} on, and between these two the "
        f"output of head {head}, position {i} moved by {pair.largest:.1g}."
    )
    if heads == [pair.moved.shape[1] - 1] and len(heads) < pair.moved.shape[1]:
        return Rejected("other heads let pass", f"{text} Which heads do you compare?")
    if recorder.trial.together and float(pair.moved.max()) >= SMALL:
        return Rejected(
            "one way let pass",
            f"{text} All numbers of that position moved the same way. Does a move downwards count "
            "in your test as one upwards does, and do you compare every sentence?",
        )
    if pair.largest < SMALL:
        return Rejected("small move let pass", f"{text} More than 1e-5 is a leak.")
    return Rejected("move let pass", f"{text} Which outputs do you compare, and how?")


def test_inputs(draw: Draw, *, attentions: int) -> dict[str, Any]:
    return dict(seed=int(draw.integers(0, 2**31, 1)))


def truth_test(seed: int) -> str:
    return TOLD


TEST = Exercise(
    id="5.2",
    title="A test that exposes the leak",
    minutes=15,
    inputs=test_inputs,
    sizes=tuple(dict(attentions=len(TRIALS)) for _ in range(3)),
    truth=truth_test,
    outputs=("verdicts",),
    wrong=(
        Wrong("never called", tests.wrong_never, "The attention is never called."),
        Wrong("one call", tests.wrong_nan, "One call shows no change."),
        Wrong("nothing changed", tests.wrong_no_clone, "All calls have the same tokens."),
        Wrong("shapes", tests.wrong_shapes, "The calls have other heads."),
        Wrong("everything changed", tests.wrong_new_tokens, "Token 0 changes too."),
        Wrong("inverted", tests.written(invert=True), "True and False have changed places."),
        Wrong(
            "gradients of some",
            tests.by_gradients("v", positions=lambda s: range(s - 1)),
            "Gradients are asked of some tensors only.",
        ),
        Wrong(
            "gradients",
            tests.by_gradients("q", "k", "v", positions=lambda s: [s // 2]),
            "Gradients of one position only.",
        ),
        Wrong("asserts", tests.wrong_asserts, "It raises AssertionError."),
        Wrong("type", tests.wrong_count, "It returns no bool."),
        Wrong("none", tests.wrong_nothing_returned, "It returns nothing."),
        Wrong("q never changes", tests.written(names="kv"), "q never changes."),
        Wrong("k never changes", tests.written(names="qv"), "k never changes."),
        Wrong("v never changes", tests.written(names="qk"), "v never changes."),
        Wrong("q and v never change", tests.written(names="k"), "q and v never change."),
        Wrong("q and k never change", tests.written(names="v"), "q and k never change."),
        Wrong("k and v never change", tests.written(names="q"), "k and v never change."),
        Wrong("one place", tests.written(cuts=lambda s: [s // 2]), "Changes begin at one token."),
        Wrong(
            "only the last token", tests.written(cuts=lambda s: [s - 1]), "Only the last changes."
        ),
        Wrong("too short", tests.written(sizes=(2, 3, 4, 5)), "The sequences are too short."),
        Wrong(
            "not brought out",
            tests.written(cuts=lambda s: [1, s // 2]),
            "Changes begin at two tokens only.",
        ),
        Wrong(
            "other heads let pass",
            tests.written(look=lambda moved, cut: moved[:, 0, :cut]),
            "One head is compared.",
        ),
        Wrong("small move let pass", tests.written(limit=0.01), "The limit is too high."),
        Wrong("one way let pass", tests.wrong_no_abs, "Moves downwards do not count."),
        Wrong("one head", tests.written(sizes=(2, 1, 8, 4)), "There is one head only."),
        Wrong(
            "move let pass",
            tests.written(look=lambda moved, cut: moved[:, :, :1] * (cut > 0)),
            "One position is compared.",
        ),
        Wrong("rounding", tests.written(limit=0.0), "Rounding counts as a leak."),
        Wrong(
            "tokens not finite",
            tests.written(
                change=tests.to_nan, look=lambda moved, cut: moved[:, :, :cut].isnan().double()
            ),
            "NaN as later tokens.",
        ),
        Wrong(
            "what may move",
            tests.written(look=lambda moved, cut: moved[:, :, : cut + 1]),
            "The changed token's own output is compared.",
        ),
        Wrong(
            "large numbers",
            tests.written(values=1e4, dtype=torch.float32),
            "Tokens so large that rounding is larger than the limit.",
        ),
    ),
    right=(
        Right("every cut", tests.written()),
        Right("float32", tests.written(dtype=torch.float32, sizes=(1, 2, 9, 5))),
        Right("cut off", tests.right_truncated),
        Right("one token at a time", tests.right_last_token_of_each_length),
        Right("gradients", tests.right_gradients),
    ),
    hints=(
        "Two calls that agree in the tokens up to some position. Which outputs have to agree too, "
        "and which ones may differ?",
        "A leak may lie between two positions only, in one head, or in one of q, k and v: let the "
        "changes begin at every position once, change all three, and compare everything before.",
        "before = attention(q, k, v) of random tokens; for cut in 1, …, s − 1: new random numbers "
        "from cut on in q, k and v (copies); True if any output before cut differs by more than "
        "1e-5. After the loop False.",
    ),
    why="Causality is a property, so it can be tested without knowing the right numbers, and every "
    "attention of this course is. A padding on both sides makes no shape wrong and no number NaN: "
    "only a property finds it.",
    another_way="autograd: the gradient of an output of position i with respect to tokens after i "
    "is zero. Or cut the sequence off after position i: outputs up to i stay.",
    variants=(),
    ask=ask_test,
    kind="test",
    smallest=dict(attentions=len(TRIALS)),
)
