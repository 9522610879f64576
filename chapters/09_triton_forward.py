# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
r"""
# 09 &nbsp; Triton, forward

Until now attention was a chain of PyTorch operations, and between two of them a tensor went out to memory and came back. For triples that tensor is a cube. Chapter 02 got rid of the cube with an online softmax, and paid for it with many small steps. This chapter puts the same loop *inside* one function that runs on the graphics card, a **kernel**: every piece of the cube is made, used and forgotten on the chip, and nothing comes out but the result.

You need no graphics card. Kernels are written in Triton, a small language inside Python, and Triton has an interpreter that runs them on any Linux machine: slowly, with the right numbers. Where there is a GPU, the same source is compiled.

After this chapter you can

* write a kernel: who computes what, with masks, strides, reductions and tiles,
* say what a kernel that passes in the interpreter has proved, and what it has not,
* write attention over keys, then over pairs of keys, as one kernel that returns its output and its lse,
* read the library's kernel, and measure how exact it is.

The five exercises take 8 to 40 minutes each. First two questions on earlier chapters.
"""

# %% tags=["shared"]
import torch

from simplex_lib.course import check, hint, predict, symptoms

import triton  # isort: skip  # after simplex_lib, which chooses how kernels run here
import triton.language as tl  # isort: skip

# %% tags=["predict"]
predict(
    "The keys of a query are split into two sets, and attention is computed over each set by itself. What must be kept of each, so that attention over all keys can be had without reading a key again?",
    {
        "Its output": "Two outputs can be averaged in many ways. How much weight each set carries is what one has to know.",
        "Its output and its largest logit": "Ten keys at the maximum weigh ten times as much as one. The maximum does not know how many there were.",
        "Its output and its lse": (
            "right",
            "The merge of chapter 01: the two lse, through a softmax, are the weights of the two outputs. Kernels return both for this reason, and chapter 10 lives on the lse.",
        ),
        "All its logits": "They would suffice. They are also what is never to be stored.",
    },
)

# %% tags=["predict"]
predict(
    "x has the shape (3, 5) and lies in memory row after row, so its strides are (5, 1). Which shape and which strides has x.T?",
    {
        "Shape (5, 3), strides (3, 1)": "That would be a copy, written anew row after row. A transpose moves no number.",
        "Shape (5, 3), strides (1, 5)": (
            "right",
            "One step down in x.T is one step to the right in x. The table of windows in chapter 04 was made by strides alone too.",
        ),
        "Shape (5, 3), strides (5, 1)": "With these strides element (4, 0) would lie 20 places from the start, and x has 15.",
        "Shape (3, 5), strides (1, 5)": "The strides are right. The shape is exchanged with them.",
    },
)

# %%
import inspect
import math
import textwrap
import warnings

from simplex_lib.attention import trilinear_attention
from simplex_lib.data import load
from simplex_lib.traffic import Traffic
from simplex_lib.triton_mode import triton_mode
from simplex_lib.triton_trace import OutsideAccess, tracing
from simplex_lib.widgets import step_loop, step_programs

mode = triton_mode()
device = "cuda" if mode == "gpu" else "cpu"  # where the tensors of a kernel must lie
warnings.filterwarnings("ignore", "Triton kernels run in")  # said by the library; said here now
print("kernels here are", "compiled" if mode == "gpu" else "interpreted")
not_seen = "Nobody sees into a compiled kernel. Start the course with TRITON_INTERPRET=1 for this."
if mode == "gpu":
    print("Started with TRITON_INTERPRET=1, the course interprets them, and its checks see more.")

# %% [markdown]
r"""
## Why one kernel

An operation of PyTorch reads its inputs from memory, computes, and writes its result to memory. The next one reads it again. So let us count bytes, not operations: one head, 64 tokens, vectors of 16 numbers. The cube of logits has $64^3 = 262{,}144$ numbers, in float32 about 1 MB. How often does a megabyte go out or come in?
"""


# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(5, 1, 1, 64, 16, generator=generator)
with Traffic() as traffic:  # notes what each operation reads and writes; views move nothing
    trilinear_attention(*x)
for name, sizes in traffic.moved:
    if sum(sizes) > 1e6:
        print(f"{name:28}{sum(sizes) / 1e6:6.1f} MB")
for name, size in (("the cube", 4 * 64**3), ("a quarter of it", 64**3)):
    times = traffic.times(size)
    print(f"{name}: {times} times, {times * size / 1e6:.1f} MB")
ends = 6 * 64 * 16 * 4 + 64 * 4  # q, k1, k2, v1, v2, out, and lse
print(f"all operations {traffic.total / 1e6:.1f} MB; inputs and results {ends / 1e3:.1f} kB")
assert traffic.total > 100 * ends  # how many operations there are depends a little on PyTorch

# %% [markdown]
r"""
Logits, scale, mask, softmax: the cube goes out or comes in eleven times. Tensors of a quarter of its size come by eight times: its mask, one byte for each number, and the tables of merged queries and merged values, $64^2$ vectors of 16 numbers. With what is small it makes 14 MB. What the caller gives and gets is 25 kB, 570 times less.
"""

# %% tags=["predict"]
predict(
    "The same head at s = 1,024, sixteen times as long. The operations then move how many times as many bytes as go in and come out?",
    {
        "570 times, as before": "Both sides grow, but not alike. The cube has s³ numbers, inputs and results s · d.",
        "About 9,000 times": "16 · 570 would be right for a table of s² logits. This is a cube.",
        "About 130,000 times": (
            "right",
            "The cube grows by 16³ = 4,096, the inputs by 16, their ratio by 256. And 256 · 570 would be 146,000 if all of it were the cube. The smaller tables grow less.",
        ),
        "About 2.3 million times": "That is 4,096 · 570. The inputs have grown as well, by 16.",
    },
)

# %% [markdown]
r"""
Why this matters more on a GPU than anywhere else: its arithmetic has outrun its memory. By the maker's figures an H100 does 989 trillion operations a second in 16-bit matrix products, and its memory delivers 3.35 trillion bytes. That is $989 / 3.35 = 295$ operations for each byte. A 16-bit number has two bytes, and a multiply-add is two operations. So the chip can do **295 multiply-adds in the time it takes to fetch one 16-bit number**. A chain of operations that each do one thing to a number leaves the chip idle.

The way out is to fetch a number once and do all that is to be done with it. Here is the library's kernel, which this chapter leads to, with every load and store counted (`tracing` notes them, in the interpreter):
"""

# %%
if mode == "interpreter":
    for s in (32, 64, 128):
        x = torch.randn(5, 1, 1, s, 16, generator=generator)
        with Traffic() as traffic:
            trilinear_attention(*x)
        with tracing() as trace:
            trilinear_attention(*x, impl="triton")
        kernel = sum(4 * (access.elements >= 0).sum() for access in trace.accesses)
        moved = f"operations {traffic.total / 1e6:6.1f} MB   one kernel {kernel / 1e6:.3f} MB"
        print(f"s = {s:3}   {moved}")
else:
    print(not_seen)

# %% [markdown]
r"""
Twice the length costs the chain seven to eight times the bytes, nearer to eight the longer the text. It costs the kernel twice the bytes: each input is read once and each result written once. (That is its best case, a text so short that all its queries are dealt with together. In longer ones they are dealt with in groups, and each group reads the keys again.) What it does in between stays on the chip.

A cube that is never written needs no room either. That is another count, not of bytes that move but of the most that is held at one time. On a real H100, for one head with 1,024 tokens in bfloat16, gradients included:
"""

# %%
measured = load("kernels_correctness")
held = measured["memory"]
assert (held["s"], held["d"], held["dtype"]) == (1024, 64, "bfloat16")
print(measured["gpu"], measured["date"])
print(f"memory beyond the inputs, operations: {held['naive'] / 1e9:5.1f} GB")
print(f"memory beyond the inputs, kernels:    {held['kernel'] / 1e6:5.1f} MB")

