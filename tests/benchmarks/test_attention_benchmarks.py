"""The benchmarks of attention run, and what they recorded is what the chapters say of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simplex_lib import data
from simplex_lib.attention import costs

ROOT = Path(__file__).resolve().parents[2]


ROWS = {
    "windowed": ("| trilinear |", "| determinant |"),
    "decoding": ("| trilinear |", "| determinant |"),
    "multi_token": ("| forward |", "| multi-token, 1 layer, banded |"),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_it_prints_a_table_that_names_the_machine_and_writes_json(name, tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, f"benchmarks/{name}.py", "--quick", "--json", str(out)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert done.stdout.startswith(found["machine"])
    assert all(row in done.stdout for row in ROWS[name])
    assert set(found) == set(data.load(f"{name}_benchmark"))  # nothing recorded by older code


@pytest.mark.parametrize("name", list(ROWS))
def test_the_recorded_figures_name_their_command(name):
    found = data.load(f"{name}_benchmark")
    file = f"simplex_lib/data/{name}_benchmark.json"
    assert found["command"] == f"python benchmarks/{name}.py --json {file}"
    assert found["threads"] == 1 and found["seed"] == 0


def test_windows_take_less_time_and_memory_than_the_cube():
    found = data.load("windowed_benchmark")
    rows = found["against_the_cube"]
    assert {(row["form"], row["pass"], row["s"]) for row in rows} == {
        (form, name, s)
        for form in ("trilinear", "determinant")
        for name in ("forward", "forward and backward")
        for s in (128, 256)
    }
    for row in rows:
        cube = costs.logits_bytes(row["s"], None, None, h=found["h"])
        assert row["naive"]["largest_tensor_bytes"] == cube
        assert row["windowed"]["largest_tensor_bytes"] < cube / 10
        assert row["time_ratio"] > 3 and row["peak_ratio"] > 10


def test_time_and_memory_grow_linearly_with_s_in_fixed_windows():
    for row in data.load("windowed_benchmark")["growth"]:
        assert row["s"] == [1024, 2048, 4096, 8192, 16_384]
        assert 0.85 < row["time_exponent"] < 1.2
        assert row["peak_bytes"][-1] < 16.5 * row["peak_bytes"][0]


def test_a_step_costs_the_same_however_long_the_text_and_a_full_pass_does_not():
    found = data.load("decoding_benchmark")
    assert [row["form"] for row in found["forms"]] == ["trilinear", "determinant"]
    for row in found["forms"]:
        assert abs(row["step_exponent"]) < 0.1 and row["full_pass_exponent"] > 0.8
        assert set(row["cache_bytes"]) == {
            costs.cache_bytes(
                *(10**6, found["w1"], found["w2"]), g=found["h"], d=found["d"], itemsize=4
            )
        }


def test_a_training_step_with_a_convolution_is_dearer_but_not_by_much():
    steps = {row["model"]: row for row in data.load("multi_token_benchmark")["training_step"]}
    assert 1 < steps["multi-token, 1 layer, banded"]["over_plain"] < 2
    assert steps["dot product, 1 layer"]["over_plain"] == 1


def test_neither_form_of_the_convolution_is_always_the_faster_one():
    rows = data.load("multi_token_benchmark")["convolution"]
    ratios = {(row["c_q"], row["s"], row["pass"]): row["conv2d_over_banded"] for row in rows}
    assert ratios[2, 51, "forward and backward"] > 1.2  # the toy task: banded
    assert ratios[6, 512, "forward and backward"] < 0.8  # many taps, long maps: conv2d
