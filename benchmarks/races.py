"""One element, a thousand programs: what a race loses, and whether the sum repeats its bits.

    python benchmarks/races.py
    python benchmarks/races.py --json simplex_lib/data/races.json

Three kernels add up the same numbers: each program loads the total, adds and stores it (a race);
each adds atomically; one program owns the total and adds up all in a fixed order. In Triton's
interpreter programs run one after another, so that all three are right there, every time.
"""

import sys
from importlib.metadata import version
from typing import Any

import simplex_lib  # noqa: F401  # before triton: it chooses how kernels run

# isort: split
import torch
import triton
import triton.language as tl
from _measure import arguments
from torch import Tensor

from simplex_lib.data.recording import facts, write_json
from simplex_lib.triton_mode import prepare_triton

SEED, PROGRAMS, LAUNCHES = 0, 1024, 100


@triton.jit
def racing_kernel(x_ptr, total_ptr):
    total = tl.load(total_ptr)
    tl.store(total_ptr, total + tl.load(x_ptr + tl.program_id(0)))


@triton.jit
def atomic_kernel(x_ptr, total_ptr):
    tl.atomic_add(total_ptr, tl.load(x_ptr + tl.program_id(0)))


@triton.jit
def owner_kernel(x_ptr, total_ptr, N: tl.constexpr):
    tl.store(total_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, N))))


def totals(kernel: Any, x: Tensor, launches: int) -> list[float]:
    """The total that each launch leaves in a cell that was 0 before."""
    owns = kernel is owner_kernel
    found = []
    for _ in range(launches):
        total = torch.zeros(1, device=x.device)
        kernel[(1,) if owns else (len(x),)](x, total, *((len(x),) if owns else ()))
        found.append(total.item())
    return found


def main() -> None:
    chosen = arguments("A race, atomics and an owner")
    mode = prepare_triton()
    launches = 2 if chosen.quick or mode == "interpreter" else LAUNCHES
    programs = 16 if chosen.quick or mode == "interpreter" else PROGRAMS
    device = torch.device("cuda" if mode == "gpu" else "cpu")
    generator = torch.Generator().manual_seed(SEED)
    numbers = {
        "ones": torch.ones(programs, device=device),
        "normal": torch.randn(programs, generator=generator).to(device),
    }
    known = facts(command=" ".join(["python benchmarks/races.py", *sys.argv[1:]]), seed=SEED)
    known["versions"]["triton"] = version("triton")
    known["gpu"] = torch.cuda.get_device_name() if mode == "gpu" else None
    print(f"{known['machine']}; {known['gpu'] or 'no GPU: one program after another'}")
    print(f"{programs} programs, {launches} launches each\n")
    print("| kernel | numbers | exact | smallest | largest | different results |")
    print("|:--|:--|--:|--:|--:|--:|")
    rows = []
    for kernel in (racing_kernel, atomic_kernel, owner_kernel):
        for name, x in numbers.items():
            found = totals(kernel, x, launches)
            rows.append(
                {
                    "kernel": kernel.__name__ if hasattr(kernel, "__name__") else str(kernel),
                    "numbers": name,
                    "exact": x.double().sum().item(),
                    "smallest": min(found),
                    "largest": max(found),
                    "different": len(set(found)),
                }
            )
            print(f"| {' | '.join(str(value) for value in rows[-1].values())} |")
    if chosen.json:
        write_json(chosen.json, {**known, "programs": programs, "launches": launches, "runs": rows})


if __name__ == "__main__":
    main()
