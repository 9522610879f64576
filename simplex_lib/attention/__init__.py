"""The definitions of the course: one operation a file, plain PyTorch, no triton.

dot_product.py     attention over keys
trilinear.py       attention over pairs of keys
"""

from simplex_lib.attention.dot_product import (
    causal_mask,
    dot_product_attention,
    dot_product_attention_with_lse,
    dot_product_logits,
)
from simplex_lib.attention.trilinear import (
    key_window,
    pair_window,
    trilinear_attention,
    trilinear_attention_with_lse,
    trilinear_logits,
)

__all__ = [
    "causal_mask",
    "dot_product_attention",
    "dot_product_attention_with_lse",
    "dot_product_logits",
    "key_window",
    "pair_window",
    "trilinear_attention",
    "trilinear_attention_with_lse",
    "trilinear_logits",
]
