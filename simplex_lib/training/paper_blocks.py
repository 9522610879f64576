"""The block task at the size of the Multi-Token Attention paper, on a GPU.

    python -m simplex_lib.training.paper_blocks --kind multi-token --answer all
    python -m simplex_lib.training.paper_blocks --kind "dot product" --answer all --steps 100000

A run is kept at each of its measurements: the same command goes on where it was interrupted.

As in arXiv:2504.00927 and the code released with it: 4 layers, width 256, 2 heads, SwiGLU 768,
tied embeddings, rotary base 100,000, c_q = 2, c_k = 2 n - 1 from the identity, no mixing, no
norm, a token before the text, batch 64, AdamW at a constant 1e-4 after 1,000 steps. Ours: fresh
texts at every step in place of a million fixed ones, no dropout, whole blocks, no token behind the
text, the error on letters alone, products in TF32 where theirs are bfloat16, and a number of steps
that is stated; theirs is 100,000.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from simplex_lib.data.recording import facts, read_json, write_json
from simplex_lib.tasks.blocks import Answer
from simplex_lib.training.blocks import finish, unfinished
from simplex_lib.training.blocks_run import KINDS, Kind, Settings, block_training
from simplex_lib.training.loop import Point, Training

OUT = Path("work/paper_blocks.json")
AT_ONCE = 64  # batches drawn at once, since drawing one by one would leave a GPU idle


def paper_settings(kind: Kind, answer: Answer, *, block_letters: int = 5, steps: int) -> Settings:
    """The paper's model and schedule; texts of at most 319 tokens, in whole blocks.

    >>> [paper_settings("multi-token", "all", block_letters=n, steps=1).blocks for n in (5, 8)]
    [52, 34]
    """
    room = 319 - 1 - 2 - (block_letters - 1)  # context, without #, question and answer
    return Settings(
        kind,
        answer,
        blocks=room // (block_letters + 1),
        block_letters=block_letters,
        alphabet=26,
        start_token=True,
        layers=4,
        d_model=256,
        heads=2,
        hidden=768,
        c_q=2,
        c_k=2 * block_letters - 1,
        start="identity",
        rotary_base=100_000.0,
        mlp="swiglu",
        tied=True,
        lr=1e-4,
        kernel_rate=1.0,
        weight_decay=0.0,
        steps=steps,
        every=500,
        warm_up=1000,
        floor=1.0,
        stop_below_percent=0.1,
    )


def paper_training(
    settings: Settings, *, seed: int, device: torch.device | str = "cuda", compiled: bool = True
) -> Training:
    """`block_training`, compiled where asked, with batches drawn ahead.

    With bfloat16 products the compiled banded convolution lost its way after some hundred steps,
    the loss above that of guessing, where the same in TF32 and a compiled conv2d in bfloat16 went
    on; the cause was not found.
    """
    run = block_training(settings, seed=seed, device=device)
    fast: Any = torch.compile(run.model) if compiled else run.model
    ahead: list[tuple[Tensor, Tensor]] = []

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        if not ahead:
            tokens, answers, _ = settings.task.draw(AT_ONCE * settings.batch, generator)
            parts = tokens.split(settings.batch), answers.split(settings.batch)
            ahead.extend(zip(*parts, strict=True))
        tokens, answers = ahead.pop()
        logits = fast(tokens, last=answers.shape[1])
        return cross_entropy(logits.flatten(0, 1), answers.flatten())

    run.loss = loss
    return run


def record(
    out: Path,
    *,
    command: str,
    settings: Settings,
    seed: int,
    device: str = "cuda",
    compiled: bool = True,
    seconds: float = float("inf"),
    show: Callable[[str, Training, Point], None],
) -> dict[str, Any]:
    """Train one model and add it to out. After `seconds` the run stops at its next measurement
    and is recorded as unfinished; the same command goes on with it."""
    name = f"{settings.kind}, {settings.answer}, n {settings.block_letters}, {seed}"
    run = paper_training(settings, seed=seed, device=device, compiled=compiled)
    start = time.monotonic()

    class OutOfTime(Exception):
        pass

    def watch(name: str, run: Training, point: Point) -> None:
        show(name, run, point)
        if time.monotonic() - start > seconds:
            raise OutOfTime

    with contextlib.suppress(OutOfTime):
        finish(run, out, name, watch)
    key = dict(name=name, seed=seed, settings=asdict(settings))
    result = {
        **key,
        **facts(command=command, seed=seed),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "finished": run.finished,
        "seconds": round(time.monotonic() - start, 1),
        "curve": {f: [p[at] for p in run.curve] for at, f in enumerate(Point._fields)},
    }
    runs = read_json(out)["runs"] if out.exists() else []
    runs = [old for old in runs if not key.items() <= old.items()] + [result]
    write_json(out, {"runs": runs})
    if run.finished:
        unfinished(out, name).unlink(missing_ok=True)
    return result


def print_point(name: str, run: Training, point: Point) -> None:
    print(f"{name}: step {point.step}, {point.error_percent:.1f} %, loss {point.loss}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m simplex_lib.training.paper_blocks")
    parser.add_argument("--kind", choices=KINDS, default="multi-token")
    parser.add_argument("--answer", choices=get_args(Answer), default="all")
    parser.add_argument("--letters", type=int, default=5, help="letters of a block: 5 or 8")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--lr", type=float, help="default: the paper's 1e-4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file; default: {OUT}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--eager", action="store_true", help="do not compile the model")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    given = list(sys.argv[1:] if arguments is None else arguments)
    use = parser.parse_args(given)
    if use.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("This size needs a GPU, and torch finds none. --device cpu is very slow.")
    torch.set_float32_matmul_precision("high")
    settings = paper_settings(use.kind, use.answer, block_letters=use.letters, steps=use.steps)
    if use.lr is not None:
        settings = replace(settings, lr=use.lr)
    try:
        result = record(
            use.out,
            command=" ".join(["python -m simplex_lib.training.paper_blocks", *given]),
            settings=settings,
            seed=use.seed,
            device=use.device,
            compiled=not use.eager,
            seconds=use.seconds,
            show=print_point,
        )
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted. The same command goes on from the last line.") from None
    print(result["name"], result["curve"]["error_percent"][-1], "%", result["seconds"], "s")


if __name__ == "__main__":
    main()
