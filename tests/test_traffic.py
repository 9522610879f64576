"""Mirrors simplex_lib/traffic.py: bytes counted by hand."""

import torch

from simplex_lib.traffic import Traffic


def test_every_operation_reads_its_inputs_and_writes_its_result():
    x, y = torch.randn(4, 8), torch.randn(8, 16)
    with Traffic() as traffic:
        _ = (x @ y).softmax(-1)
    product, softmax = traffic.moved
    assert product == ("aten.mm.default", [4 * 8 * 4, 8 * 16 * 4, 4 * 16 * 4])
    assert softmax[1] == [4 * 16 * 4] * 2
    assert traffic.total == 4 * (32 + 128 + 64 + 64 + 64)
    assert traffic.times(4 * 64) == 3 and traffic.times(1) == 0


def test_views_move_nothing_and_a_change_in_place_moves_a_tensor_twice():
    x = torch.randn(4, 8)
    with Traffic() as traffic:
        _ = x.T[2:].unsqueeze(0).expand(3, -1, -1)
        _ = x.view(2, 16)
    assert traffic.moved == []
    with Traffic() as traffic:
        x.mul_(2)
    assert traffic.moved == [("aten.mul_.Tensor", [128, 128])]
    x, y = torch.randn(2, 3, 4), torch.randn(4, 5)
    with Traffic() as traffic:
        _ = x @ y  # ends in an _unsafe_view, which copies nothing
    assert traffic.total == 4 * (24 + 20 + 30)


def test_it_changes_no_number():
    x = torch.randn(3, 5)
    with Traffic():
        found = torch.logsumexp(x * 2, 1)
    assert torch.equal(found, torch.logsumexp(x * 2, 1))
