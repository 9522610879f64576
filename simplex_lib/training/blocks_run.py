"""Training on the block task: settings, models of each kind, one run.

Read from the top: `Settings` says what is trained, `block_training` starts it. Texts are drawn
anew at every step, there is no training set; the error is measured on texts that are the same for
all runs and drawn apart from them.

Source: the task and the comparison, arXiv:2504.00927, section 4.1; sizes and learning rates that
fit a CPU are ours. `paper_blocks.py` has the paper's own size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from simplex_lib.attention import MultiTokenAttention
from simplex_lib.errors import require_choice, require_count, require_int
from simplex_lib.models import Decoder
from simplex_lib.tasks.blocks import Answer, BlockTask, exact_match_error
from simplex_lib.training.loop import Training
from simplex_lib.training.schedule import warm_up_cosine

Kind = Literal["multi-token", "dot product"]
KINDS: tuple[Kind, ...] = ("multi-token", "dot product")
HELD_OUT_SEED = 10**6
KERNELS = ("kernel", "mixing")  # ends of the names of parameters with a learning rate of their own


@dataclass(frozen=True)
class Settings:
    """One kind of run on the block task.

    Attributes:
        kind: "multi-token" (key-query convolution before the softmax) or "dot product".
        answer, blocks, block_letters, question, alphabet, start_token: of `BlockTask`.
        layers, d_model, heads, hidden: sizes of the decoder.
        mlp, tied: of `Decoder`; rotary_base: of its positions.
        c_q, c_k, start: taps and start of the kernels; only "multi-token" reads them.
        lr: of AdamW; kernel_rate times that for kernels, which have a longer way to go.
        batch, steps, warm_up, floor, clip: of the run; the rate falls along a cosine to floor.
        every: steps between two measurements on `tested` texts.
        stop_below_percent: the error at which a run is over.
    """

    kind: Kind = "multi-token"
    answer: Answer = "last"
    blocks: int = 8
    block_letters: int = 5
    question: int = 2
    alphabet: int = 12
    start_token: bool = False
    layers: int = 1
    d_model: int = 64
    heads: int = 2
    hidden: int = 128
    c_q: int = 2
    c_k: int = 9
    start: Literal["identity", "constant"] = "constant"
    rotary_base: float = 10_000.0
    mlp: Literal["gelu", "swiglu"] = "gelu"
    tied: bool = False
    lr: float = 4e-3
    kernel_rate: float = 10.0
    weight_decay: float = 0.01
    batch: int = 64
    steps: int = 600
    every: int = 50
    tested: int = 1000
    warm_up: int = 100
    floor: float = 0.05
    clip: float = 1.0
    stop_below_percent: float = 0.3

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS)
        counts = ("layers", "d_model", "heads", "hidden", "c_q", "c_k", "batch", "steps", "every")
        chosen = {name: getattr(self, name) for name in (*counts, "tested", "warm_up")}
        require_count(**chosen)
        _ = self.task  # refuses sizes that are no task

    @property
    def task(self) -> BlockTask:
        return BlockTask(
            self.answer,
            blocks=self.blocks,
            block_letters=self.block_letters,
            question=self.question,
            alphabet=self.alphabet,
            start=self.start_token,
        )


class Task(Protocol):
    """Texts with a question: `BlockTask`, `NeedleTask`."""

    def draw(self, b: int, generator: torch.Generator | None = None, /) -> tuple[Tensor, ...]: ...


class Trained(Protocol):
    """What loss, error and optimiser read of settings."""

    @property
    def task(self) -> Task: ...
    @property
    def batch(self) -> int: ...
    @property
    def tested(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def kernel_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


MULTI_TOKEN = Settings()
# The last token, a letter of the question, learns of the other one by a layer of attention, and
# needs a second layer to look for both: so two layers.
DOT_PRODUCT = Settings("dot product", layers=2, lr=2e-3)
MULTI_TOKEN_DEEP = Settings(layers=2, lr=2e-3, kernel_rate=20.0, start="identity")
WHOLE_BLOCK = replace(
    MULTI_TOKEN_DEEP, answer="all", c_q=4, steps=800, every=100, stop_below_percent=0.6
)


def block_training(
    settings: Settings = MULTI_TOKEN,
    *,
    seed: int = 0,
    attention: Callable[[], nn.Module] | Sequence[nn.Module] | None = None,
    device: torch.device | str = "cpu",
) -> Training:
    """A model of the settings at its start, ready to `run`.

    Args:
        settings: what is trained.
        seed: of the start and of the training texts. The same seed gives the same run on one
            machine.
        attention: layers of one's own in place of the settings' kind: one module a layer, or a
            function without arguments that makes one. They take and return (b, t, d_model).
        device: where it is trained.

    Raises:
        ValueError, TypeError: sizes that do not fit; see `MultiTokenAttention` and `Decoder`.

    >>> run = block_training(Settings(steps=4, every=2, tested=8, batch=4), seed=0)
    >>> [point.step for point in run.run()]
    [0, 2, 4]
    """
    require_int(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if attention is None:
            layers = [attention_layer(settings) for _ in range(settings.layers)]
        elif callable(attention) and not isinstance(attention, nn.Module):
            layers = [attention() for _ in range(settings.layers)]
        else:
            layers = [attention] if isinstance(attention, nn.Module) else list(attention)
        model = Decoder(
            settings.task.vocabulary,
            layers,
            d_model=settings.d_model,
            hidden=settings.hidden,
            mlp=settings.mlp,
            tied=settings.tied,
        ).to(device)
    return Training(
        model,
        optimizer(model, settings),
        loss=lambda model, generator: answer_loss(model, settings, generator),
        error=held_out_error(settings, device),
        rate=lambda step: warm_up_cosine(
            step, steps=settings.steps, warm_up=settings.warm_up, floor=settings.floor
        ),
        generator=torch.Generator(device=device).manual_seed(seed + 1),
        steps=settings.steps,
        every=settings.every,
        clip=settings.clip,
        stop_below_percent=settings.stop_below_percent,
    )


def attention_layer(settings: Settings) -> nn.Module:
    """One attention layer of the settings' kind. Without kernels it is dot-product attention."""
    taps = (settings.c_q, settings.c_k) if settings.kind == "multi-token" else (None, None)
    return MultiTokenAttention(
        settings.d_model,
        settings.heads,
        c_q=taps[0],
        c_k=taps[1],
        start=settings.start,
        rotary_base=settings.rotary_base,
        impl="banded",
    )


