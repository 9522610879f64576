"""Rotary positions: turn each vector by its position, so that scores see offsets only.

Read from the top: `rotary_pairs` serves dot products, `rotary_triples` determinants,
`rotate_about` is one rotation in space.

For pairs: q[i] and k[j] are turned by i and j times one angle, and a dot product does not change
when both are turned together, so it sees i - j alone. For triples: R_p turns by p times one angle
about one fixed axis. Such rotations commute, R_i R_j = R_(i + j), and their determinant is 1:
det[R_i a; R_j b; R_k c] = det[a; R_(j - i) b; R_(k - i) c], which sees the two offsets alone. With
an axis that changes with the position the rotations do not commute, and this is lost. The
trilinear score is not unchanged under a common rotation, so neither scheme makes it relative.

Nothing is read from a table: every integer position can be used, negative ones too.

Axes: b batch, h head, s sequence length, d head_dim, p number of chunks.

Source: pairs arXiv:2104.09864, Eqs. 14 to 16 (adjacent coordinates form a pair) and 34 (the
elementwise form). arXiv:2507.02754, section 5, shows that the determinant is unchanged under a
common rotation and gives no scheme; the one for triples is derived here.
"""

import math
import sys
from numbers import Real

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simplex_lib.attention.determinant import chunks_and_rest, require_chunk
from simplex_lib.errors import (
    bind_axes,
    check_inputs,
    kind,
    plain,
    require_alike,
    require_count,
    require_finite,
    require_same_device,
    require_tensor,
)


def rotary_pairs(
    x: Float[Tensor, "b h s d"],
    positions: Int[Tensor, "s"] | None = None,
    *,
    frequencies: Float[Tensor, "p"] | None = None,
) -> Float[Tensor, "b h s d"]:
    """Turn the plane of coordinates 2 l and 2 l + 1 by positions * frequencies[l].

    Args:
        x: queries or keys, (b, h, s, d), d even.
        positions: (s,), integers of any size and sign. None: 0 to s - 1. A token decoded alone
            needs its own here. An angle is off by about 1e-16 of itself: at position 10 ** 9 and
            one radian a position by 1e-7, at 10 ** 16 it is no longer known.
        frequencies: radians a position, (d / 2,), the same for queries and keys. None:
            `rotary_frequencies(d / 2)`.

    Returns:
        The turned vectors in the dtype of x; lengths are kept. Angles are computed in float64,
        the rest in float32 at least.

    Raises:
        ValueError: d is odd, shapes or devices disagree, an axis is empty, or a number is NaN or
            infinite.
        TypeError: an argument is not a tensor, x or frequencies are not floating, or positions
            are not integers.

    Dot products see i - j only, so moving all positions changes none:

    >>> q, k = torch.randn(2, 1, 1, 5, 8, dtype=torch.float64)
    >>> late = torch.arange(5) + 1000
    >>> logits = rotary_pairs(q) @ rotary_pairs(k).mT
    >>> torch.allclose(rotary_pairs(q, late) @ rotary_pairs(k, late).mT, logits)
    True
    """
    size = check_inputs(x=(x, "b h s d"))
    if size["d"] % 2:
        raise ValueError(f"x must have an even head_dim, two for each plane; got {size['d']}.")
    angle = _angles(x, positions, frequencies, chunks=size["d"] // 2)
    wide = torch.promote_types(x.dtype, torch.float32)
    cos, sin = angle.cos().to(wide), angle.sin().to(wide)  # (s, p)
    first, second = x[..., ::2], x[..., 1::2]
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], -1)
    return turned.flatten(-2).to(x.dtype)


def rotary_triples(
    x: Float[Tensor, "b h s d"],
    positions: Int[Tensor, "s"] | None = None,
    *,
    frequencies: Float[Tensor, "p"] | None = None,
    axis: Float[Tensor, "3"] | Float[Tensor, "p 3"] | None = None,
) -> Float[Tensor, "b h s d"]:
    """Turn chunk l, coordinates 3 l to 3 l + 2, by positions * frequencies[l] about a fixed axis.

    Args:
        x: queries, first or second keys, (b, h, s, d), d at least 3. The d mod 3 coordinates left
            over stay as they are: they carry content without a position.
        positions: as in `rotary_pairs`.
        frequencies: radians a position, (p,), p the whole part of d / 3; the same for q, k1 and
            k2. None: `rotary_frequencies(p)`.
        axis: the direction of the axis, (3,), or one a chunk, (p, 3), of any length but 0; the
            same for q, k1 and k2 and at every position. None: (0, 0, 1), so that the first two
            coordinates of a chunk turn as in `rotary_pairs` and the third stands still.

    Returns, Raises:
        as `rotary_pairs`; d must be at least 3, and no axis may be 0.

    Determinant logits see the offsets j - i and k - i only:

    >>> from simplex_lib.attention import determinant_logits
    >>> x = torch.randn(3, 1, 1, 5, 7, dtype=torch.float64)
    >>> early = determinant_logits(*(rotary_triples(t) for t in x))
    >>> late = determinant_logits(*(rotary_triples(t, torch.arange(5) + 1000) for t in x))
    >>> torch.allclose(early, late)
    True
    """
    size = check_inputs(x=(x, "b h s d"))
    require_chunk(x=x)
    chunks = size["d"] // 3
    angle = _angles(x, positions, frequencies, chunks=chunks)
    whole, rest = chunks_and_rest(x)
    wide = torch.promote_types(x.dtype, torch.float32)
    turned = rotate_about(whole.unflatten(-1, (-1, 3)).to(wide), _axes(x, axis, chunks), angle)
    return torch.cat([turned.flatten(-2).to(x.dtype), rest], -1)


