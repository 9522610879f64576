"""benchmarks/races.py runs without a GPU too, where no race can be seen; what was recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simplex_lib import data

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the race is real")
def test_in_the_interpreter_all_three_kernels_are_right(tmp_path):
    out = tmp_path / "races.json"
    command = [sys.executable, "benchmarks/races.py", "--quick", "--json", str(out)]
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["gpu"] is None and len(found["runs"]) == 6
    for run in found["runs"]:
        assert run["different"] == 1
        assert run["smallest"] == pytest.approx(run["exact"], abs=1e-5)


def test_recorded_on_a_gpu_a_race_loses_and_only_an_owner_repeats_its_bits():
    found = data.load("races")
    runs = {(run["kernel"], run["numbers"]): run for run in found["runs"]}
    assert runs["racing_kernel", "ones"]["largest"] == 1 < found["programs"]
    assert runs["atomic_kernel", "ones"]["smallest"] == found["programs"]
    assert runs["atomic_kernel", "normal"]["different"] > 1
    assert runs["owner_kernel", "normal"]["different"] == 1