# %% [markdown]
r"""
Fewer bytes to move, and next to none to hold: that is the goal of this chapter and the next. Now from zero.

## A program and its number

On a GPU many processors work side by side, 132 of them on an H100. A kernel is *one* function, and launching it starts many copies of it, called **programs**. They differ in a single thing: each has a number. From its number a program works out which part of the work is its own.

Twelve numbers are to be squared, by three programs, in blocks of four:

| program | its places |
|:--|:--|
| 0 | 0, 1, 2, 3 |
| 1 | 4, 5, 6, 7 |
| 2 | 8, 9, 10, 11 |

Program $p$ owns the places $4p$ to $4p + 3$. In Triton:
"""


# %%
@triton.jit
def square_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, x * x)


x = torch.arange(12.0, device=device)
out = torch.zeros(12, device=device)
square_kernel[(3,)](x, out, BLOCK=4)
print(out.tolist())
assert torch.equal(out, x**2)

# %% [markdown]
r"""
Six new things in five lines:

* `@triton.jit` makes a kernel of the function. Its body looks like Python and is not: only numbers, blocks of numbers, loops and functions of `tl`. No lists, no `torch`.
* A tensor that is passed arrives as a **pointer**, the place of its first number. The kernel knows no shape: not how long `x` is, nor that it ends.
* `tl.program_id(0)` is the program's number, and `tl.arange(0, BLOCK)` the block 0, 1, 2, 3. So `at` is a block of four places, and in program 2 it is 8, 9, 10, 11.
* `tl.load` fetches a whole block onto the chip, `x * x` works on all of it at once, `tl.store` writes it back. There is no loop over the four: a GPU does them side by side.
* `BLOCK: tl.constexpr` is a number that must be known when the kernel is compiled, since blocks live in *registers*, the small memory inside a processor that arithmetic works on, and these are dealt out when a kernel is compiled. Blocks have a power of two as length.
* `[(3,)]` is the **grid**: how many programs. A kernel returns nothing; it writes into what it was given.

If you lose track, put `print(at)` into a kernel: the interpreter then prints the block of each program.

One thing is not to be seen. The three programs may run in any order, or at the same time. **No program may count on another having finished.** That is what lets a GPU run thousands of them.
"""

# %% tags=["predict"]
predict(
    "1,000 numbers are to be squared with BLOCK = 256. How many programs does it take, and which places does the last one have?",
    {
        "4, and the last has 768 to 999": "That would be convenient. But tl.arange(0, 256) has 256 entries in every program, and the kernel does not know where x ends.",
        "4, and the last has 768 to 1,023": (
            "right",
            "1,000 / 256 = 3.9, rounded up. 24 places of the last block lie behind the end, and nobody has told the kernel.",
        ),
        "3, and the last has 512 to 767": "Then 232 numbers are never squared. Rounding must go up.",
        "1,000, and the last has place 999": "That would be BLOCK = 1, which works, and wastes the width of the machine.",
    },
)

# %% [markdown]
r"""
## Behind the end: masks

What happens at those 24 places? Let us make it safe to look. Seven numbers are ours; behind them in the same memory lies somebody else's, a 700 and an 800. Two programs of four:
"""

# %% tags=["predict"]
predict(
    "x = memory[:7] with memory = 1, 2, 3, 4, 5, 6, 7, 700, 800. After `square_kernel[(2,)](x, out, BLOCK=4)`, what stands in the eighth place of out, which was 0 before?",
    {
        "0": "That would need somebody who notices that x has seven numbers. The kernel has a pointer and nothing else.",
        "Nothing, since Python raises an IndexError": "An index is checked against a shape. A pointer is an address, and any address can be read.",
        "NaN": "Only if a NaN lay there. The checks of this chapter put NaN there on purpose.",
        "490,000": (
            "right",
            "700². The neighbour was read without a word, and the place behind the result was overwritten.",
        ),
    },
)

# %%
memory = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 700, 800], device=device)
out = torch.zeros(8, device=device)
square_kernel[(2,)](memory[:7], out, BLOCK=4)
print(out.tolist())
assert out[7] == 490_000

# %% [markdown]
r"""
No error, in the interpreter as on most days on a GPU. Both read the memory of others, and the store is worse than the load: in a model it changes some other tensor, and the crash comes much later, or never. So a passing test proves little here. What helps is to look at the addresses:
"""

# %%
if mode == "interpreter":
    try:
        with tracing():
            square_kernel[(2,)](memory[:7], out, BLOCK=4)
    except OutsideAccess as error:
        print("seen:", error)
else:
    print(not_seen)

# %% [markdown]
r"""
The checks of this chapter run your kernels in the same way, and stop them *before* the access. The cure is a **mask**, one True or False for each place: where it is False nothing is read and nothing written. The four seats of a block are called its **lanes**:

| program 1 | lane 0 | lane 1 | lane 2 | lane 3 |
|:--|:-:|:-:|:-:|:-:|
| place `at` | 4 | 5 | 6 | **7** |
| `at < n`, with n = 7 | True | True | True | **False** |

A masked load must still put *something* into lane 3, for a block has four lanes. `other=` says what. Without it the lane is undefined: 0 in the interpreter, anything on a GPU, and NaN when one of our checks runs the kernel.
"""


# %%
@triton.jit
def masked_square_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    tl.store(out_ptr + at, x * x, mask=inside)


out = torch.full((8,), -1.0, device=device)
masked_square_kernel[(2,)](memory[:7], out, 7, BLOCK=4)
print(out.tolist())
assert out[7] == -1

# %% [markdown]
r"""
Here is the same kernel at work on 42 numbers, in blocks of 16. On the picture, ← and → go from program to program, ↑ and ↓ from one load or store to the next. **How many lanes of the last program are masked? And with "all programs": does any place of out belong to two of them?**
"""

# %%
numbers = dict(x=torch.arange(42.0), out=torch.zeros(42), n=42, BLOCK=16)
mine = dict(kernel=masked_square_kernel, grid=(3,), arguments=numbers)
step_programs(program=2, **mine) if mode == "interpreter" else print(not_seen)

# %% [markdown]
r"""
You should have found 6 masked lanes, since 42 = 2 · 16 + 10, and one program for each place. In the interpreter you can look at any kernel in this way, also at those that you write for the exercises.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 9.1: A masked vector kernel &nbsp; (8 minutes)

Write `out = a * x + y`. `x`, `y` and `out` are vectors of `n` numbers that lie side by side in memory, `a` is a float, `BLOCK` a power of two in any relation to `n`. The grid is $\lceil n / \text{BLOCK} \rceil$ programs: program $p$ owns the BLOCK places from $p \cdot \text{BLOCK}$ on, computes those below `n` and touches no others.

`x` and `y` are float32 or float16, `out` is float32 (`tl.store` converts). The check launches the kernel, with NaN around each tensor. No loop is needed; atomic operations are not allowed.

By hand: n = 5, BLOCK = 4, a = 2, x = 0, 1, 2, 3, 4, and y = 10 everywhere. Program 0 writes 10, 12, 14, 16; program 1 has the places 4, 5, 6, 7, and writes an 18 to the first of them.
"""


