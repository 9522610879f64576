"""Mirrors simplex_lib/widgets/live_training*.py: stop and resume against an unbroken run, errors
of a model, threads, words, the view."""

import itertools
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from simplex_lib.data import load
from simplex_lib.tasks.blocks import BlockTask, guessing_floors
from simplex_lib.training.blocks_run import DOT_PRODUCT, MULTI_TOKEN, block_training
from simplex_lib.training.loop import Point
from simplex_lib.widgets import train_blocks
from simplex_lib.widgets.live_training_curves import (
    Snapshot,
    error_at,
    floors,
    span,
    training_payload,
)
from simplex_lib.widgets.live_training_runner import TELL_SECONDS, BlockRun, Runner
from simplex_lib.widgets.live_training_view import apart, board, ticks
from simplex_lib.widgets.presence import spot

SMALL = dict(blocks=2, batch=4, steps=12, every=4, tested=12, d_model=16, hidden=16, warm_up=2)
FIRST = replace(MULTI_TOKEN, **SMALL, stop_below_percent=-1.0)
SECOND = replace(DOT_PRODUCT, **SMALL, stop_below_percent=-1.0)
TASK = FIRST.task


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    assert wait(lambda: not training_threads()), "a thread is left"


def training_threads():
    return [x for x in threading.enumerate() if x.name == "train_blocks"]


def wait(done, seconds=20.0):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.005)
    return done()


def small(**changes):
    return train_blocks({"first": replace(FIRST, **changes), "second": replace(SECOND, **changes)})


def run_out(widget):
    widget.start()
    assert wait(lambda: widget.status not in ("training", "stopping"))
    return widget


def same(training, settings, seed=5):
    """Equal to an unbroken run, in curve and weights."""
    whole = block_training(settings, seed=seed)
    list(whole.run())
    assert training.curve == whole.curve and training.step == whole.step
    for name, p in whole.model.state_dict().items():
        assert torch.equal(p, training.model.state_dict()[name])


class Plain(nn.Module):
    """A layer of one's own."""

    def __init__(self):
        super().__init__()
        self.w = nn.Linear(16, 16)

    def forward(self, x):
        return self.w(x).cumsum(1) / 10


def failing(error, at=3):
    """A layer that raises at its call number `at`."""

    class Failing(Plain):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == at:
                raise error
            return super().forward(x)

    return Failing


# stop and resume


def test_stopped_after_every_step_it_equals_an_unbroken_run(monkeypatch):
    monkeypatch.setattr("simplex_lib.widgets.live_training_runner.TELL_SECONDS", 0.0)
    runs = [BlockRun.new("first", FIRST, 5), BlockRun.new("second", SECOND, 5)]
    runner = Runner(runs)
    runner.tell = lambda: runner.stop(wait=False)
    stops = 0
    while not runner.over:
        runner.start()
        assert wait(lambda: not runner.running)
        stops += 1
    assert stops >= 2 * 12
    for run, settings in zip(runs, (FIRST, SECOND), strict=True):
        same(run.training, settings)


def test_two_models_go_side_by_side(monkeypatch):
    monkeypatch.setattr("simplex_lib.widgets.live_training_runner.TELL_SECONDS", 0.0)
    runs = [BlockRun.new("first", FIRST, 5), BlockRun.new("second", SECOND, 5)]
    gaps = []
    runner = Runner(runs, lambda: gaps.append(abs(runs[0].training.step - runs[1].training.step)))
    runner.start()
    assert wait(lambda: not runner.running)
    assert max(gaps) == 1 and len(gaps) > 20
    assert all(run.seconds > 0 for run in runs)


def test_a_stop_is_quick_and_resume_goes_on():
    widget = small(steps=2000, every=500)
    widget.start()
    assert widget.status == "training"
    assert wait(lambda: widget.runs["first"].training.step > 3)
    start = time.monotonic()
    widget.stop()
    assert time.monotonic() - start < 1 and widget.status == "stopped"
    step = widget.runs["first"].training.step
    assert "Stopped, nothing is lost" in widget.sentence and not training_threads()
    widget.start()
    assert wait(lambda: widget.runs["first"].training.step > step)
    widget.stop()


