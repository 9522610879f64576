"""Mirrors simplex_lib/widgets/mechanism*.py: recorded numbers, the row by hand, words, the view."""

import math

import pytest
import torch

from simplex_lib.data import load
from simplex_lib.widgets import watch_mechanism
from simplex_lib.widgets.match3_view import _light
from simplex_lib.widgets.mechanism import TEXT
from simplex_lib.widgets.mechanism_runs import (
    MODELS,
    a_text,
    attention_row,
    mechanism_payload,
    reach_of,
    recorded,
    trained,
)
from simplex_lib.widgets.mechanism_view import board, diverging


def payload(model="last letter", seed=0, frame=None, head=0, text=TEXT, key=None):
    return mechanism_payload(model, seed, frame, head, text, key)


@pytest.mark.parametrize("model", MODELS)
def test_curves_and_kernels_are_the_recorded_ones(model):
    group, name = MODELS[model]
    runs = [r for r in load("block_training")["runs"] if (r["group"], r["name"]) == (group, name)]
    assert len(recorded(model)) == len(runs) >= 2
    for run in runs:
        last = len(run["curve"]["step"]) - 1
        for frame in (0, last):
            p = payload(model, run["seed"], frame)
            assert p.errors == run["curve"]["error_percent"] and p.steps == run["curve"]["step"]
            assert p.now == run["kernels"][frame] and p.start == run["kernels"][0]
            assert len(p.others) == len(runs) - 1


@pytest.mark.parametrize(("answer", "head"), [("last", 0), ("last", 1), ("first", 0)])
def test_the_row_equals_loops(answer, head):
    row = attention_row(answer, TEXT, head)
    model, task = trained(answer)
    tokens = task.read(TEXT).tokens
    layer = model.blocks[0].attention
    with torch.no_grad():
        q, k, _ = layer.project(model.blocks[0].attention_norm(model.embedding(tokens)))
    q, k, kernel = (x[head].double() for x in (q[0], k[0], layer.pre_kernel.detach()))
    size, last = len(row.text), len(row.text) - 1
    raw = {
        (i, j): (q[i] @ k[j]).item() / math.sqrt(len(q[0]))
        for i in (last - 1, last)
        for j in range(i + 1)
    }
    assert row.raw[1] == pytest.approx([raw[last, j] for j in range(size)], abs=1e-4)
    assert row.raw[0][:-1] == pytest.approx([raw[last - 1, j] for j in range(last)], abs=1e-4)
    logits = [
        sum(
            kernel[1 - a, 4 + b].item() * raw.get((last - a, j + b), 0.0)
            for a in (0, 1)
            for b in range(-4, 5)
        )
        for j in range(size)
    ]
    assert row.logits == pytest.approx(logits, abs=1e-3)
    total = sum(math.exp(x - max(logits)) for x in logits)
    assert row.probs == pytest.approx([math.exp(x - max(logits)) / total for x in logits], abs=1e-4)


def test_the_trained_heads_look_at_the_answer():
    for answer, at in (("last", -1), ("first", 0)):
        right = 0
        for seed in range(20):
            row = attention_row(answer, a_text(seed), 0)
            assert row.answer == row.text[row.block[at]]
            right += row.says == row.answer and row.probs[row.block[at]] > 0.5
        assert right >= 18


def test_sentence():
    text = payload(frame=2).sentence
    run = recorded("last letter")[0]["curve"]["error_percent"]
    assert text.startswith(
        f"Seed 0 at step 100: {run[2]:.1f}\u00a0% wrong, {run[1] - run[2]:.1f} points"
    )
    assert "large taps of both queries lie on keys j − 4 to j + 1" in payload().sentence
    assert "j − 4 to j + 1: positive on j − 4 to j, negative on j + 1. In the" in payload().sentence
    assert "In the text, head 0 puts" in payload().sentence and payload().sentence[-6:] == "right."
    level = next(
        payload("last letter, c_k = 5", seed, n)
        for seed, run in enumerate(recorded("last letter, c_k = 5"))
        for n, error in enumerate(run["curve"]["error_percent"])
        if n and abs(error - run["curve"]["error_percent"][n - 1]) < 0.05
    )
    assert "% wrong, as at step" in level.sentence and "0.0 points" not in level.sentence


@pytest.mark.parametrize("head", [0, 1])
@pytest.mark.parametrize("model", MODELS)
def test_the_row_is_shown_of_the_kept_weights_alone(model, head):
    for seed in range(len(recorded(model))):
        last = len(recorded(model)[seed]["curve"]["step"]) - 1
        for frame in range(last + 1):
            kept = model in ("last letter", "first letter") and seed == 0 and frame == last
            widget = watch_mechanism(model, seed=seed, frame=frame, head=head)
            assert widget.seen.kept == kept == ("In the text" in widget.sentence)
            assert kept == ("The keys with" in widget.table())
            drawn = board(widget.seen, False)
            assert kept == ("key:0" in drawn) != ("Where a head looks needs" in drawn)