# %% tags=["exercise"]
@triton.jit
def scale_add_kernel(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    """out = a * x + y. Program p owns the BLOCK elements from p * BLOCK on."""
    ### BEGIN SOLUTION
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = at < n
    x = tl.load(x_ptr + at, mask=ok, other=0.0)
    y = tl.load(y_ptr + at, mask=ok, other=0.0)
    tl.store(out_ptr + at, a * x + y, mask=ok)
    ### END SOLUTION


# %% tags=["exercise"]
check("9.1", scale_add_kernel)

# %% [markdown]
r"""
## Pointers and strides

A matrix is a vector with an agreement: element (r, c) lies at $r \cdot \text{row} + c \cdot \text{column}$, where the two strides say how far it is to the next row and to the next column. A kernel gets them as plain numbers, and they count *elements*, not bytes. Take the matrix 0 to 14 in three rows of five, strides (5, 1). A program is to fetch a tile of it, two rows by four columns. Its places are a sum of a column of row steps and a row of column steps,

$$\begin{pmatrix} 0 \\ 5 \end{pmatrix} + \begin{pmatrix} 0 & 1 & 2 & 3 \end{pmatrix} = \begin{pmatrix} 0 & 1 & 2 & 3 \\ 5 & 6 & 7 & 8 \end{pmatrix}$$

and broadcasting does the rest: `[:, None]` makes a column of a block, `[None, :]` a row, as in PyTorch.
"""


# %%
@triton.jit
def tile_kernel(x_ptr, out_ptr, x_row, x_column, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    r, c = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    tile = tl.load(x_ptr + r * x_row + c * x_column)
    tl.store(out_ptr + r * COLUMNS + c, tile)


x = torch.arange(15, device=device).reshape(3, 5)
out = torch.zeros(2, 4, dtype=x.dtype, device=device)
tile_kernel[(1,)](x, out, *x.stride(), ROWS=2, COLUMNS=4)
print("of x:  ", out.tolist())
out = torch.zeros(4, 2, dtype=x.dtype, device=device)
tile_kernel[(1,)](x.T, out, *x.T.stride(), ROWS=4, COLUMNS=2)
print("of x.T:", out.tolist())
assert torch.equal(out, x.T[:4, :2])

# %% [markdown]
r"""
The second launch reads a transposed matrix with the same source, no copy made. Whoever writes `r * columns + c` in place of strides has a kernel that works for the tensors it was tested with. Keys and values in a model are seldom contiguous: they are slices of one large projection, and heads are views.
"""

# %% tags=["predict"]
predict(
    "x is this matrix of three rows and five columns, 0 to 14. Where does element (3, 1) of x.T lie, counted from x's first number?",
    {
        "10": "3 · 3 + 1: so it would be if x.T, a (5, 3) matrix, had been copied row after row.",
        "8": (
            "right",
            "The strides of x.T are (1, 5): 3 · 1 + 1 · 5 = 8. And x.T[3, 1] is x[1, 3] = 8.",
        ),
        "16": "3 · 5 + 1 takes the strides of x for x.T. It lies outside: x has 15 numbers.",
        "64": "8 places of eight bytes, which is what these integers take. Adding to a pointer counts elements; Triton knows their size.",
    },
)

# %% [markdown]
r"""
## Reductions, and what fills the gaps

`tl.max(x, 0)` and `tl.sum(x, 0)` make one number out of a block, along an axis. They take *all* lanes, also those that the mask left out. So the gap must be filled with a number that does nothing:

| reduction | what does nothing |
|:--|:--|
| sum | 0 |
| product | 1 |
| maximum | $-\infty$ |
| minimum | $+\infty$ |

Try the wrong one. Two rows of three numbers, one program a row, blocks of four:
"""


# %%
@triton.jit
def largest_kernel(x_ptr, out_ptr, columns, FILL: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * columns + column, mask=column < columns, other=FILL)
    tl.store(out_ptr + row, tl.max(x, 0))


x = torch.tensor([[2.0, 7, 1], [-3, -5, -4]], device=device)
for fill in (0.0, float("-inf")):
    out = torch.zeros(2, device=device)
    largest_kernel[(2,)](x, out, 3, FILL=fill, BLOCK=4)
    print(f"gaps filled with {fill:4}: largest {out.tolist()}")
assert out.tolist() == [7, -3]

# %% [markdown]
r"""
With 0 the first row is right and the second wrong. Random rows of a few dozen numbers nearly always hold a positive one: a test with random inputs would have passed.
"""

# %% tags=["predict"]
predict(
    "A softmax of the row −3, −5, −4 in a block of four, loaded with other=0. Maximum, exponentials, sum and division are taken over the block, and three results are stored. What do these three add up to?",
    {
        "1, since the fourth is not stored": "It is not stored. But it stood in the sum by which the other three were divided.",
        "1, since a maximum that is too large cancels": "It does: any m cancels. But the lane that does not exist has also put its own exponential into the sum.",
        "0.07": (
            "right",
            "m = 0, and the sum is 0.050 + 0.007 + 0.018 + 1: a key that is not there has the largest logit, and takes 93 % of the attention. With −∞ its exponential is 0, and the sum is right without another mask.",
        ),
        "0": "So it would be for a row below −104, where the exponentials of float32 end.",
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 9.2: Softmax of a row &nbsp; (12 minutes)

`x` and `out` are (rows, columns), `x` float32 or float16, `out` float32. Element (r, c) of `x` lies `x_row` · r + `x_column` · c numbers behind `x_ptr`; `out` has its own two strides. Any strides: `x` may be a transpose, rows may lie apart. The grid has one program for each row, and `BLOCK` is a power of two, at least `columns`, so that a row is one block.

Entries may be large (10,000), a row may be very low (−10,000 and below), and single entries may be −∞, with probability 0, but never a whole row. Compute in float32: `x.to(tl.float32)` first. Use `tl.max`, `tl.exp` and `tl.sum`; `tl.softmax` is not allowed. Touch nothing outside, and only your own row.

By hand: the row 0, 1, 2 gives 0.090, 0.245, 0.665, and the row −10,000, −10,000, −∞ gives 0.5, 0.5, 0, both with BLOCK = 4.
"""


# %% tags=["exercise"]
@triton.jit
def softmax_kernel(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    """out[r] = softmax(x[r]). Program r owns row r; BLOCK >= columns."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    x = x.to(tl.float32)
    e = tl.exp(x - tl.max(x, 0))
    tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)
    ### END SOLUTION


# %% tags=["exercise"]
check("9.2", softmax_kernel)

# %% [markdown]
r"""
This kernel is already *fused*: in PyTorch a stable softmax by hand is five operations (maximum, difference, exponential, sum, quotient), each through memory. Here the row comes in once and goes out once.

## Tiles

A table of products, $c_{rk} = a_r\, b_k$, of 36 numbers $a$ and 40 numbers $b$. One by one, each of the 1,440 products fetches two numbers: 2,880 loads. But a program that owns a **tile** of 16 by 16 products needs only 16 numbers of $a$ and 16 of $b$, and makes 256 products of them. There are 3 by 3 such tiles, so each $a$ and each $b$ is loaded three times: 228 loads in all. Tiles are there to share what is fetched.

The grid has two axes now: `tl.program_id(0)` is the tile's row, `tl.program_id(1)` its column, and a program has two numbers, as (2, 0). Three axes are the most. A trace always notes three numbers, 0 for an axis that the grid does not have: program 1 of the vectors above is (1, 0, 0) there.
"""


# %%
@triton.jit
def outer_kernel(a_ptr, b_ptr, c_ptr, m, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    a = tl.load(a_ptr + r, mask=r < m, other=0.0)
    b = tl.load(b_ptr + k, mask=k < n, other=0.0)
    inside = (r < m)[:, None] & (k < n)[None, :]
    tl.store(c_ptr + r[:, None] * n + k[None, :], a[:, None] * b[None, :], mask=inside)


a, b = torch.arange(36.0, device=device), torch.arange(40.0, device=device)
c = torch.zeros(36, 40, device=device)
tables = dict(a=a, b=b, c=c, m=36, n=40, ROWS=16, COLUMNS=16)
outer_kernel[(3, 3)](*tables.values())
assert torch.equal(c, torch.outer(a, b))

# %% [markdown]
r"""
Its nine programs, one after the other. **Which of them load `a[0]`? Click on it to ask.** Then look at the programs of the last row and column: how much of their tiles exists?
"""

# %%
mine = dict(kernel=outer_kernel, grid=(3, 3), arguments=tables)
step_programs(program=4, **mine) if mode == "interpreter" else print(not_seen)

# %% [markdown]
r"""
You should have seen three: (0, 0), (0, 1) and (0, 2), one for each tile in that row. At the edges 4 of 16 rows are left, and 8 of 16 columns.

## A loop in a kernel

A row may be longer than any block. Then one program walks along it in steps, and keeps what it has so far in an **accumulator**. The numbers 1 to 100, summed in blocks of 16:
"""


# %%
@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    acc = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)
        acc += tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr, tl.sum(acc, 0))


out = torch.zeros(1, device=device)
sum_kernel[(1,)](torch.arange(1.0, 101.0, device=device), out, 100, BLOCK=16)
print(out.item())
assert out.item() == 100 * 101 / 2

# %% [markdown]
r"""
* `tl.zeros((BLOCK,), tl.float32)` makes a block of zeros on the chip, and `tl.full` a block of any number. A variable that goes through a loop must keep its shape and its dtype; so the accumulator is float32 from the start.
* A plain `range` will do, and its ends may be numbers that the kernel is given or has computed. (In published kernels you will meet `tl.range`: the same loop, with hints for the compiler.) But the ends of `tl.arange` must be known when the kernel is compiled: not `tl.arange(start, start + BLOCK)`.
* Seven steps, and each lane has summed every sixteenth number. The lanes are brought together once, behind the loop.

## Matrix products, and tl.dot

In a matrix product $C = AB$, number (r, c) of $C$ needs the whole row r of $A$ and the whole column c of $B$. The tiles are as before, and one thing is new: a program walks along the inner axis in steps. In each step it loads a tile of $A$ and a tile of $B$ and adds their product to an accumulator, a tile as well, which stays on the chip until the end.
"""

# %% tags=["predict"]
predict(
    "A, B and C are 1,024 by 1,024, tiles of C are 64 by 64. How often is each number of A loaded, over all programs?",
    {
        "1,024 times": "So it would be with one program for each number of C: once for each column of C.",
        "64 times": "That is how often a program *uses* a number of A once it is there: for each of its 64 columns.",
        "Once": "That needs a program that owns 64 whole rows of C, all 1,024 columns: 65,536 sums, as many as a chip's processor has registers.",
        "16 times": (
            "right",
            "C has 1,024 / 64 = 16 tiles in a row, and the programs of all 16 read the same rows of A. Larger tiles load less, until they do not fit on the chip.",
        ),
    },
)

# %% [markdown]
r"""
The inner axis has an end too. If it has 20 places and a step takes 16, the second step has 4 real ones, and the other 12 must be filled with what does nothing in a sum of products.

`tl.dot(a, b)` multiplies two tiles, on a GPU in its matrix units, the *tensor cores*. It has three rules:

* Both factors have the same dtype, and the inner axis at least 16 numbers. (Older versions of Triton asked it of all sides; now smaller outer sides are padded. We keep to 16 everywhere.)
* Products of 16-bit factors are summed in **float32**, and the accumulator should be float32 too.
* Factors of float32 are rounded on a GPU to 11 significant bits (TF32), as many as a float16 has, if nobody objects. `input_precision="ieee"` objects.

The second rule deserves a question.
"""

# %% tags=["predict"]
predict(
    "An accumulator in float16 starts at 0, and 1 is added to it 4,096 times. What does it hold?",
    {
        "4,096": "float16 can hold that number. The question is whether it can get there in steps of 1.",
        "2,048": (
            "right",
            "A float16 has 11 significant bits. From 2,048 on it only knows even numbers, and 2,049 is rounded back to 2,048, two thousand times over.",
        ),
        "Infinity": "float16 ends at 65,504.",
        "About 4,096, some of the ones rounded up and some down": "Each addition is rounded in the same way, so errors do not cancel.",
    },
)

# %%
total = torch.tensor(0.0, dtype=torch.float16)
for _ in range(4096):
    total += 1
print(total.item())
assert total == 2048

# %% [markdown] tags=["exercise"]
r"""
### Exercise 9.3: One tile of a matrix product &nbsp; (20 minutes)

$C = AB$ with `A` (m, k) and `B` (k, n), both float32 or both float16, and `C` (m, n) in float32. Each has two strides, as in 9.2, and any strides may come. `m`, `n`, `k` are at least 1 and need be no multiples of the blocks; `ROWS`, `COLUMNS`, `INNER` are powers of two, at least 16.

The grid is (⌈m / ROWS⌉, ⌈n / COLUMNS⌉). Program (p, r) owns the rows of `C` from p · ROWS on and the columns from r · COLUMNS on. Walk along k in steps of INNER, load a tile (ROWS, INNER) of `A` and a tile (INNER, COLUMNS) of `B`, and add `tl.dot(a, b, input_precision="ieee")` to an accumulator in float32. Touch nothing outside, use no atomics.

By hand, with blocks of 2 to fit the page: $A$ has the rows (1, 2), (3, 4), (5, 6), $B$ the rows (1, 0, 2), (0, 1, 3). Then $C$ has the rows (1, 2, 8), (3, 4, 18), (5, 6, 28), the grid is (2, 2), and program (1, 0) owns row 2 and the columns 0 and 1: it writes 5 and 6.
"""


# %% tags=["exercise"]
@triton.jit
def matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    m,
    n,
    k,
    a_row,
    a_column,
    b_row,
    b_column,
    c_row,
    c_column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
):
    """C = A @ B. Program (p, r) owns tile (p, r) of C, ROWS x COLUMNS numbers."""
    ### BEGIN SOLUTION
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, k, INNER):
        a_inner = start + tl.arange(0, INNER)[None, :]
        b_inner = start + tl.arange(0, INNER)[:, None]
        a_ok, b_ok = (row < m) & (a_inner < k), (b_inner < k) & (column < n)
        a = tl.load(a_ptr + row * a_row + a_inner * a_column, mask=a_ok, other=0.0)
        b = tl.load(b_ptr + b_inner * b_row + column * b_column, mask=b_ok, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + row * c_row + column * c_column, acc, mask=(row < m) & (column < n))
    ### END SOLUTION