def test_another_cell_goes_on_with_the_runs_of_a_widget():
    widget = small()
    widget.start()
    other = train_blocks(widget.runs)
    assert widget.status != "training" and other.runs == widget.runs
    run_out(other)
    assert other.status == "finished"
    for name, settings in (("first", FIRST), ("second", SECOND)):
        same(other.runs[name].training, settings)


def test_a_state_goes_through_a_file(tmp_path):
    widget = small()
    widget.start()
    assert wait(lambda: widget.runs["first"].training.step > 2)
    widget.stop()
    torch.save(widget.runs["first"].training.state(), tmp_path / "run.pt")
    other = train_blocks({"first": FIRST})
    other.runs["first"].training.restore(torch.load(tmp_path / "run.pt", weights_only=True))
    other.refresh()
    assert other.status == "stopped"
    same(run_out(other).runs["first"].training, FIRST)


def test_a_new_seed_keeps_the_old_curves():
    widget = run_out(small())
    widget.again()
    assert wait(lambda: widget.status == "finished")
    assert [run.seed for run in widget.earlier] == [5, 5]
    assert {run.seed for run in widget.runs.values()} == {6}
    same(widget.runs["first"].training, FIRST, seed=6)
    assert [line.seed for line in widget.seen.earlier] == [5, 5]
    widget.again(seed=7)
    widget.stop()
    assert {run.seed for run in widget.runs.values()} == {7}


# threads


def test_one_thread_trains_at_a_time():
    first, second = (small(steps=2000, every=500) for _ in range(2))
    first.start()
    assert wait(lambda: first.runs["first"].training.step > 1)
    second.start()
    assert first.status == "stopped" and second.status == "training"
    assert len(training_threads()) == 1
    second.start()
    assert len(training_threads()) == 1
    second.stop()


def test_a_widget_that_leaves_the_page_stops():
    widget = small(steps=2000, every=500)
    widget.live()
    presence = widget._view.box.children[1].children[0].children[-1]
    presence.views = 1
    widget.start()
    presence.views = 0
    assert wait(lambda: widget.status == "stopped")


def test_presence_speaks_of_the_last_view_only():
    calls = []
    made = spot(lambda: calls.append(1))
    for views in (1, 2, 1):
        made.views = views
    assert not calls
    made.views = 0
    assert calls == [1]


