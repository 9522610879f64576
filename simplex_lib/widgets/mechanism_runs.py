"""What recorded runs on the block task learned: kernels by measurement, and one row of attention.

Read from the top: `mechanism_payload` makes all numbers, `MechanismPayload.sentence` says them.
Kernels and curves are those of simplex_lib/data/block_training.json. Weights are kept of seed 0
and its last step only, of the models for the last and for the first letter: the row of attention is
shown of these alone.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from safetensors.torch import load

from simplex_lib import data
from simplex_lib.attention import MultiTokenAttention, multi_token_maps
from simplex_lib.errors import kind, require_choice
from simplex_lib.models import Decoder
from simplex_lib.tasks.blocks import BlockTask
from simplex_lib.training.blocks_run import Settings, attention_layer
from simplex_lib.widgets.kit import require_index

MODELS = {  # by the name in the menu: group and name of the recorded runs
    "last letter": ("last", "multi-token, 1 layer"),
    "first letter": ("first", "multi-token, 1 layer"),
    "last letter, identity start": ("start", "multi-token, identity start"),
    "last letter, c_q = 1": ("too small", "c_q = 1"),
    "last letter, c_k = 5": ("too small", "c_k = 5"),
}
MOST_BLOCKS = 12
KEPT = ("last letter", "first letter")  # models whose weights are kept: of seed 0, last step
LARGE = 3  # a tap is called large from this part of the largest on


@dataclass(frozen=True)
class Row:
    """The last query of a trained layer over a text, one head."""

    text: str  # blocks, dots, # and the question
    block: range  # tokens of the right block, its dot left out
    raw: list[list[float]]  # rows of the last c_q queries, the last one last
    logits: list[float]  # convolved
    probs: list[float]
    answer: str
    says: str

    @property
    def on_block(self) -> float:
        return sum(self.probs[n] for n in self.block)


@dataclass(frozen=True)
class MechanismPayload:
    """One recorded run at one measurement, the other seeds' curves, and a row of attention."""

    model: str
    seed: int
    frame: int
    head: int
    key: int
    steps: list[int]
    errors: list[float]  # percent, at each of the steps
    others: list[list[tuple[int, float]]]  # curves of the other seeds
    start: list[list[list[float]]]  # kernels (h, c_q, c_k) before training
    now: list[list[list[float]]]  # and at the measurement
    row: Row  # of the kept weights for this answer; shown where they are those of the run

    @property
    def kept(self) -> bool:
        """Whether the weights of this run at this measurement are kept."""
        return self.model in KEPT and self.seed == 0 and self.frame == len(self.steps) - 1

    @property
    def sentence(self) -> str:
        """The error here, what the kernel reads, and where the attention goes."""
        step, error = self.steps[self.frame], self.errors[self.frame]
        text = f"Seed {self.seed} at step {step}: {error:.1f}\u00a0% wrong"
        if self.frame:
            fall = self.errors[self.frame - 1] - error
            points = f"{abs(fall):.1f}"
            word = f"{points} points {'less' if fall >= 0 else 'more'} than"
            text += f", {'as' if points == '0.0' else word} at step {self.steps[self.frame - 1]}"
        text += f". {reach_of(self.now[self.head], self.head)}"
        if not self.kept:
            return text
        row = self.row
        letter = row.text[self.key]
        verdict = "right" if row.says == row.answer else f"wrong, it is {row.answer}"
        return text + (
            f" In the text, head {self.head} puts {row.on_block:.2f} of its "
            f"attention on the block {''.join(row.text[n] for n in row.block)} and "
            f"{row.probs[self.key]:.2f} on key {self.key}, {letter}; the model answers {row.says}, "
            f"{verdict}."
        )


def mechanism_payload(
    model: str,
    seed: int,
    frame: int | None,
    head: int,
    text: str,
    key: int | None,
) -> MechanismPayload:
    """Everything the widget shows.

    Args:
        model: one of MODELS.
        seed: of the recorded run.
        frame: which of its measurements, from 0. None: the last.
        head: of the row of attention, 0 or 1.
        text: blocks and a question, as "abcde.fghij.#bd", with letters from a to l.
        key: the token that is read closely. None: the one with the most attention.

    Raises:
        ValueError: one of these is something else.
    """
    require_choice("model", model, tuple(MODELS))
    runs = recorded(model)
    require_index(len(runs), "one of the recorded seeds", seed=seed)
    run = runs[seed]
    steps, errors = run["curve"]["step"], run["curve"]["error_percent"]
    frame = len(steps) - 1 if frame is None else frame
    require_index(len(steps), "one of the measurements", frame=frame)
    require_index(2, "one of the heads", head=head)
    row = attention_row(run["settings"]["answer"], text, head)
    best = max(range(len(row.probs)), key=lambda n: row.probs[n])
    key = best if key is None else key
    require_index(len(row.text), "one of the tokens", key=key)
    return MechanismPayload(
        model=model,
        seed=seed,
        frame=frame,
        head=head,
        key=key,
        steps=steps,
        errors=errors,
        others=[
            list(zip(x["curve"]["step"], x["curve"]["error_percent"], strict=True))
            for x in runs
            if x is not run
        ],
        start=run["kernels"][0],
        now=run["kernels"][frame],
        row=row,
    )


