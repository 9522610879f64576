"""Exercise 5.6: the Multi-Token layer as nn.Module. Its answers are in `ch05_layers.py`.

Axes: b batch, h head, s sequence length, d head_dim; d_model = h * d = n * c * d; cq and ck taps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simplex_lib.checks import ch05_layers as answers
from simplex_lib.checks.ch05_common import Word, require_odd, require_words, truth_convolved
from simplex_lib.checks.ch05_layer_parts import (
    MAPS,
    part,
    require_identity_kernel,
    require_identity_mixing,
    require_linear,
    require_nothing_else,
    require_parameter,
)
from simplex_lib.checks.ch05_layer_slips import SLIPS
from simplex_lib.checks.ch05_mixing import truth_mixing
from simplex_lib.checks.ch05_norm import truth_norm
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

KERNELS = ("pre_kernel", "post_kernel")
MIXINGS = ("pre_mixing", "post_mixing")
ON, OFF = Word(1, "True"), Word(2, "False")
LOW, USUAL = Word(3, "low"), Word(4, "usual")
FINITE = "finite and not missing"


def layer_inputs(
    draw: Draw, *, b: int, s: int, n: int, c: int, d: int, cq: int, ck: int, norm: int, logits: int
) -> dict[str, Any]:
    require_odd(ck)
    require_words(norm, logits, sizes=(b, s, n, c, d, cq, ck))
    if norm not in (ON, OFF) or logits not in (LOW, USUAL):
        raise ValueError("norm and logits have changed places.")
    h, width = n * c, n * c * d
    x = draw.normal(b, s, width)
    parts = {name: 1.5 * draw.normal(width, width) / math.sqrt(width) for name in MAPS}
    parts |= {name: draw.normal(h, cq, ck) for name in KERNELS}
    parts |= {name: draw.normal(n, c, c) for name in MIXINGS}
    if norm == ON:
        parts["norm_weight"] = draw.uniform(0.5, 2, d)
        parts["gate_weight"], parts["gate_bias"] = 2 * draw.normal(1, d), draw.normal(1)
    return dict(x=x) | parts if logits == USUAL else _low(x, parts, d)


def _low(x: Tensor, parts: dict[str, Tensor], d: int) -> dict[str, Any]:
    """All logits lie near -2^36 / sqrt(d), in steps of which no digit is lost where d is 4."""
    x = (4 * x).round() / 4
    x[..., 0] = 1
    for name, number in (("wq", 2.0), ("wk", -(2.0**35))):
        parts[name] = (4 * parts[name]).round() / 4
        parts[name][::d] = 0
        parts[name][::d, 0] = number
    kernel, mixing = torch.zeros_like(parts["pre_kernel"]), parts["pre_mixing"]
    kernel[:, -1, kernel.shape[2] // 2] = 1
    eye = torch.eye(mixing.shape[1], dtype=mixing.dtype).expand_as(mixing).clone()
    return dict(x=x) | parts | dict(pre_kernel=kernel, pre_mixing=eye)


def ask_layer(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Builds the layer, looks at its start, puts the given numbers in, calls it on x."""
    x, given = arguments["x"], {k: v for k, v in arguments.items() if k != "x"}
    norm = "gate_bias" in given
    if isinstance(answer, nn.Module):
        raise Rejected(
            "an instance",
            "The check wants the class itself, without brackets, so that it can build layers of "
            "several sizes.",
        )
    h, cq, ck = given["pre_kernel"].shape
    sizes = (x.shape[-1], h, cq, ck, given["pre_mixing"].shape[-1])
    layer = answer(*sizes, norm=True) if norm else answer(*sizes)
    if not isinstance(layer, nn.Module):
        raise Rejected(
            "no module",
            f"The layer should be an nn.Module; yours is a {type(layer).__name__}. Does the class "
            "derive from nn.Module?",
        )
    wanted = {name: tuple(given[name].shape) for name in (*KERNELS, *MIXINGS)}
    if norm:
        wanted["norm_weight"] = tuple(given["norm_weight"].shape)
    for name in MAPS:
        require_linear(layer, name, x.shape[-1], x.shape[-1], bias=False)
    for name, shape in wanted.items():
        require_parameter(layer, name, shape)
    if norm:
        require_linear(layer, "gate", x.shape[-1] // h, 1, bias=True)
    require_nothing_else(layer, given)
    for name in KERNELS:
        require_identity_kernel(name, getattr(layer, name).detach())
    for name in MIXINGS:
        require_identity_mixing(name, getattr(layer, name).detach())
    if norm and not bool((layer.get_parameter("norm_weight") == 1).all()):
        raise Rejected("norm start", "At the start `norm_weight` should be 1 everywhere.")
    layer = layer.to(x.dtype)
    with torch.no_grad():
        for name, value in given.items():
            part(layer, name).copy_(value)
    found = layer(x)
    if not isinstance(found, Tensor) or not bool(torch.isfinite(found).all()):
        return found, FINITE
    if found.ndim == x.ndim + 1 and found.numel() == x.numel():
        raise Rejected(
            "heads not joined",
            f"out should have shape {tuple(x.shape)}; yours has {tuple(found.shape)}. The heads "
            "still have an axis of their own.",
        )
    return found.detach(), _gradients(layer, found)


def _gradients(layer: nn.Module, out: Tensor) -> str:
    """Which parameters lack a gradient, or have one that is not finite."""
    if not out.requires_grad:
        return "missing for all parameters"
    out.sum().backward()
    grads = {name: p.grad for name, p in layer.named_parameters()}
    missing = [name for name, grad in grads.items() if grad is None]
    if missing:
        return f"missing for {', '.join(missing)}"
    bad = [name for name, g in grads.items() if g is not None and not torch.isfinite(g).all()]
    return f"NaN or infinite for {', '.join(bad)}" if bad else FINITE


def truth_layer(x: Tensor, **parts: Tensor) -> tuple[Tensor, str]:
    s, width, h = *x.shape[1:], len(parts["pre_kernel"])
    d = width // h
    q, k, v = (
        torch.stack([x @ parts[name][n * d : (n + 1) * d].T for n in range(h)], 1)
        for name in MAPS[:3]
    )
    raw = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(d)
    logits = truth_mixing(truth_convolved(raw, parts["pre_kernel"]), parts["pre_mixing"])
    probs = torch.zeros_like(logits)
    for i in range(s):
        row = logits[:, :, i, : i + 1]
        e = (row - row.amax(-1, keepdim=True)).exp()
        probs[:, :, i, : i + 1] = e / e.sum(-1, keepdim=True)
    new = truth_convolved(probs, parts["post_kernel"])
    for i in range(s):
        new[:, :, i, i + 1 :] = 0
    heads = torch.einsum("bhij,bhjd->bhid", truth_mixing(new, parts["post_mixing"]), v)
    if "gate_bias" in parts:
        gate = (parts["gate_weight"][0], parts["gate_bias"][0])
        heads = truth_norm(heads, parts["norm_weight"], None, *gate)
    side_by_side = torch.cat([heads[:, n] for n in range(h)], -1)
    return side_by_side @ parts["wo"].T, FINITE


LAYER = Exercise(
    id="5.6",
    title="The whole layer",
    minutes=20,
    inputs=layer_inputs,
    sizes=(
        dict(b=1, s=4, n=1, c=2, d=2, cq=3, ck=5, norm=OFF, logits=USUAL),
        dict(b=3, s=5, n=2, c=2, d=3, cq=4, ck=3, norm=OFF, logits=USUAL),
        dict(b=1, s=6, n=3, c=1, d=2, cq=1, ck=3, norm=OFF, logits=USUAL),
        dict(b=1, s=5, n=2, c=1, d=4, cq=2, ck=3, norm=OFF, logits=LOW),
        dict(b=1, s=3, n=1, c=3, d=2, cq=5, ck=7, norm=ON, logits=USUAL),
        dict(b=2, s=6, n=3, c=2, d=4, cq=3, ck=5, norm=ON, logits=USUAL),
    ),
    truth=truth_layer,
    outputs=("out: b i d_model", "gradients"),
    wrong=(
        Wrong(
            "heads before positions",
            answers.HeadsFirst,
            "The features were reshaped to (b, h, s, d) in one go. That keeps the numbers in their "
            "order in memory, so a head's rows come from several positions at once.",
        ),
        Wrong(
            "interleaved heads",
            answers.Interleaved,
            "Head 0 took every n_heads-th feature of the projections. A head owns d neighbouring "
            "features: the first d belong to head 0.",
        ),
        Wrong(
            "heads joined in the wrong order",
            answers.JoinedByView,
            "The heads were split rightly. On the way back, (b, h, s, d) was reshaped to "
            "(b, s, h · d) while h still stood before s, so positions and heads are mixed.",
        ),
        Wrong("heads not joined", answers.NotJoined, "The heads still have an axis of their own."),
        Wrong(
            "no output map",
            answers.NoOutput,
            "The heads side by side are returned as they are; `wo` is never used.",
        ),
        Wrong(
            "input added",
            answers.Residual,
            "You added the input to the output. A block does that later; the layer returns what "
            "the heads found.",
        ),
        Wrong(
            "scale of the whole width",
            answers.FullScale,
            "The logits are divided by the square root of d_model. A logit is a sum over the d "
            "coordinates of one head.",
        ),
        Wrong("no scale", answers.Unscaled, "The logits are not divided by the square root of d."),
        Wrong(
            "keys for values",
            answers.KeysForValues,
            "`wv` is never used: the keys are summed where the values belong.",
        ),
        Wrong(
            "mixed before the first convolution",
            answers.MixedFirst,
            "Before the softmax your heads are mixed first and convolved afterwards. The kernels "
            "differ from head to head, so the order counts: first the convolution.",
        ),
        Wrong(
            "mixed before the second convolution",
            answers.MixedFirstAfter,
            "After the softmax your heads are mixed first and convolved afterwards. The kernels "
            "differ from head to head, so the order counts: first the convolution.",
        ),
        Wrong(
            "mixed before both convolutions",
            answers.MixedFirstTwice,
            "Your heads are mixed first and convolved afterwards, on both sides of the softmax. "
            "The kernels differ from head to head, so the order counts: first the convolution.",
        ),
        Wrong(
            "pre_kernel unused",
            answers.NoPreKernel,
            "`pre_kernel` changes nothing: the logits are mixed and not convolved.",
        ),
        Wrong(
            "post_kernel unused",
            answers.NoPostKernel,
            "`post_kernel` changes nothing: the probabilities are mixed and not convolved.",
        ),
        Wrong(
            "pre_mixing unused",
            answers.NoPreMixing,
            "`pre_mixing` changes nothing: the logits are convolved and not mixed.",
        ),
        Wrong(
            "post_mixing unused",
            answers.NoPostMixing,
            "`post_mixing` changes nothing: the weights are convolved and not mixed.",
        ),
        Wrong(
            "kernels exchanged",
            answers.KernelsExchanged,
            "The two kernels have changed places: `post_kernel` convolves the logits in yours.",
        ),
        Wrong(
            "mixings exchanged",
            answers.MixingsExchanged,
            "The two mixings have changed places: `post_mixing` mixes the logits in yours.",
        ),
        Wrong(
            "pre twice",
            answers.PreTwice,
            "`pre_kernel` and `pre_mixing` work on both sides of the softmax, and the two others "
            "change nothing.",
        ),
        Wrong(
            "mixings transposed",
            answers.Transposed,
            "Your mixing matrices are transposed: mixing[g, o, e] is what new head o takes of old "
            "head e.",
        ),
        Wrong(
            "no mask before",
            answers.NoFirstMask,
            "The raw logits above the diagonal are not 0 when the convolution reads them: the "
            "future comes in through the taps.",
        ),
        Wrong(
            "no mask in the softmax",
            answers.NoSecondMask,
            "The softmax runs over later keys too: after convolution and mixing the −inf above the "
            "diagonal is missing.",
        ),
        Wrong(
            "finite mask",
            answers.FiniteMask,
            "The future is hidden by a finite number. That is an ordinary logit: where all logits "
            "of the past lie lower, the future gets everything.",
        ),
        Wrong(
            "no mask after",
            answers.NoLastMask,
            "After the second convolution the weights above the diagonal are not put to 0: later "
            "values get a share.",
        ),
        Wrong(
            "renormalised",
            answers.Renormalised,
            "The last weights are divided by the sums of their rows. Nothing is normalised after "
            "the softmax, until the norm of the heads.",
        ),
        Wrong(
            "queries on both sides",
            answers.BothSides,
            "Your kernels read rows of later queries: the query axis is padded on both sides.",
        ),
        Wrong(
            "kernels turned round",
            answers.TurnedRound,
            "Your kernels are flipped in both axes. The last row belongs to query i, and the "
            "column on the left of the middle to key j − 1.",
        ),
        Wrong(
            "one kernel",
            answers.OneKernel,
            "Every head got the kernel of head 0. Each head has a kernel of its own.",
        ),
        Wrong(
            "gradient of -inf",
            answers.InfinityMixed,
            "The output is right, and a gradient is NaN. The mixing gets maps with −inf in them: a "
            "mask afterwards mends the maps, and the gradient of the mixing still multiplies "
            "0 · (−inf). Let the mixing read 0 there.",
        ),
        Wrong(
            "-inf mixed",
            answers.InfinityLeft,
            "The mask of −inf comes before the mixing and none after it. A sum of −inf with "
            "weights of either sign is NaN or +inf; the mask belongs between mixing and softmax.",
        ),
        Wrong(
            "norm left out",
            answers.NoNorm,
            "With norm=True your heads are gated and not normalised.",
        ),
        Wrong(
            "gate left out",
            answers.NoGate,
            "With norm=True your heads are normalised and not gated.",
        ),
        Wrong(
            "gate before the norm",
            answers.GateFirst,
            "With norm=True your heads are gated first and normalised afterwards. First the norm.",
        ),
        Wrong(
            "depth too",
            answers.DepthToo,
            "With norm=True your heads are scaled by 0.8 as well, the factor of layer 0. This "
            "layer has the gate in its place.",
        ),
        Wrong(
            "norm of all heads",
            answers.NormOfAll,
            "With norm=True the mean square runs over all heads of a token. Each head is "
            "normalised alone.",
        ),
        Wrong(
            "no gradient",
            answers.Cut,
            "The output is right, and no parameter would learn: detach, .data or no_grad cuts the "
            "output off from all of them.",
        ),
        Wrong(
            "pre_kernel cut",
            answers.KernelCut,
            "The output is right, and `pre_kernel` would not learn: detach or .data cuts it off.",
        ),
        Wrong("bias", answers.Biased, "A map has a bias."),
        Wrong("tap in the first row", answers.TapAt, "The identity stands in the first row."),
        Wrong("tap in the middle row", answers.MiddleRow, "The identity stands in another row."),
        Wrong("tap in the first column", answers.FirstColumn, "The identity is another key."),
        Wrong("tap in the last column", answers.LastColumn, "The identity is another key."),
        Wrong("zeros at the start", answers.ZeroKernels, "The kernels begin as zeros."),
        Wrong("constant at the start", answers.ConstantKernels, "The kernels begin constant."),
        Wrong("kernel start", answers.RandomKernels, "The kernels do not begin as the identity."),
        Wrong("constant mixing", answers.EqualMixing, "The mixings begin constant."),
        Wrong("mixing start", answers.RandomMixing, "The mixings do not begin as the identity."),
        Wrong("shared", answers.OneParameter, "Two parameters share their memory."),
        Wrong("expanded", answers.Expanded, "The matrices of a mixing are one in memory."),
        Wrong("misshaped", answers.Misshaped, "A parameter has another shape."),
        Wrong("no parameter", answers.PlainTensor, "A kernel is no parameter."),
        Wrong("missing", answers.NoMixings, "A parameter is missing."),
        Wrong("extra", answers.NormAlways, "A parameter was not asked for."),
        *SLIPS,
    ),
    right=(
        Right("all heads at once", answers.Layer),
        Right("head by head", answers.RightByHeads),
    ),
    hints=(
        "You have written every step: 5.1, 5.4, a softmax, 5.3, 5.4, 5.5, with the layer of "
        "exercise 1.6 round them. In which order, and what does each hand to the next?",
        "5.1 returns −inf above the diagonal, and mixing multiplies it: 0 · (−inf) is NaN, in the "
        "gradient too. tril() of the logits gives 0 there; mask again right before the softmax.",
        "in __init__: four nn.Linear without bias; zeros (h, c_q, c_k), 1 at [:, −1, c_k // 2]; "
        "torch.eye(mix) repeated h // mix times; clone what is used twice. forward: raw = q kᵀ / "
        "√d; convolve; tril; mix; −inf above the diagonal; softmax; convolve; 0 above; mix; times "
        "v; norm and gate; transpose, flatten, wo.",
    ),
    why="Two kernels and two mixings hold few numbers beside the four matrices, and at the start "
    "they change nothing: the layer begins as multi-head attention and learns what to read "
    "together.",
    another_way="convolution and mixing before the softmax are one 3-D convolution: over the "
    "queries, the keys and the heads of a group.",
    ask=ask_layer,
    kind="module",
    smallest=dict(s=2, norm=OFF, logits=USUAL),
)