# %% tags=["exercise"]
check("9.3", matmul_kernel)

# %% [markdown]
r"""
When you have it, put `step_programs("matmul", presets=["matmul"])` into a cell of your own, and go through the nine programs of such a kernel: which of them load the same row of A?

## Interpreted and compiled

The interpreter runs the same source with NumPy. Where it agrees with a GPU and where not is worth knowing before you trust a green check:

| | interpreted, on a CPU | compiled, on a GPU |
|:--|:--|:--|
| programs run | one after the other, in the order of their numbers | many at a time, in any order |
| two programs store to one place | the last one wins, every time | either may win |
| a read or write outside | no error; our checks see it | no error, or a crash |
| a masked lane without `other` | 0 | undefined |
| bfloat16 | **wrong, and no error** | right |
| `input_precision` | ignored, float32 keeps all its bits; the check of 9.3 asks for it | counts |
| `tl.dot` with an inner axis below 16 | accepted | refused |
| a variable that changes its shape or dtype in a loop | accepted; our checks see it | refused |
| time | says nothing | the point of it all |

Two rows of the table, live. First bfloat16: 1 + 1, 2 + 1, 3 + 1 and 0.5 + 1.
"""


# %%
@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, UPCAST: tl.constexpr):
    at = tl.arange(0, 4)
    x, y = tl.load(x_ptr + at), tl.load(y_ptr + at)
    if UPCAST:  # decided when the kernel is compiled, since UPCAST is a constexpr
        x, y = x.to(tl.float32), y.to(tl.float32)
    tl.store(out_ptr + at, x + y)


x = torch.tensor([1, 2, 3, 0.5], dtype=torch.bfloat16, device=device)
for upcast in (False, True):
    out = torch.zeros(4, device=device)
    add_kernel[(1,)](x, torch.ones_like(x), out, UPCAST=upcast)
    print(f"{'in float32' if upcast else 'as loaded '} {out.tolist()}")
