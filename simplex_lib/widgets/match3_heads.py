"""Match3's two heads for the widget: how much c is enough, what they answer, and hard inputs.

Read from the top: `run_head` is one head at one c, `count_wrong` the same at many c in one pass.
"""

import math
from functools import lru_cache

import torch

from simplex_lib.attention.determinant import determinant_attention, determinant_logits
from simplex_lib.attention.match3 import (
    THRESHOLD,
    match3_blank_token_head,
    match3_blank_token_weights,
    match3_features,
    match3_head,
    match3_weights,
    sufficient_c,
    sufficient_c_and_tau,
)
from simplex_lib.tasks.match3 import match3_hardest, match3_labels

LEAST_C, MOST_C = 0.1, 1e8
STEPS = 20  # of the slider, in a factor of 10
DTYPES = dict(float64=torch.float64, float32=torch.float32, bfloat16=torch.bfloat16)
PAPER, BLANK = "paper's layout", "blank-token layout"


def run_head(
    name: str, x: tuple[int, ...], modulus: int, c: float, dtype: str
) -> tuple[list[float], list[bool], list[int]]:
    """Shares, answers and wrong tokens of one head."""
    tokens = torch.tensor([x])
    if name == PAPER:
        shares = match3_head(tokens, modulus, c=c, dtype=DTYPES[dtype])
    else:
        shares = match3_blank_token_head(tokens, modulus, c=c, tau=tau_of(c), dtype=DTYPES[dtype])
    says = shares[0].double() > limit_of(name)
    wrong = (says != match3_labels(tokens, modulus)[0]).nonzero().flatten()
    return shares[0].tolist(), says.tolist(), wrong.tolist()


@lru_cache(maxsize=64)
def count_wrong(
    name: str, x: tuple[int, ...], modulus: int, dtype: str, values: tuple[float, ...]
) -> list[int]:
    """How many tokens are wrong at each c; each c is a query head of its own, all in one pass."""
    tokens, number = torch.tensor([x]), DTYPES[dtype]
    features = match3_features(tokens, modulus, number)[:, None]  # (1, 1, s, 3)
    if name == PAPER:
        weights = [match3_weights(c, dtype=number) for c in values]
    else:
        weights = [match3_blank_token_weights(c, tau_of(c), dtype=number) for c in values]
        real = torch.nn.functional.pad(features, (0, 1))
        blank = torch.eye(4, dtype=number)[3].expand(1, 1, 1, 4)
        features = torch.cat([blank, real], -2)
    q = torch.cat([features @ w.wq.T for w in weights], 1)  # (1, c, s, 7)
    k1, k2, v = (features @ w.T for w in weights[0][1:])
    if name == PAPER:
        pairs = determinant_logits(q, k1, k2).flatten(-2)
        shares = torch.cat([pairs, q[..., 6:]], -1).softmax(-1)[..., :-1].sum(-1)
    else:
        shares = determinant_attention(q, k1, k2, v, v, causal=False, scale=1)[:, :, 1:, 0]
    says = shares[0].double() > limit_of(name)
    return (says != match3_labels(tokens, modulus)).sum(-1).tolist()


def limit_of(name: str) -> float:
    return THRESHOLD if name == PAPER else 0.5


def tau_of(c: float) -> float:
    """c (1 - tau) = ln 4, as in `sufficient_c_and_tau`: the blank pair is ln 4 below a match."""
    return 1 - math.log(4) / c


def sufficient(name: str, n: int, modulus: int) -> float:
    """A c that makes no mistake on any input, in exact arithmetic."""
    if name == PAPER:
        return sufficient_c(n, modulus)
    return sufficient_c_and_tau(n, modulus)[0]


def enough_c(n: int, modulus: int) -> float:
    """The first place of the slider where both layouts make no mistake in exact arithmetic."""
    enough = max(sufficient(name, n, modulus) for name in (PAPER, BLANK))
    return _place(math.ceil(round(STEPS * math.log10(enough), 6)))


@lru_cache
def slider_values(centre: float) -> tuple[float, ...]:
    """Every second place of the slider, from c / 100 to 10 c."""
    middle = round(STEPS * math.log10(centre))
    places = range(middle - 2 * STEPS, middle + STEPS + 1, 2)
    return tuple(_place(n) for n in places if LEAST_C <= _place(n) <= MOST_C)


def _place(n: int) -> float:
    return 10.0 ** (n / STEPS)


def random_numbers(n: int, modulus: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(modulus, (n,), generator=generator).tolist()


def hardest_numbers(n: int, modulus: int, *, single: bool = False) -> list[int]:
    """All pairs of some token miss by one; single: with one match for the first token, if M allows.

    >>> hardest_numbers(3, 5), hardest_numbers(3, 5, single=True)
    ([2, 2, 2], [2, 2, 4])
    """
    rows = match3_hardest(n, modulus)
    v = int(rows[0, 0])
    wished = (1 - 2 * v) % modulus if modulus % 3 == 0 else v
    if single:  # v + u + u = 0: the pair (last, last) alone
        odd = modulus % 2 == 1
        wished = -v * pow(2, -1, modulus) % modulus if odd else -v % modulus // 2
    return rows[(rows[:, -1] == wished).nonzero()[0, 0]].tolist()
