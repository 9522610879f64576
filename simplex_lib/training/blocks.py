"""The recorded runs on the block task, and the command that repeats them.

    python -m simplex_lib.training.blocks                         every group, every seed
    python -m simplex_lib.training.blocks --group last --seeds 7 --out mine.json

A run is kept at each of its measurements beside the file of the finished ones, so that the same
command continues where it was interrupted. The error of a finished run is measured once more, on
texts that had no part in deciding when to stop.
"""

import argparse
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from simplex_lib.data.recording import facts, read_json, write_json
from simplex_lib.training.blocks_run import (
    DOT_PRODUCT,
    MULTI_TOKEN,
    MULTI_TOKEN_DEEP,
    WHOLE_BLOCK,
    Settings,
    block_training,
    held_out_error,
)
from simplex_lib.training.loop import Point, Training

OUT = Path("work/block_training.json")
FINAL_SEED = 2 * 10**6  # of the texts that the error of a finished run is measured on
FINAL_TEXTS = 4000


def groups() -> dict[str, dict[str, Settings]]:
    """The models of each group, by the name that a picture shows."""
    found: dict[str, dict[str, Settings]] = {}
    for answer in ("last", "first"):
        found[answer] = {
            "multi-token, 1 layer": replace(MULTI_TOKEN, answer=answer),
            "multi-token, 2 layers": replace(MULTI_TOKEN_DEEP, answer=answer),
            "dot product, 2 layers": replace(DOT_PRODUCT, answer=answer),
        }
    found["start"] = {"multi-token, identity start": replace(MULTI_TOKEN, start="identity")}
    found["too small"] = {
        "c_q = 1": replace(MULTI_TOKEN, c_q=1),
        "c_k = 5": replace(MULTI_TOKEN, c_k=5),
        "dot product, 1 layer": replace(DOT_PRODUCT, layers=1),
    }
    found["all"] = {
        "multi-token, 2 layers": WHOLE_BLOCK,
        "dot product, 2 layers": replace(
            DOT_PRODUCT, answer="all", steps=WHOLE_BLOCK.steps, every=WHOLE_BLOCK.every
        ),
    }
    return found


SEEDS = {"last": 5, "first": 5, "start": 5, "too small": 2, "all": 3}
KEPT = {  # runs whose trained weights are kept, as group, model, seed, and the name of the file
    ("last", "multi-token, 1 layer", 0): "blocks_last",
    ("first", "multi-token, 1 layer", 0): "blocks_first",
    ("last", "dot product, 2 layers", 0): "blocks_last_dot_product",
    ("all", "multi-token, 2 layers", 0): "blocks_all",
}


def record(
    out: Path,
    *,
    command: str,
    chosen: Sequence[str] = tuple(SEEDS),
    seeds: Sequence[int] | None = None,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    show: Callable[[str, Training, Point], None] = lambda name, run, point: None,
) -> dict[str, Any]:
    """Train all models of the chosen groups, but for the runs that out holds; what out then holds.

    Args:
        out: a JSON file, written anew after every finished run. An unfinished one is kept beside
            it, and so are the weights of the runs in KEPT.
        command: how this was started, as it is recorded.
        seeds: None: 0 up to the number in SEEDS.
        change: applied to the settings of every model, to shorten a run in tests.
        show: called at every measurement.

    Raises:
        ValueError: out cannot be read; it is left as it is.
    """
    runs: list[dict[str, Any]] = read_json(out)["runs"] if out.exists() else []
    for group in chosen:
        for name, model in groups()[group].items():
            settings = change(model)
            for seed in range(SEEDS[group]) if seeds is None else seeds:
                key = dict(group=group, name=name, seed=seed, settings=asdict(settings))
                if any(key.items() <= run.items() for run in runs):
                    continue
                run = block_training(settings, seed=seed)
                frames = finish(run, out, f"{group}, {name}, {seed}", show)
                final = replace(settings, tested=FINAL_TEXTS)
                with torch.no_grad():
                    error = held_out_error(final, seed=FINAL_SEED)(run.model.eval())
                runs.append(
                    {
                        **key,
                        **facts(command=command, seed=seed),
                        "threads": torch.get_num_threads(),
                        "parameters": sum(p.numel() for p in run.model.parameters()),
                        "final_error_percent": round(100 * error, 3),
                        "cpu_seconds": round(run.cpu_seconds, 1),
                        "curve": {
                            field: [point[at] for point in run.curve]
                            for at, field in enumerate(Point._fields)
                        },
                        "kernels": frames,
                    }
                )
                if (group, name, seed) in KEPT:
                    save_weights(run, out.with_name(f"{KEPT[group, name, seed]}.safetensors"))
                write_json(out, {"final_texts": FINAL_TEXTS, "runs": runs})
                unfinished(out, f"{group}, {name}, {seed}").unlink(missing_ok=True)
    return read_json(out)


def finish(
    run: Training, out: Path, name: str, show: Callable[[str, Training, Point], None]
) -> list[Any]:
    """Train to the end from where the run was interrupted; the kernels at every measurement of a
    model with one layer."""
    kept, frames = unfinished(out, name), []
    if kept.exists():
        try:
            state = torch.load(kept, weights_only=True)
            run.restore(state["run"])
            frames = state["frames"]
        except (ValueError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"{kept} must be an interrupted run; remove it.") from error
    for point in run.run():
        frames.append(kernel_frame(run))
        part = kept.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"run": run.state(), "frames": frames}, part)
        part.replace(kept)
        show(name, run, point)
    return frames if any(frames) else []


def kernel_frame(run: Training) -> list[Any]:
    """The kernels before the softmax of a one-layer model, (h, c_q, c_k), rounded; else empty."""
    found = [p for name, p in run.model.named_parameters() if name.endswith("pre_kernel")]
    if len(found) != 1:
        return []
    return [[[round(tap, 3) for tap in row] for row in head] for head in found[0].tolist()]


def save_weights(run: Training, path: Path) -> None:
    weights = {name: p.detach().clone() for name, p in run.model.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    save_file(weights, part)
    part.replace(path)


def unfinished(out: Path, name: str) -> Path:
    """Where a run stands until it is finished."""
    plain = "".join(c if c.isalnum() else "-" for c in name)
    return out.with_name(f".{out.stem}-{plain}.pt")


def table(found: dict[str, Any]) -> str:
    """The finished runs as lines of a Markdown table."""
    lines = [
        "| group | model | seed | parameters | steps | errors, % | CPU seconds |",
        "|:--|:--|--:|--:|--:|--:|--:|",
    ]
    for run in found["runs"]:
        lines.append(
            f"| {run['group']} | {run['name']} | {run['seed']} | {run['parameters']:,} "
            f"| {run['curve']['step'][-1]} | {run['final_error_percent']:.2f} "
            f"| {run['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines)


def print_point(name: str, run: Training, point: Point) -> None:
    print(f"{name}: step {point.step}, {point.error_percent:.1f} % errors", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m simplex_lib.training.blocks")
    parser.add_argument("--group", choices=list(SEEDS), help="one group alone; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0, 1, ... as many as shown")
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file; default: {OUT}")
    given = list(sys.argv[1:] if arguments is None else arguments)
    use = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        found = record(
            use.out,
            command=" ".join(["python -m simplex_lib.training.blocks", *given]),
            chosen=[use.group] if use.group else tuple(SEEDS),
            seeds=use.seeds,
            show=print_point,
        )
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted. The same command goes on from the last line.") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print(table(found))


if __name__ == "__main__":
    main()