assert out.tolist() == [2, 3, 4, 1.5]

# %% [markdown]
r"""
Interpreted, the first line is nonsense: the bits of the two numbers were added as if they were integers. A GPU adds bfloat16 correctly. So a kernel that is to run in both converts right after the load, and the library's kernels do. Now the second row:
"""

# %% tags=["predict"]
predict(
    "Five programs, and each stores its own number into out[0]. The interpreter gives 4, always. What does a GPU give?",
    {
        "4, since program 4 is the last": "In the interpreter there is a last one. On a GPU all five may run at once.",
        "Any of 0 to 4, and perhaps another one next time": (
            "right",
            "A race. The interpreter cannot show it by its result, however often it runs. The checks look for it in another way: they note who stored where.",
        ),
        "10, the sum": "A store replaces. To add up safely there are atomic operations, which come at a price: chapter 10.",
        "An error": "Nothing watches who writes where.",
    },
)


# %%
@triton.jit
def race_kernel(out_ptr):
    tl.store(out_ptr, tl.program_id(0))


out = torch.full((1,), -1, dtype=torch.int32, device=device)
race_kernel[(5,)](out)
print("out[0] =", out.item())
if mode == "interpreter":
    with tracing() as trace:
        race_kernel[(5,)](out)
    print("stored there by programs", [access.program[0] for access in trace.accesses])

# %% [markdown]
r"""
So: right numbers in the interpreter prove the arithmetic and the indices, for the sizes you tried. They prove nothing about races, bfloat16 or speed. Where you have a GPU, use both: started with `TRITON_INTERPRET=1` the course interprets, and its checks see every address, every store and every program; without it they run your kernel as compiled, and see the results. The library's kernels were therefore tested on an H100 as well, and chapter 10 shows a race that was recorded there.

## Attention in one program

You have all the parts. A program of attention owns a tile of queries, and walks along the keys tile by tile, with the online softmax of chapter 01:

| in chapter 01 | in a kernel |
|:--|:--|
| all queries at once | a tile of ROWS queries of one head; the grid counts tiles, heads, texts |
| `m` (s,), `l` (s,), `acc` (s, d) | the same for ROWS queries, on the chip: `tl.full((ROWS,), x, tl.float32)`, `tl.zeros` |
| `for start in range(0, s, block)` | the same loop; its ends may be computed from the program's number |
| `k[..., start : start + block, :]` | a tile of pointers, masked behind the end |
| `q @ k_block.mT` | `tl.dot(q, tl.trans(k))` |
| `logits.masked_fill(hidden, -inf)` | `tl.where(seen, logits, float("-inf"))` |
| `logits.amax(-1)`, `p.sum(-1)` | `tl.max(logits, 1)`, `tl.sum(p, 1)` |
| divide and return | divide once, then store out and lse |

Four more names you will need: `tl.maximum(x, y)` and `tl.minimum(x, y)` compare two blocks lane by lane, or two numbers, where `tl.max` makes one number out of one block; `tl.log` is the natural logarithm; and `tl.cdiv(n, BLOCK)`, outside a kernel `triton.cdiv`, is n / BLOCK rounded up.

Here runs the loop of the library's kernel, recorded in the interpreter: 11 tokens, tiles of 4 queries and 4 keys (the interpreter takes tiles that small). Its exponentials are powers of 2, for a reason that comes next; nothing else differs. It starts with query 9, before the first step. **Step through it, and before each step say whether m will move.** (The hollow dots over m are the largest logits of the steps to come.) Then tick "also without rescale" and go through it again; at last choose the inputs with the largest logits first.
"""

# %%
step_loop()

# %% [markdown]
r"""
You should have seen three steps, since query 9 sees keys 0 to 9. Whenever $m$ rises, $l$ and acc shrink by the same factor, and out so far is attention over the keys read so far. Without the rescaling the numbers go wrong in the first step in which $m$ moves. And with the largest logits first $m$ never moves again after the first tile, so the mistake changes nothing: **a test whose largest logit comes first cannot see it.**
"""

# %% tags=["predict"]
predict(
    "ROWS = 64, KEYS = 32, values of 128 numbers, a text of 8,192 tokens. How many numbers must a program carry from one step of its loop to the next, besides its queries?",
    {
        "2,048": "These are the logits of a tile, 64 · 32. They are used up within their step.",
        "524,288": "64 · 8,192 would be all logits of the tile's queries. That the kernel never has them is the point.",
        "8,320": (
            "right",
            "64 for m, 64 for l, 64 · 128 for acc. The length of the text does not enter.",
        ),
        "192": "m, l and one number of acc for each query. The accumulator is as wide as a value, 128.",
    },
)

# %% [markdown]
r"""
### Base 2

NVIDIA's GPUs have an instruction for $2^x$ and none for $e^x$. So kernels multiply the logits by $\log_2 e = 1.4427$ once and use `tl.exp2`, since $e^x = 2^{x \log_2 e}$. The weights do not change, nor does $l$; $m$ is then 1.4427 times as large. Take the example of chapter 01, with the logits 2, 1, 4, 1, where $m = 4$, $l = 1.235$ and lse $= 4 + \ln 1.235 = 4.211$. In base 2, $m = 5.771$, and

$$\text{lse} = (m + \log_2 l) \cdot \ln 2 = (5.771 + 0.304) \cdot 0.6931 = 4.211 .$$

The library keeps base 2 inside and gives a natural lse to the outside. Mix the two, and it goes wrong without a sound:
"""

# %% tags=["predict"]
predict(
    "A kernel keeps m = 5.771 in base 2 and stores m + ln l = 5.982 as its lse. Its output is right. Chapter 10 will compute the probabilities again as exp(logit − lse). What do they add up to?",
    {
        "1, probabilities always do": "They do if the lse is that of these logits. Nothing else makes them.",
        "0.17": (
            "right",
            "exp(4.211 − 5.982). All gradients would come out wrong, while every test of the output passes. The released package of the paper's authors did this: chapter 10.",
        ),
        "1.44, which is log2 e": "The factor sits on m alone, and m stands in an exponent.",
        "0, since 5.982 is larger than every logit": "exp of a negative number is small, but not 0: each probability is 0.17 times what it should be.",
    },
)

# %%
logits = torch.tensor([2.0, 1.0, 4.0, 1.0], dtype=torch.float64)
m = logits.max() * math.log2(math.e)
l = torch.exp2(logits * math.log2(math.e) - m).sum()  # noqa: E741
for name, lse in (("right", (m + l.log2()) * math.log(2)), ("mixed", m + l.log())):
    print(f"{name}: lse {lse:.3f}, probabilities add up to {(logits - lse).exp().sum():.2f}")
assert round(float((logits - lse).exp().sum()), 2) == 0.17

# %% [markdown] tags=["exercise"]
r"""
### Exercise 9.4: Attention in one kernel &nbsp; (30 minutes)

Causal attention with an online softmax. With `logits[i, j] = scale * q[i] · k[j]` for $j \le i$, store two things:

$$\text{out}_i = \sum_j \operatorname{softmax}_j(\text{logits}_{ij})\, v_j, \qquad \text{lse}_i = \ln \sum_j e^{\text{logits}_{ij}}$$

* All tensors are (b, h, s, d) with as many key heads as query heads, all float32 or all float16; `out` has their dtype, `lse` (b, h, s) is float32. Each comes as a pointer and a tuple of strides, all different, none contiguous: `q_strides[2]` is the step from one query to the next.
* The grid is (⌈s / ROWS⌉, h, b): a program owns ROWS queries of one head, from `tile` · ROWS on, and stores their rows alone. `ROWS`, `KEYS`, `D` are powers of two, at least 16, and differ; D ≥ d, and the columns from d on are padding. `s` may be any length, also below a tile.
* `scale` is the caller's, not always $1/\sqrt d$. Logits may be far above 88 or far below 0: some cases shift all logits of a query, down where i is even and up where it is odd, and a report says how far ("2 billion away from 0"). `m`, `l`, `acc` and lse are float32; the weights go into `tl.dot` in the dtype of `v`, as `p.to(v.dtype)`. Since `scale` is float32, `scale * q` is too; both factors of a `tl.dot` must have one dtype.
* Touch nothing outside, no atomics, one pass over the keys. You may work in base $e$ or 2; the lse is natural.

The first lines are given: they move every pointer to the program's head. So is a function that launches the kernel, for tries of your own. By hand: s = 2, d = 1, scale = 1, q = 1, 1, k = 0, ln 3, v = 4, 8. Query 0 sees key 0: out 4, lse 0. Query 1 weighs its keys 1 to 3: out 7, lse ln 4 = 1.386.
"""


