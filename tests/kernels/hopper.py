"""Compile the kernels for a Hopper GPU on a machine that has none; print what they would use there.

A program of its own: one process runs kernels in the interpreter or compiles them, never both.
`python tests/kernels/hopper.py bfloat16 128` prints a line of JSON a kernel: registers, bytes of
stack (spills), bytes of shared memory, and whether the product is a Hopper one (wgmma). Names of
kernels may follow, and `ones`, for sizes of 1.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "0"  # before anything imports triton

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import simplex_lib.triton_mode

simplex_lib.triton_mode.prepare_triton = lambda: "gpu"  # there is no GPU, and nothing is run

from simplex_lib.kernels import (  # noqa: E402
    dot_product,
    tiles,
    trilinear_backward,
    trilinear_forward,
)

KERNELS = {
    "dot_product.forward": dot_product.forward_kernel,
    "dot_product.dq": dot_product.dq_kernel,
    "dot_product.dkv": dot_product.dkv_kernel,
    "trilinear.forward": trilinear_forward.forward_kernel,
    "trilinear.dq": trilinear_backward.dq_kernel,
    "trilinear.dkv": trilinear_backward.dkv_kernel,
}
KERNELS["determinant.forward"] = trilinear_forward.forward_kernel
HALF = dict(bfloat16="bf16", float16="fp16", float32="fp32")


def compiled(kernel, dtype, d, blocks, *, ones=False, two_terms=False):
    """As a launch with contiguous tensors of width d would compile it.

    With ones, as for one position, one head a key head and windows of 1: a launch makes constants
    of arguments that are 1.
    """
    values = blocks.options() | dict(
        CAUSAL=not ones, DOT=tiles.dot_dtype(dtype), TWO_TERMS=two_terms
    )
    values |= dict(s=1, groups=1) if ones else {}
    element = HALF[str(dtype).removeprefix("torch.")]
    signature, constants, attributes = {}, {}, {}
    aligned = [["tt.divisibility", 16]]
    for place, name in enumerate(kernel.arg_names):
        if name in values:
            signature[name], constants[name] = "constexpr", values[name]
        elif name.endswith("_ptr"):
            signature[name] = "*fp32" if name in ("lse_ptr", "delta_ptr") else f"*{element}"
            attributes[(place,)] = aligned
        elif name in ("lse_strides", "delta_strides"):
            signature[name] = ("i32", "i32", "constexpr")
            constants[(place, 2)] = 1
        elif name.endswith("_strides"):
            signature[name] = ("i32", "i32", "i32", "constexpr")
            constants[(place, 3)] = 1
            attributes |= {(place, axis): aligned for axis in range(3)}
        elif name.startswith("window"):
            signature[name] = ("constexpr" if ones else "i32", "i32")
            constants |= {(place, 0): 1} if ones else {}
        else:
            signature[name] = "fp32" if name == "scale" else "i32"
            if name in ("s", "d", "dv") and d % 16 == 0:
                attributes[(place,)] = aligned
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {name: values[name] for name in ("num_warps", "num_stages")}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def resources(cubin):
    """(registers a thread, bytes of stack a thread) as the tool of the wheel reports them."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool, "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"REG:(\d+)", text)[1]), int(re.search(r"STACK:(\d+)", text)[1])


def main(dtype, d, *names):
    warnings.simplefilter("ignore")
    ones, names = "ones" in names, [name for name in names if name != "ones"]
    blocks = tiles.choose_blocks(1 << 20, 1 << 20, int(d), int(d), getattr(torch, dtype))
    for name in names or KERNELS:
        two_terms = name.startswith("determinant")
        kernel = compiled(
            KERNELS[name], getattr(torch, dtype), int(d), blocks, ones=ones, two_terms=two_terms
        )
        registers, stack = resources(kernel.asm["cubin"])
        found = dict(kernel=name, dtype=dtype, d=int(d), blocks=blocks._asdict())
        found |= dict(registers=registers, stack=stack, shared=kernel.metadata.shared)
        print(json.dumps(found | dict(wgmma="wgmma" in kernel.asm["ptx"])), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
