"""The convolution of the logits as a sum of ordinary dot products.

Read from the top: `logits_by_features` is the sum, `band_correction` what it must lose near the
diagonal, `shifted_queries` and `filtered_keys` its factors.

A convolved logit is sum_ab kernel[a, b] (q[i - a] . k[j + b]), and a dot product is linear in
the key: the taps of one query row become one filtered key, sum_b kernel[a, b] k[j + b]. So c_q
dot products of shifted queries and filtered keys replace the convolution, and no map of logits is
needed: they are a matrix (s, s) of rank c_q d at most. Close to the diagonal some taps would read
keys later than their query, which the mask of Eq. 5 sets to 0 and the sum does not: it is exact
for i - j >= c_q - 1 + c_k // 2, and `band_correction` is the difference elsewhere.

Axes, kernel layout: `multi_token.py`; a counts queries back, so its kernel row is c_q - 1 - a.

Source: derived here from arXiv:2504.00927, Eq. 5.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.multi_token import require_odd
from simplex_lib.errors import check_inputs, require_groups


def logits_by_features(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    kernel: Float[Tensor, "h c_q c_k"],
) -> Float[Tensor, "b h s s"]:
    """sum_a q[i - a] . filtered_keys[a, j], unscaled and unmasked, without a convolution of maps.

    Raises:
        ValueError, TypeError: as `multi_token_attention`.

    >>> from simplex_lib.attention import key_query_convolution
    >>> q, k = torch.randn(2, 1, 1, 9, 4, dtype=torch.float64)
    >>> kernel = torch.randn(1, 3, 5, dtype=torch.float64)
    >>> new, convolved = logits_by_features(q, k, kernel), key_query_convolution(q @ k.mT, kernel)
    >>> off = band_width(3, 5)
    >>> torch.allclose(new.tril(-off), convolved.tril(-off)), torch.allclose(new.tril(), convolved)
    (True, False)
    """
    size = _check(q, k, kernel)
    queries = shifted_queries(q, size["c_q"])
    keys = filtered_keys(k.repeat_interleave(size["h"] // size["g"], dim=1), kernel)
    return torch.einsum("bhaid,bhajd->bhij", queries, keys)


def band_correction(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    kernel: Float[Tensor, "h c_q c_k"],
) -> Float[Tensor, "b h s s"]:
    """What `logits_by_features` has too much: the taps that read keys later than their query.

    Below the diagonal it is 0 outside the band i - j < c_q - 1 + c_k // 2.
    """
    size = _check(q, k, kernel)
    k = k.repeat_interleave(size["h"] // size["g"], dim=1)
    ahead = (q @ k.mT).triu(1)  # dot products with later keys, which the mask sets to 0
    rows, middle = size["c_q"], size["c_k"] // 2
    padded = torch.nn.functional.pad(ahead, (middle, middle, rows - 1, 0))
    return torch.nn.functional.conv2d(padded, kernel[:, None], groups=size["h"])


def shifted_queries(q: Float[Tensor, "b h s d"], c_q: int) -> Float[Tensor, "b h c_q s d"]:
    """q[i - a] at [a, i]: zeros before the first query."""
    s = q.shape[2]
    padded = torch.nn.functional.pad(q, (0, 0, c_q - 1, 0))
    return torch.stack([padded[:, :, c_q - 1 - a :][:, :, :s] for a in range(c_q)], 2)


def filtered_keys(
    k: Float[Tensor, "b h s d"], kernel: Float[Tensor, "h c_q c_k"]
) -> Float[Tensor, "b h c_q s d"]:
    """sum_b kernel[c_q - 1 - a, c_k // 2 + b] k[j + b] at [a, j]: one key a query row."""
    middle, s = kernel.shape[-1] // 2, k.shape[2]
    padded = torch.nn.functional.pad(k, (0, 0, middle, middle))
    windows = torch.stack([padded[:, :, b : b + s] for b in range(kernel.shape[-1])])
    return torch.einsum("hat,tbhsd->bhasd", kernel.flip(1), windows)


def band_width(c_q: int, c_k: int) -> int:
    """How far below the diagonal the mask can reach a tap: the band is i - j < this number."""
    return c_q - 1 + c_k // 2


def _check(q: Tensor, k: Tensor, kernel: Tensor) -> dict[str, int]:
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), kernel=(kernel, "h c_q c_k"))
    require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_odd(kernel=size["c_k"])
    return size
