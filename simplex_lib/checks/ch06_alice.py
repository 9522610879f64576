"""Exercise 6.1: one head of Multi-Token Attention, built by hand.

Axes: t tokens of the text, j key, c_q and c_k rows and columns of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

VOCABULARY = ("alice", "rabbit", "saw", "the", "tea", "queen", "white")
Found = tuple[Tensor, Tensor]
Answer = Callable[[list[str], list[str]], Any]


def alice_inputs(draw: Draw, *, sentences: int) -> dict[str, Any]:
    """Any two words of the text are asked for. They are frequent: at every place of a sentence,
    twice in one, in none."""
    words: list[str] = []
    for sentence in draw.integers(0, len(VOCABULARY), sentences, 4).tolist():
        words += [*(VOCABULARY[n] for n in sentence), "."]
    there = [word for word in VOCABULARY if word in words]
    if len(there) == 1:
        there = [*there, next(word for word in VOCABULARY if word not in there)]
    first = int(draw.integers(0, len(there), 1))
    second = (first + 1 + int(draw.integers(0, len(there) - 1, 1))) % len(there)
    return dict(words=words, question=["?", there[first], there[second]])


def ask_alice(answer: Any, arguments: Mapping[str, Any]) -> Any:
    words, question = list(arguments["words"]), list(arguments["question"])
    found = answer(words, question)
    if words != arguments["words"] or question != arguments["question"]:
        raise Rejected(
            "words changed",
            "Your answer changes the list that it was given, so whoever called it finds other "
            "words afterwards. += and append do that; + makes a new list.",
        )
    if isinstance(found, (tuple, list)) and len(found) == 2:
        return tuple(_tensor(x) for x in found)
    return found


def _tensor(x: Any) -> Any:
    """Nested lists of numbers will do."""
    if isinstance(x, (list, tuple)):
        try:
            return torch.tensor(x, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            return x
    return x


def truth_alice(words: list[str], question: list[str]) -> Found:
    logits = torch.zeros(len(words), dtype=torch.float64)
    for j, word in enumerate(words):
        before = words[max(0, j - 4) : j]
        logits[j] = 2 * (word == ".") + sum(before.count(asked) for asked in question[1:])
    ends, count = [0, 0, 0, 0, 2, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0]
    return torch.tensor([ends, count, count], dtype=torch.float64), logits


def by_hand() -> Tensor:
    kernel = torch.zeros(3, 9)
    kernel[0, 4] = 2
    kernel[1:, :4] = 1
    return kernel


def raw_logits(words: list[str], question: list[str], mark: str = ".") -> Tensor:
    """(3, t + 3), with the query of mark in the place of ?"""
    asked = [mark, *question[1:]]
    return torch.tensor([[float(a == b) for b in [*words, *question]] for a in asked])


def convolved(
    raw: Tensor, kernel: Tensor, *, left: int = 4, right: int = 4, query: int = 2
) -> Tensor:
    """Logits of one of the three queries at all keys."""
    padded = pad(raw, (left, right, 2, 0))
    return conv2d(padded[None, None], kernel[None, None])[0, 0, query]


def _head(
    change: Callable[[Tensor], Tensor] = lambda kernel: kernel,
    *,
    show: Callable[[Tensor], Tensor] | None = None,
    mark: str = ".",
    keep: int = 0,
    logits: Callable[[Tensor], Tensor] = lambda logits: logits,
    **how: int,
) -> Answer:
    """The head with one thing changed. show: the kernel that is returned, if not the one used."""

    def answer(words: list[str], question: list[str]) -> Found:
        kernel = change(by_hand())
        found = convolved(raw_logits(words, question, mark), kernel, **how)
        return show(kernel) if show else kernel, logits(found[: len(words) + keep])

    return answer


def _with(row: int | slice, columns: int | slice, value: float) -> Callable[[Tensor], Tensor]:
    def change(kernel: Tensor) -> Tensor:
        kernel[row, columns] = value
        return kernel

    return change


def _shifted_window(kernel: Tensor) -> Tensor:
    kernel[1:, :5] = torch.tensor([0.0, 1, 1, 1, 1])
    return kernel


def _crossed_out(words: list[str], question: list[str]) -> Found:
    """Kernel turned upside down and mirrored, as a convolution in the strict sense wants it."""
    kernel = by_hand().flip(0, 1)
    found = convolved(raw_logits(words, question), kernel.flip(0, 1))
    return kernel, found[: len(words)]


def wrong_present(words: list[str], question: list[str]) -> Found:
    """Whether a word is there, not how often."""
    logits = [
        2.0 * (word == ".") + sum(asked in words[max(0, j - 4) : j] for asked in question[1:])
        for j, word in enumerate(words)
    ]
    return by_hand(), torch.tensor(logits)


def wrong_always_the_same(words: list[str], question: list[str]) -> Found:
    return right_by_counting(words, ["?", "alice", "rabbit"])


def wrong_query_before(words: list[str], question: list[str]) -> Found:
    """All tokens are queries: above “?” stands the last dot of the text, which seeks dots too."""
    raw = raw_logits(words, question)[[0, 0, 1]]
    return by_hand(), convolved(raw, by_hand())[: len(words)]


def wrong_padded_behind(words: list[str], question: list[str]) -> Found:
    """The last query has its two rows of zeros after it."""
    raw = pad(raw_logits(words, question), (4, 4, 0, 2))
    return by_hand(), conv2d(raw[None, None], by_hand()[None, None])[0, 0, 2, : len(words)]


def wrong_negative_slice(words: list[str], question: list[str]) -> Found:
    logits = [
        2.0 * (word == ".") + sum(words[j - 4 : j].count(asked) for asked in question[1:])
        for j, word in enumerate(words)
    ]
    return by_hand(), torch.tensor(logits)


def wrong_words_changed(words: list[str], question: list[str]) -> Found:
    n = len(words)
    raw = raw_logits(words, question)
    words += question
    return by_hand(), convolved(raw, by_hand())[:n]


def wrong_swapped(words: list[str], question: list[str]) -> Found:
    return convolved(raw_logits(words, question), by_hand())[: len(words)], by_hand()


def right_by_counting(words: list[str], question: list[str]) -> Found:
    """Differences of running counts: no convolution is run."""
    hits = torch.tensor([0.0] + [float(word in question[1:]) for word in words]).cumsum(0)
    at = torch.arange(len(words))
    ends = torch.tensor([word == "." for word in words])
    return by_hand(), 2 * ends + hits[at] - hits[(at - 4).clamp(min=0)]


def right_tap_by_tap(words: list[str], question: list[str]) -> Found:
    kernel, t = by_hand().double(), len(words)
    padded = pad(raw_logits(words, question).double(), (4, 4))
    logits = torch.zeros(t, dtype=torch.float64)
    for row in range(3):
        for column in range(9):
            logits += kernel[row, column] * padded[row, column : column + t]
    return kernel, logits


ALICE = Exercise(
    id="6.1",
    title="The hand-built head",
    minutes=12,
    inputs=alice_inputs,
    sizes=(
        dict(sentences=2),
        dict(sentences=1),
        dict(sentences=3),
        dict(sentences=4),
        dict(sentences=7),
        dict(sentences=12),
    ),
    truth=truth_alice,
    outputs=("kernel: row column", "logits: j"),
    wrong=(
        Wrong(
            "rows upside down",
            _head(lambda kernel: kernel.flip(0)),
            "The rows of your kernel stand upside down. The last row belongs to the query itself, "
            "the last word of the question, and “?” comes two tokens before it.",
        ),
        Wrong(
            "columns mirrored",
            _head(lambda kernel: kernel.flip(1)),
            "Your kernel looks at the four tokens after the key. Left of the middle column are the "
            "keys before it.",
        ),
        Wrong(
            "kernel turned round",
            _crossed_out,
            "The logits are right. Your kernel stands upside down and mirrored, as a convolution "
            "in the strict sense reads it; in the layout asked for, the last row is the query "
            "itself and the columns left of the middle are the keys before.",
        ),
        Wrong(
            "logits of a mirrored kernel",
            _head(lambda kernel: kernel.flip(0, 1), show=lambda kernel: kernel.flip(0, 1)),
            "The kernel is right, and your logits are those of the same kernel upside down and "
            "mirrored. Was it turned round before it was laid over the map?",
        ),
        Wrong(
            "the token itself counts",
            _head(_with(slice(1, 3), 4, 1)),
            "Your window of the two words has five places: the four before and the token itself. "
            "The token at which a sentence ends is the dot.",
        ),
        Wrong(
            "window one short",
            _head(_with(slice(1, 3), 0, 0)),
            "Your window reaches back three tokens. A sentence has four words.",
        ),
        Wrong(
            "window one late",
            _head(_shifted_window),
            "Your window has four places, and the last of them is the token itself. From the dot, "
            "that misses the first word of the sentence.",
        ),
        Wrong(
            "both sides",
            _head(_with(slice(1, 3), slice(None), 1)),
            "The two words count in all nine columns, so also where they come after the key, and "
            "in the next sentence.",
        ),
        Wrong(
            "no bonus",
            _head(_with(0, 4, 0)),
            "The row of “?” is empty, so a sentence end is worth no more than any other token.",
        ),
        Wrong(
            "bonus of one",
            _head(_with(0, 4, 1)),
            "A sentence end is worth 1 in your kernel. Asked for is 2: else the end of a sentence "
            "with one of the words ties with tokens that have both before them.",
        ),
        Wrong(
            "bonus in the window",
            _head(_with(0, slice(0, 4), 2)),
            "Your row of “?” has taps on the four tokens before as well, so a token gains from the "
            "end of the sentence before it. A sentence end is worth 2 at the dot itself alone.",
        ),
        Wrong(
            "? asks for itself",
            _head(mark="?"),
            "The kernel is right, but sentence ends are worth nothing in your logits. The query of "
            "“?” is that of “.”: compared as a word of its own it agrees with no word of the text.",
        ),
        Wrong(
            "first word missing",
            _head(_with(1, slice(None), 0)),
            "Your middle row is empty, so the first of the two words is never counted.",
        ),
        Wrong(
            "second word missing",
            _head(_with(2, slice(None), 0)),
            "Your last row is empty, so the second of the two words, which stands at the query "
            "itself, is never counted.",
        ),
        Wrong(
            "kernel normalised",
            _head(lambda kernel: kernel / kernel.sum(1, keepdim=True)),
            "Each row of your kernel sums to 1. A kernel is no average: its taps are used as they "
            "are, and so the logits are whole numbers.",
        ),
        Wrong(
            "there or not",
            wrong_present,
            "The kernel is right, but your logits ask whether a word is there. A convolution adds, "
            "so a word that stands twice in the window counts twice.",
        ),
        Wrong(
            "always alice and rabbit",
            wrong_always_the_same,
            "The kernel is right, but your logits count alice and rabbit, whatever is asked. The "
            "two words stand in question, behind the “?”.",
        ),
        Wrong(
            "slice below 0",
            wrong_negative_slice,
            "The kernel is right. At the first four tokens your logits count no words: words[j − "
            "4 : j] begins below 0 there, which Python counts from the end of the list.",
        ),
        Wrong(
            "queries padded behind",
            wrong_padded_behind,
            "The kernel is right. Your queries are padded behind the last one, so the row of “?” "
            "meets the last query, and zeros the other two rows. Rows of the kernel are the query "
            "and those before it: zeros go before the first.",
        ),
        Wrong(
            "weights",
            _head(logits=lambda logits: logits.softmax(-1)),
            "You return the softmax of the logits. Asked are the logits before it.",
        ),
        Wrong(
            "first query",
            _head(query=0),
            "The kernel is right, and your logits are those of the query “?”, above which no token "
            "of the question stands. The last token of the question sees all three.",
        ),
        Wrong(
            "middle query",
            _head(query=1),
            "The kernel is right, and your logits are those of the second token of the question. "
            "At that query the last row of the kernel meets the first word.",
        ),
        Wrong(
            "query before the last",
            wrong_query_before,
            "The kernel is right, and your logits are those of the last query but one, which sees "
            "“?”, the first word and a token of the text. Asked is the last token of the question.",
        ),
        Wrong(
            "padded on the left alone",
            _head(left=8, right=0),
            "The kernel is right. Your keys are padded on the left alone, so its middle column "
            "lies four keys before the one it is for.",
        ),
        Wrong(
            "padded on the right alone",
            _head(left=0, right=8),
            "The kernel is right. Your keys are padded on the right alone, so its middle column "
            "lies four keys after the one it is for.",
        ),
        Wrong(
            "no padding",
            _head(left=0, right=0),
            "The kernel is right. Your keys are not padded, so the logits begin with the fifth key "
            "and end before the last: the first tokens get none.",
        ),
        Wrong(
            "question kept",
            _head(keep=3),
            "Your logits go on over the three tokens of the question. Asked are those of the text.",
        ),
        Wrong(
            "in the other order",
            wrong_swapped,
            "You return the logits first and the kernel second. Asked are kernel, then logits.",
        ),
        Wrong(
            "kernel transposed",
            _head(show=lambda kernel: kernel.T),
            "The rows and columns of the kernel that you return have changed places. Its rows are "
            "queries.",
        ),
        Wrong("words changed", wrong_words_changed, "Refused by its list."),
    ),
    right=(
        Right("running counts", right_by_counting),
        Right("tap by tap", right_tap_by_tap),
    ),
    hints=(
        "Write the three rows of raw logits on paper, for one short sentence: where does each have "
        "a 1? Then stand at the dot and say which of these ones should count.",
        "The row of “?” needs a tap at the key itself. The rows of the two words need taps at the "
        "keys before it, as many as a sentence has words. Pad the keys with four zeros on either "
        "side, so that every key has a logit.",
        "raw[a][b] = 1 where token b is the word that query a looks for, over text and question; "
        "kernel = zeros(3, 9), then row 0 column 4, and rows 1 and 2 columns 0 to 3; pad raw; "
        "logits[j] = sum of kernel times raw[:, j : j + 9] after padding; keep the first t.",
    ),
    why="The convolution turned “are these two words near this token?” into a number that the "
    "softmax can compare: no query and no key had to know the other word.",
    another_way="no convolution has to be run: count the two words with a running sum, and take "
    "the count of four tokens ago off. The kernel is what a network can learn of that.",
    variants=(),
    ask=ask_alice,
    same_dtype=False,
)
