"""Exercise 10.5: the autograd function.

Its kernels are in `ch10_function_kernels.py`, how it is asked in `ch10_function_ask.py`, its
answers in `ch10_function_answers.py`.
Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim, dv size
of a value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks import ch10_function_answers as answers
from simplex_lib.checks.ch10_function_answers import function
from simplex_lib.checks.ch10_function_ask import ask_function
from simplex_lib.checks.ch10_function_kernels import windows
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def function_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, dv: int) -> dict[str, Any]:
    keys = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    values = {name: draw.normal(b, h, s, dv) for name in ("v1", "v2", "dout")}
    return keys | values | dict(dlse=draw.normal(b, h, s), scale=0.3 + 0.07 * s)


def truth_function(
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    dout: Tensor,
    dlse: Tensor,
    scale: float,
) -> tuple[Tensor, ...]:
    """out and lse query by query over the pairs in its two windows; gradients by autograd."""
    inputs = [x.clone().requires_grad_() for x in (q, k1, k2, v1, v2)]
    b, h, s, _ = q.shape
    w1, w2 = windows(s)
    outs, lses = [], []
    for n, m, i in torch.cartesian_prod(*(torch.arange(x) for x in (b, h, s))).tolist():
        one_q, one_k1, one_k2, one_v1, one_v2 = (x[n, m] for x in inputs)
        past = range(i + 1)
        pairs = [(j, k) for j in past for k in past if i - w1 < j and i - w2 < k]
        first, second = (torch.tensor(at) for at in zip(*pairs, strict=True))
        logits = scale * (one_q[i] * one_k1[first] * one_k2[second]).sum(-1)
        lses.append(logits.exp().sum().log())
        probs = (logits - lses[-1]).exp()
        outs.append((probs[:, None] * one_v1[first] * one_v2[second]).sum(0))
    out, lse = torch.stack(outs).view_as(v1), torch.stack(lses).view(b, h, s)
    gradients = torch.autograd.grad((out * dout).sum(), inputs)
    return out.detach(), lse.detach(), *gradients


FUNCTION = Exercise(
    id="10.5",
    title="The autograd function",
    minutes=15,
    inputs=function_inputs,
    sizes=(
        dict(b=1, h=1, s=2, d=1, dv=3),
        dict(b=1, h=2, s=12, d=1, dv=2),  # a cube, or a square, is more than all inputs
        dict(b=1, h=2, s=4, d=3, dv=5),
        dict(b=2, h=3, s=5, d=4, dv=6),
    ),
    truth=truth_function,
    outputs=(
        "out: b h i dv",
        "lse: b h i",
        "dq: b h i d",
        "dk1: b h j d",
        "dk2: b h k d",
        "dv1: b h j dv",
        "dv2: b h k dv",
    ),
    wrong=(
        Wrong(
            "dk1 and dk2 exchanged",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dq, dk2, dk1, dv1, dv2)),
            "backward returns dk2 where k1 stands among the arguments, and dk1 where k2 stands. "
            "Their shapes are alike, so autograd cannot notice.",
        ),
        Wrong(
            "dv1 and dv2 exchanged",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dq, dk1, dk2, dv2, dv1)),
            "backward returns dv2 where v1 stands among the arguments, and dv1 where v2 stands. "
            "Their shapes are alike, so autograd cannot notice.",
        ),
        Wrong(
            "both exchanged",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dq, dk2, dk1, dv2, dv1)),
            "backward returns the gradients of the second key and value where the first ones "
            "stand among the arguments, and the other way round.",
        ),
        Wrong(
            "dq and dk2 exchanged",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dk2, dk1, dq, dv1, dv2)),
            "backward returns dk2 where q stands among the arguments, and dq where k2 stands. "
            "Their shapes are alike, so autograd cannot notice.",
        ),
        Wrong(
            "dq and dk1 exchanged",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dk1, dq, dk2, dv1, dv2)),
            "backward returns dk1 where q stands among the arguments, and dq where k1 stands. "
            "Their shapes are alike, so autograd cannot notice.",
        ),
        Wrong(
            "keys exchanged on the way",
            function(given=answers.exchanged),
            "The kernels of the backward pass get k2 in the place of k1 and k1 in that of k2.",
        ),
        Wrong(
            "values exchanged on the way",
            function(given=answers.values_exchanged),
            "The kernels of the backward pass get v2 in the place of v1 and v1 in that of v2.",
        ),
        Wrong(
            "both exchanged on the way",
            function(given=answers.both_exchanged),
            "The kernels of the backward pass get k2 and v2 in the place of k1 and v1, and these "
            "in theirs. What the kernels return stands in the right order.",
        ),
        Wrong(
            "keys exchanged in forward",
            function(launch=answers.forward_with_keys_exchanged),
            "`kernels.forward` gets k2 in the place of k1 and k1 in that of k2.",
        ),
        Wrong(
            "values exchanged in forward",
            function(launch=answers.forward_with_values_exchanged),
            "`kernels.forward` gets v2 in the place of v1 and v1 in that of v2.",
        ),
        Wrong(
            "both exchanged in forward",
            function(launch=answers.forward_with_both_exchanged),
            "`kernels.forward` gets k2 and v2 in the place of k1 and v1, and these in theirs. "
            "Without windows nobody sees it, since all pairs are summed; the kernels of the check "
            "have two windows, and they differ.",
        ),
        Wrong(
            "both exchanged in all three",
            function(
                launch=answers.forward_with_both_exchanged,
                given=answers.both_exchanged,
            ),
            "All three kernels get k2 and v2 in the place of k1 and v1, and these in theirs; the "
            "gradients are returned in the kernels' order, as if nothing were exchanged.",
        ),
        Wrong(
            "exchanged there and back",
            function(
                launch=answers.forward_with_both_exchanged,
                given=answers.both_exchanged,
                order=lambda dq, dk1, dk2, dv1, dv2: (dq, dk2, dk1, dv2, dv1),
            ),
            "All three kernels get k2 and v2 in the place of k1 and v1, and the gradients are "
            "exchanged back. That is attention with its two windows exchanged.",
        ),
        Wrong(
            "delta forgotten",
            function(delta=lambda dout, out, dlse: -dlse),
            "dv1 and dv2 are right, and the kernels get a delta without the sum of dout · out.",
        ),
        Wrong(
            "delta negative",
            function(delta=lambda dout, out, dlse: -(dout * out).sum(-1) - dlse),
            "dv1 and dv2 are right. The sum of dout · out has the wrong sign in your delta.",
        ),
        Wrong(
            "delta averaged",
            function(delta=lambda dout, out, dlse: (dout * out).mean(-1) - dlse),
            "dv1 and dv2 are right. Your delta is the mean of dout · out over the coordinates; it "
            "is the sum.",
        ),
        Wrong(
            "delta without dout",
            function(delta=lambda dout, out, dlse: out.sum(-1) - dlse),
            "dv1 and dv2 are right. Your delta is the sum of out, and dout is missing in it.",
        ),
        Wrong(
            "delta without out",
            function(delta=lambda dout, out, dlse: dout.sum(-1) - dlse),
            "dv1 and dv2 are right. Your delta is the sum of dout, and out is missing in it.",
        ),
        Wrong(
            "lse and delta exchanged",
            function(given=answers.lse_and_delta_exchanged),
            "The kernels of the backward pass get delta in the place of lse and lse in that of "
            "delta. Their shapes are alike.",
        ),
        Wrong(
            "no scale in backward",
            function(given=answers.no_scale),
            "out and lse are right. The kernels of the backward pass get 1 for scale.",
        ),
        Wrong(
            "scaled again",
            function(given=answers.scaled_again),
            "out and lse are right. The kernels of the backward pass get scale and a q that has "
            "been multiplied by it.",
        ),
        Wrong(
            "scaled instead",
            function(given=answers.scaled_instead),
            "All is right but dq. The kernels of the backward pass get scale · q in the place of q "
            "and 1 for scale, so what they return is the gradient of scale · q.",
        ),
        Wrong(
            "dout not used",
            function(given=answers.no_dout),
            "out and lse are right. The kernels of the backward pass get ones in the place of "
            "dout.",
        ),
        Wrong(
            "order of the gradients",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (dk1, dv1, dq, dk2, dv2)),
            "Refused by autograd.",
        ),
        Wrong("number of gradients", function(others=(None,)), "Refused by autograd."),
        Wrong("more gradients than arguments", function(others=(None,) * 3), "Refused."),
        Wrong(
            "gradient of what is no tensor",
            function(others=(torch.zeros(()), None)),
            "Refused by autograd.",
        ),
        Wrong(
            "None for a needed gradient",
            function(order=lambda dq, dk1, dk2, dv1, dv2: (None, dk1, dk2, dv1, dv2)),
            "Refused.",
        ),
        Wrong("dout not contiguous", function(straight_dout=answers.as_it_is), "Refused."),
        Wrong("inputs not contiguous", function(straight=answers.as_it_is), "Refused."),
        Wrong("tensor on ctx", function(keep=answers.on_ctx, kept=answers.from_ctx), "Refused."),
        Wrong(
            "two calls mixed",
            function(keep=answers.in_a_global, kept=lambda ctx: answers.LAST["saved"]),
            "Refused.",
        ),
        Wrong("too much kept", function(more=answers.probabilities), "Refused."),
        Wrong("saved past autograd", function(keep=answers.detached), "Refused."),
        Wrong("backward changes what it reads", function(delta=answers.delta_in_place), "Refused."),
        Wrong("list of results", function(results=lambda ctx, out, lse: [out, lse]), "Refused."),
        Wrong("no function", answers.Plain, "Refused."),
        Wrong("dout changed in place", function(straight_dout=answers.turned), "Refused."),
        Wrong("results", function(results=lambda ctx, out, lse: out), "Refused."),
        Wrong("out without a gradient", function(results=answers.marked_out), "Refused."),
        Wrong(
            "shape for a kernel",
            function(delta=lambda dout, out, dlse: (dout * out).sum(-1, keepdim=True)),
            "Refused by a kernel.",
        ),
        Wrong("launched for nothing", function(needs=lambda ctx: (True,) * 7), "Refused."),
        Wrong("forward launched twice", function(launch=answers.launched_twice), "Refused."),
        Wrong("forward launched again", answers.Again, "Refused."),
        Wrong("tensor on kernels", function(launch=answers.kept_on_kernels), "Refused."),
        Wrong("converted", function(given=answers.in_single), "Refused by a kernel."),
        Wrong(
            "rounded",
            function(delta=lambda *x: answers.delta_of(*x).float().double()),
            "Refused.",
        ),
        Wrong("forward changes its input", function(after=answers.scale_in_place), "Refused."),
        Wrong("launched twice", answers.each_for_itself(), "Refused."),
        Wrong(
            "lse without its gradient",
            function(delta=lambda dout, out, dlse: (dout * out).sum(-1)),
            "Refused.",
        ),
        Wrong(
            "sign of dlse",
            function(delta=lambda dout, out, dlse: (dout * out).sum(-1) + dlse),
            "Refused.",
        ),
        Wrong("second derivative", function(decorate=answers.as_it_is), "Refused."),
    ),
    right=(
        Right("both outputs differentiable", function()),
        Right("lse marked", function(results=answers.marked)),
        Right("forward and setup_context", answers.WithSetup),
    ),
    hints=(
        "Two questions decide everything. What must backward know that only forward has seen? And "
        "how many things were given to apply, so how many does backward owe?",
        "ctx.save_for_backward for tensors, plain attributes of ctx for the rest. A dout that "
        "comes from out.sum() is one number with strides 0. lse is an output as well: what does "
        "the gradient that arrives for it add to dS, if dlse/dS is P?",
        "forward: make the five contiguous; launch; save the five, out and lse; keep scale and "
        "kernels; return out, lse. backward (once_differentiable): dout contiguous; delta = "
        "Σ dout · out − dlse; launch first_key if k1 or v1 needs a gradient, second_key if q, k2 "
        "or v2 does; return dq, dk1, dk2, dv1, dv2, None, None.",
    ),
    why="Autograd asks two things of a function it cannot look into: a forward that keeps what is "
    "needed, and a backward that returns one gradient an argument. What is kept is the size of "
    "the inputs, with a cube of probabilities in between that never existed.",
    another_way="torch.library.custom_op with register_autograd, as the library does: the same "
    "two functions, and torch.compile can see the operator.",
    ask=ask_function,
    variants=("strided",),
    smallest=dict(s=2),
)
