"""Several needles: keys with their values, hidden in a text; a question asks for some of them.

    C5aH8bcb?HC   ->   85

Capitals are keys, digits their values, small letters fill up. Needles that are not asked for
stand in the way of the others.

Axes: b batch, t tokens of the input, a needles asked for.

Ours. arXiv:2504.00927, Figures 3 and 8, asks language models for 2 to 8 needles in a natural text;
here every token is drawn, so that a small model can be trained from nothing.
"""

import string
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from simplex_lib.errors import require_count


class NeedleBatch(NamedTuple):
    """tokens end before the last value of the answer, which is only ever predicted."""

    tokens: Int[Tensor, "b t"]
    answers: Int[Tensor, "b a"]
    places: Int[Tensor, "b a"]  # where the keys asked for stand in the context, in their order


@dataclass(frozen=True)
class NeedleTask:
    """The task at one size; tokens are the keys, then the values, the fillers, and ?.

    Args:
        context: tokens before the question mark.
        needles: how many keys with a value the context holds, all keys different.
        asked: how many of them the question asks for, at most all.
        keys, values, fillers: how many of each there are, at most 26, 10 and 26.

    Raises:
        ValueError, TypeError: a size is not an int, below 1 or above its limit, or the needles do
            not fit the context or the keys.

    >>> task = NeedleTask(context=8, needles=2, asked=2)
    >>> tokens, answers, places = task.draw(1, torch.Generator().manual_seed(3))
    >>> task.text(tokens[0]), task.text(answers[0]), places[0].tolist()
    ('I0faG4lm?GI4', '40', [4, 0])
    """

    context: int = 48
    needles: int = 6
    asked: int = 2
    keys: int = 12
    values: int = 10
    fillers: int = 14

    def __post_init__(self) -> None:
        require_count(context=self.context, needles=self.needles, asked=self.asked)
        require_count(keys=self.keys, values=self.values, fillers=self.fillers)
        for name, limit in (("keys", 26), ("values", 10), ("fillers", 26)):
            if getattr(self, name) > limit:
                raise ValueError(f"{name} must be at most {limit}; got {getattr(self, name)}.")
        if self.needles > self.keys:
            raise ValueError(
                f"needles must be at most keys = {self.keys}, since their keys differ; got "
                f"{self.needles}."
            )
        if 2 * self.needles > self.context:
            raise ValueError(
                f"context must be at least 2 * needles = {2 * self.needles}, since each takes two "
                f"tokens; got {self.context}."
            )
        if self.asked > self.needles:
            raise ValueError(f"asked must be at most needles = {self.needles}; got {self.asked}.")

    @property
    def mark(self) -> int:
        """The question mark, the last token of the vocabulary."""
        return self.keys + self.values + self.fillers

    @property
    def vocabulary(self) -> int:
        return self.mark + 1

    @property
    def answer_letters(self) -> int:
        return self.asked

    @property
    def length(self) -> int:
        """Tokens of the input."""
        return self.context + 1 + self.asked + self.asked - 1

    def draw(self, b: int, generator: torch.Generator | None = None) -> NeedleBatch:
        """b fresh texts; arrangement, keys, values, fillers and question are uniform."""
        require_count(b=b)
        device = generator.device if generator is not None else None

        def pick(of: int, take: int) -> Tensor:  # (b, take), all different in a row
            return torch.rand(b, of, generator=generator, device=device).argsort(-1)[:, :take]

        def among(first: int, n: int, width: int) -> Tensor:  # (b, width), from first on
            return first + torch.randint(n, (b, width), generator=generator, device=device)

        # a needle is drawn as one place of a text shorter by one for each, then stretched to two
        places = pick(self.context - self.needles, self.needles).sort(-1).values
        places = places + torch.arange(self.needles, device=device)
        keys, values = pick(self.keys, self.needles), among(self.keys, self.values, self.needles)
        context = among(self.keys + self.values, self.fillers, self.context)
        context = context.scatter(1, places, keys).scatter(1, places + 1, values)
        which = pick(self.needles, self.asked)
        question, answers, places = (x.gather(1, which) for x in (keys, values, places))
        mark = torch.full((b, 1), self.mark, device=device)
        return NeedleBatch(
            torch.cat([context, mark, question, answers[:, :-1]], 1), answers, places
        )

    def text(self, tokens: Int[Tensor, "t"]) -> str:
        """Tokens as characters."""
        names = (
            string.ascii_uppercase[: self.keys]
            + string.digits[: self.values]
            + string.ascii_lowercase[: self.fillers]
            + "?"
        )
        return "".join(names[token] for token in tokens.tolist())


def needle_guessing_floor(task: NeedleTask, *, tested: int = 4000, seed: int = 7) -> float:
    """Exact-match error, from 0 to 1, of guessing: each value asked for is one of those in the
    text, drawn with the others, by counting on drawn texts.
    """
    require_count(tested=tested)
    tokens, answers, _ = task.draw(tested, torch.Generator().manual_seed(seed))
    context = tokens[:, : task.context]
    is_value = (context >= task.keys) & (context < task.keys + task.values)
    alike = (context[:, None] == answers[..., None]).sum(-1)  # (b, a)
    chance = (alike / is_value.sum(1, keepdim=True)).prod(1)
    return 1 - chance.double().mean().item()
