"""What the editors read: a sentence and a question, or queries and keys; and words for numbers.

In the example of words a query and a key are one-hot: their logit is MATCH where the words agree
and 0 elsewhere. Words of the text are found and do not ask, so their queries are 0; words of the
question ask and are not found, so their keys are 0.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simplex_lib.errors import check_inputs, kind, require_groups, require_scale
from simplex_lib.widgets.kit import require_index, signed

TEXT, QUESTION = "alice saw the white rabbit under the tree", "alice see the rabbit"
MATCH = 4.0  # of two words that agree: e^4 is about 55
LONGEST = 12  # positions: more would be too small to read
FARTHEST = 100.0  # a larger raw logit leaves one number in every row


class Inputs(NamedTuple):
    """One head: float64 queries and keys (s, d), the scale of their dot products, their words."""

    q: Tensor
    k: Tensor
    scale: float
    words: tuple[str, ...]
    asked: int | None = None  # the first word of the question


def read_inputs(
    q: Tensor | None,
    k: Tensor | None,
    tokens: Sequence[str] | None,
    text: str | None,
    question: str | None,
    *,
    head: int = 0,
    scale: float | None = None,
) -> Inputs:
    """Words, or one head of q (1, h, s, d) and k (1, g, s, d); both (s, d) is one head too."""
    if q is None and k is None:
        if tokens is not None:
            raise ValueError("tokens name the positions of q and k; got tokens alone.")
        return read_words(
            TEXT if text is None else text, QUESTION if question is None else question
        )
    if text is not None or question is not None:
        raise ValueError("text and question stand in place of q and k; got both.")
    if q is None or k is None:
        raise ValueError(f"q and k belong together; got {'q' if k is None else 'k'} alone.")
    q, k = (x[None, None] if isinstance(x, Tensor) and x.ndim == 2 else x for x in (q, k))
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"))
    shared = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_index(size["h"], "one of the heads", head=head)
    if size["b"] != 1:
        raise ValueError(f"q must be one sequence, (1, h, s, d); got {tuple(q.shape)}.")
    _require_length("q", size["s"])
    require_scale(scale)
    rate = size["d"] ** -0.5 if scale is None else scale
    found = Inputs(
        q[0, head].detach().double().cpu(),
        k[0, head // shared].detach().double().cpu(),
        rate,
        read_tokens(tokens, size["s"]),
    )
    _require_near(found)
    return found


def read_words(text: str, question: str) -> Inputs:
    """One-hot queries of the words of the question, one-hot keys of those of the text."""
    for name, said in (("text", text), ("question", question)):
        if not isinstance(said, str):
            raise ValueError(f"{name} must be words; got {kind(said)}.")
        if not said.split():
            raise ValueError(f"{name} must hold a word at least; got {said!r}.")
    words = (*text.split(), *question.split())
    _require_length("text and question", len(words))
    known = sorted({word.lower() for word in words})
    q = torch.zeros(len(words), len(known), dtype=torch.float64)
    q[range(len(words)), [known.index(word.lower()) for word in words]] = 1
    k, asked = q.clone(), len(text.split())
    q[:asked] = 0
    k[asked:] = 0
    return Inputs(q, k, MATCH, words, asked)


def read_tokens(tokens: Sequence[str] | None, s: int) -> tuple[str, ...]:
    if tokens is None:
        return tuple(str(n) for n in range(s))
    if isinstance(tokens, str) or len(tokens) != s:
        got = kind(tokens) if isinstance(tokens, str) else f"{len(tokens)} words"
        raise ValueError(f"tokens must be a word for each of the {s} positions; got {got}.")
    return tuple(str(token) for token in tokens)


def name(words: Sequence[str], n: int) -> str:
    """A position in a sentence: its number, and its word if it has one."""
    return str(n) if words[n] == str(n) else f"{n} ‘{words[n]}’"


def plain(x: float) -> str:
    """A number in a sentence: 4, −1.5, 0.224."""
    if abs(x) >= 1000:
        large = f"{x:,.0f}" if abs(x) < 1e6 else f"{x:.1e}".replace("e+0", "e").replace("e+", "e")
        return large.replace("-", "−")
    text = signed(x, 2 if abs(x) >= 1 else 3)
    return text.rstrip("0").rstrip(".") if "." in text else text


def factor(x: float) -> str:
    """The same before or after a sign: (−1.5)."""
    return plain(x) if x >= 0 else f"({plain(x)})"


def equals(*numbers: float) -> str:
    """The sign between a sum and its total: ≈ where a shown number is rounded."""
    shown = (float(plain(x).replace("−", "-").replace(",", "")) for x in numbers)
    return "=" if all(abs(a - b) < 1e-9 for a, b in zip(shown, numbers, strict=True)) else "≈"


def require_entry(entry: Any, s: int) -> tuple[int, int]:
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise ValueError(f"entry must be two positions, (query, key); got {entry!r}.")
    require_index(s, "a query", **{"entry[0]": entry[0]})
    require_index(s, "a key", **{"entry[1]": entry[1]})
    return int(entry[0]), int(entry[1])


def read_number(text: str) -> float | str:
    """What was typed: a number, or the text itself where it is none."""
    try:
        return float(text.strip().replace("−", "-").replace(",", "."))
    except ValueError:
        return text


def _require_length(what: str, s: int) -> None:
    if s > LONGEST:
        raise ValueError(f"{what} must have {LONGEST} positions at most; got {s}.")


def _require_near(x: Inputs) -> None:
    most = float((x.q @ x.k.mT * x.scale).abs().max())
    if not most <= FARTHEST:
        raise ValueError(
            f"The logits q k^T * scale must lie between −{FARTHEST:g} and {FARTHEST:g}; "
            f"got {most:.3g}."
        )
