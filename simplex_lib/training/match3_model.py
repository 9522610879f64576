"""The model of the trained Match3 comparison: one layer, a blank token in front, no positions.

Both kinds are pre-norm blocks of the same width with an MLP, and answer with one logit a token.
The dot-product model has the wider MLP and more parameters, so that what the 2-simplicial model
does better is not owed to size.

Axes: b batch, s sequence length, d_model width of the stream.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from simplex_lib.attention import MultiHeadAttention, TwoSimplicialAttention
from simplex_lib.errors import require_choice
from simplex_lib.tasks.match3 import check_match3, require_modulus

Kind = Literal["dot product", "trilinear"]
WIDTH = 64


class Sizes(NamedTuple):
    n_heads: int
    head_dim: int
    hidden: int  # of the MLP


SIZES: dict[str, Sizes] = {"dot product": Sizes(4, 16, 176), "trilinear": Sizes(2, 24, 128)}


class Match3Model(nn.Module):
    """One attention layer and one MLP on learned embeddings; a logit above 0 answers yes.

    Args:
        kind: "dot product" or "trilinear", the 2-simplicial layer; neither is causal.
        modulus: M; there are M embeddings and one for the blank token.

    Raises:
        ValueError, TypeError: kind is unknown, modulus is not an int or below 2; when called, as
            `match3_labels`.

    >>> plain, pairs = (Match3Model(kind, 23) for kind in ("dot product", "trilinear"))
    >>> count_parameters(plain), count_parameters(pairs)
    (40945, 36801)
    """

    def __init__(self, kind: Kind, modulus: int) -> None:
        super().__init__()
        require_choice("kind", kind, tuple(SIZES))
        require_modulus(modulus)
        self.modulus = modulus
        n_heads, head_dim, hidden = SIZES[kind]
        layer = MultiHeadAttention if kind == "dot product" else TwoSimplicialAttention
        self.embedding = nn.Embedding(modulus + 1, WIDTH)
        self.attention_norm = nn.RMSNorm(WIDTH)
        self.attention = layer(WIDTH, n_heads, head_dim=head_dim, causal=False)
        self.mlp = nn.Sequential(
            nn.RMSNorm(WIDTH), nn.Linear(WIDTH, hidden), nn.GELU(), nn.Linear(hidden, WIDTH)
        )
        self.head = nn.Sequential(nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 1))
        for name, weight in self.attention.named_parameters():
            if not name.startswith("wo"):  # queries, keys and values of variance 1
                nn.init.normal_(weight, std=WIDTH**-0.5)

    def forward(self, x: Int[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        check_match3(x, self.modulus)
        blank = torch.full_like(x[:, :1], self.modulus)
        stream = self.embedding(torch.cat([blank, x], 1))  # (b, s + 1, d_model)
        stream = stream + self.attention(self.attention_norm(stream))
        stream = stream + self.mlp(stream)
        return self.head(stream)[:, 1:, 0]


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
