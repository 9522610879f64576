"""What only a GPU has the size for; all other tests of this folder run compiled there as well."""

from functools import partial

import pytest
import torch
from kernels.cases import Exact, assert_close_enough, exact, make_case, results

from simplex_lib.attention import (
    determinant_attention_windowed_with_lse,
    determinant_attention_with_lse,
    dot_product_attention_with_lse,
    trilinear_attention_windowed_with_lse,
    trilinear_attention_with_lse,
)

pytestmark = pytest.mark.gpu
FORMS = {
    "trilinear": (trilinear_attention_with_lse, trilinear_attention_windowed_with_lse),
    "determinant": (determinant_attention_with_lse, determinant_attention_windowed_with_lse),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("form", "sizes", "options"),
    [
        ("trilinear", dict(h=64, g=1, s=300, d=128), dict(w1=256, w2=32)),
        ("trilinear", dict(b=2, h=6, g=3, s=211, d=64, dv=80), dict(w1=17, w2=90)),
        ("trilinear", dict(h=2, g=1, s=150, d=256), dict(w1=40, w2=40, causal=False)),
        ("determinant", dict(h=4, g=2, s=170, d=96), dict(w1=100, w2=20)),
    ],
)
def test_sizes_of_practice(device, form, sizes, options, dtype):
    """Against float64 in windows; the norm of an error is a few roundings of the numbers."""
    inputs, gradients = make_case(device, dtype=dtype, **sizes)
    attend, windowed = FORMS[form]
    found = results(partial(attend, impl="triton", **options), inputs, gradients)
    wanted = exact(inputs, gradients, windowed, **options)
    reference = results(partial(windowed, **options), inputs, gradients)  # in float32 inside
    assert_close_enough(found, Exact(*wanted), reference, times=4)


@pytest.mark.parametrize("causal", [True, False])
def test_long_dot_product(device, causal):
    inputs, gradients = make_case(device, b=2, h=4, g=2, s=1500, d=80, dv=64, pairs=False)
    attend = partial(dot_product_attention_with_lse, causal=causal)
    found = results(partial(attend, impl="triton"), inputs, gradients)
    plain = results(attend, inputs, gradients)
    assert_close_enough(found, exact(inputs, gradients, causal=causal), plain, times=4)


def test_offsets_pass_two_to_the_31(device):
    """Positions so far apart in memory that their offsets do not fit into 32 bits."""
    inputs, gradients = make_case(device, h=1, s=5, d=16, dtype=torch.bfloat16)
    apart = 2**29 + 64
    memory = torch.empty(4 * apart + 128, dtype=torch.bfloat16, device=device)  # 4.3 GB
    far = []
    for place, x in enumerate(inputs):
        view = memory[16 * place :].as_strided(x.shape, (5 * apart, 5 * apart, apart, 1))
        far.append(view.copy_(x))
    attend = partial(trilinear_attention_with_lse, impl="triton")
    near = results(attend, inputs, gradients)
    for x, y in zip(results(attend, far, gradients), near, strict=True):
        assert torch.equal(x, y)
