"""Mirrors simplex_lib/training/loop.py: stopped anywhere and continued, a run is the same run."""

import io
import signal
import threading

import pytest
import torch
from torch import nn

from simplex_lib.training.loop import Training, whole_steps


def make(steps=9, every=4, stop=-1.0, rate=lambda step: 1 / step):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def loss(model, generator):
        x = torch.randn(8, 3, generator=generator)
        return (model(x)[:, 0] - x.sum(1)).square().mean()

    def error(model):
        x = torch.randn(50, 3, generator=torch.Generator().manual_seed(9))
        return (model(x)[:, 0] - x.sum(1)).abs().gt(0.5).double().mean().item()

    groups = [dict(params=model.parameters(), base=0.05)]
    return Training(
        model,
        torch.optim.AdamW(groups, lr=0.05),
        loss=loss,
        error=error,
        rate=rate,
        generator=torch.Generator().manual_seed(1),
        steps=steps,
        every=every,
        stop_below_percent=stop,
    )


def test_measures_at_the_start_every_so_often_and_at_the_end():
    run = make()
    assert [point.step for point in run.run()] == [0, 4, 8, 9]
    assert run.finished and run.advance() is None
    assert run.curve[0].loss is None and run.curve[1].loss > 0
    assert run.optimizer.param_groups[0]["lr"] == 0.05 / 9


def test_stops_at_the_error_it_was_told():
    run = make(steps=400, every=20, stop=40.0, rate=lambda step: 1.0)
    points = list(run.run())
    assert points[-1].error_percent <= 40.0 < points[-2].error_percent
    assert run.finished and points[-1].step < 400


@pytest.mark.parametrize("calls", range(1, 13))
def test_stopped_after_any_call_and_continued_it_is_the_same_run(calls):
    whole = make()
    list(whole.run())
    first = make()
    for _ in range(calls):
        first.advance()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = make()
    second.restore(torch.load(file, weights_only=True))
    list(second.run())
    assert second.curve == whole.curve
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_interrupt_waits_for_the_end_of_a_step():
    run = make()
    run.advance()
    loss = run.loss

    def interrupted(model, generator):
        signal.raise_signal(signal.SIGINT)
        return loss(model, generator)

    run.loss = interrupted
    with pytest.raises(KeyboardInterrupt):
        run.advance()
    run.loss = loss
    assert run.step == 1
    list(run.run())
    whole = make()
    list(whole.run())
    assert run.curve == whole.curve  # nothing lost, nothing done twice
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_step_that_raises_counts_for_nothing():
    run = make()
    run.advance()
    loss, run.loss = run.loss, lambda model, generator: torch.zeros(())  # no gradient
    with pytest.raises(RuntimeError):
        run.advance()
    assert run.step == 0
    run.loss = loss
    assert [point.step for point in run.run()] == [4, 8, 9]


def test_steps_in_another_thread_leave_signals_alone():
    run, errors = make(), []

    def work():
        try:
            with whole_steps():
                list(run.run())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors and run.finished
