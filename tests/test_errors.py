"""Mirrors simplex_lib/errors.py."""

import numpy as np
import pytest
import torch

from simplex_lib import errors

pytestmark = pytest.mark.errors


def test_bind_axes_returns_the_sizes():
    q, k = torch.ones(2, 4, 5, 3), torch.ones(2, 1, 5, 3)
    sizes = errors.bind_axes(q=(q, "b h s d"), k=(k, "b g s d"))
    assert sizes == dict(b=2, h=4, s=5, d=3, g=1)


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (torch.ones(2, 3, 6, 4), r"k must be \(b, g, s, d\) with s = 5 as in q; got \(2, 3, 6, 4"),
        (torch.ones(2, 5, 4), r"k must be \(b, g, s, d\); got \(2, 5, 4\)"),
        (torch.tensor(1.0), r"k must be \(b, g, s, d\); got \(\)"),
        (torch.ones(2, 0, 5, 4), r"k must be \(b, g, s, d\) with g at least 1; got \(2, 0, 5, 4"),
        (torch.ones(2, 3, 5, 4, device="meta"), "k must be on cpu as q is; got meta"),
    ],
)
def test_wrong_shapes_and_devices_are_value_errors(k, message):
    with pytest.raises(ValueError, match=message):
        errors.check_inputs(q=(torch.ones(2, 3, 5, 4), "b h s d"), k=(k, "b g s d"))


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (None, "k must be a torch.Tensor; got None"),
        ([[1.0]], "k must be a torch.Tensor; got list"),
        (np.ones(3), "k must be a torch.Tensor; got numpy.ndarray"),
        (torch.ones(2, 3, 5, 4).long(), "k must be float16, bfloat16, .*; got int64"),
        (torch.ones(2, 3, 5, 4).bool(), "k must be float16, bfloat16, .*; got bool"),
        (torch.ones(2, 3, 5, 4).cfloat(), "k must be float16, bfloat16, .*; got complex64"),
        (torch.ones(2, 3, 5, 4).double(), "k must be float32 as q is; got float64"),
    ],
)
def test_wrong_types_are_type_errors(k, message):
    with pytest.raises(TypeError, match=message):
        errors.check_inputs(q=(torch.ones(2, 3, 5, 4), "b h s d"), k=(k, "b g s d"))


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("dtype", errors.DTYPES)
def test_a_number_that_is_none_is_named_with_its_index(bad, shown, dtype):
    q = torch.zeros(2, 3, dtype=dtype)
    q[1, 2] = bad
    with pytest.raises(ValueError, match=rf"q must be finite; got {shown} at \(1, 2\)"):
        errors.require_finite(q=q)


def test_meta_tensors_have_no_numbers_and_pass():
    errors.require_finite(q=torch.ones(2, device="meta"))


@pytest.mark.parametrize("w", [None, 1, 7, np.int64(3)])
def test_windows_that_can_be_used_pass(w):
    errors.require_window(w1=w)


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda: errors.require_window(w1=0), ValueError, "w1 counts the query's own.*; got 0"),
        (lambda: errors.require_window(w2=True), TypeError, "w2 must be an int or None; got True"),
        (lambda: errors.require_window(w1=2.0), TypeError, "w1 must be .*; got float 2.0"),
        (lambda: errors.require_count(block_size=0), ValueError, "block_size .* 1; got 0"),
        (lambda: errors.require_count(s="5"), TypeError, "s must be an int; got str '5'"),
        (lambda: errors.require_scale(np.nan), ValueError, "scale must be finite; got nan"),
        (lambda: errors.require_scale(np.inf), ValueError, "scale must be finite; got inf"),
        (lambda: errors.require_scale(True), TypeError, "scale must be a number .*; got True"),
        (lambda: errors.require_scale("1"), TypeError, "scale must be a number .*; got str '1'"),
        (lambda: errors.require_flag(causal=None), TypeError, "causal must be .*; got None"),
        (lambda: errors.require_flag(causal=torch.ones(2)), TypeError, "got torch.Tensor"),
        (
            lambda: errors.require_groups(n_heads=4, n_kv_heads=3),
            ValueError,
            r"n_kv_heads must divide n_heads = 4; got 3\.",
        ),
        (
            lambda: errors.require_groups(n_heads=4, n_kv_heads=8, tensor="k1"),
            ValueError,
            r"n_kv_heads must divide n_heads = 4; got 8, the axis g of k1\.",
        ),
        (lambda: errors.require_groups(n_heads=4, n_kv_heads=0), ValueError, "got 0"),
        (lambda: errors.require_groups(n_heads=0, n_kv_heads=1), ValueError, "n_heads must be"),
        (lambda: errors.require_groups(n_heads=4, n_kv_heads=2.0), TypeError, "n_kv_heads must"),
        (
            lambda: errors.require_choice("impl", "cuda", ("reference", "triton")),
            ValueError,
            "impl must be one of 'reference', 'triton'; got 'cuda'",
        ),
        (lambda: errors.require_choice("impl", None, ("a",)), ValueError, "'a'; got None"),
    ],
)
def test_errors_name_argument_wish_and_gift(check, error, message):
    with pytest.raises(error, match=message):
        check()
