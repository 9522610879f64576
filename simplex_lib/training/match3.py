"""Match3, trained: one 2-simplicial layer against one dot-product layer with more parameters.

    python -m simplex_lib.training.match3                    both kinds, seeds 0 to 2
    python -m simplex_lib.training.match3 --kind trilinear --seeds 7 --out mine.json

A run is kept at each of its measurements beside the file of the finished ones, so that the same
command continues where it was interrupted; on one machine its curve is the one of a run without an
interrupt.

Such a comparison shows which of two models makes fewer errors after the same steps with these
settings. It does not show what one of them can never learn.
"""

import argparse
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch

from simplex_lib.data.recording import facts, read_json, write_json
from simplex_lib.training.match3_model import Kind
from simplex_lib.training.match3_run import (
    HELD_OUT_SEED,
    Point,
    Run,
    Settings,
    majority_error_percent,
)

KINDS: tuple[Kind, ...] = get_args(Kind)
SEEDS = (0, 1, 2)
OUT = Path("work/match3_training.json")


def record(
    out: Path,
    *,
    command: str,
    kinds: Sequence[Kind] = KINDS,
    seeds: Sequence[int] = SEEDS,
    settings: Settings | None = None,
    show: Callable[[Run, Point], None] = lambda run, point: None,
) -> dict[str, Any]:
    """Train every kind with every seed, but for the runs that out holds; what out holds then.

    Args:
        out: a JSON file, written anew after every finished run. An unfinished one is kept beside
            it until it is finished.
        command: how this was started, as it is recorded.
        show: called at every measurement.

    Raises:
        ValueError: out holds runs with other settings, or cannot be read; it is left as it is.
    """
    settings = settings or Settings()
    for kind in kinds:
        for seed in seeds:
            if any((run["kind"], run["seed"]) == (kind, seed) for run in finished(out, settings)):
                continue
            result = finish(Run(kind, seed=seed, settings=settings), out, show)
            runs = [*finished(out, settings), result]
            runs.sort(key=lambda run: (KINDS.index(run["kind"]), run["seed"]))
            content = {
                **facts(command=command, seed=sorted({run["seed"] for run in runs})),
                "threads": torch.get_num_threads(),
                "settings": asdict(settings),
                "held_out_seed": HELD_OUT_SEED,
                "majority_error_percent": majority_error_percent(settings),
                "runs": runs,
            }
            write_json(out, content)
            unfinished(out, kind, seed).unlink(missing_ok=True)
    return read_json(out)


def finished(out: Path, settings: Settings) -> list[dict[str, Any]]:
    """The runs that out holds."""
    if not out.exists():
        return []
    found = read_json(out)
    if found.get("settings") != asdict(settings):
        raise ValueError(
            f"out must hold runs with the settings {asdict(settings)}; got {out} with "
            f"{found.get('settings')}. Name another file."
        )
    return found["runs"]


def finish(run: Run, out: Path, show: Callable[[Run, Point], None]) -> dict[str, Any]:
    """Train to the end from where the run was interrupted, keeping it at every measurement."""
    kept = unfinished(out, run.kind, run.seed)
    if kept.exists():
        try:
            run.restore(torch.load(kept, weights_only=True))
        except (ValueError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{kept} must be an interrupted run of {run.made_by()}; it is none. Remove it."
            ) from error
    for point in run.train():
        part = kept.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        torch.save(run.state(), part)
        part.replace(kept)
        show(run, point)
    return run.result()


def unfinished(out: Path, kind: str, seed: int) -> Path:
    """Where a run stands until it is finished."""
    return out.with_name(f".{out.stem}-{kind.replace(' ', '-')}-{seed}.pt")


def table(found: dict[str, Any]) -> str:
    """The finished runs as lines of a Markdown table."""
    lines = [
        f"{found['machine']}; torch {found['versions']['torch']}; {found['date']}",
        f"always the more frequent label: {found['majority_error_percent']:.1f} % errors\n",
        "| kind | seed | parameters | steps | errors, % | CPU seconds |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for run in found["runs"]:
        lines.append(
            f"| {run['kind']} | {run['seed']} | {run['parameters']:,} | {run['curve']['step'][-1]} "
            f"| {run['final_error_percent']:.1f} | {run['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines)


def print_point(run: Run, point: Point) -> None:
    where = f"{run.kind}, seed {run.seed}, step {point.step} of {run.settings.steps}"
    print(f"{where}: {point.error_percent:.1f} % errors, {run.cpu_seconds:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    use = Settings()
    parser = argparse.ArgumentParser(prog="python -m simplex_lib.training.match3")
    parser.add_argument("--kind", choices=KINDS, help="one kind alone; default: both")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--n", type=int, default=use.n, help="tokens of a sequence")
    parser.add_argument("--modulus", type=int, default=use.modulus)
    parser.add_argument("--steps", type=int, default=use.steps)
    parser.add_argument("--every", type=int, default=use.every, help="steps to a measurement")
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file; default: {OUT}")
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        settings = Settings(
            n=chosen.n, modulus=chosen.modulus, steps=chosen.steps, every=chosen.every
        )
        found = record(
            chosen.out,
            command=" ".join(["python -m simplex_lib.training.match3", *given]),
            kinds=[chosen.kind] if chosen.kind else KINDS,
            seeds=chosen.seeds,
            settings=settings,
            show=print_point,
        )
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted. The same command goes on from the last line.") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print(table(found))


if __name__ == "__main__":
    main()
