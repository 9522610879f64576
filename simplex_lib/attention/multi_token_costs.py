"""What Multi-Token Attention adds to a transformer, counted: parameters and multiply-adds.

Import it as a module. `parameters` counts a whole model, `extra_parameters` what an attention
kind adds, `convolution_multiply_adds` what the taps cost.

Source: arXiv:2504.00927, Tables 7 and 8. Table 8 gives totals and formulas; the base model that
reproduces them (tied embeddings, SwiGLU, two norms a layer and one at the end, no bias) is ours.
"""

from typing import Literal

from simplex_lib.errors import require_choice, require_count, require_groups

Kind = Literal["dot product", "diff", "talking heads", "multi-token"]
KINDS: tuple[Kind, ...] = ("dot product", "diff", "talking heads", "multi-token")


def parameters(
    kind: Kind = "dot product",
    *,
    layers: int = 24,
    d_model: int = 1536,
    heads: int = 16,
    ffn: int = 4096,
    vocabulary: int = 128_256,
    c_q: int = 6,
    c_k: int = 11,
    c_h: int | None = None,
    kernel_layers: int | None = None,
) -> int:
    """Parameters of a decoder with one kind of attention; the defaults are the 880M model.

    Args:
        kind: "dot product", "diff", "talking heads" (head mixing alone, all heads in one group,
            before and after the softmax) or "multi-token" (kernels and mixing before and after,
            head norm with a gate).
        layers, d_model, heads, ffn, vocabulary: sizes; head_dim is d_model / heads.
        c_q, c_k, c_h: taps, and heads in a group (None: all heads).
        kernel_layers: layers with convolutions. None: every fourth.

    Raises:
        ValueError, TypeError: a size is not an int or below 1, heads does not divide d_model, c_h
            does not divide heads, or kind is unknown.

    Table 8 of the paper:

    >>> [parameters(kind) for kind in KINDS]
    [876553728, 876567552, 876566016, 876583320]
    """
    require_count(layers=layers, d_model=d_model, heads=heads, ffn=ffn, vocabulary=vocabulary)
    layer = 4 * d_model**2 + 3 * d_model * ffn + 2 * d_model
    base = vocabulary * d_model + layers * layer + d_model
    return base + extra_parameters(
        kind,
        layers=layers,
        heads=heads,
        head_dim=require_groups(n_heads=d_model, n_kv_heads=heads),
        c_q=c_q,
        c_k=c_k,
        c_h=c_h,
        kernel_layers=kernel_layers,
    )


def extra_parameters(
    kind: Kind,
    *,
    layers: int = 24,
    heads: int = 16,
    head_dim: int = 96,
    c_q: int = 6,
    c_k: int = 11,
    c_h: int | None = None,
    kernel_layers: int | None = None,
) -> int:
    """What the attention adds to a dot-product model of the same sizes; as `parameters`.

    >>> extra_parameters("multi-token"), extra_parameters("diff")
    (29592, 13824)
    """
    require_choice("kind", kind, KINDS)
    require_count(layers=layers, heads=heads, head_dim=head_dim, c_q=c_q, c_k=c_k)
    c_h = heads if c_h is None else c_h
    require_groups(n_heads=heads, n_kv_heads=c_h)
    kernel_layers = layers // 4 if kernel_layers is None else kernel_layers
    if kind == "dot product":
        return 0
    if kind == "diff":  # four vectors of lambda and a norm of width 2 d
        return layers * (4 * head_dim + 2 * head_dim)
    mixing = 2 * layers * heads * c_h  # two matrices (heads / c_h, c_h, c_h) a layer
    if kind == "talking heads":
        return mixing
    kernels = 2 * kernel_layers * heads * c_q * c_k
    norm_and_gate = layers * (head_dim + head_dim + 1)
    return mixing + kernels + norm_and_gate


def convolution_multiply_adds(s: int, *, c_q: int, c_k: int) -> int:
    """Multiply-adds of one head's convolution of a map (s, s): c_q c_k an entry, hidden ones too.

    >>> convolution_multiply_adds(100, c_q=6, c_k=11) / (100 * 100)  # a dot product has d
    66.0
    """
    require_count(s=s, c_q=c_q, c_k=c_k)
    return s * s * c_q * c_k
