"""Multi-Token and differential attention as layers, with the norm and the gate of their heads.

Read from the top: `MultiTokenAttention` is the layer, `HeadNorm` what follows its heads,
`DifferentialAttention` the layer it is compared with.

Axes: b batch, h head, s sequence length, d head_dim, d_model width of the stream.

Source: arXiv:2504.00927, section 3 and Appendix A for what a layer holds; the norm and the gate
have no equation there and follow the authors' released code. DIFF: arXiv:2410.05258, Eqs. 1 to 3.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from simplex_lib.attention.differential import (
    differential_attention,
    differential_lambda,
    lambda_start,
)
from simplex_lib.attention.layers import check_stream, head_width, join_heads, split_heads
from simplex_lib.attention.multi_token import (
    constant_kernel,
    identity_kernel,
    multi_token_attention,
)
from simplex_lib.attention.rotary import rotary_frequencies, rotary_pairs
from simplex_lib.errors import (
    check_inputs,
    require_choice,
    require_count,
    require_flag,
)

EPS = 1e-5  # of the norm, as in the released code


class MultiTokenAttention(nn.Module):
    """Multi-head Multi-Token Attention on a stream (b, s, d_model); causal.

    Args:
        d_model, n_heads, n_kv_heads, head_dim: as in `MultiHeadAttention`.
        c_q, c_k: taps of the kernels, c_k odd. None for both: no convolution.
        where: convolve before the softmax ("pre"), after it ("post") or both.
        mix: heads in a group of head mixing, a divisor of n_heads; mixed before and after the
            softmax. None: no mixing.
        norm: None; "depth": each head's output is normalised and scaled by
            1 - lambda_start(layer); "gate": normalised and multiplied by a learned gate, as in
            the second version of the paper.
        layer: index of the layer from 0; only norm="depth" reads it.
        start: kernels start as "identity" (the paper) or "constant", 1 / sqrt(c_q c_k) each.
        rotary_base: rotary positions on q and k with this base. None: no positions.
        impl: as in `multi_token_attention`.

    Raises:
        ValueError, TypeError: as `MultiHeadAttention`; c_k is even, one of c_q and c_k is None,
            mix does not divide n_heads, or a choice is unknown.

    At the start, with neither norm nor gate, it is multi-head attention:

    >>> from simplex_lib.attention import MultiHeadAttention
    >>> plain = MultiHeadAttention(12, 4)
    >>> layer = MultiTokenAttention(12, 4, c_q=3, c_k=5, where="both", mix=2)
    >>> layer.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    []
    >>> x = torch.randn(2, 7, 12)
    >>> torch.allclose(layer(x), plain(x), atol=1e-6)
    True
    """

    pre_kernel: Tensor | None
    pre_mixing: Tensor | None
    post_kernel: Tensor | None
    post_mixing: Tensor | None

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        *,
        c_q: int | None,
        c_k: int | None,
        where: Literal["pre", "post", "both"] = "pre",
        mix: int | None = None,
        norm: Literal["depth", "gate"] | None = None,
        layer: int = 0,
        start: Literal["identity", "constant"] = "identity",
        rotary_base: float | None = None,
        head_dim: int | None = None,
        impl: Literal["conv2d", "banded"] = "conv2d",
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.head_dim = head_width(d_model, n_heads, n_kv_heads, head_dim)
        require_choice("where", where, ("pre", "post", "both"))
        require_choice("start", start, ("identity", "constant"))
        require_choice("impl", impl, ("conv2d", "banded"))
        if (c_q is None) != (c_k is None):
            raise ValueError(f"c_q and c_k must both be None or neither; got {c_q} and {c_k}.")
        if mix is not None:
            require_count(mix=mix)
            if n_heads % mix:
                raise ValueError(f"mix must divide n_heads = {n_heads}; got {mix}.")
        self.impl: Literal["conv2d", "banded"] = impl
        self.rotary_base = rotary_base
        self.wq = nn.Linear(d_model, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(d_model, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, d_model, bias=False)
        make = identity_kernel if start == "identity" else constant_kernel
        for side in ("pre", "post"):
            kernel = mixing = None
            if c_q is not None and c_k is not None and where in (side, "both"):
                kernel = nn.Parameter(make(n_heads, c_q=c_q, c_k=c_k))
            if mix is not None:
                mixing = nn.Parameter(torch.eye(mix).repeat(n_heads // mix, 1, 1))
            self.register_parameter(f"{side}_kernel", kernel)
            self.register_parameter(f"{side}_mixing", mixing)
        self.norm = None if norm is None else HeadNorm(self.head_dim, kind=norm, layer=layer)

    def forward(self, x: Float[Tensor, "b s d_model"]) -> Float[Tensor, "b s d_model"]:
        q, k, v = self.project(x)
        heads = multi_token_attention(
            q,
            k,
            v,
            pre_kernel=self.pre_kernel,
            pre_mixing=self.pre_mixing,
            post_kernel=self.post_kernel,
            post_mixing=self.post_mixing,
            impl=self.impl,
        )
        return self.wo(join_heads(heads if self.norm is None else self.norm(heads)))

    def project(
        self, x: Float[Tensor, "b s d_model"]
    ) -> tuple[Float[Tensor, "b h s d"], Float[Tensor, "b g s d"], Float[Tensor, "b g s d"]]:
        """q, k and v, turned by their positions where the layer has rotary positions."""
        check_stream(x, self.wq)
        own = self.wq.weight.dtype  # autocast gives less, and kernels keep theirs
        q, k, v = (split_heads(w(x), self.head_dim).to(own) for w in (self.wq, self.wk, self.wv))
        if self.rotary_base is None:
            return q, k, v
        p = self.head_dim // 2
        frequencies = rotary_frequencies(p, base=self.rotary_base, device=x.device)
        return rotary_pairs(q, frequencies=frequencies), rotary_pairs(k, frequencies=frequencies), v


class HeadNorm(nn.Module):
    """Normalise each head's output alone, then scale it by depth or by a gate.

    Args:
        head_dim: d.
        kind: "depth": RMSNorm over head_dim, times 1 - lambda_start(layer). "gate": RMSNorm, then
            times sigmoid(w . y + bias), one number a token and head.
        layer: index of the layer from 0.

    The d weights of the norm, and the d + 1 of the gate, are shared by all heads of a layer:

    >>> [sum(p.numel() for p in HeadNorm(96, kind=kind).parameters()) for kind in ("depth", "gate")]
    [96, 193]
    """

    def __init__(self, head_dim: int, *, kind: Literal["depth", "gate"], layer: int = 0) -> None:
        super().__init__()
        require_count(head_dim=head_dim)
        require_choice("norm", kind, ("depth", "gate"))
        self.weight = nn.Parameter(torch.ones(head_dim))
        self.scale = 1 - lambda_start(layer) if kind == "depth" else 1.0
        self.gate = nn.Linear(head_dim, 1) if kind == "gate" else None

    def forward(self, heads: Float[Tensor, "b h s d"]) -> Float[Tensor, "b h s d"]:
        check_inputs(heads=(heads, "b h s d"), weight=(self.weight, "d"))
        y = nn.functional.rms_norm(heads, self.weight.shape, self.weight, EPS) * self.scale
        return y if self.gate is None else y * self.gate(y).sigmoid()


class DifferentialAttention(nn.Module):
    """Multi-head differential attention on a stream (b, s, d_model).

    Args:
        d_model, causal: as in `MultiHeadAttention`.
        n_heads: heads of two queries and two keys each, d wide, and one value, 2 d wide, with
            2 d n_heads = d_model: half as many as a plain layer with head_dim d has.
        layer: index of the layer from 0; it sets the start of lambda.
        rotary_base: as in `MultiTokenAttention`.

    Raises:
        ValueError, TypeError: 2 n_heads does not divide d_model; as `MultiHeadAttention`.

    It holds 4 d + 2 d numbers more than multi-head attention, for lambda and the norm:

    >>> count = lambda module: sum(p.numel() for p in module.parameters())
    >>> count(DifferentialAttention(16, 2)) - 4 * 16 * 16 == 4 * 4 + 2 * 4
    True
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        layer: int = 0,
        causal: bool = True,
        rotary_base: float | None = None,
    ) -> None:
        super().__init__()
        require_count(d_model=d_model, n_heads=n_heads)
        require_flag(causal=causal)
        if d_model % (2 * n_heads):
            raise ValueError(f"2 n_heads must divide d_model = {d_model}; got n_heads = {n_heads}.")
        self.head_dim, self.causal = d_model // (2 * n_heads), causal
        self.rotary_base, self.start = rotary_base, lambda_start(layer)
        self.wq = nn.Linear(d_model, d_model, bias=False)
        self.wk = nn.Linear(d_model, d_model, bias=False)
        self.wv = nn.Linear(d_model, d_model, bias=False)
        self.wo = nn.Linear(d_model, d_model, bias=False)
        self.lambdas = nn.Parameter(0.1 * torch.randn(4, self.head_dim))  # of q1, k1, q2, k2
        self.norm = HeadNorm(2 * self.head_dim, kind="depth", layer=layer)

    def forward(self, x: Float[Tensor, "b s d_model"]) -> Float[Tensor, "b s d_model"]:
        check_stream(x, self.wq)
        q, k = (split_heads(w(x), self.head_dim) for w in (self.wq, self.wk))
        if self.rotary_base is not None:
            p = self.head_dim // 2
            frequencies = rotary_frequencies(p, base=self.rotary_base, device=x.device)
            q, k = (rotary_pairs(t, frequencies=frequencies) for t in (q, k))
        lam = differential_lambda(*self.lambdas, start=self.start)
        heads = differential_attention(
            q[:, ::2],
            q[:, 1::2],
            k[:, ::2],
            k[:, 1::2],
            split_heads(self.wv(x), 2 * self.head_dim),
            lam,
            causal=self.causal,
        )
        return self.wo(join_heads(self.norm(heads)))