def optimizer(model: nn.Module, settings: Trained) -> torch.optim.AdamW:
    """AdamW with a faster group for the kernels. Adam moves a weight by about lr a step whatever
    its gradient, and a kernel has to go from 0 to about 1."""
    named = list(model.named_parameters())
    kernels = [p for name, p in named if name.endswith(KERNELS)]
    others = [p for name, p in named if not name.endswith(KERNELS)]
    on_gpu = others[0].is_cuda
    groups: list[dict[str, Any]] = [
        dict(params=others, base=settings.lr, weight_decay=settings.weight_decay)
    ]
    if kernels:
        rate = settings.lr * settings.kernel_rate
        groups.append(dict(params=kernels, base=rate, weight_decay=0.0))
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=on_gpu or None)


def answer_loss(model: nn.Module, settings: Trained, generator: torch.Generator) -> Tensor:
    """Cross-entropy of the answer's letters, each predicted from all before it."""
    tokens, answers, _ = settings.task.draw(settings.batch, generator)
    logits = model(tokens, last=answers.shape[1])
    return cross_entropy(logits.flatten(0, 1), answers.flatten())


def held_out_error(
    settings: Trained, device: torch.device | str = "cpu", *, seed: int = HELD_OUT_SEED
) -> Callable[[nn.Module], float]:
    """The exact-match error on `tested` texts, the same for every run. The whole block is judged
    with the letters before given; that is the error of greedy decoding too, since a text counts
    as wrong at its first wrong letter."""
    generator = torch.Generator().manual_seed(seed)
    tokens, answers, _ = (x.to(device) for x in settings.task.draw(settings.tested, generator))

    def error(model: nn.Module) -> float:
        parts = zip(tokens.split(250), answers.split(250), strict=True)
        guessed = [model(x, last=a.shape[1]).argmax(-1) for x, a in parts]
        return exact_match_error(torch.cat(guessed), answers)

    return error
