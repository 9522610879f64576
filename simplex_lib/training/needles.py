"""Needles, trained: dot-product, Multi-Token and 2-simplicial attention find 2 or 4 values.

    python -m simplex_lib.training.needles                       every kind, 2 and 4 asked, 3 seeds
    python -m simplex_lib.training.needles --kind "multi-token" --asked 2 --seeds 7 --out mine.json

Each model has two layers of the same width. The first is dot-product attention with rotary
positions in all of them; the second is what differs. So this compares second layers, at this size
and for these steps; it says nothing about the size of the papers. A run is kept at each of its
measurements, and the same command continues after an interrupt.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from simplex_lib.attention import MultiTokenAttention, TwoSimplicialAttention
from simplex_lib.data.recording import facts, read_json, write_json
from simplex_lib.errors import require_choice, require_count
from simplex_lib.models import Decoder
from simplex_lib.tasks.needles import NeedleTask
from simplex_lib.training.blocks import FINAL_SEED, FINAL_TEXTS, finish, print_point, unfinished
from simplex_lib.training.blocks_run import answer_loss, held_out_error, optimizer
from simplex_lib.training.loop import Point, Training
from simplex_lib.training.schedule import warm_up_cosine

Kind = Literal["dot product", "multi-token", "2-simplicial"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ASKED = (2, 4)
SEEDS = (0, 1, 2)
OUT = Path("work/needle_training.json")
HEADS, ROTARY_BASE = 2, 10_000.0


@dataclass(frozen=True)
class Settings:
    """What all kinds share.

    Attributes:
        asked: needles of the question.
        c_q, c_k: taps of "multi-token". A value is asked for asked - 1 tokens after its key, so
            c_q < asked cannot do; `record` takes asked + 1.
        w2: window of the second key of "2-simplicial", whose first key sees everything.
    """

    asked: int = 2
    context: int = 32
    needles: int = 6
    d_model: int = 48
    hidden: int = 96
    c_q: int = 3
    c_k: int = 5
    w2: int = 12
    lr: float = 3e-3
    kernel_rate: float = 10.0
    weight_decay: float = 0.01
    batch: int = 32
    steps: int = 800
    every: int = 100
    tested: int = 1000
    warm_up: int = 100
    floor: float = 0.05
    clip: float = 1.0
    stop_below_percent: float = 0.3

    def __post_init__(self) -> None:
        require_count(d_model=self.d_model, hidden=self.hidden, batch=self.batch, w2=self.w2)
        _ = self.task  # refuses sizes that are no task

    @property
    def task(self) -> NeedleTask:
        return NeedleTask(context=self.context, needles=self.needles, asked=self.asked)


def needle_training(kind: Kind, settings: Settings, *, seed: int) -> Training:
    """A model of one kind at its start, ready to `run`.

    >>> run = needle_training("2-simplicial", Settings(steps=2, every=1, tested=4, batch=2), seed=0)
    >>> [point.step for point in run.run()]
    [0, 1, 2]
    """
    require_choice("kind", kind, KINDS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(
            settings.task.vocabulary,
            [second_layer("dot product", settings), second_layer(kind, settings)],
            d_model=settings.d_model,
            hidden=settings.hidden,
        )
    return Training(
        model,
        optimizer(model, settings),
        loss=lambda model, generator: answer_loss(model, settings, generator),
        error=held_out_error(settings),
        rate=lambda step: warm_up_cosine(
            step, steps=settings.steps, warm_up=settings.warm_up, floor=settings.floor
        ),
        generator=torch.Generator().manual_seed(seed + 1),
        steps=settings.steps,
        every=settings.every,
        clip=settings.clip,
        stop_below_percent=settings.stop_below_percent,
    )


def second_layer(kind: Kind, settings: Settings) -> nn.Module:
    if kind == "2-simplicial":  # determinants, so that rotary positions are relative
        return TwoSimplicialAttention(
            settings.d_model,
            HEADS,
            w1=settings.task.length,
            w2=settings.w2,
            form="determinant",
            rotary=True,
        )
    taps = (settings.c_q, settings.c_k) if kind == "multi-token" else (None, None)
    return MultiTokenAttention(
        settings.d_model,
        HEADS,
        c_q=taps[0],
        c_k=taps[1],
        start="constant",
        rotary_base=ROTARY_BASE,
        impl="banded",
    )


def record(
    out: Path,
    *,
    command: str,
    kinds: Sequence[Kind] = KINDS,
    asked: Sequence[int] = ASKED,
    seeds: Sequence[int] = SEEDS,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    show: Callable[[str, Training, Point], None] = lambda name, run, point: None,
) -> dict[str, Any]:
    """Train all that out does not hold yet; what out then holds."""
    runs: list[dict[str, Any]] = read_json(out)["runs"] if out.exists() else []
    for count in asked:
        for kind in kinds:
            settings = change(replace(Settings(), asked=count, c_q=count + 1))
            for seed in seeds:
                key = dict(kind=kind, asked=count, seed=seed, settings=asdict(settings))
                if any(key.items() <= run.items() for run in runs):
                    continue
                name = f"{kind}, {count}, {seed}"
                run = needle_training(kind, settings, seed=seed)
                finish(run, out, name, show)
                final = replace(settings, tested=FINAL_TEXTS)
                with torch.no_grad():
                    error = held_out_error(final, seed=FINAL_SEED)(run.model.eval())
                low, high = interval_percent(error, FINAL_TEXTS)
                runs.append(
                    {
                        **key,
                        **facts(command=command, seed=seed),
                        "parameters": sum(p.numel() for p in run.model.parameters()),
                        "final_error_percent": round(100 * error, 3),
                        "interval_percent": [round(low, 3), round(high, 3)],
                        "cpu_seconds": round(run.cpu_seconds, 1),
                        "curve": {
                            field: [point[at] for point in run.curve]
                            for at, field in enumerate(Point._fields)
                        },
                    }
                )
                write_json(out, {"final_texts": FINAL_TEXTS, "runs": runs})
                unfinished(out, name).unlink(missing_ok=True)
    return read_json(out)


def interval_percent(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval, in percent, for a share seen in n independent trials.

    It speaks of one trained model on fresh texts, not of another seed.

    >>> [round(end, 2) for end in interval_percent(0.0, 4000)]
    [0.0, 0.1]
    """
    require_count(n=n)
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m simplex_lib.training.needles")
    parser.add_argument("--kind", choices=KINDS, help="one kind alone; default: all")
    parser.add_argument("--asked", type=int, nargs="+", default=list(ASKED))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file; default: {OUT}")
    given = list(sys.argv[1:] if arguments is None else arguments)
    use = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        found = record(
            use.out,
            command=" ".join(["python -m simplex_lib.training.needles", *given]),
            kinds=[use.kind] if use.kind else KINDS,
            asked=use.asked,
            seeds=use.seeds,
            show=print_point,
        )
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted. The same command goes on from the last line.") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
    for run in found["runs"]:
        low, high = run["interval_percent"]
        print(
            f"{run['asked']} needles, {run['kind']}, seed {run['seed']}: "
            f"{run['final_error_percent']:.1f} % ({low:.1f} to {high:.1f}), "
            f"{run['curve']['step'][-1]} steps, {run['cpu_seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
