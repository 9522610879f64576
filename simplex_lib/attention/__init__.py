"""The definitions of the course: one operation a file, plain PyTorch, no triton.

dot_product.py       attention over keys
online_softmax.py    the same, block by block, and the merge of two parts
trilinear.py         attention over pairs of keys
trilinear_online.py  the same without the cube
triple_product.py    the score of the 2-simplicial Transformer of 2019
determinant.py       pairs scored by 3 x 3 determinants, which rotations leave alone
rotary.py            positions as rotations, for dot products and for determinants
match3.py            a determinant head with weights by hand: the Match3 task
windowed.py          both attentions over pairs with no work outside the windows
decoding.py          one token after the other, with two rolling caches
costs.py             operations, bytes and tiles, counted: import it as a module
layers.py            both attentions as nn.Module

multi_token.py           logits convolved over queries and keys, heads mixed
multi_token_features.py  that convolution as a sum of dot products
multi_token_decoding.py  one token after the other
multi_token_costs.py     parameters, counted: import it as a module
differential.py          the difference of two softmax maps
multi_token_layer.py     both as nn.Module, with head norm and gate
"""

from simplex_lib.attention.decoding import (
    PairCache,
    RollingCache,
    determinant_decode,
    trilinear_decode,
)
from simplex_lib.attention.determinant import (
    as_trilinear,
    determinant_attention,
    determinant_attention_with_lse,
    determinant_logits,
)
from simplex_lib.attention.differential import (
    differential_attention,
    differential_lambda,
    lambda_start,
)
from simplex_lib.attention.dot_product import (
    causal_mask,
    dot_product_attention,
    dot_product_attention_with_lse,
    dot_product_logits,
)
from simplex_lib.attention.layers import MultiHeadAttention, TwoSimplicialAttention
from simplex_lib.attention.match3 import (
    Match3Weights,
    match3_blank_token_head,
    match3_blank_token_weights,
    match3_features,
    match3_head,
    match3_weights,
    sufficient_c,
    sufficient_c_and_tau,
)
from simplex_lib.attention.multi_token import (
    MultiTokenMaps,
    constant_kernel,
    identity_kernel,
    joint_convolution,
    joint_kernel,
    key_query_convolution,
    mix_heads,
    multi_token_attention,
    multi_token_maps,
)
from simplex_lib.attention.multi_token_decoding import MultiTokenCache, multi_token_decode
from simplex_lib.attention.multi_token_features import (
    band_correction,
    band_width,
    filtered_keys,
    logits_by_features,
    shifted_queries,
)
from simplex_lib.attention.multi_token_layer import (
    DifferentialAttention,
    HeadNorm,
    MultiTokenAttention,
)
from simplex_lib.attention.online_softmax import (
    SoftmaxState,
    merge,
    online_softmax_attention,
    online_softmax_states,
)
from simplex_lib.attention.rotary import (
    rotary_frequencies,
    rotary_pairs,
    rotary_triples,
    rotate_about,
)
from simplex_lib.attention.trilinear import (
    key_window,
    pair_window,
    trilinear_attention,
    trilinear_attention_with_lse,
    trilinear_logits,
)
from simplex_lib.attention.trilinear_online import (
    trilinear_attention_online,
    trilinear_attention_online_with_lse,
)
from simplex_lib.attention.triple_product import triple_product_logits
from simplex_lib.attention.windowed import (
    determinant_attention_windowed,
    determinant_attention_windowed_with_lse,
    trilinear_attention_windowed,
    trilinear_attention_windowed_with_lse,
)

__all__ = [
    "DifferentialAttention",
    "HeadNorm",
    "Match3Weights",
    "MultiHeadAttention",
    "MultiTokenAttention",
    "MultiTokenCache",
    "MultiTokenMaps",
    "PairCache",
    "RollingCache",
    "SoftmaxState",
    "TwoSimplicialAttention",
    "as_trilinear",
    "band_correction",
    "band_width",
    "causal_mask",
    "constant_kernel",
    "determinant_attention",
    "determinant_attention_windowed",
    "determinant_attention_windowed_with_lse",
    "determinant_attention_with_lse",
    "determinant_decode",
    "determinant_logits",
    "differential_attention",
    "differential_lambda",
    "dot_product_attention",
    "dot_product_attention_with_lse",
    "dot_product_logits",
    "filtered_keys",
    "identity_kernel",
    "joint_convolution",
    "joint_kernel",
    "key_query_convolution",
    "key_window",
    "lambda_start",
    "logits_by_features",
    "match3_blank_token_head",
    "match3_blank_token_weights",
    "match3_features",
    "match3_head",
    "match3_weights",
    "merge",
    "mix_heads",
    "multi_token_attention",
    "multi_token_decode",
    "multi_token_maps",
    "online_softmax_attention",
    "online_softmax_states",
    "pair_window",
    "rotary_frequencies",
    "rotary_pairs",
    "rotary_triples",
    "rotate_about",
    "shifted_queries",
    "sufficient_c",
    "sufficient_c_and_tau",
    "trilinear_attention",
    "trilinear_attention_online",
    "trilinear_attention_online_with_lse",
    "trilinear_attention_windowed",
    "trilinear_attention_windowed_with_lse",
    "trilinear_attention_with_lse",
    "trilinear_decode",
    "trilinear_logits",
    "triple_product_logits",
]
