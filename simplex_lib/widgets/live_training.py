"""Two models trained on the block task while one looks on: start, stop, resume, start again.

`train_blocks` is what a notebook calls. The thread that trains is in `live_training_runner.py`,
numbers and words are made in `live_training_curves.py`, the live picture is drawn by
`live_training_view.py`, the still one by `live_training_still.py`.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from simplex_lib.errors import kind, require_choice, require_int
from simplex_lib.tasks.blocks import Answer
from simplex_lib.training.blocks_run import DOT_PRODUCT, MULTI_TOKEN, Settings
from simplex_lib.widgets import live_training_still, live_training_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import require_index, table
from simplex_lib.widgets.live_training_curves import (
    Snapshot,
    Status,
    TrainingPayload,
    recorded_runs,
    training_payload,
)
from simplex_lib.widgets.live_training_runner import BlockRun, Runner, let_go, require_maker
from simplex_lib.widgets.presence import spot

MOST = 4  # models
OWN = "your layer"
EVERY = 25  # steps between measurements: a plateau and a cliff are seen
SEED = 5  # recorded are seeds 0 to 4


def train_blocks(
    runs: Mapping[str, Settings | BlockRun] | None = None,
    *,
    answer: Answer = "last",
    attention: Callable[[], nn.Module] | None = None,
    own: Settings | None = None,
    seed: int = SEED,
) -> "TrainBlocks":
    """Train models on the block task, live, with buttons to start, stop and resume.

    Args:
        runs: models by name, as `Settings`; or the `runs` of an earlier widget, which go on where
            they stand. None: multi-token attention with one layer and dot-product attention with
            two, tested every 25 steps.
        answer: "last", "first" or "all" letters of the block. Read only where runs is None.
        attention: a function or class that makes one layer of your own, called without arguments;
            it takes and returns (b, t, 64). A third model is trained with it. Its parameters whose
            names end in kernel or mixing learn ten times as fast as the others.
        own: settings of that third model. None: those of the first.
        seed: of the starts and the training texts. Recorded are 0 to 4, so that 5 is a new one.

    Raises:
        ValueError, TypeError: an argument is something else, or there are more than four models;
            what your layer raises when it is made.

    The models are in `runs` by name, each with its `training`: model, optimiser, curve. After an
    interruption `train_blocks(widget.runs)` goes on with them in another cell.
    """
    require_choice("answer", answer, ("all", "first", "last"))
    require_int(seed=seed)
    if runs is None:
        runs = {
            "multi-token, 1 layer": replace(MULTI_TOKEN, answer=answer, every=EVERY),
            "dot product, 2 layers": replace(DOT_PRODUCT, answer=answer, every=EVERY),
        }
    made = [_made(name, run, seed) for name, run in _pairs(runs)]
    let_go(made)
    if attention is not None:
        require_maker(attention)
        settings = made[0].settings if own is None else own
        made.append(BlockRun.new(OWN, settings, seed, attention))
    if not 1 <= len(made) <= MOST or len({run.name for run in made}) < len(made):
        raise ValueError(f"runs must be 1 to {MOST} models of different names; got {len(made)}.")
    if len({run.settings.task for run in made}) > 1:
        raise ValueError("runs must all have the same task, or their errors mean different things.")
    return TrainBlocks(made)


def _pairs(runs: Any) -> list[tuple[str, Any]]:
    if not isinstance(runs, Mapping):
        raise TypeError(f"runs must be a dictionary from names to Settings; got {kind(runs)}.")
    return list(runs.items())


def _made(name: str, run: Any, seed: int) -> BlockRun:
    if isinstance(run, BlockRun):
        return run
    if not isinstance(run, Settings):
        raise TypeError(f"runs[{name!r}] must be Settings or a run; got {kind(run)}.")
    return BlockRun.new(name, run, seed)


class TrainBlocks(Widget):
    """Runs, the thread that trains them, and a view that follows both."""

    question = "Which model learns to find the block, and after how many steps?"
    help = "Stop and Resume lose nothing. Arrow keys on the slider read the curves."
    lines = 3

    def __init__(self, runs: list[BlockRun]) -> None:
        self._lock = threading.RLock()  # the thread and the page both bring the view up to date
        self._runner = Runner(runs, self.refresh)
        self._recorded = recorded_runs(runs)
        self._buttons: list[Any] = []
        self.earlier: list[BlockRun] = []
        super().__init__(read=max(run.settings.steps for run in runs))

    @property
    def runs(self) -> dict[str, BlockRun]:
        """The models by name; stop before you change one."""
        return {run.name: run for run in self._runner.runs}

    @property
    def status(self) -> Status:
        runner = self._runner
        if runner.running:
            return "stopping" if runner.stopping else "training"
        if runner.over and any(run.error is None for run in runner.runs):
            return "finished"
        if any(run.error is not None for run in runner.runs):
            return "failed"
        begun = any(run.training.curve for run in runner.runs)
        return "stopped" if begun else "ready"

    def start(self) -> None:
        """Begin, or go on; another widget that trains is stopped."""
        self._runner.start()
        self.refresh()

    def stop(self) -> None:
        """End training after the step under way, and return when it has ended."""
        self._runner.stop()
        self.refresh()

    def again(self, seed: int | None = None) -> None:
        """All models from another start; the runs of now are kept in `earlier`."""
        require_int(**({} if seed is None else {"seed": seed}))
        self._runner.stop()
        runs = self._runner.runs
        new = max(run.seed for run in runs) + 1 if seed is None else seed
        fresh = [run.again(new) for run in runs]
        self.earlier += [run for run in runs if run.training.curve]
        self._runner = Runner(fresh, self.refresh)
        self.start()

    def refresh(self) -> None:
        """Bring numbers, words and view up to the runs."""
        with self._lock:
            self.seen = self.payload(**self.choices)
            self.sentence = self.seen.sentence
            if self._view is not None:
                self._view.follow()

    def payload(self, **choices: Any) -> TrainingPayload:
        runs, read = self._runner.runs, choices["read"]
        steps = max(run.settings.steps for run in runs)
        require_index(steps + 1, "one of the steps", read=read)
        return training_payload(
            [Snapshot.of(run) for run in runs],
            task=runs[0].settings.task,
            status=self.status,
            earlier=[Snapshot.of(run) for run in self.earlier],
            recorded=self._recorded,
            read=read,
            tested=runs[0].settings.tested,
        )

    def change(self, **choices: Any) -> None:
        with self._lock:
            super().change(**choices)

    def table(self) -> str:
        p: TrainingPayload = self.seen
        head, rows, on = p.table()
        caption = f"Errors on {p.tested:,} held-out texts at the steps where they are measured"
        return f'<div style="overflow-x: auto">{table(head, rows, caption=caption, on=on)}</div>'

    def controls(self) -> dict[str, Any]:
        every = min(run.settings.every for run in self._runner.runs)
        return dict(read=live_training_view.slider(self.seen, every))

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        import ipywidgets

        self._buttons = live_training_view.buttons(self._toggle, self._anew)
        self.adapt(controls)
        wide = dict(width="100%", flex_flow="row wrap")
        row = [*self._buttons, controls["read"], spot(self._gone)]
        return [[ipywidgets.HBox(row, layout=wide)]]

    def adapt(self, controls: dict[str, Any]) -> None:
        if self._buttons:
            live_training_view.relabel(self._buttons[0], self.seen)

    def picture(self) -> Any:
        from simplex_lib.widgets.frame import page

        return page("")

    def draw(self, picture: Any, dark: bool) -> None:
        picture.value = live_training_view.board(self.seen, dark)

    def still(self) -> bytes:
        return live_training_still.still(self.seen)

    def _toggle(self) -> None:
        if not self._runner.running:
            self.start()
        else:  # the page must not wait for a long step
            self._runner.stop(wait=False)
            self.refresh()

    def _anew(self) -> None:
        try:
            self.again()
        except Exception as wrong:  # from a layer of the learner's own, when it is made
            self.refresh()
            if self._view is not None:
                text = f"⚠ {type(wrong).__name__}: {wrong} The runs are the ones before."
                self._view.sentence.value = self._view._words(text)

    def _gone(self) -> None:
        """Its cell was deleted or run again: no thread stays."""
        self._runner.stop(wait=False)
