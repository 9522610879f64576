"""Where three heads look for two words: sums of a kernel, attention by sentence, words for both.

Read from the top: `alice_payload` makes all numbers, `AlicePayload.sentence_text` says them. The
heads are those of simplex_lib/tasks/alice.py.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from simplex_lib.tasks.alice import Story, alice_heads, alice_kernel, read_story
from simplex_lib.widgets.kit import require_index, require_number

MOST_REACH = 8
LEAST_BETA, MOST_BETA = 0.5, 50.0
HEADS = ("multi-token", "dot product", "pairs")
_NEIGHBOUR = "the taps reach back into another sentence"


@dataclass(frozen=True)
class AlicePayload:
    """A story, one key looked at closely, and what three heads make of all of it."""

    story: Story
    beta: float
    reach: int
    key: int  # a token of the text
    raw: list[list[int]]  # 3 rows: is each token of the text what ?, the first, the second seek
    sums: list[int]  # the kernel's sum at each token of the text
    taps: list[list[int]]  # 3 rows of reach + 1: on the keys before, and on the key itself
    shares: dict[str, list[float]]  # attention on each sentence, by head

    @cached_property
    def rows(self) -> list[tuple[int, ...]]:
        """The tokens of each sentence."""
        return self.story.sentences

    @property
    def read(self) -> list[int | None]:
        """The tokens that the taps read at `key`; None before the start of the text."""
        found = range(self.key - self.reach, self.key + 1)
        return [n if n >= 0 else None for n in found]

    @property
    def parts(self) -> list[int]:
        """What each row of taps adds at `key`."""
        return [
            sum(tap * row[n] for tap, n in zip(taps, self.read, strict=True) if n is not None)
            for taps, row in zip(self.taps, self.raw, strict=True)
        ]

    @property
    def best(self) -> list[int]:
        """The sentences with the largest sum."""
        top = max(self.sums)
        return [n for n, row in enumerate(self.rows) if max(self.sums[j] for j in row) == top]

    def text(self, n: int) -> str:
        return " ".join(self.story.words[j] for j in self.rows[n][:-1])

    @property
    def sentence(self) -> str:
        """Which sentence is right, what each head gives it, and what the kernel's sums do."""
        right, (a, b) = self.story.right, self.story.asked
        if not right:
            return f"No sentence holds both {a} and {b}. {self._sums()}"
        if len(right) > 1:
            totals = {name: sum(self.shares[name][n] for n in right) for name in HEADS}
            text = f"{_sentences(right).capitalize()} hold both {a} and {b}; attention on them "
            return text + f"together: {_shares(totals)}. {self._sums()}"
        n = right[0]
        text = f"Sentence {n + 1} alone holds {a} and {b}; attention on it: "
        text += f"{_shares({name: self.shares[name][n] for name in HEADS})}. "
        return text + self._sums()

    def _sums(self) -> str:
        right, best, top = self.story.right, self.best, max(self.sums)
        ends = [row[-1] for row in self.rows]
        if right and set(best) == set(right):
            text = f"The kernel's sum is {top} at {'its' if len(right) == 1 else 'their'} full stop"
            others = [self.sums[j] for n, j in enumerate(ends) if n not in right]
            rest = [x for j, x in enumerate(self.sums) if j not in ends]
            text += f", at most {max(others)} at the others" if others else ""
            return text + f" and at most {max(rest)} elsewhere."
        if len(right) == 1:
            n = right[0]
            own = self.sums[self.rows[n][-1]]
            if own < 4:
                return (
                    f"The kernel's sum is only {own} at its full stop: it reads {self.reach} "
                    f"word{'s' * (self.reach > 1)} back, and the sentence has "
                    f"{len(self.rows[n]) - 1}."
                )
            more = f"as much in {self._rivals()}" if own == top else f"{top} in {self._rivals()}"
            return f"The kernel's sum is {own} there, and {more}."
        return f"The kernel's largest sum is {top}, in {_sentences(best)}."

    def _rivals(self) -> str:
        """Sentences that hold one word at most and have the same sum, and why."""
        parts: list[tuple[int, str]] = []
        for n in self.best:
            if n in self.story.right:
                continue
            words = [self.story.words[j] for j in self.rows[n]]
            counts = {word: words.count(word) for word in self.story.asked}
            word = max(counts, key=lambda word: counts[word])
            times = "twice" if counts[word] == 2 else f"{counts[word]} times"
            why = [f"{word} stands {times}"] if counts[word] > 1 else []
            if max(self.sums) - 2 > sum(counts.values()):  # 2 for the full stop
                why.append(_NEIGHBOUR)
            parts.append((n, " and ".join(why or [_NEIGHBOUR])))
        found = []
        for why in dict.fromkeys(why for _, why in parts):
            rows = [n for n, other in parts if other == why]
            found.append(f"{_sentences(rows)}, where {why}")
        return ", and in ".join(found)


def alice_payload(
    text: str, question: str, *, beta: float = 12.0, reach: int = 4, key: int | None = None
) -> AlicePayload:
    """Everything the widget shows.

    Args:
        text: sentences, each ended by a full stop.
        question: two different words.
        beta: sharpness of all heads, from 0.5 to 50.
        reach: words before a key that the kernel reads, from 1 to 8.
        key: the token looked at closely. None: the first with the largest sum.

    Raises:
        ValueError, TypeError: one of these is something else.
    """
    story = read_story(text, question)
    require_number(LEAST_BETA, MOST_BETA, beta=beta)
    require_index(MOST_REACH + 1, "words that the kernel reads", reach=reach)
    if reach < 1:
        raise ValueError(f"reach must be at least 1, or the kernel reads no word; got {reach}.")
    heads = alice_heads(story, beta=beta, reach=reach)
    size = len(story.words)
    sums = heads.convolved[:size]
    key = int(sums.argmax()) if key is None else key
    require_index(size, "one of the tokens", key=key)
    place = torch.tensor(story.sentence)
    empty = torch.zeros(story.sentence[-1] + 1, dtype=torch.float64)
    by_token = {"multi-token": heads.multi_token, "dot product": heads.dot_product}
    shares = {
        name: empty.index_add(0, place, weights[:size]).tolist()
        for name, weights in by_token.items()
    }
    return AlicePayload(
        story=story,
        beta=float(beta),
        reach=reach,
        key=key,
        raw=heads.raw[:, :size].tolist(),
        sums=sums.tolist(),
        taps=alice_kernel(reach)[0, :, : reach + 1].long().tolist(),
        shares={**shares, "pairs": heads.pairs.tolist()},
    )


def share(x: float) -> str:
    """Three digits, and five next to 1, where they matter: 0.250, 0.99996.

    >>> share(0.25), share(0.999961), share(1.0)
    ('0.250', '0.99996', '1.000')
    """
    return f"{x:.5f}" if 0.9995 <= x < 0.999995 else f"{x:.3f}"


def _shares(totals: dict[str, float]) -> str:
    return ", ".join(f"{name} {share(x)}" for name, x in totals.items())


def _sentences(rows: list[int]) -> str:
    words = [str(n + 1) for n in rows]
    if len(words) == 1:
        return f"sentence {words[0]}"
    return f"sentences {', '.join(words[:-1])} and {words[-1]}"