def attention_row(answer: str, text: str, head: int) -> Row:
    """The last query of the layer that was trained for this answer."""
    if not isinstance(text, str):
        raise ValueError(f"text must be a string; got {kind(text)}.")
    model, task = trained(answer)
    if text.count(".") > MOST_BLOCKS:
        raise ValueError(f"text must have at most {MOST_BLOCKS} blocks; got {text.count('.')}.")
    tokens, answers, target = task.read(text)
    block = model.blocks[0]
    layer: Any = block.attention
    with torch.no_grad():
        stream = block.attention_norm(model.embedding(tokens))  # type: ignore[operator]
        q, k, _ = layer.project(stream)
        maps = multi_token_maps(q, k, pre_kernel=layer.pre_kernel)
        says = model(tokens, last=1).argmax(-1)[0]
    c_q = layer.pre_kernel.shape[1]
    first = int(target) * (task.block_letters + 1)
    return Row(
        text=task.text(tokens[0]),
        block=range(first, first + task.block_letters),
        raw=maps.raw[0, head, -c_q:].tolist(),
        logits=maps.logits[0, head, -1].tolist(),
        probs=maps.probs[0, head, -1].tolist(),
        answer=task.text(answers[0]),
        says=task.text(says),
    )


@cache
def recorded(model: str) -> list[dict[str, Any]]:
    """The runs of a model, by seed."""
    group, name = MODELS[model]
    runs = data.load("block_training")["runs"]
    found = [run for run in runs if (run["group"], run["name"]) == (group, name)]
    return sorted(found, key=lambda run: run["seed"])


@cache
def trained(answer: str) -> tuple[Decoder, BlockTask]:
    """The model of seed 0 after its last step, and its task."""
    settings = Settings(**recorded(f"{answer} letter")[0]["settings"])
    layer = attention_layer(settings)
    assert isinstance(layer, MultiTokenAttention)
    task = settings.task
    model = Decoder(task.vocabulary, [layer], d_model=settings.d_model, hidden=settings.hidden)
    weights = files(data).joinpath(f"blocks_{answer}.safetensors").read_bytes()
    model.load_state_dict(load(weights))
    return model.eval(), task


def a_text(seed: int) -> str:
    """A drawn text, of the sizes that all models were trained on."""
    task = Settings().task
    tokens = task.draw(1, torch.Generator().manual_seed(seed)).tokens
    return task.text(tokens[0])


def reach_of(kernel: list[list[float]], head: int) -> str:
    """Which taps are large, in words."""
    size = max(abs(tap) for row in kernel for tap in row)
    middle = len(kernel[0]) // 2
    large = [
        [n - middle for n, tap in enumerate(row) if abs(tap) >= size / LARGE] for row in kernel
    ]
    if all(len(row) == len(kernel[0]) for row in large):
        return f"All taps of head {head} are large."
    if large[0] == large[-1] and large[0] and large[0][-1] - large[0][0] == len(large[0]) - 1:
        low, high = large[0][0], large[0][-1]
        keys = f"keys {place(low)} to {place(high)}" if low < high else f"key {place(low)} alone"
        rows = "both queries" if len(kernel) == 2 else "the query"
        text = f"In head {head} the large taps of {rows} lie on {keys}"
        return f"{text}{signs_of(kernel, large[0], middle)}."
    count = sum(map(len, large))
    return f"In head {head}, {count} of {len(kernel) * len(kernel[0])} taps are large."


def signs_of(kernel: list[list[float]], large: list[int], middle: int) -> str:
    """Which of the large taps are positive and which negative, if all rows agree on it."""
    signs = [[row[n + middle] > 0 for n in large] for row in kernel]
    if any(row != signs[0] for row in signs):
        return ", not all of the same sign"
    above = [n for n, positive in zip(large, signs[0], strict=True) if positive]
    below = [n for n in large if n not in above]
    if not above or not below:
        one = len(large) == 1 == len(kernel)
        every = "" if one else "all " if len(large) * len(kernel) > 2 else "both "
        return f", {every}{'positive' if above else 'negative'}"
    return f": positive on {places(above)}, negative on {places(below)}"


def places(offsets: list[int]) -> str:
    """j - 4 to j; j - 4, j + 1"""
    low, high = offsets[0], offsets[-1]
    if len(offsets) > 2 and high - low == len(offsets) - 1:
        return f"{place(low)} to {place(high)}"
    names = [place(n) for n in offsets]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def place(offset: int) -> str:
    """j - 4, j, j + 2."""
    if not offset:
        return "j"
    return f"j {'+' if offset > 0 else '−'} {abs(offset)}"