def test_signs_are_told_where_they_are_alike():
    assert reach_of([[0.5, 0.6, 0]], 0).endswith("lie on keys j − 1 to j, both positive.")
    assert reach_of([[0, -0.6, 0]], 0).endswith("lie on key j alone, negative.")
    assert reach_of([[0, -1, 1], [0, 1, 1]], 0).endswith("j to j + 1, not all of the same sign.")
    assert reach_of([[-1, 1, -1, 0, 0]], 0).endswith(
        ": positive on j − 1, negative on j − 2 and j."
    )


def test_controls_of_the_text_rest_where_no_weights_are_kept():
    widget = watch_mechanism()
    widget.live()
    view = widget._view
    another = view.box.children[2].children[0].children[1]
    view.controls["seed"].value = 2
    assert view.controls["text"].disabled and view.controls["key"].disabled and another.disabled
    view.controls["seed"].value = 0
    assert not (view.controls["text"].disabled or another.disabled)


def test_the_start_has_no_step_before():
    assert "than at" not in payload(frame=0).sentence


def test_which_taps_are_large():
    zero = [0.0] * 5
    assert reach_of([zero, [0, 0, 1, 0, 0]], 1) == "In head 1, 1 of 10 taps are large."
    assert "of the query lie on key j + 1 alone" in reach_of([[0, 0, 0.1, -0.9, 0]], 0)
    both = [[0.9, 1, 0, 0, 0], [-1, 1, 0.2, 0, 0]]
    assert "of both queries lie on keys j − 2 to j − 1" in reach_of(both, 0)
    assert reach_of([[0.2] * 5] * 2, 0) == "All taps of head 0 are large."
    assert "2 of 5 taps" in reach_of([[1, 0, 1, 0, 0]], 0)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(model="any"), "model must be one of 'last letter', 'first letter', .* got 'any'"),
        (dict(seed=5), "seed must be a whole number from 0 to 4, one of the recorded seeds; got 5"),
        (dict(frame=9), "frame must be a whole number from 0 to 4, one of the measurements; got 9"),
        (dict(head=2), "head must be a whole number from 0 to 1, one of the heads; got 2"),
        (dict(text="abcde.#"), "the question must be 2 different letters from a to l; got ''"),
        (dict(text="abcde.fghij.#ak"), "exactly one block must hold the question 'ak'; got 0 of 2"),
        (dict(text=3), "text must be a string; got int 3"),
        (dict(text="abcde." + "fghij." * 12 + "#ab"), "text must have at most 12 blocks; got 13"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        watch_mechanism(**change)


@pytest.mark.parametrize("model", ["last letter", "last letter, c_q = 1"])
def test_still_form(model):
    widget = watch_mechanism(model, seed=1, head=1)
    assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
    assert widget.sentence == widget.seen.sentence and len(widget.table()) < 5000


def test_the_view_follows_controls_clicks_and_buttons():
    widget = watch_mechanism()
    widget.live()
    view = widget._view
    view.controls["frame"].value = 1
    assert "step 50" in view.picture.value and view.table.value == widget.table()
    view.picture.clicked = "frame:2"
    assert view.controls["frame"].value == 2 and view.picture.clicked == ""
    view.picture.clicked = "key:7"
    assert widget.choices["key"] == 7 == view.controls["key"].value
    view.controls["seed"].value = 3
    assert widget.choices["frame"] == len(widget.seen.steps) - 1 == view.controls["frame"].max
    view.controls["model"].value = "last letter, c_q = 1"
    assert widget.choices["seed"] == 0 and view.controls["seed"].max == 1
    another = view.box.children[2].children[0].children[1]
    another.click()
    assert widget.choices["text"] == a_text(1) == view.controls["text"].value
    row = widget.seen.row
    assert row.probs[widget.choices["key"]] == max(row.probs)
    light = view.picture.value
    view.sentence.dark = True
    assert view.picture.value != light


def test_what_is_typed_wrong_is_said_and_the_last_good_state_stays():
    widget = watch_mechanism()
    widget.live()
    view, before = widget._view, widget.seen
    view.controls["text"].value = "abcde.fghij.#b"
    assert "the question must be 2 different letters" in view.sentence.value
    assert "The picture has the text before." in view.sentence.value and widget.seen is before
    view.controls["seed"].value = 1
    view.controls["seed"].value = 0
    view.controls["head"].value = 1
    assert view.controls["text"].value == "abcde.fghij.#b" and "⚠" in view.sentence.value
    view.controls["text"].value = "abcde.fghij.#ba"
    assert widget.seen.row.answer == "e" and "⚠" not in view.sentence.value


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_can_be_read_on_every_colour(dark):
    for n in range(-50, 51):
        back, ink = diverging(n / 50, dark)
        lights = [_light([int(colour[m : m + 2], 16) for m in (1, 3, 5)]) for colour in (back, ink)]
        low, high = sorted(lights)
        assert (high + 0.05) / (low + 0.05) >= 4.5
