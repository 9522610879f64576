"""Wrong answers to exercises 5.1 to 5.8 that are on no list: what a check must not misname.

Each stands beside the causes that are true of it; `test_chapter05.py` asks them all.
"""

import math

import torch
from torch import nn
from torch.nn.functional import conv2d, pad

INF = float("inf")
GENERAL = set("other part axis constant factor nan precision offset inf flipped".split())


def future(x):
    return torch.ones_like(x, dtype=torch.bool).triu(1)


def convolve(maps, kernel, *, up=0, left=0, groups=None, mode="constant", dilation=1):
    """Right as it stands."""
    h, rows, columns = kernel.shape
    above, before = dilation * (rows - 1) + up, dilation * (columns // 2) + left
    below, behind = -up, dilation * (columns // 2) - left
    padded = pad(maps, (before, behind, above, below), mode=mode)
    return conv2d(padded, kernel[:, None], groups=h, dilation=dilation)


def pre(
    change=lambda x, k: (x.tril(), k), after=lambda new: new.masked_fill(future(new), -INF), **keys
):
    return lambda logits, kernel: after(convolve(*change(logits, kernel), **keys))


def post(change=lambda x, k: (x, k), after=torch.tril, **keys):
    return lambda probs, kernel: after(convolve(*change(probs, kernel), **keys))


def hide(x):
    return x.masked_fill(future(x), -INF)


def one_tap(kernel):
    kernel = kernel.clone()
    kernel[:, -1, kernel.shape[2] // 2] = 1
    return kernel


def in_kernel(change):
    """The same mistake before and after the softmax."""
    return [
        ("5.1", pre(lambda x, k: (x.tril(), change(k)))),
        ("5.3", post(lambda x, k: (x, change(k)))),
    ]


def in_place(**keys):
    return [("5.1", pre(**keys)), ("5.3", post(**keys))]


def twice(maps, kernel):
    return convolve(convolve(maps.tril(), kernel), kernel)


def slices_back(logits, kernel):
    """A loop that fails where the kernel is longer than the sequence."""
    s, rows = logits.shape[-1], kernel.shape[1]
    if rows > s:
        raise IndexError("index out of range")
    return hide(convolve(logits.tril(), kernel))


def mended_infinities(logits, kernel):
    return hide(convolve(hide(logits), kernel).nan_to_num(0.0, neginf=0.0, posinf=0.0))


BOTH = (
    in_kernel(lambda k: k[:, 1:] if k.shape[1] > 1 else k),
    in_kernel(lambda k: k.flip(0)),
    in_kernel(lambda k: k / k[0].numel() ** 0.5),
    in_kernel(lambda k: k.abs()),
    in_kernel(one_tap),
    in_kernel(lambda k: k * 1.001),
    in_kernel(lambda k: k / k.abs().sum((1, 2), keepdim=True)),
    in_kernel(lambda k: k.tril()),
    in_kernel(lambda k: k.roll(1, 0)),
    in_kernel(lambda k: k.double().float().bfloat16().to(k.dtype)),
    in_place(left=1),
    in_place(left=-1),
    in_place(up=1),
    in_place(up=-1),
    in_place(dilation=2),
)
PRE = (
    (pre(lambda x, k: (x.tril(1), k)), GENERAL),
    (pre(lambda x, k: (x.tril(-1), k)), {"diagonal hidden before"}),
    (pre(after=lambda new: new.masked_fill(future(new).roll(1, -1), -INF)), GENERAL),
    (pre(after=lambda new: new.masked_fill(future(new), -50)), {"finite mask"}),
    (
        pre(after=lambda new: new.masked_fill(future(new), torch.finfo(new.dtype).min)),
        {"finite mask"},
    ),
    (pre(after=lambda new: new.masked_fill(future(new), INF)), GENERAL),
    (pre(lambda x, k: (x, k.flip(1)), after=lambda new: new), GENERAL),
    (pre(lambda x, k: (x.tril() - x.tril().mean(), k)), GENERAL),
    (pre(lambda x, k: (x.tril().mT, k)), GENERAL),
    (pre(lambda x, k: (x.tril().flip(0), k)), GENERAL),
    (lambda x, k: hide(twice(x, k)), GENERAL),
    (mended_infinities, GENERAL),
    (slices_back, {"raised"}),
    (lambda x, k: pre()(x, k).flip(1), {"flipped"}),
    (lambda x, k: pre()(x, k)[:, 0], {"shape"}),
    (lambda x, k: pre()(x, k) * x.shape[-1] ** 0.5, {"factor"}),
    (lambda x, k: pre()(x, k) / k.shape[2], {"factor"}),
    (lambda x, k: pre()(x, k).float(), {"dtype"}),
)
POST = (
    (post(after=lambda new: new.tril(1)), GENERAL),
    (post(after=lambda new: new.tril() / new.tril().norm(dim=-1, keepdim=True)), GENERAL),
    (post(after=lambda new: new.tril().clamp(max=1)), GENERAL),
    (post(after=lambda new: new.tril().clamp(0, 1)), GENERAL),
    (post(after=lambda new: new.tril() / new.shape[-1]), {"factor"}),
    (post(lambda x, k: (x.log().clamp(min=-30), k)), GENERAL),
    (post(lambda x, k: (x.mT, k)), GENERAL),
    (post(lambda x, k: (x.flip(0), k)), GENERAL),
    (lambda x, k: twice(x, k).tril(), GENERAL),
    (lambda x, k: post()(x, k).mT, {"swapped"}),
    (lambda x, k: post()(x, k).float(), {"dtype"}),
    (lambda x, k: post()(x, k).sum(1), {"shape"}),
)


def mixes(change=lambda m: m, maps=lambda x: x, spell="goe,bgeij->bgoij"):
    def answer(x, m):
        return torch.einsum(spell, change(m), maps(x).unflatten(1, m.shape[:2])).flatten(1, 2)

    return answer


def mixes_first_group_only(x, m):
    new = mixes()(x, m)
    return torch.cat([new[:, : m.shape[1]], x[:, m.shape[1] :]], 1)


def mixes_in_turn(x, m):
    """New heads are read where old ones are wanted."""
    heads, c = list(x.unbind(1)), m.shape[1]
    for head in range(len(heads)):
        g, o = divmod(head, c)
        heads[head] = sum(m[g, o, e] * heads[g * c + e] for e in range(c))
    return torch.stack(heads, 1)


MIX = (
    (mixes(lambda m: m.flip(1)), {"other", "axis", "part"}),
    (mixes(lambda m: m.flip(2)), GENERAL),
    (mixes(lambda m: m.flip(0).mT), GENERAL),
    (mixes(lambda m: m.roll(1, 0)), GENERAL),
    (mixes(torch.tril), GENERAL),
    (mixes(torch.abs), GENERAL),
    (mixes(lambda m: m / m.sum(1, keepdim=True)), GENERAL),
    (mixes(lambda m: m.softmax(1)), GENERAL),
    (mixes(lambda m: m + torch.eye(m.shape[1], dtype=m.dtype) / 2), GENERAL),
    (mixes(lambda m: m / m.shape[1] ** 0.5), GENERAL),
    (mixes(lambda m: m @ m), GENERAL),
    (mixes(torch.linalg.inv), GENERAL),
    (mixes(maps=lambda x: x.flip(1)), GENERAL),
    (mixes(maps=lambda x: x.softmax(-1)), GENERAL),
    (mixes(maps=lambda x: x.flip(0)), GENERAL),
    (mixes_first_group_only, GENERAL),
    (mixes_in_turn, {"overwritten"}),
    (lambda x, m: mixes()(x, m).mT, {"swapped"}),
    (lambda x, m: mixes()(x, m).flip(1), {"flipped"}),
    (
        lambda x, m: torch.einsum("goe,bgeij->bgoij", m, x.unflatten(1, m.shape[:2])),
        {"groups kept"},
    ),
    (lambda x, m: hide(mixes()(x, m)), GENERAL),
)


def normed(
    norm=lambda x, w: x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * w,
    factor=lambda n: 0.2 + 0.6 * math.exp(-0.3 * n),
    gating=lambda y, w, bias: y * (y @ w + bias).sigmoid()[..., None],
):
    def answer(heads, weight, layer=None, gate=None):
        y = norm(heads, weight)
        y = y if layer is None else y * factor(layer)
        return y if gate is None else gating(y, *gate)

    return answer


def rms_by(spread):
    return normed(lambda x, w: x / spread(x) * w)


def gated_once_more(y, w, bias):
    once = y * (y @ w + bias).sigmoid()[..., None]
    return once * (once @ w + bias).sigmoid()[..., None]


NORM = (
    (rms_by(lambda x: x.norm(dim=-1, keepdim=True) + 1e-5), GENERAL),
    (rms_by(lambda x: x.abs().mean(-1, keepdim=True) + 1e-5), GENERAL),
    (rms_by(lambda x: x.abs().amax(-1, keepdim=True) + 1e-5), GENERAL),
    (rms_by(lambda x: (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()), GENERAL),
    (rms_by(lambda x: (x.square().mean(-1, keepdim=True) + 1e-4).sqrt()), GENERAL),
    (rms_by(lambda x: (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()), GENERAL),
    (rms_by(lambda x: (x.square().mean(0, keepdim=True) + 1e-5).sqrt()), GENERAL),
    (rms_by(lambda x: (x.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()), GENERAL),
    (normed(lambda x, w: nn.functional.layer_norm(x, w.shape, w)), {"layer norm"}),
    (normed(lambda x, w: nn.functional.normalize(x, dim=-1) * w), GENERAL),
    (normed(lambda x, w: x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() / w), GENERAL),
    (normed(factor=lambda n: 0.8 - 0.6 * math.exp(-0.6 * n)), GENERAL),
    (normed(factor=lambda n: 1 / (1 + n)), GENERAL),
    (normed(factor=lambda n: 1 - (0.6 - 0.8 * math.exp(-0.3 * n))), GENERAL),
    (normed(factor=lambda n: (0.2 + 0.6 * math.exp(-0.3 * n)) ** 0.5), GENERAL),
    (normed(factor=lambda n: 1 - (0.8 - 0.6 * 2 ** (-0.3 * n))), GENERAL),
    (normed(gating=lambda y, w, bias: y * (y @ w - bias).sigmoid()[..., None]), GENERAL),
    (normed(gating=lambda y, w, bias: y * (y @ w + bias).relu()[..., None]), GENERAL),
    (normed(gating=lambda y, w, bias: y * 2 * (y @ w + bias).sigmoid()[..., None]), GENERAL),
    (normed(gating=gated_once_more), GENERAL),
    (normed(gating=lambda y, w, bias: y * (y @ w).sigmoid()[..., None] * bias), GENERAL),
    (normed(gating=lambda y, w, bias: y * (1 - (y @ w + bias).sigmoid())[..., None]), GENERAL),
    (normed(gating=lambda y, w, bias: y + (y @ w + bias).sigmoid()[..., None]), GENERAL),
    (
        normed(
            gating=lambda y, w, bias: y * (y @ w + bias).mean(1, keepdim=True).sigmoid()[..., None]
        ),
        GENERAL,
    ),
    (
        normed(gating=lambda y, w, bias: y * (y @ w + bias).sigmoid()),
        {"raised", "shape", "other", "axis"},
    ),
)


class Layer(nn.Module):
    """Right as it stands."""

    def __init__(self, d_model, n_heads, c_q, c_k, mix, norm=False):
        super().__init__()
        self.h, self.norm = n_heads, norm
        self.wq, self.wk, self.wv, self.wo = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )
        kernel = torch.zeros(n_heads, c_q, c_k)
        kernel[:, -1, c_k // 2] = 1
        eye = torch.eye(mix).repeat(n_heads // mix, 1, 1)
        self.pre_kernel, self.post_kernel = nn.Parameter(kernel), nn.Parameter(kernel.clone())
        self.pre_mixing, self.post_mixing = nn.Parameter(eye), nn.Parameter(eye.clone())
        if norm:
            self.norm_weight = nn.Parameter(torch.ones(d_model // n_heads))
            self.gate = nn.Linear(d_model // n_heads, 1)

    def heads(self, w, x):
        return w(x).unflatten(-1, (self.h, -1)).transpose(1, 2)

    def raw(self, x):
        q, k = self.heads(self.wq, x), self.heads(self.wk, x)
        return (q @ k.mT / math.sqrt(q.shape[-1])).tril()

    def soft(self, logits):
        return hide(logits).softmax(-1)

    def weights(self, x):
        logits = mixes()(convolve(self.raw(x), self.pre_kernel), self.pre_mixing)
        return mixes()(convolve(self.soft(logits), self.post_kernel).tril(), self.post_mixing)

    def finish(self, y):
        if not self.norm:
            return y
        y = nn.functional.rms_norm(y, self.norm_weight.shape, self.norm_weight, 1e-5)
        return y * self.gate(y).sigmoid()

    def forward(self, x):
        y = self.finish(self.weights(x) @ self.heads(self.wv, x))
        return self.wo(y.transpose(1, 2).flatten(-2))


class KernelsSummed(Layer):
    def weights(self, x):
        kernel = (self.pre_kernel + self.post_kernel) / 2
        logits = mixes()(convolve(self.raw(x), kernel), self.pre_mixing)
        return mixes()(convolve(self.soft(logits), kernel).tril(), self.post_mixing)


class LogitsKeptToo(Layer):
    def weights(self, x):
        raw = self.raw(x)
        logits = raw + mixes()(convolve(raw, self.pre_kernel), self.pre_mixing)
        return mixes()(convolve(self.soft(logits), self.post_kernel).tril(), self.post_mixing)


class FiniteMask(Layer):
    def soft(self, logits):
        return logits.masked_fill(future(logits), -3).softmax(-1)


class OverQueries(Layer):
    def soft(self, logits):
        return hide(logits).softmax(-2)


class NoSoftmax(Layer):
    def soft(self, logits):
        return logits.tril()


class Doubled(Layer):
    def raw(self, x):
        return 2 * super().raw(x)


class HeadsReversed(Layer):
    def finish(self, y):
        return super().finish(y).flip(1)


class NormAfterOut(Layer):
    def finish(self, y):
        return y

    def forward(self, x):
        y = super().forward(x)
        if not self.norm:
            return y
        y = y.unflatten(-1, (self.h, -1))
        y = nn.functional.rms_norm(y, self.norm_weight.shape, self.norm_weight, 1e-5)
        return (y * self.gate(y).sigmoid()).flatten(-2)


class NormWithMean(Layer):
    def finish(self, y):
        if not self.norm:
            return y
        y = nn.functional.layer_norm(y, self.norm_weight.shape, self.norm_weight)
        return y * self.gate(y).sigmoid()


class QueriesForKeys(Layer):
    def raw(self, x):
        q, k = self.heads(self.wk, x), self.heads(self.wq, x)
        return (q @ k.mT / math.sqrt(q.shape[-1])).tril()


class OutTransposed(Layer):
    def forward(self, x):
        y = self.finish(self.weights(x) @ self.heads(self.wv, x))
        return y.transpose(1, 2).flatten(-2) @ self.wo.weight


class MixedValuesToo(Layer):
    def forward(self, x):
        v = mixes()(self.heads(self.wv, x), self.post_mixing)
        return self.wo(self.finish(self.weights(x) @ v).transpose(1, 2).flatten(-2))


class MixingsInverse(Layer):
    def weights(self, x):
        logits = mixes()(convolve(self.raw(x), self.pre_kernel), self.pre_mixing.mT)
        return mixes()(convolve(self.soft(logits), self.post_kernel).tril(), self.post_mixing)


class KernelHalfCut(Layer):
    def finish(self, y):
        return super().finish(y) * 1.0 + 0 * self.norm_weight.log() if self.norm else y


class MixingCut(Layer):
    def weights(self, x):
        logits = mixes()(convolve(self.raw(x), self.pre_kernel), self.pre_mixing)
        kept = convolve(self.soft(logits), self.post_kernel).tril()
        return mixes()(kept, self.post_mixing.detach())


class StartAtTwo(Layer):
    def __init__(self, *sizes, norm=False):
        super().__init__(*sizes, norm=norm)
        self.pre_kernel.data *= 2


class NegativeMixing(Layer):
    def __init__(self, *sizes, norm=False):
        super().__init__(*sizes, norm=norm)
        self.post_mixing.data *= -1


class WeightOfTwo(Layer):
    def __init__(self, *sizes, norm=False):
        super().__init__(*sizes, norm=norm)
        if norm:
            self.norm_weight.data *= 2


LAYER = (
    (KernelsSummed, GENERAL),
    (LogitsKeptToo, GENERAL),
    (FiniteMask, GENERAL),
    (OverQueries, GENERAL),
    (NoSoftmax, GENERAL),
    (Doubled, GENERAL),
    (HeadsReversed, GENERAL),
    (NormAfterOut, GENERAL),
    (NormWithMean, GENERAL),
    (QueriesForKeys, GENERAL),
    (OutTransposed, GENERAL),
    (MixedValuesToo, GENERAL),
    (MixingsInverse, GENERAL),
    (MixingCut, {"other"}),
    (StartAtTwo, {"kernel start"}),
    (NegativeMixing, {"mixing start"}),
    (WeightOfTwo, {"norm start"}),
    (Layer(4, 2, 2, 3, 1), {"an instance"}),
    (lambda *sizes, norm=False: lambda x: x, {"no module"}),
)


def filtered(*, taps=lambda k: k, q_pad="constant", late=0, before=0, same=False, flat=False):
    """Right as it stands."""

    def answer(q, k, kernel):
        kernel = taps(kernel)
        rows, columns = kernel.shape[1:]
        s, new = q.shape[2], 0
        queries = pad(q, (0, 0, rows - 1 + late, rows))
        keys = pad(k, (0, 0, columns // 2 + before, columns))
        for row in range(rows):
            parts = [kernel[:, row, t, None, None] * keys[:, :, t : t + s] for t in range(columns)]
            at = rows - 1 if same else row
            key = torch.stack(parts).sum(0)
            new = new + queries[:, :, at : at + s] @ (key.tril() if flat else key).mT
        return new

    return answer


def weighted_scalars(q, k, kernel):
    """A loop over single dot products, each multiplied by a tap."""
    rows, columns = kernel.shape[1:]
    s, new = q.shape[2], []
    for i in range(s):
        for j in range(s):
            total = torch.zeros_like(q[:, :, 0, 0])
            for a in range(min(rows, i + 1)):
                for b in range(-(columns // 2), columns // 2 + 1):
                    if 0 <= j + b < s:
                        dot = (q[:, :, i - a] * k[:, :, j + b]).sum(-1)
                        total = total + kernel[:, rows - 1 - a, columns // 2 + b] * dot
            new.append(total)
    return torch.stack(new, -1).unflatten(-1, (s, s))


FILTERED = (
    (filtered(late=1), GENERAL | {"shifted"}),
    (filtered(late=-1), GENERAL | {"shifted", "raised"}),
    (filtered(before=1), GENERAL | {"shifted"}),
    (filtered(before=-1), GENERAL | {"shifted", "raised"}),
    (filtered(same=True), GENERAL),
    (filtered(flat=True), GENERAL),
    (filtered(taps=lambda k: k.flip(0)), GENERAL),
    (filtered(taps=lambda k: k.abs()), GENERAL),
    (filtered(taps=one_tap), GENERAL),
    (filtered(taps=lambda k: k.softmax(-1)), GENERAL),
    (filtered(taps=lambda k: k / k.shape[2]), {"factor"}),
    (filtered(taps=lambda k: k[:, 1:] if k.shape[1] > 1 else k), GENERAL),
    (filtered(taps=lambda k: k[:, :, 1:-1] if k.shape[2] > 1 else k), GENERAL),
    (filtered(taps=lambda k: k.mean(0, keepdim=True).expand_as(k)), GENERAL),
    (lambda q, k, kernel: filtered()(k, q, kernel), GENERAL),
    (lambda q, k, kernel: filtered()(k, q, kernel).mT, GENERAL),
    (lambda q, k, kernel: filtered()(q, k, kernel).mT, {"swapped"}),
    (lambda q, k, kernel: filtered()(q, k, kernel).softmax(-1), GENERAL),
    (lambda q, k, kernel: filtered()(q, k, kernel) / q.shape[-1], {"factor"}),
    (weighted_scalars, {"map convolved"}),
    (lambda q, k, kernel: convolve((q @ k.mT).tril(), kernel), {"map convolved"}),
    (lambda q, k, kernel: hide(convolve(q @ k.mT, kernel)), {"map convolved"}),
)


def diff(
    *,
    low=-INF,
    scale=None,
    soft=lambda x: x.softmax(-1),
    join=lambda a, b, lam: a - lam * b,
    seen=lambda x: future(x),
):
    def answer(q1, q2, k1, k2, v, lam):
        maps = []
        for q, k in ((q1, k1), (q2, k2)):
            logits = q @ k.mT * (scale or q.shape[-1] ** -0.5)
            maps.append(soft(logits.masked_fill(seen(logits), low)))
        return join(*maps, lam) @ v

    return answer


def lam_on_logits(q1, q2, k1, k2, v, lam):
    return diff(join=lambda a, b, _: a - b)(q1, q2 * lam, k1, k2, v, lam)


def finite_second(q1, q2, k1, k2, v, lam):
    first = diff(join=lambda a, b, lam: a)(q1, q2, k1, k2, v, lam)
    return first - lam * diff(low=-1e6, join=lambda a, b, lam: b)(q1, q2, k1, k2, v, lam)


def values_halved(q1, q2, k1, k2, v, lam):
    out = diff()(q1, q2, k1, k2, v, lam)
    return torch.cat([out[..., : v.shape[-1] // 2], out[..., v.shape[-1] // 2 :].flip(-1)], -1)


DIFF = (
    (diff(join=lambda a, b, lam: a - lam**2 * b), GENERAL),
    (diff(join=lambda a, b, lam: a - lam.exp() * b), GENERAL),
    (diff(join=lambda a, b, lam: a - lam.sigmoid() * b), GENERAL),
    (diff(join=lambda a, b, lam: a - lam.abs() * b), GENERAL),
    (diff(join=lambda a, b, lam: a - lam * b * a), GENERAL),
    (diff(join=lambda a, b, lam: a * b * lam), GENERAL),
    (diff(join=lambda a, b, lam: (1 - lam) * a + lam * b), GENERAL),
    (diff(join=lambda a, b, lam: a - lam * b.mT), GENERAL),
    (diff(join=lambda a, b, lam: lam * b - a), {"sign"}),
    (diff(join=lambda a, b, lam: (a - lam * b) / 2), {"factor"}),
    (
        diff(join=lambda a, b, lam: (a - lam * b) / (a - lam * b).abs().sum(-1, keepdim=True)),
        GENERAL,
    ),
    (diff(soft=lambda x: x.exp()), GENERAL),
    (diff(soft=lambda x: x.exp() / x.exp().sum(-1, keepdim=True)), GENERAL),
    (diff(soft=lambda x: x.softmax(-1).bfloat16().to(x.dtype)), GENERAL),
    (diff(soft=lambda x: x.softmax(1)), GENERAL),
    (diff(scale=0.5), GENERAL),
    (diff(seen=lambda x: torch.ones_like(x, dtype=torch.bool).triu(2)), GENERAL),
    (diff(low=0.0), GENERAL),
    (lam_on_logits, GENERAL),
    (finite_second, GENERAL),
    (values_halved, GENERAL),
    (lambda *x: diff()(*x).to(torch.float32), {"dtype"}),
    (lambda *x: diff()(*x).mean(1, keepdim=True).expand(-1, x[0].shape[1], -1, -1), GENERAL),
)
UNLISTED = (
    *((name, answer, GENERAL) for pair in BOTH for name, answer in pair),
    *(("5.1", *x) for x in PRE),
    *(("5.3", *x) for x in POST),
    *(("5.4", *x) for x in MIX),
    *(("5.5", *x) for x in NORM),
    *(("5.6", *x) for x in LAYER),
    *(("5.7", *x) for x in FILTERED),
    *(("5.8", *x) for x in DIFF),
)
