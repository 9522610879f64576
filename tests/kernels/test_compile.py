"""Every kernel compiles for a Hopper GPU, without one, and fits its registers and shared memory.

A compile proves types, shapes and resources; it says nothing of results or speed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton.backends.nvidia", reason="triton has no compiler for NVIDIA GPUs")

SHARED_LIMIT = 232_448  # bytes of shared memory a program may have on Hopper
ALL = {
    f"{file}.{kernel}"
    for file in ("dot_product", "trilinear")
    for kernel in ("forward", "dq", "dkv")
} | {"determinant.forward"}


def compile_kernels(dtype, d, *names):
    command = [sys.executable, str(Path(__file__).with_name("hopper.py")), dtype, str(d), *names]
    env = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {found["kernel"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_all_kernels_in_bfloat16_run_on_tensor_cores_and_hardly_spill():
    found = compile_kernels("bfloat16", 128)
    assert set(found) == ALL
    for name, kernel in found.items():
        assert kernel["wgmma"] and kernel["shared"] <= SHARED_LIMIT, name
        assert kernel["registers"] <= 255 and kernel["stack"] <= 512, (
            name
        )  # 88 with triton 3.7.1, 344 with 3.9.0
    forward = found["trilinear.forward"]
    assert forward["stack"] == 0 and forward["shared"] <= SHARED_LIMIT // 2  # two on one processor


def test_sizes_of_1_compile_too():
    assert set(compile_kernels("float16", 16, "ones")) == ALL


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_widest_vectors_fit_into_shared_memory(dtype):
    """Gradients of determinants of width 256 are products of width 512; dkv needs the most."""
    found = compile_kernels(dtype, 512, "trilinear.dkv")["trilinear.dkv"]
    assert found["shared"] <= SHARED_LIMIT
