"""The claims of claims/08_scaling_laws.toml."""

import numpy as np
import pytest

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28  # arXiv:2203.15556, third approach


def best_sizes(compute):
    """N and D of the lowest loss at 6 N D = compute, by a fine search over N."""
    n = np.exp(np.linspace(np.log(1e6), np.log(1e14), 2_000_000))
    d = compute / (6 * n)
    at = np.argmin(E + A / n**ALPHA + B / d**BETA)
    return n[at], d[at]


@pytest.mark.claim("fs-eq1")
def test_exponents_of_the_best_sizes():
    (n_small, d_small), (n_large, d_large) = best_sizes(1e20), best_sizes(1e24)
    a, b = (np.log(x) / np.log(1e4) for x in (n_large / n_small, d_large / d_small))
    assert a == pytest.approx(BETA / (ALPHA + BETA), abs=1e-4)
    assert b == pytest.approx(ALPHA / (ALPHA + BETA), abs=1e-4)
    assert a + b == pytest.approx(1, abs=1e-9)
