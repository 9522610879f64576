"""The learning rate over a run: a straight line up, while a cosine goes down."""

import math

from simplex_lib.errors import require_count


def warm_up_cosine(step: int, *, steps: int, warm_up: int, floor: float) -> float:
    """The factor on the learning rate in a step, counted from 1; the last step has `floor`.

    The two are multiplied: min(1, step / warm_up) and a half cosine from 1 to floor over all
    steps.

    >>> [round(warm_up_cosine(t, steps=100, warm_up=10, floor=0.05), 3) for t in (5, 50, 100)]
    [0.497, 0.525, 0.05]
    """
    require_count(step=step, steps=steps, warm_up=warm_up)
    cosine = (1 + math.cos(math.pi * min(step, steps) / steps)) / 2
    return min(1, step / warm_up) * (floor + (1 - floor) * cosine)