# %% tags=["exercise"]
@triton.jit
def attention_kernel(
    q_ptr,
    q_strides,
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: ROWS queries of one head, and all keys they see."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k_ptr += b * k_strides[0] + h * k_strides[1]
    v_ptr += b * v_strides[0] + h * v_strides[1]
    out_ptr += b * out_strides[0] + h * out_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    ### BEGIN SOLUTION
    i = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, D)[None, :]
    q_ok = (i < s)[:, None] & (c < d)
    q = tl.load(q_ptr + i[:, None] * q_strides[2] + c * q_strides[3], mask=q_ok, other=0.0)

    m = tl.full((ROWS,), float("-inf"), tl.float32)  # largest logit so far
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741  # sum of exp(logit - m)
    acc = tl.zeros((ROWS, D), tl.float32)  # the same sum, each term times its value
    for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):
        j = first + tl.arange(0, KEYS)
        ok = (j < s)[:, None] & (c < d)
        k = tl.load(k_ptr + j[:, None] * k_strides[2] + c * k_strides[3], mask=ok, other=0.0)
        v = tl.load(v_ptr + j[:, None] * v_strides[2] + c * v_strides[3], mask=ok, other=0.0)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        logits = tl.where(j[None, :] <= i[:, None], logits, float("-inf"))

        m_new = tl.maximum(m, tl.max(logits, 1))
        rescale = tl.exp(m - m_new)
        p = tl.exp(logits - m_new[:, None])
        l = l * rescale + tl.sum(p, 1)  # noqa: E741
        acc = acc * rescale[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        m = m_new

    out_at = i[:, None] * out_strides[2] + c * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=q_ok)
    tl.store(lse_ptr + i * lse_strides[2], m + tl.log(l), mask=i < s)
    ### END SOLUTION


# %% tags=["exercise"]
def attention(q, k, v, *, scale, rows=16, keys=32):
    """To try your kernel on tensors of your own: out and lse."""
    b, h, s, d = q.shape
    out, lse = torch.empty_like(q), torch.empty(b, h, s, device=q.device)
    tensors = [argument for x in (q, k, v, out, lse) for argument in (x, x.stride())]
    width = max(16, triton.next_power_of_2(d))
    grid = (triton.cdiv(s, rows), h, b)
    attention_kernel[grid](*tensors, s, d, scale, rows, keys, width)
    return out, lse


# %% tags=["exercise"]
check("9.4", attention_kernel)

# %% [markdown]
r"""
## Pairs: merge, dot, go on

From here to pairs it is one loop more. Hold one key still, and the score of triples is an ordinary dot product with a rewritten query, $(q_i \circ k_j) \cdot k'_k$. You know this from chapter 02, where each slice was a call of its own and the results were merged. Inside a kernel it is three moves (Section 7 of the paper):

1. **Merge** one key into the queries, elementwise: ROWS · d multiplications.
2. **Dot** with a tile of the other keys: `tl.dot`, where nearly all the work is.
3. **Go on** with the online softmax. $m$, $l$ and acc belong to the *query*, not to the key that is held still.

The values go the same way: $v_j \circ v'_k$ for a tile of k, then a `tl.dot` with the weights.
"""

# %% tags=["predict"]
predict(
    "The outer loop goes on from one first key to the next. What has to be done with m, l and acc?",
    {
        "Nothing": (
            "right",
            "One softmax runs over all pairs. The loop does not care whether the next tile of logits belongs to a new first key, just as it did not care where the tiles of keys began.",
        ),
        "Divide acc by l, start anew, and add the results up": "Then each first key would get a unit of attention of its own: the softmax over the second key alone, which chapter 02 warned of.",
        "Start anew, and at the end merge the results by their lse": "That gives the right numbers. But someone has to store an output for each first key. The running m, l and acc are that merge, done at once.",
        "Multiply acc by the value of the first key": "That value belongs to the pairs of this key only. In acc there are others already; it must be merged before the sum, or into the new term.",
    },
)

# %% [markdown]
r"""
### Windows inside a tile

In windows, a tile of queries needs only the keys that *some* of its queries see: from $i_{\text{first}} - w + 1$ to $i_{\text{last}}$. Which query sees which of them is a mask in each step (chapter 04 counted what that wastes). It brings a new danger. Take queries 16 to 31, a window of 4, tiles of 8 keys. The loop begins at key 13, the first that query 16 sees. Its first tile ends at key 20.
"""

# %% tags=["predict"]
predict(
    "Query 30 sees keys 27 to 30, so nothing in the tile of keys 13 to 20: all its logits there are −∞, and m starts at −∞. What does the loop of 9.4 make of its row?",
    {
        "0 in this tile and right later, since exp(−∞) = 0": "exp(logit − m) is 0 if m is a number. Here both are −∞.",
        "NaN, and it stays NaN": (
            "right",
            "−∞ − (−∞) is NaN, in the weights and in the rescaling. In 9.4 it could not happen: every query sees key 0, which is in the first tile.",
        ),
        "1 for each hidden key, wiped out later": "That happens if the hidden logits are −10³⁸ and not −∞, as in the paper. More on this below.",
        "An error": "NaN is a number like any other to a GPU.",
    },
)

# %% [markdown]
r"""
There are several ways out. Start $m$ at a finite, very low number: the weights are then $e^{-\infty} = 0$ and the rescaling is $e^0 = 1$. Or subtract 0 where $m$ is still $-\infty$, as the library does. The paper hides logits with $-10^{38}$, so that a row which has seen nothing gets the weight $e^0 = 1$ for every hidden key. That is nonsense, and it is harmless: the first visible pair rescales it by $e^{-10^{38}} = 0$. It relies on every query seeing at least one pair in the end, which $(i, i)$ grants.
"""

# %% [markdown]
r"""
Watch the library do it, with windows of 8 and 3: each step takes a tile of four first keys and a single second key. Follow query 10. **In which step does it see its first pair? What happens to m, l and acc where the loop comes to the next four first keys, in step 6? And in step 8, where query 10 sees the first of them?**
"""

# %%
step_loop("trilinear", query=10, step=1)

# %%
steps = step_loop("trilinear", query=10).seen.steps
for n in (3, 5, 6, 7, 8, 15):
    print(f"after step {n:2}: m = {steps[n].m:.2f}, l = {steps[n].l:.3f}")

