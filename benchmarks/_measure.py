"""What the benchmarks of attention share: CPU time side by side, bytes held, a fitted exponent."""

import argparse
import gc
import math
import statistics
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = Callable[[], object]


def cpu_ms(calls: Mapping[str, Call], *, repeats: int) -> dict[str, float]:
    """Median CPU time of each call in ms. The calls take turns, so that all see the same load.

    A turn repeats a short call until it takes about 50 ms, 50 times at most; not with repeats=1.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    often = dict.fromkeys(calls, 1)
    for name, call in calls.items():
        call()  # warms up
        if repeats > 1:
            often[name] = min(50, math.ceil(50 / max(ms_of(call, 1), 1)))
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(ms_of(call, often[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def ms_of(call: Call, times: int) -> float:
    gc.collect()
    start = time.process_time()
    for _ in range(times):
        call()
    return 1000 * (time.process_time() - start) / times


def bytes_of(call: Call) -> dict[str, int]:
    """The largest tensor that a call makes and the most bytes it holds at one time.

    Memory that was there before, as that of the inputs, does not count, and neither do views.
    """
    gc.collect()
    with ByteMeter() as meter:
        call()
    return {"largest_tensor_bytes": meter.largest, "peak_bytes": meter.most_held}


class ByteMeter(TorchDispatchMode):
    """Sees the result of every torch operation made inside it, those of the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.held = self.most_held = 0
        self._live: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first use imports torch._dynamo, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        old = {address(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **kwargs)
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and address(x) not in old and address(x) not in self._live:
                self._note(x.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        size, at = storage.nbytes(), storage.data_ptr()
        self._live[at] = size
        self.held += size
        self.largest, self.most_held = max(self.largest, size), max(self.most_held, self.held)
        weakref.finalize(storage, self._forget, at)

    def _forget(self, at: int) -> None:
        self.held -= self._live.pop(at, 0)


def address(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope of log value over log size by least squares: 1 is linear, 0 constant."""
    x, y = ([math.log(number) for number in numbers] for numbers in (sizes, values))
    return statistics.linear_regression(x, y).slope


def random_inputs(s: int, *, h: int, d: int, seed: int, grad: bool = False) -> list[Tensor]:
    """q, k1, k2, v1, v2 of one sequence, (1, h, s, d) each, float32."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(5, 1, h, s, d, generator=generator).unbind(0)
    return [x.clone().requires_grad_(grad) for x in inputs]


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    return parser.parse_args()


def mib(count: int) -> str:
    return f"{count / 2**20:,.1f}"
