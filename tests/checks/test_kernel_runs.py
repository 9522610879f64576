"""What `run_kernel` sees: every way to touch the wrong memory, in words and before it happens."""

import math
import subprocess
import sys
import textwrap
from functools import partial

import pytest
import torch

from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.jit import tl, triton
from simplex_lib.checks.kernel_bands import look_at_bands, remember
from simplex_lib.checks.kernel_runs import (
    Again,
    Output,
    Stride,
    Strides,
    _banded,
    run_kernel,
    tiles,
)

X = torch.arange(10, dtype=torch.float64)


def double(x, out):
    return dict(x=x, out=out, n=10, BLOCK=8)


@triton.jit
def right_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def unmasked_load(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at), mask=at < n)


@triton.jit
def unmasked_store(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n))


@triton.jit
def short(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n - 1)


@triton.jit
def overlapping(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at) + tl.program_id(0))


@triton.jit
def handing_on(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    if tl.program_id(0) == 0:
        tl.store(out_ptr, 1.0)
    else:
        tl.store(out_ptr + 1, tl.load(out_ptr))


@triton.jit
def adding(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.atomic_add(out_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def into_input(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def too_soon(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(out_ptr + at) + 1)


@triton.jit
def far_away(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at + 1_000_000_000))


@triton.jit
def five(x_ptr, out_ptr, n, m, BLOCK: tl.constexpr):
    tl.store(out_ptr, 1.0)


@triton.jit
def raising(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.store(out_ptr, nothing)


def plain(x, out, n, block):
    return out


def test_a_right_kernel_gives_its_outputs():
    out = run_kernel(right_kernel, (2,), double(X, Output((10,))))["out"]
    assert out.is_contiguous() and torch.equal(out, 2 * X.float())
    half = run_kernel(right_kernel, (2,), double(X.half(), Output((10,), torch.float16)))["out"]
    assert half.dtype == torch.float16 and torch.equal(half, 2 * X.half())


@pytest.mark.parametrize(
    ("kernel", "cause", "says"),
    [
        (unmasked_load, "reads outside x", "Program 1 reads outside `x`: 6 of the 8 elements"),
        (unmasked_store, "writes outside out", "Program 1 writes outside `out`: 6 of the 8"),
        (short, "unwritten out", "1 of the 10 elements of `out` are never stored; the first is at"),
        (
            overlapping,
            "race in out",
            "Programs 0 and 1 both store element (0) of `out`",
        ),
        (handing_on, "race in out", "the first stores it, the second loads it"),
        (adding, "atomics", "every number has one program that owns it"),
        (into_input, "writes input x", "stores into `x`, which is an input"),
        (too_soon, "reads unwritten out", "loads from `out` what nobody has stored yet"),
        (far_away, "reads outside", "Program 0 reads outside"),
        (five, "arguments", "takes 5 arguments, and 4 are passed: x, out, n, BLOCK."),
        (plain, "not a kernel", "@triton.jit above it makes a kernel"),
    ],
)
def test_what_would_go_wrong_on_a_gpu_is_told(kernel, cause, says):
    with pytest.raises(Rejected) as caught:
        run_kernel(kernel, (2,), double(X, Output((10,))))
    assert caught.value.cause.startswith(cause) and says in str(caught.value)


@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr, tl.sum(tl.load(x_ptr + at, mask=at < n)))


def test_what_a_mask_hides_is_not_zero_by_luck():
    arguments = dict(x=X, out=Output((1,)), n=10)
    assert run_kernel(sum_kernel, (1,), arguments | dict(BLOCK=16))["out"].isnan().all()
    arguments = dict(x=X[:8], out=Output((1,)), n=8)
    assert run_kernel(sum_kernel, (1,), arguments | dict(BLOCK=8))["out"].item() == 28


@triton.jit
def nothing_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(x_ptr + at, 1.0, mask=at < 0)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


def test_an_access_that_asks_for_nothing_touches_nothing():
    out = run_kernel(nothing_kernel, (1,), double(X[:8], Output((8,))) | dict(n=8))["out"]
    assert torch.equal(out, X[:8].float())


def test_the_line_is_quoted():
    with pytest.raises(Rejected) as caught:
        run_kernel(unmasked_load, (2,), double(X, Output((10,))))
    assert "2 * tl.load(x_ptr + at), mask=at < n)" in caught.value.where


def test_what_the_kernel_raised_is_told_with_its_line():
    with pytest.raises(Rejected, match=r"raised NameError: name 'nothing' is not") as caught:
        run_kernel(raising, (1,), double(X, Output((10,))))
    assert caught.value.cause == "raised"
    assert caught.value.where == "It is this line: `tl.store(out_ptr, nothing)`"


@triton.jit
def rows_kernel(x_ptr, out_ptr, x_strides, x_column, total_ptr, columns, BLOCK: tl.constexpr):
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_strides[0] + at * x_column, mask=at < columns, other=0.0)
    tl.store(out_ptr + row, tl.sum(x) + tl.load(total_ptr + row))
    tl.store(total_ptr + row, tl.sum(x))


def rows(x, total):
    strides = dict(x_strides=Strides("x"), x_column=Stride("x", 1))
    return dict(x=x, out=Output((3,)), **strides, total=total, columns=5, BLOCK=8)


def test_strides_are_those_of_the_copy_and_a_second_launch_adds_to_the_first():
    x = torch.randn(5, 3, dtype=torch.float64).T
    first = run_kernel(rows_kernel, (3,), rows(x, Output((3,), fill=0.0)))
    assert torch.allclose(first["out"], x.sum(1).float())
    second = run_kernel(rows_kernel, (3,), rows(x, Again(first["total"])))
    assert torch.allclose(second["out"], 2 * x.sum(1).float())


def test_the_inputs_of_the_caller_stay_and_nan_stands_round_each():
    x = X.float()
    with pytest.raises(Rejected):
        run_kernel(into_input, (1,), double(x, Output((10,))))
    assert torch.equal(x, X.float()) and math.isnan(Output((1,)).fill)


def test_without_triton_all_checks_load_and_a_kernel_is_refused_in_words():
    program = """
        import sys
        sys.modules["triton"] = None
        from simplex_lib.checks import check, exercises
        kernels = [e for e in exercises().values() if e.kind == "kernel"]
        assert kernels
        for exercise in kernels:
            report = check(exercise.id, exercise.right[0].answer)
            assert report.cause == "triton" and "cannot run kernels" in report.says, report
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


# who owns what ------------------------------------------------------------------------------------


@triton.jit
def other_block(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = (1 - tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


def test_an_element_is_stored_by_the_program_that_owns_it():
    owners = dict(out=tiles((10,), (0, 8)))
    run_kernel(right_kernel, (2,), double(X, Output((10,))), owners=owners)
    run_kernel(other_block, (2,), double(X, Output((10,))))
    with pytest.raises(
        Rejected, match=r"Program 1 stores out\[0\], which belongs to program 0\. "
    ) as e:
        run_kernel(other_block, (2,), double(X, Output((10,))), owners=owners)
    assert e.value.cause == "stores another's out"
    with pytest.raises(Rejected, match=r"Program 1 loads x\[0\], which belongs to program 0\.$"):
        run_kernel(other_block, (2,), double(X, Output((10,))), owners=dict(x=owners["out"]))
    nobody = dict(out=(torch.tensor([0] * 8 + [1, -1]),))
    with pytest.raises(Rejected, match=r"Program 1 stores out\[9\], which is no program's"):
        run_kernel(right_kernel, (2,), double(X, Output((10,))), owners=nobody)


def test_tiles_count_along_the_axes_of_the_tensor():
    query, head, text = tiles((2, 3, 40), (2, 16), (1, 1), (0, 1))
    shape = torch.broadcast_shapes(query.shape, head.shape, text.shape)
    assert shape == (2, 3, 40)
    assert [int(x.expand(shape)[1, 2, 33]) for x in (query, head, text)] == [2, 2, 1]


# what a GPU refuses -------------------------------------------------------------------------------


@triton.jit
def refused(x_ptr, out_ptr, n, BLOCK: tl.constexpr, SLIP: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK,), tl.float32)
    if SLIP == "float16":
        acc = tl.zeros((BLOCK,), tl.float16)
    elif SLIP == "full":
        acc = tl.full((BLOCK,), 0.0, tl.float16)
    elif SLIP == "number":
        acc = 0.0
    for start in range(0, n, BLOCK):
        x = tl.load(x_ptr + start + lane, mask=start + lane < n, other=0.0)
        if SLIP == "exp":
            x = tl.exp(x)
        elif SLIP == "log":
            x = tl.log(x)
        acc += x.to(tl.float32)
    ok = lane < n
    if SLIP == "and":
        ok = (lane >= 0) and (lane < n)
    elif SLIP == "not":
        ok = not (lane >= n)
    elif SLIP == "if":
        if lane < n:
            ok = lane < n
    elif SLIP == "max":
        acc = max(acc, acc + 1)
    tl.store(out_ptr + lane, acc, mask=ok)


@triton.jit
def arange_of_loop(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        at = tl.arange(start, start + BLOCK)
        tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def lanes_from(start, N: tl.constexpr):
    return tl.arange(start, start + N)


@triton.jit
def arange_in_helper(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        at = lanes_from(start, BLOCK)
        tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def in_a_row(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 1.0, mask=0 <= at < n)


@triton.jit
def returning(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    return tl.load(x_ptr + at, mask=at < n)


@triton.jit
def of_math(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, math.exp(tl.load(x_ptr + at, mask=at < n)), mask=at < n)


@triton.jit
def of_torch(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + torch.arange(0, BLOCK)
    tl.store(out_ptr + at, 1.0, mask=at < n)


@triton.jit
def of_python(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 1.0, mask=int(at) < n)


@triton.jit
def with_list(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = [tl.program_id(0) + lane for lane in range(BLOCK)]
    tl.store(out_ptr + at, 1.0)


@triton.jit
def with_shape(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 1.0, mask=at < x_ptr.shape[0])


@pytest.mark.parametrize("size", [1, 16])
@pytest.mark.parametrize(
    ("kernel", "cause", "says"),
    [
        (partial(refused, SLIP="float16"), "changes in a loop", "`acc` is float16 before the loop"),
        (partial(refused, SLIP="full"), "changes in a loop", "and float32 after a step of it"),
        (partial(refused, SLIP="number"), "changes in a loop", "`acc` is one number (float32)"),
        (partial(refused, SLIP="exp"), "float16 kept", "functions like tl.exp take float32"),
        (partial(refused, SLIP="log"), "float16 kept", "functions like tl.exp take float32"),
        (arange_of_loop, "arange", "known when the kernel is compiled"),
        (arange_in_helper, "arange", "known when the kernel is compiled"),
        (in_a_row, "chain of comparisons", "(0 <= at) & (at < n)"),
        (returning, "returns", "by tl.store alone"),
        (of_math, "function of math", "math.exp knows Python's numbers"),
        (of_torch, "function of torch", "Functions of torch"),
        (of_python, "function of Python", "x.to(tl.int32)"),
        (with_list, "list", "A Python list is no block"),
        (with_shape, "shape of a pointer", "it has no shape"),
    ],
)
def test_what_a_gpu_refuses_is_refused(kernel, cause, says, size):
    x = torch.ones(size, dtype=torch.float16)
    with pytest.raises(Rejected) as caught:
        run_kernel(kernel, (1,), dict(x=x, out=Output((size,)), n=size, BLOCK=size))
    assert caught.value.cause == cause and says in str(caught.value)
    assert "It is this line: `" in caught.value.where


@pytest.mark.parametrize("slip", ["and", "not", "if", "max"])
def test_a_block_has_no_single_truth(slip):
    with pytest.raises(Rejected) as caught:
        kernel = partial(refused, SLIP=slip)
        run_kernel(kernel, (1,), dict(x=X, out=Output((10,)), n=10, BLOCK=16))
    assert caught.value.cause == "truth of a block"
    assert ("tl.maximum" in str(caught.value)) == (slip == "max")


@triton.jit
def allowed(x_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    """What looks as if a GPU refused it; compiled for one, it passes."""
    lane = tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        for _ in range(2):
            y = tl.load(x_ptr + start + lane, mask=start + lane < n, other=0.0)  # ends here
        acc += y
    for start in range(0, n, BLOCK):
        y = tl.load(x_ptr + start + lane, mask=start + lane < n, other=0.0).to(tl.float32)
        acc += y
    for part in tl.static_range(2):
        acc += tl.arange(part * BLOCK, (part + 1) * BLOCK) * 0
    TWICE: tl.constexpr = 2 * BLOCK
    acc += tl.sum(tl.arange(0, TWICE) * 0, 0)
    count = 0
    for start in range(0, n, BLOCK):
        count += start * 0
        a = a * 1
    acc = (acc + count) * a.to(tl.float32) * math.sqrt(BLOCK)
    if (tl.program_id(0) == 0) and (n > 0):
        tl.store(out_ptr + lane, acc, mask=lane < n)


def test_what_a_gpu_takes_passes():
    arguments = dict(x=X.half(), out=Output((10,)), n=10, a=0.5, BLOCK=16)
    assert torch.equal(run_kernel(allowed, (1,), arguments)["out"], 4 * X.float())


@triton.jit
def dot_kernel(x_ptr, out_ptr, PRECISION: tl.constexpr):
    at = 16 * tl.arange(0, 16)[:, None] + tl.arange(0, 16)[None, :]
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, tl.dot(x, x, input_precision=PRECISION))


def test_dots_of_float32_name_their_precision():
    def run(x, precision, *, ieee):
        arguments = dict(x=x.flatten(), out=Output((256,)), PRECISION=precision)
        return run_kernel(dot_kernel, (1,), arguments, ieee=ieee)

    x = torch.ones(16, 16)
    for precision in (None, "tf32"):
        run(x, precision, ieee=False)
        run(x.half(), precision, ieee=True)
        with pytest.raises(Rejected, match="11 significant bits") as caught:
            run(x, precision, ieee=True)
        assert "tl.dot(x, x" in caught.value.where
    run(x, "ieee", ieee=True)


# what a compiled kernel leaves behind -------------------------------------------------------------


def banded(**tensors):
    return {name: _banded(x, torch.device("cpu")) for name, x in tensors.items()}


def test_bands_tell_what_a_compiled_kernel_wrote():
    tensors = banded(x=torch.randn(3, 5).T, at=torch.arange(4), out=Output((5, 3)))
    before = remember(tensors, ("x", "at"))
    tensors["out"].fill_(1)
    look_at_bands(tensors, before)
    with torch.no_grad():
        memory = torch.empty(0).set_(tensors["out"].untyped_storage())
    memory[tensors["out"].storage_offset() - 1] = 3.0
    with pytest.raises(Rejected, match="outside `out`: 1 number is stored in the memory") as caught:
        look_at_bands(tensors, before)
    assert caught.value.cause == "writes outside out"


@pytest.mark.parametrize("name", ["x", "at"])
def test_a_changed_input_is_told(name):
    tensors = banded(x=torch.tensor([1.0, math.nan, 2.0]), at=torch.arange(4), out=Output((3,)))
    before = remember(tensors, ("x", "at"))
    look_at_bands(tensors, before)
    tensors[name][1] = 7
    with pytest.raises(Rejected, match=f"stores into `{name}`, which is an input") as caught:
        look_at_bands(tensors, before)
    assert caught.value.cause == f"writes input {name}"


def test_the_interpreter_is_as_it_was_after_a_launch():
    from triton.runtime import interpreter

    before = interpreter.FunctionRewriter.ast_transformer, interpreter._patch_lang_tensor
    with pytest.raises(Rejected):
        run_kernel(arange_of_loop, (1,), double(X, Output((10,))))
    run_kernel(right_kernel, (2,), double(X, Output((10,))))
    assert before == (interpreter.FunctionRewriter.ast_transformer, interpreter._patch_lang_tensor)
    assert "create_dot" not in vars(interpreter.interpreter_builder)