# %% [markdown]
r"""
In the first two steps it sees nothing: $m$ stays $-\infty$ and all weights are 0. Its first pairs come in step 3. Steps 6 and 7 change nothing, since the second keys 6 and 7 are too old for query 10, and nothing is reset there. In step 8 the first pairs of the new keys come in, $m$ rises from 2.97 to 4.05, and what the earlier first keys have left in $l$ and acc is rescaled, not lost. One softmax runs on, through all 24 pairs.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 9.5: 2-simplicial attention in one kernel &nbsp; (40 minutes)

2-simplicial attention in one kernel, as in the paper: query $i$ sees the pairs with $i - w_1 < j \le i$ and $i - w_2 < k \le i$ (nothing orders j and k),

$$\text{logits}_{ijk} = \text{scale} \sum_c q_{ic}\, k_{jc}\, k'_{kc}, \qquad \text{out}_i = \sum_{j,k} p_{ijk}\; v_j \circ v'_k, \qquad \text{lse}_i = \ln \sum_{j,k} e^{\text{logits}_{ijk}},$$

with one softmax $p$ over all pairs of a query. `k1`, `v1` are the first keys and values (j), `k2`, `v2` the second (k).

* Tensors, strides, dtypes, grid, blocks, `scale`, and what is forbidden are as in 9.4. `w1` and `w2` are whole numbers, at least 1; either may be the longer one, and both may exceed s.
* Loop over single first keys j, and inside over tiles of KEYS second keys. Either key may be the single one, and either loop may be outside. Keys that no query of the tile sees need no visit. Factors of a `tl.dot` must have one dtype: `merged.to(k2.dtype)`.
* Nothing is added to `k2` and `v2` (the paper's listing has two constants there; see below).
* In rows behind the end of the text the interpreter may warn of a division by zero. They are never stored; let it warn.

By hand: s = 2, d = 1, scale = 1, q = 1, 1, k1 = 1, 2, k2 = 0, ln 2, v1 = 1, 2, v2 = 8, 16. Query 0 has one pair: out 8, lse 0. Query 1 with $w_1 = w_2 = 2$ has the pairs (0, 0), (1, 0), (0, 1), (1, 1), which weigh 1, 1, 2, 4 and are worth 8, 16, 16, 32: out 184 / 8 = 23, lse ln 8 = 2.079. With $w_2 = 1$ the last two are left: out 160 / 6 = 26.67, lse ln 6 = 1.792.
"""


# %% tags=["exercise"]
@triton.jit
def trilinear_kernel(
    q_ptr,
    q_strides,
    k1_ptr,
    k1_strides,
    k2_ptr,
    k2_strides,
    v1_ptr,
    v1_strides,
    v2_ptr,
    v2_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    w1,
    w2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: ROWS queries of one head, and all pairs they see."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    out_ptr += b * out_strides[0] + h * out_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    ### BEGIN SOLUTION
    i = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, D)
    q_ok = (i < s)[:, None] & (c < d)[None, :]
    q_at = i[:, None] * q_strides[2] + c[None, :] * q_strides[3]
    q = tl.load(q_ptr + q_at, mask=q_ok, other=0.0).to(tl.float32)

    m = tl.full((ROWS,), -1e38, tl.float32)  # finite: a row that has seen nothing gives no NaN
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
    acc = tl.zeros((ROWS, D), tl.float32)
    stop = tl.minimum((tile + 1) * ROWS, s)
    for j in range(tl.maximum(tile * ROWS - w1 + 1, 0), stop):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        merged = q * k1[None, :] * scale
        sees_j = (i - w1 < j) & (j <= i)
        for first in range(tl.maximum(tile * ROWS - w2 + 1, 0), stop, KEYS):
            k = first + tl.arange(0, KEYS)
            ok = (k < s)[:, None] & (c < d)[None, :]
            k2_at = k[:, None] * k2_strides[2] + c[None, :] * k2_strides[3]
            v2_at = k[:, None] * v2_strides[2] + c[None, :] * v2_strides[3]
            k2 = tl.load(k2_ptr + k2_at, mask=ok, other=0.0)
            v2 = tl.load(v2_ptr + v2_at, mask=ok, other=0.0)
            logits = tl.dot(merged.to(k2.dtype), tl.trans(k2), input_precision="ieee")
            sees_k = (i[:, None] - w2 < k[None, :]) & (k[None, :] <= i[:, None])
            logits = tl.where(sees_j[:, None] & sees_k, logits, float("-inf"))

            m_new = tl.maximum(m, tl.max(logits, 1))
            rescale = tl.exp(m - m_new)
            p = tl.exp(logits - m_new[:, None])
            l = l * rescale + tl.sum(p, 1)  # noqa: E741
            pv = tl.dot(p.to(v2.dtype), v2 * v1[None, :], input_precision="ieee")
            acc = acc * rescale[:, None] + pv
            m = m_new

    out_at = i[:, None] * out_strides[2] + c[None, :] * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=q_ok)
    tl.store(lse_ptr + i * lse_strides[2], m + tl.log(l), mask=i < s)
    ### END SOLUTION


# %% tags=["exercise"]
def trilinear(q, k1, k2, v1, v2, *, w1, w2, scale, rows=16, keys=32):
    """To try your kernel on tensors of your own: out and lse."""
    b, h, s, d = q.shape
    out, lse = torch.empty_like(q), torch.empty(b, h, s, device=q.device)
    given = (q, k1, k2, v1, v2, out, lse)
    tensors = [argument for x in given for argument in (x, x.stride())]
    width = max(16, triton.next_power_of_2(d))
    grid = (triton.cdiv(s, rows), h, b)
    trilinear_kernel[grid](*tensors, s, d, w1, w2, scale, rows, keys, width)
    return out, lse


# %% tags=["exercise"]
check("9.5", trilinear_kernel)

# %% [markdown]
r"""
## Two settings that change no number

In every listing you will meet two more settings of a launch: `square_kernel[(3,)](x, out, BLOCK=4, num_warps=4, num_stages=2)`. The interpreter ignores them. They say how a program is laid out on the chip.

* **num_warps.** NVIDIA's GPUs work in *warps* of 32 threads that move in step. A program with 4 warps has 128 threads, and its blocks are dealt out to them. (Whoever knows CUDA: a program is a thread block.)
* **num_stages.** A load takes long. With 2 stages the compiler fetches the tiles of the next step while it computes this one; with 3, of the next two. Each stage needs its own room on the chip.
"""

# %% tags=["predict"]
predict(
    "An accumulator of 64 rows and 128 columns in float32, in a program of 4 warps. How many of its numbers does each thread hold?",
    {
        "64": (
            "right",
            "8,192 numbers over 128 threads. A thread of such a GPU has at most 255 registers, for accumulator, factors and addresses together; what does not fit is *spilled* to memory, and the kernel crawls.",
        ),
        "2,048": "That is what each warp holds: 8,192 / 4. A warp has 32 threads.",
        "256": "That would be one warp alone, 32 threads.",
        "8,192, each thread has a copy": "Then 128 threads would do the same work 128 times. A block is dealt out.",
    },
)

# %% [markdown]
r"""
The paper's Listing 1 takes tiles of 64 queries and 32 keys, 4 warps and 1 stage. How such numbers are found is chapter 11.

## The library's kernel, read

Its loop has two dozen lines, and you can read each of them now:
"""

# %%
from simplex_lib.kernels.tiles import Blocks
from simplex_lib.kernels.trilinear_forward import forward_kernel, trilinear_forward

source = inspect.getsource(forward_kernel.fn).splitlines()
begin = next(n for n, line in enumerate(source) if "for j0 in" in line)
end = next(n for n, line in enumerate(source) if line.strip() == "m = m_new")
loop = textwrap.dedent("\n".join(source[begin : end + 1])).replace("  # noqa: E741", "")
print(loop)

# %% [markdown]
r"""
`load_tile` and `load_vector` are masked loads, `sees` is the window of chapter 04, `DOT` the dtype of the factors. What stands under `if TWO_TERMS` is the other half of a determinant (chapter 03); for a single product it is left out when the kernel is compiled. Three things differ from the paper's listing.

* **The rows of a tile** are queries *and heads*: all query heads that share a key head stand in one tile, as chapter 04 wished. With 64 heads in a group a tile is a single position.
* **The value $v'_k$ comes after the product**: $\sum_j p_{ijk}\, (v_j \circ v'_k) = (\sum_j p_{ijk}\, v_j) \circ v'_k$. For a single k it can be taken out of the sum, and one `tl.dot` with an unchanged tile is left.
* **The tile of j is outside, the single k inside.** The pairs and the number of steps are the same either way. What differs is what each step must fetch.
"""

