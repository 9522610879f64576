"""Find the block: the toy task of Multi-Token Attention.

Blocks of different letters, each followed by a dot, then # and a few letters of one block, the
question. Exactly one block holds all of them; the answer is that block, its first or its last
letter.

    hjnvt.qfjgr.qoiax.bjtpq.#pb   ->   bjtpq, b or q

Axes: b batch, t tokens of the input, n letters of a block, a letters of the answer.

Source: arXiv:2504.00927, section 4.1 and Appendix C. The script released with it cuts every text
to 319 characters, which for blocks of 8 letters cuts the last block, now and then the right one;
here all blocks are whole, and the last one has a dot too.
"""

import string
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from simplex_lib.errors import kind, require_choice, require_count, require_flag

Answer = Literal["all", "first", "last"]


class BlockBatch(NamedTuple):
    """tokens end before the last letter of the answer, which is only ever predicted."""

    tokens: Int[Tensor, "b t"]
    answers: Int[Tensor, "b a"]
    target: Int[Tensor, "b"]  # index of the right block


@dataclass(frozen=True)
class BlockTask:
    """The task at one size; tokens are the letters 0 to alphabet - 1, then the dot, then #.

    Args:
        answer: "all" letters of the block, its "first" or its "last".
        blocks: how many; block_letters: n, all different; question: how many of them are asked.
        alphabet: how many letters there are, at most 26.
        start: a token > stands before the text, as in the released code.

    Raises:
        ValueError, TypeError: a size is not an int or below 1, answer is unknown, there are more
            letters in a block than in the alphabet or in the question than in a block, or so many
            blocks that no wrong one would be left to draw.

    >>> task = BlockTask("last", blocks=3)
    >>> tokens, answers, target = task.draw(1, torch.Generator().manual_seed(2))
    >>> task.text(tokens[0]), task.text(answers[0]), target.item()
    ('ecfai.hbled.jbikc.#bk', 'c', 2)
    """

    answer: Answer = "last"
    blocks: int = 8
    block_letters: int = 5
    question: int = 2
    alphabet: int = 12
    start: bool = False

    def __post_init__(self) -> None:
        require_choice("answer", self.answer, ("all", "first", "last"))
        sizes = dict(blocks=self.blocks, block_letters=self.block_letters)
        require_count(**sizes, question=self.question, alphabet=self.alphabet)
        require_flag(start=self.start)
        if self.alphabet > 26:
            raise ValueError(f"alphabet must be at most 26; got {self.alphabet}.")
        if self.block_letters > self.alphabet:
            raise ValueError(
                f"block_letters must be at most alphabet = {self.alphabet}, since the letters of "
                f"a block differ; got {self.block_letters}."
            )
        if self.question > self.block_letters:
            raise ValueError(
                f"question must be at most block_letters = {self.block_letters}; got "
                f"{self.question}."
            )
        if self.blocks > 1 and self.block_letters == self.alphabet:
            raise ValueError(
                f"block_letters must be below alphabet = {self.alphabet} where there is more than "
                "one block, or every block would hold the question."
            )

    @property
    def dot(self) -> int:
        return self.alphabet

    @property
    def hash(self) -> int:
        return self.alphabet + 1

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 2 + self.start

    @property
    def answer_letters(self) -> int:
        return self.block_letters if self.answer == "all" else 1

    @property
    def length(self) -> int:
        """Tokens of the input."""
        context = self.blocks * (self.block_letters + 1)
        return self.start + context + 1 + self.question + self.answer_letters - 1

    def draw(self, b: int, generator: torch.Generator | None = None) -> BlockBatch:
        """b fresh texts; the right block and the order of the question are uniform."""
        require_count(b=b)
        n, device = self.block_letters, generator.device if generator is not None else None

        def letters(*shape: int, of: int, take: int) -> Tensor:  # take different ones out of `of`
            return torch.rand(*shape, of, generator=generator, device=device).topk(take).indices

        blocks = letters(b, self.blocks, of=self.alphabet, take=n)
        target = torch.randint(self.blocks, (b,), generator=generator, device=device)
        row = torch.arange(b, device=device)
        right = blocks[row, target]  # (b, n)
        question = right.gather(1, letters(b, of=n, take=self.question))
        while True:  # draw the wrong blocks anew that hold the whole question
            clash = (blocks[..., None] == question[:, None, None]).any(2).all(-1)  # (b, blocks)
            clash[row, target] = False
            if not clash.any():
                break
            blocks[clash] = letters(int(clash.sum()), of=self.alphabet, take=n)
        dots = torch.full((b, self.blocks, 1), self.dot, device=device)
        context = torch.cat([blocks, dots], -1).flatten(1)
        asked = torch.cat([torch.full((b, 1), self.hash, device=device), question], 1)
        answers = {"all": right, "first": right[:, :1], "last": right[:, -1:]}[self.answer]
        start = torch.full((b, int(self.start)), self.alphabet + 2, device=device)
        tokens = torch.cat([start, context, asked, answers[:, :-1]], 1)
        return BlockBatch(tokens, answers, target)

    def text(self, tokens: Int[Tensor, "t"]) -> str:
        """Tokens as characters."""
        names = string.ascii_lowercase[: self.alphabet] + ".#>"
        return "".join(names[token] for token in tokens.tolist())

    def read(self, text: str) -> BlockBatch:
        """A typed text, such as abcde.fghij.#bd, as a batch of one; it may have any number of
        blocks, and the last dot may be missing.

        Raises:
            ValueError: the text is no such text; the message says where. A question that no block
                or more than one block holds is an error too.
            TypeError: text is not a string.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a string; got {kind(text)}.")
        context, found, question = text.strip().lower().partition("#")
        if not found or "#" in question:
            raise ValueError(f"text must have one # before the question; got {text!r}.")
        blocks = context.strip().removesuffix(".").split(".")
        allowed = string.ascii_lowercase[: self.alphabet]
        for name, word, size in [
            *((f"block {i}", block, self.block_letters) for i, block in enumerate(blocks)),
            ("the question", question.strip(), self.question),
        ]:
            wanted = f"{name} must be {size} different letters from {allowed[0]} to {allowed[-1]}"
            if len(word) != size or len(set(word)) != size or not set(word) <= set(allowed):
                raise ValueError(f"{wanted}; got {word!r}.")
        holders = [i for i, block in enumerate(blocks) if set(question.strip()) <= set(block)]
        if len(holders) != 1:
            raise ValueError(
                f"exactly one block must hold the question {question.strip()!r}; got "
                f"{len(holders)} of {len(blocks)} blocks."
            )
        right = blocks[holders[0]]
        answer = {"all": right, "first": right[0], "last": right[-1]}[self.answer]
        typed = (
            ">" * self.start
            + "".join(f"{block}." for block in blocks)
            + "#"
            + question.strip()
            + answer[:-1]
        )
        codes = {name: code for code, name in enumerate(allowed + ".#>")}
        return BlockBatch(
            torch.tensor([[codes[c] for c in typed]]),
            torch.tensor([[codes[c] for c in answer]]),
            torch.tensor(holders),
        )


def exact_match_error(predicted: Int[Tensor, "b a"], answers: Int[Tensor, "b a"]) -> float:
    """The share of answers with at least one wrong letter, from 0 to 1.

    >>> exact_match_error(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 0]]))
    0.5
    """
    if predicted.shape != answers.shape or predicted.ndim != 2 or not len(predicted):
        raise ValueError(
            f"predicted must be (b, a) as answers, b at least 1; got {tuple(predicted.shape)} and "
            f"{tuple(answers.shape)}."
        )
    return (predicted != answers).any(1).double().mean().item()


def guessing_floors(task: BlockTask, *, tested: int = 4000, seed: int = 7) -> dict[str, float]:
    """Errors from 0 to 1 of guessing: a random block, and a random block among those that hold
    at least one letter of the question, both by counting on drawn texts; a guessed first or last
    letter is right too when another block ends alike.
    """
    require_count(tested=tested)
    generator = torch.Generator().manual_seed(seed)
    tokens, answers, _ = task.draw(tested, generator)
    tokens = tokens[:, int(task.start) :]
    n, end = task.block_letters, task.blocks * (task.block_letters + 1)
    blocks = tokens[:, :end].view(tested, task.blocks, n + 1)[..., :n]
    question = tokens[:, end + 1 : end + 1 + task.question]
    given = {"all": blocks, "first": blocks[..., :1], "last": blocks[..., -1:]}[task.answer]
    right = (given == answers[:, None]).all(-1).double()  # (b, blocks)
    held = (blocks[..., None] == question[:, None, None]).any(2).any(-1).double()
    return {
        "a random block": 1 - right.mean().item(),
        "a block with a question letter": 1 - ((right * held).sum(1) / held.sum(1)).mean().item(),
    }
