"""The layers with impl="triton": the numbers and gradients of the reference."""

import pytest
import torch

from simplex_lib.attention import MultiHeadAttention, TwoSimplicialAttention

pytestmark = pytest.mark.filterwarnings("ignore:Triton kernels run in Triton's interpreter")


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (MultiHeadAttention, dict()),
        (TwoSimplicialAttention, dict(w1=3, w2=2)),
        (TwoSimplicialAttention, dict(form="determinant", rotary=True, causal=False)),
    ],
)
def test_layers_with_kernels(device, make, options):
    layers = [make(12, 2, 1, impl=impl, **options) for impl in ("reference", "triton")]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(1, 5, 12, device=device)
    found = []
    for layer in layers:
        out = layer.to(device)(x)
        weights = list(layer.parameters())
        found.append([out, *torch.autograd.grad(out.square().sum(), weights)])
    for reference, kernel in zip(*found, strict=True):
        torch.testing.assert_close(kernel, reference, rtol=1e-4, atol=1e-5)


def test_impl_of_a_layer_is_checked():
    with pytest.raises(ValueError, match="impl must be one of 'reference', 'triton'; got 'fast'"):
        MultiHeadAttention(12, 2, impl="fast")  # type: ignore[arg-type]
