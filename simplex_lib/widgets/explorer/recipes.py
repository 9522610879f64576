"""Three ways to turn the logits of one query into probabilities; only the first is right."""

import numpy as np

ALL, SECOND, FIRST = "all pairs", "second key only", "first key only"
RECIPES = {ALL: (0, 1), SECOND: (1,), FIRST: (0,)}  # the axes of (j, k) that one softmax spans


def normalise(logits: np.ndarray, recipe: str = ALL) -> tuple[np.ndarray, np.ndarray]:
    """log-probabilities (j, k) and lse, one number for each softmax; -inf is invisible."""
    axes = RECIPES[recipe]
    top = logits.max(axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        lse = top + np.log(np.exp(logits - top).sum(axes, keepdims=True))
    seen = np.isfinite(logits)
    return np.where(seen, logits - np.where(np.isfinite(lse), lse, 0), -np.inf), lse
