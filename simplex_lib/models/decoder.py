"""A small decoder: embedding, pre-norm blocks with any attention, one projection to tokens.

Axes: b batch, t tokens, d_model width of the stream.

A pre-norm transformer with RMSNorm, as the papers of the course use it. Projections
start with variance 1 / width, embeddings with variance 1.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from simplex_lib.errors import bind_axes, kind, plain, require_choice, require_count, require_flag


class Decoder(nn.Module):
    """Tokens in, logits of the next token out.

    Args:
        vocabulary: how many tokens there are.
        attention: one module a block, from (b, t, d_model) to the same shape. Positions are
            theirs: the decoder adds none.
        d_model: width of the stream.
        hidden: width of the MLP.
        mlp: "gelu", down(gelu(up(x))), or "swiglu", down(silu(gate(x)) * up(x)) without biases.
        tied: the last projection is the embedding's matrix.

    Raises:
        ValueError, TypeError: a size is not an int or below 1, attention is empty or holds no
            modules; when called, tokens are not (b, t) integers from 0 to vocabulary - 1, or an
            attention returns another shape.

    >>> from simplex_lib.attention import MultiHeadAttention
    >>> model = Decoder(10, [MultiHeadAttention(8, 2)], d_model=8, hidden=16)
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 10])
    """

    def __init__(
        self,
        vocabulary: int,
        attention: Sequence[nn.Module],
        *,
        d_model: int,
        hidden: int,
        mlp: Literal["gelu", "swiglu"] = "gelu",
        tied: bool = False,
    ) -> None:
        super().__init__()
        require_count(vocabulary=vocabulary, d_model=d_model, hidden=hidden)
        require_choice("mlp", mlp, ("gelu", "swiglu"))
        require_flag(tied=tied)
        attention = list(attention)
        if not attention or not all(isinstance(layer, nn.Module) for layer in attention):
            found = ", ".join(kind(layer) for layer in attention) or "none"
            raise TypeError(f"attention must be one nn.Module or more; got {found}.")
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, d_model)
        self.blocks = nn.ModuleList(Block(a, d_model, hidden, mlp) for a in attention)
        self.norm = nn.RMSNorm(d_model)
        self.head = nn.Linear(d_model, vocabulary, bias=False)
        if tied:
            nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
            self.head.weight = self.embedding.weight
        for layer in attention:
            for p in layer.parameters():
                if p.ndim == 2 and min(p.shape) >= d_model:  # its projections
                    nn.init.normal_(p, std=p.shape[1] ** -0.5)

    def forward(
        self, tokens: Int[Tensor, "b t"], last: int | None = None
    ) -> Float[Tensor, "b t vocabulary"]:
        """Logits at every position, or at the last few alone, which spares the last MLP work."""
        bind_axes(tokens=(tokens, "b t"))
        if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
            raise TypeError(f"tokens must be integers; got {plain(tokens.dtype)}.")
        if last is not None:
            require_count(last=last)
        stream = self.embedding(tokens)
        for number, block in enumerate(self.blocks, start=1):
            stream = block(stream, last if number == len(self.blocks) else None)
        return self.head(self.norm(stream))


class Block(nn.Module):
    """stream + attention(norm(stream)), then + mlp(norm(stream))."""

    def __init__(self, attention: nn.Module, d_model: int, hidden: int, mlp: str) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(d_model)
        self.attention = attention
        self.mlp_norm = nn.RMSNorm(d_model)
        self.mlp = (GeluMLP if mlp == "gelu" else SwiGLU)(d_model, hidden)

    def forward(
        self, stream: Float[Tensor, "b t d_model"], last: int | None = None
    ) -> Float[Tensor, "b t d_model"]:
        out = self.attention(self.attention_norm(stream))
        if not isinstance(out, Tensor) or out.shape != stream.shape:
            found = tuple(out.shape) if isinstance(out, Tensor) else kind(out)
            raise ValueError(f"attention must return {tuple(stream.shape)}; got {found}.")
        stream = stream + out
        if last is not None:
            stream = stream[:, -last:]
        return stream + self.mlp(self.mlp_norm(stream))


class GeluMLP(nn.Module):
    """down(gelu(up(x)))."""

    def __init__(self, d_model: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)
        nn.init.normal_(self.up.weight, std=d_model**-0.5)
        nn.init.normal_(self.down.weight, std=hidden**-0.5)

    def forward(self, x: Float[Tensor, "b t d_model"]) -> Float[Tensor, "b t d_model"]:
        return self.down(nn.functional.gelu(self.up(x)))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), without biases."""

    def __init__(self, d_model: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(d_model, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, d_model, bias=False)
        for layer in (self.gate, self.up, self.down):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Float[Tensor, "b t d_model"]) -> Float[Tensor, "b t d_model"]:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))
