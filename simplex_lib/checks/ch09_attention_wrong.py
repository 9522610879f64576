"""The mistakes that exercises 9.4 and 9.5 share, and what a learner reads of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from simplex_lib.checks.ch09_attention_common import Slip
from simplex_lib.checks.exercise import Wrong


def slips_first(*wrong: Wrong) -> tuple[Wrong, ...]:
    """Those that are asked in PyTorch before those that are kernels and take longer."""
    return tuple(sorted(wrong, key=lambda one: not isinstance(one.answer, Slip)))


def common_wrong(slip: Callable[..., Any], careless: Callable[..., Any]) -> tuple[Wrong, ...]:
    """slip, careless: make an answer with one thing changed, of either exercise."""
    return (
        Wrong(
            "only l rescaled",
            slip(rescale="sum"),
            "Your l changes its unit when the maximum moves, and so lse is right. acc keeps the "
            "old unit.",
        ),
        Wrong(
            "only acc rescaled",
            slip(rescale="acc"),
            "Your acc changes its unit when the maximum moves, and l keeps the old one.",
        ),
        Wrong(
            "no maximum",
            slip(top="none"),
            "It is right for small logits. For large ones exp overflows, and for very low ones "
            "every weight rounds to 0: no maximum is subtracted before it.",
        ),
        Wrong(
            "no scale",
            slip(scaled="never"),
            "Your logits lack the factor scale.",
        ),
        Wrong(
            "scale twice",
            slip(scaled="twice"),
            "Your logits are multiplied by scale twice.",
        ),
        Wrong(
            "a scale of its own",
            slip(scaled="by d"),
            "Your kernel scales by 1 / sqrt(d). The factor is an argument, scale, and here it is "
            "another number.",
        ),
        Wrong(
            "powers of 2, natural logarithm",
            slip(exp="2"),
            "Your weights are powers of 2 of the logits, not of e: exp(x) is exp2(x log2(e)).",
        ),
        Wrong(
            "powers of 2 throughout",
            slip(exp="2", lse_is="mixed the other way"),
            "Your weights are powers of 2 of the logits, and lse is m + log2(l). exp(x) is exp2(x "
            "log2(e)): the logits have to be multiplied by log2(e) before the loop's exp2, and "
            "lse by ln 2 after it.",
        ),
        Wrong(
            "lse to base 2",
            slip(lse_is="base 2"),
            "out is right. Your lse is that to base 2; multiplied by ln 2 it is the natural one.",
        ),
        Wrong(
            "mixed bases",
            slip(lse_is="mixed"),
            "out is right. Your lse adds a maximum in base 2 (logits times log2(e)) and a natural "
            "logarithm of l. Both parts need one base.",
        ),
        Wrong(
            "mixed bases, l to base 2",
            slip(lse_is="mixed the other way"),
            "out is right. Your lse adds a natural maximum and a logarithm of l to base 2. Both "
            "parts need one base.",
        ),
        Wrong(
            "lse without the maximum",
            slip(lse_is="no maximum"),
            "out is right. Your lse is ln l, and l is measured against the running maximum m, "
            "which has to come back in.",
        ),
        Wrong(
            "lse is the maximum",
            slip(lse_is="maximum"),
            "out is right. Your lse is the largest logit, m; ln l is missing.",
        ),
        Wrong(
            "half-precision accumulator",
            slip(acc_dtype=torch.float16),
            "Your acc is a float16, so that every step rounds it to 11 bits. The inputs may be "
            "float16; m, l and acc have to be float32.",
        ),
        Wrong(
            "nothing has other",
            slip(padding="both"),
            "Your loads have masks and no other=0.0. What a masked lane holds is then undefined, "
            "here it is NaN, and it goes into the dot products.",
        ),
        Wrong(
            "contiguous strides",
            careless(STRIDES="contiguous"),
            "Your kernel takes the tensors to be contiguous, with the strides that their shape "
            "would have. Each tensor has strides of its own, and they are passed beside it.",
        ),
        Wrong(
            "text and head exchanged",
            careless(AXES="text, head"),
            "In your kernel program_id(1) is the text and program_id(2) the head. The grid is "
            "(tiles, h, b): it is the other way round.",
        ),
        Wrong(
            "rescaled after adding",
            slip(rescale="late"),
            "You multiply by exp(m - m_new) after the new tile is added. Its terms are measured "
            "against m_new already; only what was there before has to change its unit.",
        ),
        Wrong(
            "acc rescaled after adding",
            slip(rescale="acc_late"),
            "Your acc is multiplied by exp(m - m_new) after the new terms are added to it. They "
            "are measured against m_new already; only what was there before has to change its "
            "unit.",
        ),
        Wrong(
            "m stays where it began",
            slip(advance=False),
            "These are the numbers of a loop in which m keeps the value that it began with: m = "
            "m_new is missing at the end of a step. Then each step wipes out what came before it, "
            "and lse has no maximum in it.",
        ),
        Wrong(
            "lse without the logarithm",
            slip(lse_is="no logarithm"),
            "out is right. Your lse is m + l, where m + ln l is asked for: the logarithm is "
            "missing.",
        ),
        Wrong(
            "lse with a minus sign",
            slip(lse_is="minus"),
            "out is right. Your lse is m - ln l. The sum of exp(logit) is exp(m) times l, and its "
            "logarithm m + ln l.",
        ),
        Wrong(
            "divided in every step and once more",
            slip(divide="each, and once"),
            "You divide acc by l in every step, and after the loop again. The next step adds to "
            "acc what is not divided yet. Divide once, after the loop.",
        ),
        Wrong(
            "terms divided",
            slip(divide="terms"),
            "You divide what each step adds to acc by the l of that step. l goes on to grow, and "
            "then the earlier terms have been divided by too little. Divide once, after the loop.",
        ),
        Wrong(
            "terms divided, acc once more",
            slip(divide="terms, and once"),
            "You divide what each step adds to acc by l, and acc again after the loop. Divide "
            "once, after the loop.",
        ),
        Wrong(
            "accumulator in the inputs' dtype",
            slip(acc_dtype=None),
            "It is right for float32. For float16 your acc is rounded to float16 in every step, "
            "and a large sum then has no digits left for small terms: p.to(...) is for the "
            "weights. acc stays float32 until it is stored.",
        ),
        Wrong(
            "last strides left out",
            careless(STRIDES="last is 1"),
            "Your kernel takes the last stride of every tensor to be 1, as if neighbouring "
            "columns were neighbours in memory. It is a stride like the others, and here it is "
            "not always 1.",
        ),
        Wrong(
            "program 0 does everything",
            careless(WHO="the first"),
            "Program (0, 0, 0) goes over all tiles, heads and texts, and all other programs do "
            "nothing. They could work at the same time: each does the tile that its ids name.",
        ),
        Wrong(
            "first program of a head does everything",
            careless(WHO="the first of a head"),
            "The first program of each head goes over all tiles of queries, and the others do "
            "nothing. They could work at the same time: each does the tile that its ids name.",
        ),
        Wrong(
            "tiles from the end",
            careless(WHO="from the end"),
            "Your programs take the tiles of queries in reverse order: program 0 the last one.",
        ),
    )