# %% tags=["predict"]
predict(
    "64 first keys make a tile, 32 second keys are taken one at a time, keys and values have 128 numbers. With k outside, each k brings its two vectors and loads the tile of k1 and v1 anew: 32 · (2 · 128 + 2 · 64 · 128) = 532,480 numbers. And with the tile outside?",
    {
        "532,480 as well, the loops do the same work": "The arithmetic is the same. But a tile that stands outside is loaded once, and stays.",
        "24,576": (
            "right",
            "The tile once, 2 · 64 · 128 = 16,384, and 32 times two vectors, 8,192. That is 22 times less, and chapter 11 will make much of it.",
        ),
        "16,640": "The tile and a single second key. All 32 have to come by.",
        "1,048,576": "That is 64 times 2 · 64 · 128: a tile of the other kind for each key of this one. Inside there are only single vectors.",
    },
)

# %% [markdown]
r"""
Count it in the real thing: 32 tokens, windows 16 and 4, tiles of 16 by 16. The second program owns queries 16 to 31. Together they see $16 + 16 - 1 = 31$ first keys, which make two tiles, and $16 + 4 - 1 = 19$ second keys.
"""

# %%
if mode == "interpreter":
    q, k1, k2, v1, v2 = torch.randn(5, 1, 1, 32, 16, generator=generator)
    tiles = Blocks(rows=16, keys=16, d=16, dv=16)
    options = dict(w1=16, w2=4, causal=True, scale=0.25, blocks=tiles)
    with tracing(k1=k1, k2=k2) as trace:
        trilinear_forward(q, k1, k2, v1, v2, **options)
    read = {"k1": 0, "k2": 0}
    for access in trace.accesses:
        if access.program == (1, 0, 0) and access.tensor in read:
            read[access.tensor] += int((access.elements >= 0).sum()) // 16
    print("keys that program 1 loads:", read)
    assert read == {"k1": 31, "k2": 2 * 19}
else:
    print(not_seen)

# %% [markdown]
r"""
Each first key once, each second key once for each of the two tiles.

## How exact is it?

`impl="triton"` runs this kernel behind the function you know. Its errors are measured against float64, beside those of the plain PyTorch reference on the same inputs:
"""

# %%
x = [torch.randn(1, h, 24, 32, generator=generator) for h in (2, 1, 1, 1, 1)]
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    given = [t.to(device, dtype) for t in x]
    exact = trilinear_attention(*[t.double() for t in given], w1=12, w2=4)
    errors = {}
    for impl in ("reference", "triton"):
        found = trilinear_attention(*given, w1=12, w2=4, impl=impl).double()
        errors[impl] = float((found - exact).norm() / exact.norm())
    print(f"{dtype!s:15} reference {errors['reference']:.1e}   kernel {errors['triton']:.1e}")
    assert errors["triton"] <= 2 * errors["reference"]

# %% [markdown]
r"""
In the interpreter bfloat16 is computed in float32 and rounded at the end, so the last line says little here. The honest numbers come from a GPU. For 128 tokens without windows, and beside them what the plain formulas give if every tensor on the way has the dtype of the inputs:
"""

# %%
print(measured["gpu"], measured["date"], "torch", measured["versions"]["torch"])
print("               kernel   reference   all in that dtype")
for row in measured["errors"]:
    if (row["form"], row["s"]) == ("trilinear", 128):
        errors = [row[side]["forward"] for side in ("kernel", "reference", "plain")]
        print(f"{row['dtype']:10}" + "".join(f"{error:11.1e}" for error in errors))

# %% [markdown]
r"""
In the line of float32 all three compute in float32. What is left between them is the order in which the same numbers are multiplied and added, for up to 16,384 pairs a query; here it makes a factor of two. In the other lines the third column rounds more than the kernel does, its logits too.
"""

# %% tags=["predict"]
predict(
    "In float16 the kernel's error is above that of the reference, in float32 they are nearly equal. Why?",
    {
        "The kernel sums in float16": "Its accumulators are float32, in all dtypes. What it rounds are factors.",
        "The rescaling of the online softmax adds an error in each step": "It does so in float32 too, where hardly a difference is left.",
        "The kernel rounds the merged queries and the weights to float16 before tl.dot": (
            "right",
            "The tensor cores want 16-bit factors. The reference computes in float32 from inputs to result, and rounds once, at the end.",
        ),
        "It uses base 2": "exp2 of a logit times log2 e is as exact as exp, up to the last bits of float32.",
    },
)

# %% [markdown]
r"""
## What the papers say, what we measured

*Fast and Simplex: 2-Simplicial Attention in Triton*, [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 7 and Listing 1:

* Merge, dot, online softmax: exact, in either order of the loops: [`fs-merge-dot`](../claims/README.md#fs-merge-dot). The value of the single key may be multiplied before or after the product: [`fs-value-merge`](../claims/README.md#fs-value-merge).
* Tiles of 64 queries and 32 keys, 4 warps, 1 stage: [`fs-listing-blocks`](../claims/README.md#fs-listing-blocks). Inputs and factors are bfloat16, sums float32: [`fs-listing-dtypes`](../claims/README.md#fs-listing-dtypes). The scale is rounded to bfloat16 as well, which is exact for 64 numbers a head and 0.01 % off for 128: [`fs-listing-scale`](../claims/README.md#fs-listing-scale).
* The outer loop begins one key before the window, and the mask hides it: [`fs-listing-start`](../claims/README.md#fs-listing-start). Logits hidden with $-10^{38}$ do no harm: [`fs-listing-hidden`](../claims/README.md#fs-listing-hidden). The lse is natural: [`fs-listing-lse`](../claims/README.md#fs-listing-lse).
* The offset of text and head is computed from the strides of $Q$ and used for all tensors, so shared key heads cannot be passed: [`fs-listing-offsets`](../claims/README.md#fs-listing-offsets). Its masked loads have no `other`: [`fs-listing-other`](../claims/README.md#fs-listing-other).
* Constants are added to $K'$ and $V'$ and not explained: [`fs-kernel-biases`](../claims/README.md#fs-kernel-biases).
* 520 TFLOPS. Not tested here. A later text of the same group gives 337 for "the original Triton kernel" on an H100; the two may count differently: [`fs-520`](../claims/README.md#fs-520).

The H100's 989 and 3.35 are its maker's figures: [`h100-balance`](../claims/README.md#h100-balance). Bytes, loads and errors were counted in the cells that print them; what was measured on a GPU is in `simplex_lib/data/kernels_correctness.json`, with its command.

## In half a page

* A kernel reads each input once and keeps what lies between on the chip. For triples, that is the cube.
* One function, many programs, each with a number. Any order: no program waits for another, no two write to one place.
* A kernel knows pointers and strides, no shapes. Every load and store has a mask; every gap has a filling that does nothing: 0 for sums and products of matrices, $-\infty$ for a maximum.
* `tl.dot` multiplies tiles, with an inner axis of at least 16; sums are float32. Larger tiles load less, until the registers end.
* The interpreter proves arithmetic and indices. It says nothing about races, bfloat16 and time.
* Attention: a tile of queries, m, l and acc; divide once; lse natural, whatever the base inside.
* Pairs: merge a key into the queries, dot with a tile of the others, and let the softmax run on. A row that has seen nothing must not subtract $-\infty$ from $-\infty$.

**Further reading.** The tutorials of Triton, [triton-lang.org](https://triton-lang.org/main/getting-started/tutorials/index.html): vector addition, fused softmax, matrix multiplication. FlashAttention, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135), and FlashAttention-2, [arXiv:2307.08691](https://arxiv.org/abs/2307.08691), Algorithm 1. [arXiv:2507.02754](https://arxiv.org/abs/2507.02754), Section 7 and Listing 1.

**Next:** chapter 10, Triton, backward: five gradients, and who may write where.
"""
