"""Attention as layers: projections into heads, one operation, one projection back.

`MultiHeadAttention` wraps dot-product attention, `TwoSimplicialAttention` trilinear or determinant
attention with a second key and a second value. Projections have no bias.

Axes: b batch, s sequence length, d_model width of the stream; heads as in dot_product.py.

Source: arXiv:2507.02754, section 4, for the two further projections; it writes neither the
concatenation of heads nor wo for this layer, and here they are those of multi-head attention. It
gives no rotary scheme for determinants; the one here is that of rotary.py.
"""

from functools import partial
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from simplex_lib.attention.determinant import determinant_attention
from simplex_lib.attention.dot_product import dot_product_attention
from simplex_lib.attention.rotary import rotary_triples
from simplex_lib.attention.trilinear import trilinear_attention
from simplex_lib.attention.windowed import (
    determinant_attention_windowed,
    trilinear_attention_windowed,
)
from simplex_lib.errors import (
    check_inputs,
    require_choice,
    require_count,
    require_flag,
    require_groups,
    require_window,
)


class MultiHeadAttention(nn.Module):
    """Multi-head dot-product attention on a stream (b, s, d_model).

    Args:
        d_model: width of the stream.
        n_heads: query heads.
        n_kv_heads: key and value heads, a divisor of n_heads. None: n_heads.
        head_dim: width of a head. None: d_model / n_heads, which must be whole.
        causal: position i sees the positions j <= i. If False, all of them.
        impl: as in `dot_product_attention`.

    Raises:
        ValueError, TypeError: a size is not an int or below 1, or does not divide as it must;
            when called, as `dot_product_attention`.

    Its 2 n_heads + 2 n_kv_heads projections of one head hold d_model * head_dim numbers each:

    >>> layer = MultiHeadAttention(d_model=12, n_heads=4, n_kv_heads=2)
    >>> sum(p.numel() for p in layer.parameters()) == (2 * 4 + 2 * 2) * 12 * 3
    True
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        *,
        head_dim: int | None = None,
        causal: bool = True,
        impl: Literal["reference", "triton"] = "reference",
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.head_dim = head_width(d_model, n_heads, n_kv_heads, head_dim)
        require_flag(causal=causal)
        require_choice("impl", impl, ("reference", "triton"))
        self.causal = causal
        self.impl: Literal["reference", "triton"] = impl
        self.wq = nn.Linear(d_model, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, d_model, bias=False)

    def forward(self, x: Float[Tensor, "b s d_model"]) -> Float[Tensor, "b s d_model"]:
        check_stream(x, self.wq)
        q, k, v = (split_heads(w(x), self.head_dim) for w in (self.wq, self.wk, self.wv))
        out = dot_product_attention(q, k, v, causal=self.causal, impl=self.impl)
        return self.wo(join_heads(out))


class TwoSimplicialAttention(nn.Module):
    """Multi-head attention over pairs of keys on a stream (b, s, d_model).

    Args:
        d_model, n_heads, n_kv_heads, head_dim, causal: as in `MultiHeadAttention`.
        w1, w2: as in `trilinear_attention`. Where one of them is given, the reference computes no
            pairs outside either: time is of order s w1 w2, and no cube is made.
        form: how a pair is scored, "trilinear" or "determinant"; the latter needs a head_dim of
            at least 3, and leaves coordinates over where 3 does not divide it.
        rotary: turn queries and both keys by their positions, as `rotary_triples` does. For
            determinants only, which then see offsets alone; a trilinear score would not.
        impl: as in `trilinear_attention`.

    Raises:
        ValueError, TypeError: as `MultiHeadAttention` and `trilinear_attention`; form is unknown,
            rotary is not for this form, or head_dim is too small for it.

    Against `MultiHeadAttention` it has wk2 and wv2 more, as large as wk1 and wv1, in either form:

    >>> plain = MultiHeadAttention(12, 4, 2)
    >>> layer = TwoSimplicialAttention(12, 4, 2, w1=8, w2=4)
    >>> sorted(layer.state_dict())
    ['wk1.weight', 'wk2.weight', 'wo.weight', 'wq.weight', 'wv1.weight', 'wv2.weight']
    >>> count = lambda module: sum(p.numel() for p in module.parameters())
    >>> count(layer) - count(plain) == count(plain.wk) + count(plain.wv)
    True
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        *,
        w1: int | None = None,
        w2: int | None = None,
        head_dim: int | None = None,
        causal: bool = True,
        form: Literal["trilinear", "determinant"] = "trilinear",
        rotary: bool = False,
        impl: Literal["reference", "triton"] = "reference",
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.head_dim = head_width(d_model, n_heads, n_kv_heads, head_dim)
        require_window(w1=w1, w2=w2)
        require_flag(causal=causal, rotary=rotary)
        require_choice("form", form, ("trilinear", "determinant"))
        require_choice("impl", impl, ("reference", "triton"))
        require_form(form, rotary=rotary, head_dim=self.head_dim)
        self.w1, self.w2, self.causal, self.rotary = w1, w2, causal, rotary
        self.form: Literal["trilinear", "determinant"] = form
        self.impl: Literal["reference", "triton"] = impl
        self.wq = nn.Linear(d_model, n_heads * self.head_dim, bias=False)
        self.wk1 = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wk2 = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wv1 = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wv2 = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, d_model, bias=False)

    def forward(
        self, x: Float[Tensor, "b s d_model"], positions: Int[Tensor, "s"] | None = None
    ) -> Float[Tensor, "b s d_model"]:
        """positions are for a rotary layer only, as in `rotary_triples`; None: 0 to s - 1.

        With determinants, moving all positions changes nothing:

        >>> import torch
        >>> layer = TwoSimplicialAttention(12, 2, form="determinant", rotary=True).double()
        >>> x, late = torch.randn(1, 5, 12, dtype=torch.float64), torch.arange(5) + 1000
        >>> torch.allclose(layer(x, late), layer(x))
        True
        """
        check_stream(x, self.wq)
        projections = (self.wq, self.wk1, self.wk2, self.wv1, self.wv2)
        q, k1, k2, v1, v2 = (split_heads(w(x), self.head_dim) for w in projections)
        if self.rotary:
            q, k1, k2 = (rotary_triples(turned, positions) for turned in (q, k1, k2))
        elif positions is not None:
            raise ValueError("positions must be None where rotary is False; got some.")
        return self.wo(join_heads(self._attend(q, k1, k2, v1, v2)))

    def _attend(
        self, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor
    ) -> Float[Tensor, "b h s d"]:
        if self.form == "determinant":
            whole, windowed = determinant_attention, determinant_attention_windowed
        else:
            whole, windowed = trilinear_attention, trilinear_attention_windowed
        in_windows = self.w1 is not None or self.w2 is not None
        if in_windows and self.impl == "reference":
            attend = windowed
        else:
            attend = partial(whole, impl=self.impl)
        return attend(q, k1, k2, v1, v2, w1=self.w1, w2=self.w2, causal=self.causal)


