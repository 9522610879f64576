"""Attention over pairs on the block task, recorded: a layer of dot products, then one of pairs.

    python -m simplex_lib.training.block_pairs

Both forms of pairs, three seeds, with the settings of the dot-product model of two layers. The
query needs both letters of the question before it can look for a pair, hence the layer below.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention import TwoSimplicialAttention
from simplex_lib.attention.determinant import as_trilinear
from simplex_lib.attention.layers import split_heads
from simplex_lib.attention.rotary import rotary_triples
from simplex_lib.data.recording import facts, read_json, write_json
from simplex_lib.training.blocks import FINAL_SEED, FINAL_TEXTS
from simplex_lib.training.blocks_run import (
    DOT_PRODUCT,
    Settings,
    attention_layer,
    block_training,
    held_out_error,
)
from simplex_lib.training.loop import Point

OUT = Path("work/block_pairs.json")
FORMS: tuple[Literal["trilinear", "determinant"], ...] = ("trilinear", "determinant")


class LastTokenPairs(TwoSimplicialAttention):
    """2-simplicial attention whose output is computed at the last token and is 0 elsewhere.

    Nothing else is read from the last layer of a model that is asked for one letter, and one map
    of pairs is s times less work than s of them.

    >>> layer = LastTokenPairs(12, 2, form="determinant", rotary=True)
    >>> whole = TwoSimplicialAttention(12, 2, form="determinant", rotary=True)
    >>> x, _ = torch.randn(2, 7, 12), whole.load_state_dict(layer.state_dict())
    >>> torch.allclose(layer(x)[:, -1], whole(x)[:, -1], atol=1e-5)
    True
    """

    def forward(
        self, x: Float[Tensor, "b s d_model"], positions: Tensor | None = None
    ) -> Float[Tensor, "b s d_model"]:
        projections = (self.wq, self.wk1, self.wk2, self.wv1, self.wv2)
        q, k1, k2, v1, v2 = (split_heads(w(x), self.head_dim) for w in projections)
        scale = self.head_dim**-0.5
        if self.rotary:
            q, k1, k2 = (rotary_triples(turned, positions) for turned in (q, k1, k2))
        if self.form == "determinant":
            q, k1, k2 = as_trilinear(q, k1, k2)
        logits = (q[:, :, -1:] * k1) @ k2.mT * scale  # (b, h, j, k)
        probs = logits.flatten(-2).softmax(-1).view_as(logits)
        out = self.wo(((probs @ v2) * v1).sum(2).flatten(1))
        return torch.cat([torch.zeros_like(x[:, :-1]), out[:, None]], dim=1)


def record(out: Path, *, command: str, settings: Settings, seeds: Sequence[int]) -> dict[str, Any]:
    """Train both forms from each seed; out is written anew after every run."""
    runs: list[dict[str, Any]] = []
    for form in FORMS:
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                pairs = LastTokenPairs(
                    settings.d_model, settings.heads, form=form, rotary=form == "determinant"
                )
                layers = [attention_layer(settings), pairs]
            run = block_training(settings, seed=seed, attention=layers)
            for point in run.run():
                print(f"{form}, {seed}: step {point.step}, {point.error_percent:.1f} %", flush=True)
            final = replace(settings, tested=FINAL_TEXTS)
            with torch.no_grad():
                error = held_out_error(final, seed=FINAL_SEED)(run.model.eval())
            curve = {f: [p[at] for p in run.curve] for at, f in enumerate(Point._fields)}
            runs.append(
                {
                    "name": f"dot product, then {form} pairs",
                    "settings": asdict(settings),
                    **facts(command=command, seed=seed),
                    "threads": torch.get_num_threads(),
                    "parameters": sum(p.numel() for p in run.model.parameters()),
                    "final_error_percent": round(100 * error, 3),
                    "cpu_seconds": round(run.cpu_seconds, 1),
                    "curve": curve,
                }
            )
            write_json(out, {"final_texts": FINAL_TEXTS, "runs": runs})
    return read_json(out)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m simplex_lib.training.block_pairs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file; default: {OUT}")
    given = list(sys.argv[1:] if arguments is None else arguments)
    use = parser.parse_args(given)
    torch.set_num_threads(1)
    command = " ".join(["python -m simplex_lib.training.block_pairs", *given])
    record(use.out, command=command, settings=DOT_PRODUCT, seeds=use.seeds)


if __name__ == "__main__":
    main()
