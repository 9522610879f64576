"""Small facts that ship with the course: tables of the papers and recorded runs, as JSON.

table1               latencies that arXiv:2507.02754 prints, and what it does not state
match3_training      one 2-simplicial against one dot-product layer, trained on Match3
windowed_benchmark   windowed attention against the cube, measured
decoding_benchmark   the cost of one decoded token, measured
block_training       the block task of Multi-Token Attention, trained on a CPU
paper_blocks         the same at the size of the paper, trained on a GPU
needle_training      2 and 4 needles with three kinds of attention, trained on a CPU
block_pairs          2-simplicial attention on the block task, trained on a CPU
kernels_correctness  errors and memory of the kernels on an H100
determinant_kernels  two ways to give determinants to the forward kernel, timed on an H100
races                one element and a thousand programs on an H100: a race, atomics, an owner
program_traces       what each program of some kernels loads and stores, noted in the interpreter
loop_steps           local variables of the forward kernels, recorded in the interpreter
multi_token_benchmark  the key-query convolution in two forms, measured

Each file names its source, or the command that made it with machine, date, versions and seed.
blocks_*.safetensors are trained weights of block_training. questions/ is written by
tools/build_notebooks.py and read by the course.
"""

import json
from importlib.resources import files
from typing import Any

from simplex_lib.errors import require_choice


def load(name: str) -> dict[str, Any]:
    """The contents of simplex_lib/data/<name>.json; every call reads the file anew.

    Raises:
        ValueError: there is no such file; the message names those there are.

    >>> chosen = load("table1")["chosen"]
    >>> chosen["w1"] * chosen["w2"]
    16384
    """
    require_choice("name", name, names())
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))


def names() -> list[str]:
    """What `load` can read.

    >>> "table1" in names()
    True
    """
    found = (item.name for item in files(__name__).iterdir())
    return sorted(name.removesuffix(".json") for name in found if name.endswith(".json"))
