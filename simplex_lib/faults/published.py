"""Faults of published kernels, made again in one line each.

What each one says of public code was read there, not run, unless it says otherwise. FBGEMM is
pytorch/FBGEMM, fbgemm_gpu/experimental/simplicial_attention, at commit 71d6f8b; lucidrains is
lucidrains/simplicial-attention at 2c50785. The lines below are ours: they make the same mistake
and are no copy of that code.
"""

import math

from simplex_lib.faults.attention import QUERIES, PairAttention


class MixedBases(PairAttention):
    """FBGEMM's forward keeps the largest logit in base 2 and adds a natural logarithm.

    Its backward takes the sum for natural. Measured: fed with it, every gradient is wrong.
    """

    name = "lse in two bases"

    def lse(self, m_log2, total):
        return m_log2 + total.log()


class WrongSlots(PairAttention):
    """FBGEMM's wrapper hands arguments to its backward in another order than declared.

    Which ones we have not recorded: to exchange lse and delta is our example.
    """

    name = "two arguments exchanged"

    def __init__(self, one: str = "lse", other: str = "delta"):
        self.one, self.other = one, other

    def arguments(self, named):
        return named | {self.one: named[self.other], self.other: named[self.one]}


class WrongStride(PairAttention):
    """FBGEMM's backward moves from text to text in delta by dout's stride, d times too far.

    What stands in the places that are never written is not known: 0 is our example.
    """

    name = "delta with dout's stride"

    def delta_stride(self, h, s, d):
        return h * s * d


class IgnoredConstants(PairAttention):
    """FBGEMM's kernels accept constants for k2 and v2, and do not add them."""

    name = "constants ignored"

    def add(self, x, constant):
        return x


class ZeroIsNothing(PairAttention):
    """FBGEMM asks `if not k2_bias`, so that 0.0 becomes the default 1 / d (and v2_bias 1)."""

    name = "0.0 taken for None"

    def constant(self, asked, default):
        return asked or default


class RoundedRows(PairAttention):
    """FBGEMM's kernel for dq, dk2 and dv2 rounds lse and delta to bfloat16."""

    name = "lse, delta in bfloat16"

    def row_numbers(self, lse, delta):
        return lse.bfloat16().to(lse.dtype), delta.bfloat16().to(delta.dtype)


class FirstHeadOnly(PairAttention):
    """FBGEMM's module makes as many key heads as query heads; its forward reads the first only."""

    name = "first key head only"

    def key_heads(self, x, h):
        return x[:, :1].expand(-1, h, -1, -1)


class DoubleCount(PairAttention):
    """Reported of pseudo-code in articles, not read by us: both kernels add the whole of dq."""

    name = "dq added twice"

    def first_dq(self, dlogits, k1, k2):
        return self.whole_dq(dlogits, k1, k2)


class ShortGrid(PairAttention):
    """lucidrains, issue #1 (since closed): tiles of keys, counted by the length of query tiles.

    Keys past the last program get no gradient. Tiles of 4 keys and 8 queries are our example.
    """

    name = "grid counts query tiles"

    def programs(self, s):
        return math.ceil(s / QUERIES)


class WideWindow(PairAttention):
    """The reference of a re-implementation (utils/simplical_attn) sees w + 1 keys."""

    name = "window of w + 1"

    def window(self, behind, w):
        return (behind >= 0) & (behind <= w)