def split_heads(x: Float[Tensor, "b s inner"], head_dim: int) -> Float[Tensor, "b h s d"]:
    """Cut the last axis into heads, the first head first, and put the head axis second."""
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def join_heads(x: Float[Tensor, "b h s d"]) -> Float[Tensor, "b s inner"]:
    """Undo `split_heads`."""
    return x.transpose(1, 2).flatten(-2)


def head_width(d_model: int, n_heads: int, n_kv_heads: int, head_dim: int | None) -> int:
    """Check the sizes of a layer; the width of one head."""
    require_count(d_model=d_model)
    require_groups(n_heads=n_heads, n_kv_heads=n_kv_heads)
    if head_dim is not None:
        require_count(head_dim=head_dim)
        return head_dim
    if d_model % n_heads:
        raise ValueError(
            f"n_heads must divide d_model = {d_model} where head_dim is None; got {n_heads}."
        )
    return d_model // n_heads


def require_form(form: str, *, rotary: bool, head_dim: int) -> None:
    if form == "determinant" and head_dim < 3:
        raise ValueError(
            f"head_dim must be at least 3, the size of a determinant, where form is "
            f"'determinant'; got {head_dim}."
        )
    if rotary and form == "trilinear":
        raise ValueError(
            "rotary must be False where form is 'trilinear', whose score changes when all vectors "
            "are turned together; got True. form='determinant' has a score that does not."
        )


def check_stream(x: Tensor, wq: nn.Linear) -> None:
    """x fits the layer: its width, dtype and device are those of wq, its numbers finite."""
    check_inputs(**{"wq.weight": (wq.weight, "inner d_model"), "x": (x, "b s d_model")})
