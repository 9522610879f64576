"""Match3: for every token, is there a pair of tokens that completes it to 0 modulo M?

Read from the top: `match3_labels` is the task, the others make inputs. Random inputs flatter a
construction; `match3_hardest` is what decides.

Axes: b batch, i token, j and k the two others, s sequence length. M is called modulus.

Source: arXiv:2507.02754, section 5, Theorem 5.1 (after arXiv:2306.02896, which names the task).
Nothing keeps i, j and k apart: j = k, j = i and all three equal are allowed, and so is the future.
"""

import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from simplex_lib.errors import bind_axes, plain, require_count

LARGEST = 2**62


def match3_labels(x: Int[Tensor, "b s"], modulus: int) -> Bool[Tensor, "b s"]:
    """True at i where x[i] + x[j] + x[k] = 0 modulo M for some j and k.

    >>> match3_labels(torch.tensor([[1, 2, 4]]), 8).tolist()  # 4 + 2 + 2 = 8, 1 finds no pair
    [[False, True, True]]
    """
    check_match3(x, modulus)
    x = x.long()  # three of a small dtype may not fit it
    pairs = (x[:, :, None] + x[:, None, :]) % modulus
    sums = pairs[:, :, :, None] + x[:, None, None, :]  # (b, i, j, k)
    return (sums % modulus == 0).flatten(2).any(-1)


def match3_random(
    b: int, s: int, modulus: int, generator: torch.Generator | None = None
) -> Int[Tensor, "b s"]:
    """Every token uniform. With s (s + 1) / 2 well above M nearly all labels are True."""
    require_count(b=b, s=s)
    require_modulus(modulus)
    return torch.randint(modulus, (b, s), generator=generator)


def match3_few_values(
    b: int, s: int, modulus: int, generator: torch.Generator | None = None
) -> Int[Tensor, "b s"]:
    """Each row draws from max(2, M // 8) values of its own, so that both labels occur."""
    require_count(b=b, s=s)
    require_modulus(modulus)
    n = min(max(2, modulus // 8), modulus)
    allowed = torch.rand(b, modulus, generator=generator).argsort(-1)[:, :n]
    return allowed.gather(1, torch.randint(n, (b, s), generator=generator))


def match3_hardest(s: int, modulus: int) -> Int[Tensor, "b s"]:
    """Near misses everywhere, and the same with the last token changed to each other value.

    First row: one v at every token with 3 v = 1 modulo M, so that all s * s pairs of every query
    miss by one. Where 3 divides M there is no such v; v = 1 is taken there, and the row with the
    last token at -1 (1 - 2 v) has a query all of whose pairs of other tokens miss by one. The
    other rows give single matches among near misses. b = M.

    >>> match3_hardest(3, 5).tolist()
    [[2, 2, 2], [2, 2, 0], [2, 2, 1], [2, 2, 3], [2, 2, 4]]
    """
    require_count(s=s)
    require_modulus(modulus)
    v = pow(3, -1, modulus) if math.gcd(3, modulus) == 1 else 1
    x = torch.full((modulus, s), v)
    x[:, -1] = torch.tensor([v, *(u for u in range(modulus) if u != v)])
    return x


def check_match3(x: Tensor, modulus: int) -> dict[str, int]:
    """x is (b, s), whole numbers from 0 to M - 1."""
    size = bind_axes(x=(x, "b s"))
    require_modulus(modulus)
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"x must be integers; got {plain(x.dtype)}.")
    if x.is_meta:
        return size
    wide = x.long()  # modulus may not fit the dtype of x
    outside = (wide < 0) | (wide >= modulus)
    if outside.any():
        got = wide[outside][0].item()
        raise ValueError(f"x must be from 0 to modulus - 1 = {modulus - 1}; got {got}.")
    return size


def require_modulus(modulus: int) -> None:
    require_count(modulus=modulus)
    if modulus < 2:
        raise ValueError(f"modulus must be at least 2, else every sum is 0; got {modulus}.")
    if modulus > LARGEST:
        raise ValueError(f"modulus must be at most 2 ** 62, so that sums fit int64; got {modulus}.")