def rotary_frequencies(
    p: int, *, base: float = 10_000.0, device: torch.device | None = None
) -> Float[Tensor, "p"]:
    """base ** (-l / p) for l = 0 to p - 1, in float64: 1 for the first chunk, slower ones after.

    With p = d / 2 and base 10000 the frequencies of arXiv:2104.09864.

    >>> rotary_frequencies(4).tolist()
    [1.0, 0.1, 0.01, 0.001]
    """
    require_count(p=p)
    if isinstance(base, bool) or not isinstance(base, Real):
        raise TypeError(f"base must be a number; got {kind(base)}.")
    if not sys.float_info.min <= (value := as_float(base)) < math.inf:
        raise ValueError(f"base must be positive and finite; got {base}.")
    exponent = torch.arange(p, dtype=torch.float64, device=device) / p
    return value**-exponent


def rotate_about(
    x: Float[Tensor, "*n 3"], axis: Float[Tensor, "*n 3"], angle: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 3"]:
    """Turn vectors of three coordinates by angle about axis (Rodrigues); shapes broadcast.

    With u the axis at length 1: x cos + (u x x) sin + u (u . x) (1 - cos). Seen with the axis
    pointing at the eye, a positive angle turns against the clock.

    >>> east, north, up = torch.eye(3)
    >>> torch.allclose(rotate_about(east, 5 * up, torch.tensor(torch.pi / 2)), north, atol=1e-6)
    True
    """
    for name, tensor in (("x", x), ("axis", axis), ("angle", angle)):
        require_tensor(**{name: tensor})
        require_alike(**{name: tensor})  # each may have a dtype of its own
        require_finite(**{name: tensor})
    require_same_device(x=x, axis=axis, angle=angle)
    for name, vectors in (("x", x), ("axis", axis)):
        if vectors.shape[-1:] != (3,):
            raise ValueError(f"{name} must be (..., 3); got {tuple(vectors.shape)}.")
    if not axis.is_meta and (axis == 0).all(-1).any():
        raise ValueError("axis must have a direction; got one that is 0.")
    try:
        torch.broadcast_shapes(x.shape[:-1], axis.shape[:-1], angle.shape)
    except RuntimeError:
        shapes = ", ".join(str(tuple(t.shape)) for t in (x, axis, angle))
        raise ValueError(
            f"x, axis and angle must be (..., 3), (..., 3) and (...) that broadcast; got {shapes}."
        ) from None
    axis = axis / axis.abs().amax(-1, keepdim=True)  # squares neither overflow nor vanish
    u = torch.nn.functional.normalize(axis, dim=-1, eps=0).to(x.dtype)
    cos, sin = angle.cos()[..., None].to(x.dtype), angle.sin()[..., None].to(x.dtype)
    x, u = torch.broadcast_tensors(x, u)
    along = u * (u * x).sum(-1, keepdim=True)
    return x * cos + torch.linalg.cross(u, x) * sin + along * (1 - cos)


def as_float(number: Real) -> float:
    """Infinity where it is too large for a float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _angles(
    x: Tensor, positions: Tensor | None, frequencies: Tensor | None, *, chunks: int
) -> Float[Tensor, "s p"]:
    """positions * frequencies in float64, in which position 10 ** 6 still has ten decimals."""
    s = x.shape[2]
    if positions is None:
        positions = torch.arange(s, device=x.device)
    if frequencies is None:
        frequencies = rotary_frequencies(chunks, device=x.device)
    bind_axes(x=(x, "b h s d"), positions=(positions, "s"), frequencies=(frequencies, "p"))
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise TypeError(f"positions must be integers; got {plain(positions.dtype)}.")
    require_alike(frequencies=frequencies)
    require_same_device(x=x, positions=positions, frequencies=frequencies)
    require_finite(frequencies=frequencies)
    if len(frequencies) != chunks:
        raise ValueError(f"frequencies must be ({chunks},), one a chunk; got {len(frequencies)}.")
    angle = positions.double()[:, None] * frequencies.double()
    require_finite(**{"positions * frequencies": angle})
    return angle


def _axes(x: Tensor, axis: Tensor | None, chunks: int) -> Float[Tensor, "p 3"]:
    if axis is None:
        return x.new_tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(chunks, 3)
    require_tensor(axis=axis)
    require_alike(axis=axis)
    require_same_device(x=x, axis=axis)
    require_finite(axis=axis)
    if axis.shape not in ((3,), (chunks, 3)):
        raise ValueError(f"axis must be (3,) or ({chunks}, 3); got {tuple(axis.shape)}.")
    return axis.double().expand(chunks, 3)