def test_a_process_ends_while_it_trains():
    code = "from simplex_lib.widgets import train_blocks; w = train_blocks(); w.start()"
    ended = subprocess.run(
        [sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 and ended.stderr == ""


def test_torch_keeps_its_threads():
    torch.set_num_threads(2)
    run_out(small())
    assert torch.get_num_threads() == 2


def test_the_view_is_brought_up_to_date_four_times_a_second():
    told = []
    run = BlockRun.new("first", replace(FIRST, steps=100_000, every=50_000), 0)
    runner = Runner([run], lambda: told.append(time.monotonic()))
    runner.start()
    time.sleep(1.2)
    runner.stop()
    gaps = [b - a for a, b in itertools.pairwise(told[:-1])]  # the end is told at once
    assert len(told) >= 3 and all(gap >= 0.9 * TELL_SECONDS for gap in gaps)


# a model that raises


def test_a_layer_of_ones_own_trains_beside_the_two():
    widget = train_blocks({"first": FIRST, "second": SECOND}, attention=Plain)
    run_out(widget)
    assert list(widget.runs) == ["first", "second", "your layer"] and widget.status == "finished"
    assert isinstance(widget.runs["your layer"].training.model.blocks[0].attention, Plain)
    same(widget.runs["first"].training, FIRST)


@pytest.mark.parametrize("error", [ValueError("q must be (b, h, s, d)"), SystemExit("no")])
def test_what_a_model_raises_is_shown_and_the_others_go_on(error):
    widget = train_blocks({"first": FIRST, "second": SECOND}, attention=failing(error))
    run_out(widget)
    assert widget.status == "failed" and wait(lambda: not training_threads())
    assert f"your layer stopped at step 1 with {type(error).__name__}: {error}" in widget.sentence
    assert "of test_live_training.py)" in widget.sentence
    assert "Resume goes on without it." in widget.sentence
    assert widget.runs["your layer"].error is error
    run_out(widget)
    assert widget.status == "finished"
    assert f"your layer raised {type(error).__name__}" in widget.sentence
    same(widget.runs["first"].training, FIRST)


def test_a_loss_that_is_no_number_is_an_error():
    class Nan(Plain):
        def forward(self, x):
            return super().forward(x) * float("nan")

    widget = run_out(train_blocks({"first": FIRST}, attention=Nan))
    assert "FloatingPointError: its loss is nan at step 4" in widget.sentence


def test_a_model_that_raises_alone():
    widget = run_out(train_blocks({}, attention=failing(KeyError("w")), own=FIRST))
    assert widget.status == "failed" and "No other model is left to train." in widget.sentence
    widget.live()
    assert widget._view.box.children[1].children[0].children[0].disabled


def test_a_layer_that_cannot_be_made_again_is_shown():
    made = []

    def once():
        made.append(1)
        if len(made) > 1:
            raise RuntimeError("only once")
        return Plain()

    widget = train_blocks({"first": FIRST}, attention=once)
    widget.live()
    before = widget.runs
    widget._view.box.children[1].children[0].children[1].click()
    assert "RuntimeError: only once The runs are" in widget._view.sentence.value
    assert widget.runs == before


# words and numbers


def test_recorded_runs_and_floors():
    widget = train_blocks()
    kept = [run for run in load("block_training")["runs"] if run["group"] == "last"]
    for name in widget.runs:
        wanted = {
            run["seed"]: list(zip(run["curve"]["step"], run["curve"]["error_percent"], strict=True))
            for run in kept
            if run["name"] == name
        }
        assert (
            wanted and {x.seed: x.points for x in widget.seen.recorded if x.name == name} == wanted
        )
    for name, run in widget.runs.items():  # a seed of its own, tested more often
        assert run.seed not in {x.seed for x in widget.seen.recorded if x.name == name}
        assert run.settings.every == 25 and run.training.every == 25
    guesses = guessing_floors(BlockTask("last"))
    assert floors(BlockTask("last")) == {k: round(100 * v, 1) for k, v in guesses.items()}
    assert "Recorded, thin lines: multi-token, 1 layer, 5 seeds:" in widget.sentence
    assert widget.seen.table()[0] == [
        *("step", "multi-token, 1 layer, recorded, %", "dot product, 2 layers, recorded, %")
    ]


def snapshot(**changes):
    points = (Point(0, 92.0, None), Point(50, 40.0, 2.0), Point(100, 0.2, 0.1))
    x = Snapshot("a", 0, 100, 600, points, 3.0, goal_percent=0.3, finished=True)
    return replace(x, **changes)


def plain(text):
    return text.replace("\u00a0", " ")


def test_sentences():
    other = snapshot(name="b", step=60, curve=(Point(0, 95.0, None), Point(50, 80.5, 2.5)))
    now = training_payload(
        [snapshot(), replace(other, finished=False)], task=TASK, status="training"
    )
    assert plain(now.sentence) == (
        "Of 1,000 held-out texts: a, wrong on 0.2 % at step 100; b, wrong on 80.5 % at step 50."
    )
    end = training_payload([snapshot(), replace(other, step=50)], task=TASK, status="finished")
    assert plain(end.sentence) == (
        "Finished: a is wrong on 0.2 % after 100 steps, below its goal of 0.3 %; b is wrong on "
        "80.5 % after 50 steps. More steps may bring it further: this run says only what these "
        "steps did."
    )
    one = training_payload([snapshot()], task=TASK, status="finished")
    assert "More steps" not in one.sentence
    new = training_payload([snapshot(curve=())], task=TASK, status="training")
    assert "no error is measured yet" in new.sentence
    stopping = training_payload([snapshot()], task=TASK, status="stopping")
    assert stopping.sentence == "Stopping after the step under way."


def test_readings_and_table():
    run = snapshot(step=60, finished=False, curve=snapshot().curve[:2])
    old = [("a", 3, [(0, 93.0), (50, 70.0), (100, 8.0)]), ("a", 4, [(0, 91.0), (50, 0.1)])]
    p = training_payload([run], task=TASK, status="training", recorded=old, read=100)
    assert p.readings == [("a", None, [8.0, 0.1])]  # one ended at step 50
    head, rows, on = p.table()
    assert head == ["step", "a, %", "recorded, %"] and on == 2
    assert rows[:3] == [["0", "92.0", "91.0 to 93.0"], ["50", "40.0", "0.1 to 70.0"],
                        ["100", "", "8.0"]]  # fmt: skip
    assert "not measured (recorded 0.1 to 8.0 %, 1 of 2" in plain(board(p, False))
    assert p.ended == [("", "1 of 2 ended at step 50")]
    done = training_payload([snapshot()], task=TASK, status="finished", recorded=old, read=600)
    drawn = plain(board(done, False))
    assert "At step 600: a: 0.2 % (ended at step 100)" in drawn
    assert "(recorded 0.1 to 8.0 %, ended at steps 50 to 100)" in drawn
    long = [("a", 3, [(n, 50.0) for n in range(0, 601, 10)])]
    rows = training_payload([run], task=TASK, recorded=long).table()[1]
    assert len(rows) <= 14 and rows[0][0] == "0" and rows[-1][0] == "600"
    assert error_at([(0, 1.0)], 5, False) is None and error_at([(0, 1.0)], 5, True) == 1.0
    assert span(0.04, 0.0, lambda x: f"{x:.1f}") == "0.0"


@pytest.mark.parametrize("dark", [False, True])
def test_the_board_names_what_it_shows(dark):
    p = training_payload([snapshot(name="<a>", error="")], task=TASK, status="stopped")
    drawn = board(p, dark)
    assert "&lt;a&gt;" in drawn and "<a>" not in drawn and "✓ done" in drawn
    assert 'role="progressbar"' in drawn and 'aria-valuenow="100"' in drawn
    assert all(f"{error:.1f} guess" in drawn for error in p.floors.values())
    broken = training_payload([snapshot(error="ValueError: x")], task=TASK, status="failed")
    assert "⚠ error" in board(broken, dark)


def test_ticks_and_labels():
    for steps in (1, 7, 12, 60, 100, 250, 600, 800, 100_000):
        found = ticks(steps)
        assert found[0] == 0 and found[-1] <= steps and len(found) <= 7
    assert ticks(600) == [0, 100, 200, 300, 400, 500, 600]
    assert apart([10, 12, 50], 13)[1] - apart([10, 12, 50], 13)[0] == 13
    assert apart([10.0, 40.0], 13) == [10, 40] and apart([], 13) == []


# the view


def test_one_button_says_what_it_does():
    widget = small(steps=2000, every=500)
    widget.live()
    toggle, again, *_ = widget._view.box.children[1].children[0].children
    assert toggle.description == "Start" and not toggle.disabled
    toggle.click()
    assert wait(lambda: toggle.description == "Stop")
    toggle.click()
    assert wait(lambda: toggle.description == "Resume")
    toggle.click()
    assert wait(lambda: widget.status == "training")
    again.click()
    assert wait(lambda: widget.runs["first"].seed == 6 and widget.status == "training")
    widget.stop()
    assert "thin: earlier seeds" in widget._view.picture.value


def test_the_view_follows_slider_and_theme():
    widget = train_blocks()
    widget.live()
    view = widget._view
    view.controls["read"].value = 150
    assert "At step 150" in view.picture.value and view.table.value == widget.table()
    light = view.picture.value
    view.sentence.dark = True
    assert view.picture.value != light


@pytest.mark.parametrize("answer", ["last", "first", "all"])
def test_still_form(answer):
    widget = train_blocks(answer=answer)
    assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
    assert widget.sentence == widget.seen.sentence and len(widget.table()) < 5000


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            dict(answer="some"),
            ValueError,
            "answer must be one of 'all', 'first', 'last'; got 'some'",
        ),
        (dict(seed=0.5), TypeError, "seed must be an int; got float"),
        (
            dict(runs=[FIRST]),
            TypeError,
            "runs must be a dictionary from names to Settings; got list",
        ),
        (dict(runs={"a": 3}), TypeError, r"runs\['a'\] must be Settings or a run; got int 3"),
        (dict(runs={}), ValueError, "runs must be 1 to 4 models of different names; got 0"),
        (
            dict(runs={"a": FIRST, "b": replace(FIRST, answer="first")}),
            ValueError,
            "runs must all have the same task",
        ),
        (dict(runs={str(n): FIRST for n in range(5)}), ValueError, "1 to 4 models .* got 5"),
        (dict(attention=nn.Linear(2, 2)), TypeError, "attention must be a function or a class"),
        (dict(attention=3), TypeError, "without arguments, such as lambda: .* got int 3"),
        (dict(attention=nn.Linear), TypeError, "missing 2 required positional arguments"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        train_blocks(**change)
