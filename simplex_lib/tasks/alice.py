"""Find the sentence that holds two words: a text, and three heads with weights set by hand.

    alice met the queen . alice saw the rabbit . the rabbit ran away . ? alice rabbit

Read from the top: `alice_heads` runs all three on a `Story`. Words are one-hot, keys have no
context, and each head is read at the last word of the question. The three tokens of the question
ask and are not found: their keys are 0. The factor beta is how sharply a head compares: its logits
are beta times the whole numbers given here.

Axes: t tokens, those of the text and the three of the question; n sentences.

Source: the example of arXiv:2504.00927, section 3, with text, kernel and heads of ours.
"""

import re
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.multi_token import key_query_convolution
from simplex_lib.attention.trilinear import trilinear_attention
from simplex_lib.errors import kind, require_count

TEXT = (
    "alice met the queen . the rabbit ran away . alice saw the rabbit . a cat saw alice . "
    "one rabbit was late . alice drank the tea . the white rabbit slept ."
)
TWICE = f"{TEXT} alice liked alice most ."  # a sum cannot tell 1 + 1 from 2 + 0
QUESTION = "alice rabbit"
MOST_SENTENCES, MOST_TOKENS = 10, 80


class Story(NamedTuple):
    """A text of sentences, each with its full stop, and the two words asked for."""

    words: tuple[str, ...]  # of the text, full stops among them
    sentence: tuple[int, ...]  # of each word; a full stop belongs to the one it ends
    asked: tuple[str, str]

    @property
    def tokens(self) -> tuple[str, ...]:
        """The text, then ? and both words."""
        return (*self.words, "?", *self.asked)

    @property
    def sentences(self) -> list[tuple[int, ...]]:
        """The tokens of each sentence."""
        rows: list[list[int]] = [[] for _ in range(self.sentence[-1] + 1)]
        for token, row in enumerate(self.sentence):
            rows[row].append(token)
        return [tuple(row) for row in rows]

    @property
    def right(self) -> list[int]:
        """The sentences that hold both words."""
        found = [{self.words[n] for n in row} for row in self.sentences]
        return [n for n, words in enumerate(found) if set(self.asked) <= words]


class AliceHeads(NamedTuple):
    """What the heads make of a story, read at the last word of the question."""

    raw: Tensor  # (3, t) int64: does ?, the first, the second word find what it looks for here
    convolved: Tensor  # (t,) int64: the kernel's sum at each key
    dot: Tensor  # (t,) int64: logits of a query for both words
    multi_token: Float[Tensor, "t"]  # attention on each token
    dot_product: Float[Tensor, "t"]
    pairs: Float[Tensor, "n"]  # attention on pairs whose keys both lie in this sentence


def read_story(text: str = TEXT, question: str = QUESTION) -> Story:
    """Words in small letters; ! and ? end a sentence as a full stop does, other signs go.

    Raises:
        ValueError: there is no sentence, more than 10 or more than 80 words and full stops, or
            the question is not two different words.
        TypeError: text or question is not a string.

    >>> story = read_story("Alice saw the rabbit. A cat slept", "alice rabbit")
    >>> story.words[:5], story.sentence, story.right
    (('alice', 'saw', 'the', 'rabbit', '.'), (0, 0, 0, 0, 0, 1, 1, 1, 1), [0])
    """
    for name, given in dict(text=text, question=question).items():
        if not isinstance(given, str):
            raise TypeError(f"{name} must be a string; got {kind(given)}.")
    rows = [_words(part) for part in re.split(r"[.!?]", text)]
    rows = [row for row in rows if row]
    total = sum(len(row) + 1 for row in rows)
    if not 1 <= len(rows) <= MOST_SENTENCES or total > MOST_TOKENS:
        raise ValueError(
            f"text must be 1 to {MOST_SENTENCES} sentences of {MOST_TOKENS} words and full stops "
            f"at most; got {_count(len(rows), 'sentence')}, {total} words and full stops."
        )
    asked = _words(question)
    if len(asked) != 2 or asked[0] == asked[1]:
        raise ValueError(f"question must be two different words; got {question!r}.")
    words = tuple(word for row in rows for word in (*row, "."))
    sentence = tuple(n for n, row in enumerate(rows) for _ in range(len(row) + 1))
    return Story(words, sentence, (asked[0], asked[1]))


def alice_kernel(reach: int = 4) -> Float[Tensor, "1 3 c_k"]:
    """Rows for ?, the first and the second word: 2 on the key itself, and 1 on each of the `reach`
    keys before it.

    >>> alice_kernel(2)[0].int().tolist()
    [[0, 0, 2, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    """
    require_count(reach=reach)
    kernel = torch.zeros(1, 3, 2 * reach + 1, dtype=torch.float64)
    kernel[0, 0, reach] = 2
    kernel[0, 1:, :reach] = 1
    return kernel


def alice_heads(story: Story, *, beta: float = 12.0, reach: int = 4) -> AliceHeads:
    """Three heads on one story.

    Multi-token: every token has its own word as query and key, but ? looks for full stops; the
    logits are convolved with `alice_kernel`. Dot product: one query looks for both words. Pairs:
    a 2-simplicial head whose logit of keys (j, k) is [j is the first word] + [k is the second] +
    [both stand in one sentence of the text].

    >>> heads = alice_heads(read_story("alice saw the rabbit. the rabbit ran away."))
    >>> heads.convolved[:10].tolist()
    [0, 1, 1, 1, 4, 1, 1, 2, 1, 3]
    """
    tokens = story.tokens
    names = sorted(set(tokens))
    codes = torch.tensor([names.index(word) for word in tokens])
    x = F.one_hot(codes, len(names)).double()  # (t, words)
    q, k = x.clone(), x.clone()
    q[-3] = x[tokens.index(".")]
    k[-3:] = 0
    maps = (q @ k.T)[None, None]
    convolved = key_query_convolution(maps, alice_kernel(reach))[0, 0, -1]
    dot = (q[-2] + q[-1]) @ k.T

    first, second = (k[:, [names.index(word)]] for word in story.asked)
    place = F.pad(F.one_hot(torch.tensor(story.sentence)).double(), (0, 0, 0, 3))
    one = torch.ones_like(first)
    k1, k2 = torch.cat([first, one, place], 1), torch.cat([one, second, place], 1)
    pairs = trilinear_attention(
        *(y[None, None] for y in (torch.ones_like(k1), k1, k2, place, place)), scale=beta
    )[0, 0, -1]
    return AliceHeads(
        raw=maps[0, 0, -3:].long(),
        convolved=convolved.long(),
        dot=dot.long(),
        multi_token=(beta * convolved).softmax(0),
        dot_product=(beta * dot).softmax(0),
        pairs=pairs,
    )


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _words(text: str) -> list[str]:
    """Runs of letters and digits, with ' and - inside them."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())
