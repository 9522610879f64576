"""benchmarks/kernels_correctness.py runs without a GPU too, on tiny inputs, and says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_prints_a_table_and_writes_json(tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/kernels_correctness.py", "--quick", "--json", str(out)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert done.stdout.startswith(found["machine"])
    assert {row["form"] for row in found["errors"]} == {"dot product", "trilinear", "determinant"}
    assert all(row["same_bits_twice"] for row in found["errors"])
    assert set(found["largest"]) == {"float32", "float16", "bfloat16"}
