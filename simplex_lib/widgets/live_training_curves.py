"""Training runs as curves, words and tables.

Read from the top: `training_payload` turns snapshots of runs into what is shown. Recorded runs are
those of simplex_lib/data/block_training.json with the same task.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from simplex_lib.data import load
from simplex_lib.tasks.blocks import BlockTask, guessing_floors
from simplex_lib.training.loop import Point
from simplex_lib.widgets.live_training_runner import BlockRun

Status = Literal["ready", "training", "stopping", "stopped", "finished", "failed"]
RECORDED = "block_training"
MOST_ROWS = 14
PERCENT = "\u00a0%"  # stays on the line of its number


@dataclass(frozen=True)
class Snapshot:
    """One run at one moment, in plain numbers."""

    name: str
    seed: int
    step: int
    steps: int
    curve: tuple[Point, ...]
    seconds: float
    goal_percent: float  # the error at which it is over
    finished: bool
    error: str = ""  # what it raised, in words

    @classmethod
    def of(cls, run: BlockRun) -> "Snapshot":
        training = run.training
        error = ""
        if run.error is not None:
            text = " ".join(str(run.error).split()).rstrip(".") or "without a word"
            error = f"{type(run.error).__name__}: {text[:300]}"
            error += f" (at {run.where()})" if run.where() else ""
        return cls(
            run.name,
            run.seed,
            training.step,
            training.steps,
            tuple(training.curve),
            run.seconds,
            training.stop_below_percent,
            training.finished and not error,
            error,
        )

    @property
    def last(self) -> Point | None:
        return self.curve[-1] if self.curve else None


@dataclass(frozen=True)
class Line:
    """A curve to draw. look: number of the model, which chooses colour, dash and mark."""

    name: str
    seed: int
    look: int
    points: list[tuple[int, float]]  # step, error in percent


@dataclass(frozen=True)
class TrainingPayload:
    """Everything the widget shows."""

    status: Status
    answer: str
    runs: list[Snapshot]
    live: list[Line]
    earlier: list[Line]  # of this widget, with other seeds
    recorded: list[Line]
    floors: dict[str, float]  # in percent, by name
    steps: int  # length of the axis
    read: int  # the step at which the curves are read
    tested: int

    @property
    def readings(self) -> list[tuple[str, float | None, list[float]]]:
        """At step `read`: model, its error now if it has been measured, and the recorded ones; a
        run that ended before keeps its last error."""
        found = []
        for look, run in enumerate(self.runs):
            here = error_at(self.live[look].points, self.read, run.finished)
            old = [error_at(line.points, self.read, True) for line in self.recorded_of(look)]
            found.append((run.name, here, [x for x in old if x is not None]))
        return found

    def recorded_of(self, look: int) -> list[Line]:
        return [line for line in self.recorded if line.look == look]

    @property
    def ended(self) -> list[tuple[str, str]]:
        """Of each model, in words: where the run of now and the recorded ones ended, if that was
        before step `read`."""
        found = []
        for look, run in enumerate(self.runs):
            points, lines = self.live[look].points, self.recorded_of(look)
            last = points[-1][0] if points else self.read
            here = f"ended at step {last}" if run.finished and last < self.read else ""
            ends = [line.points[-1][0] for line in lines]
            before = [step for step in ends if step < self.read]
            old = ""
            if before:
                who = "" if len(before) == len(ends) else f"{len(before)} of {len(ends)} "
                many = "s" if min(before) < max(before) else ""
                old = f"{who}ended at step{many} {span(min(before), max(before), str)}"
            found.append((here, old))
        return found

    @property
    def sentence(self) -> str:
        return {
            "ready": self._ready,
            "training": self._now,
            "stopping": lambda: "Stopping after the step under way.",
            "stopped": lambda: f"Stopped, nothing is lost: Resume goes on from here. {self._now()}",
            "finished": self._finished,
            "failed": self._failed,
        }[self.status]()

    def _ready(self) -> str:
        names = _all_of([run.name for run in self.runs])
        text = f"Start trains {names}, one step of each in turn, on texts drawn anew every step. "
        return text + self._of_the_record()

    def _now(self) -> str:
        measured = [run for run in self.runs if run.last is not None]
        if not measured:
            return f"Trained in turns; no error is measured yet on {self.tested:,} held-out texts."
        parts = [
            f"{run.name}, wrong on {percent(run.last.error_percent)} at step {run.last.step}"
            for run in measured
            if run.last is not None
        ]
        return f"Of {self.tested:,} held-out texts: {'; '.join(parts)}."

    def _finished(self) -> str:
        parts = []
        for run in self.runs:
            if run.last is None or run.error:
                continue
            reached = run.last.error_percent <= run.goal_percent
            goal = f", below its goal of {percent(run.goal_percent)}" if reached else ""
            error = percent(run.last.error_percent)
            parts.append(f"{run.name} is wrong on {error} after {run.step} steps{goal}")
        text = f"Finished: {'; '.join(parts)}."
        if any(r.last and r.last.error_percent > r.goal_percent for r in self.runs):
            text += " More steps may bring it further: this run says only what these steps did."
        failed = [run for run in self.runs if run.error]
        return text + "".join(f" {run.name} raised {run.error}." for run in failed)

    def _failed(self) -> str:
        run = next(run for run in self.runs if run.error)
        rest = any(not run.finished and not run.error for run in self.runs)
        text = f"⚠ {run.name} stopped at step {run.step} with {run.error}. "
        return text + ("Resume goes on without it." if rest else "No other model is left to train.")

    def _of_the_record(self) -> str:
        parts = []
        for look, run in enumerate(self.runs):
            lines = self.recorded_of(look)
            if not lines:
                continue
            errors = [line.points[-1][1] for line in lines]
            ends = [line.points[-1][0] for line in lines]
            steps = span(min(ends), max(ends), str)
            parts.append(
                f"{run.name}, {len(lines)} seeds: {span(min(errors), max(errors), percent)} "
                f"wrong after {steps} steps"
            )
        return f"Recorded, thin lines: {'; '.join(parts)}." if parts else ""

    def table(self) -> tuple[list[str], list[list[str]], int]:
        """Head, rows and the row that is read: errors at every measured step."""
        columns: list[tuple[str, list[Line]]] = []
        for look, run in enumerate(self.runs):
            recorded = self.recorded_of(look)
            if self.status != "ready" or not recorded:
                columns.append((f"{run.name}, %", [self.live[look]]))
                columns += [("recorded, %", recorded)] if recorded else []
            else:
                columns.append((f"{run.name}, recorded, %", recorded))
        at = self.measured_steps()
        while len(at) > MOST_ROWS:
            at = [*at[:-1][::2], at[-1]]
        rows = []
        for step in at:
            row = [str(step)]
            for _, lines in columns:
                errors = [error_at(line.points, step, False) for line in lines]
                found = [x for x in errors if x is not None]
                row.append(span(min(found), max(found), one_digit) if found else "")
            rows.append(row)
        on = min(range(len(at)), key=lambda n: abs(at[n] - self.read))
        return ["step", *(name for name, _ in columns)], rows, on

    def measured_steps(self) -> list[int]:
        """Steps at which some curve has a point, and those that are still to come."""
        lines = [*self.live, *self.recorded]
        return sorted({step for line in lines for step, _ in line.points} | {0, self.steps})


def training_payload(
    runs: Sequence[Snapshot],
    *,
    task: BlockTask,
    status: Status = "ready",
    earlier: Iterable[Snapshot] = (),
    recorded: Iterable[tuple[str, int, Sequence[tuple[int, float]]]] = (),
    read: int | None = None,
    tested: int = 1000,
) -> TrainingPayload:
    """Everything the widget shows.

    Args:
        runs: the models of now; their order chooses their looks.
        task: what they are trained on, for the guessing floors.
        earlier: runs of this widget with other seeds.
        recorded: name, seed and points (step, error in percent) of runs made before.
        read: a step at which the curves are read. None: the last one.
        tested: how many texts an error is measured on.
    """
    looks = {run.name: look for look, run in enumerate(runs)}
    steps = max(run.steps for run in runs)
    return TrainingPayload(
        status=status,
        answer=task.answer,
        runs=list(runs),
        live=[_line(run, look) for look, run in enumerate(runs)],
        earlier=[_line(run, looks[run.name]) for run in earlier if run.name in looks],
        recorded=[
            Line(name, seed, looks[name], list(points))
            for name, seed, points in recorded
            if name in looks
        ],
        floors=floors(task),
        steps=steps,
        read=steps if read is None else read,
        tested=tested,
    )


@cache
def floors(task: BlockTask) -> dict[str, float]:
    """Errors of guessing in percent, counted on drawn texts."""
    return {name: round(100 * error, 1) for name, error in guessing_floors(task).items()}


def recorded_runs(runs: Iterable[BlockRun]) -> list[tuple[str, int, list[tuple[int, float]]]]:
    """The recorded runs with the settings of one of these, under its name; how often an error
    is measured changes nothing else."""
    wanted = [(run.name, asdict(run.settings)) for run in runs if run.attention is None]
    found = []
    for kept in load(RECORDED)["runs"]:
        for name, settings in wanted:
            if all(settings[x] == y for x, y in kept["settings"].items() if x != "every"):
                curve = kept["curve"]
                points = list(zip(curve["step"], curve["error_percent"], strict=True))
                found.append((name, kept["seed"], points))
    return found


def error_at(points: Sequence[tuple[int, float]], step: int, ended: bool) -> float | None:
    """The error at a measured step; of a run that ended before, its last one; else None."""
    found = dict(points).get(step)
    if found is None and ended and points and step > points[-1][0]:
        return points[-1][1]
    return found


def percent(x: float) -> str:
    return f"{x:.1f}{PERCENT}"


def one_digit(x: float) -> str:
    return f"{x:.1f}"


def span(low: float, high: float, word: Callable[[Any], str]) -> str:
    """Both ends in words, or one if they read alike."""
    first, last = word(low), word(high)
    if first == last:
        return last
    return f"{first.removesuffix(PERCENT)} to {last}"


def _line(run: Snapshot, look: int) -> Line:
    return Line(run.name, run.seed, look, [(x.step, x.error_percent) for x in run.curve])


def _all_of(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
