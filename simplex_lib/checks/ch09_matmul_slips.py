"""Mistakes that learners make in exercise 9.3, a tile of a matrix product.

`sloppy_kernel` is a right kernel and all the wrong ones: SLIP says which line is another one.
"""

from functools import partial

from simplex_lib.checks.exercise import Wrong
from simplex_lib.checks.jit import tl, triton


@triton.jit
def sloppy_kernel(
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
    SLIP: tl.constexpr,
):
    p, r = tl.program_id(0), tl.program_id(1)
    if SLIP == "program ids exchanged":
        p, r = tl.program_id(1), tl.program_id(0)
    elif SLIP == "first tile only":
        p, r = p * 0, r * 0
    elif SLIP == "tiles from the end":
        p, r = tl.num_programs(0) - 1 - p, tl.num_programs(1) - 1 - r
    row = p * ROWS + tl.arange(0, ROWS)[:, None]
    column = r * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    if SLIP == "tiles without their size":
        row = p + tl.arange(0, ROWS)[:, None]
        column = r + tl.arange(0, COLUMNS)[None, :]
    elif SLIP == "rows without their size":
        row = p + tl.arange(0, ROWS)[:, None]
    elif SLIP == "columns without their size":
        column = r + tl.arange(0, COLUMNS)[None, :]
    elif SLIP == "columns in steps of ROWS":
        column = r * ROWS + tl.arange(0, COLUMNS)[None, :]
    row_ok, column_ok = row < m, column < n
    if SLIP == "m and n exchanged":
        row_ok, column_ok = row < n, column < m
    if SLIP == "contiguous memory":
        a_row, a_column, b_row, b_column = k, 1, n, 1
    elif SLIP == "column strides ignored":
        a_column, b_column = 1, 1
    elif SLIP == "B transposed":
        b_row, b_column = b_column, b_row
    elif SLIP == "A transposed":
        a_row, a_column = a_column, a_row
    elif SLIP == "strides of A for B":
        b_row, b_column = a_row, a_column
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    if SLIP == "sum in float16":
        acc = tl.zeros((ROWS, COLUMNS), tl.float16)
    elif SLIP == "sum in the dtype of A":
        acc = tl.zeros((ROWS, COLUMNS), a_ptr.dtype.element_ty)

    first, last = 0, k
    if SLIP == "first block of k only":
        last = tl.minimum(k, INNER)
    elif SLIP == "whole blocks of k only":
        last = k // INNER * INNER
    elif SLIP == "last number of k missing":
        last = k - 1
    elif SLIP == "one block of k too few":
        last = k - INNER
    elif SLIP == "loop up to n":
        last = n
    elif SLIP == "loop up to m":
        last = m
    elif SLIP == "first block of k missing":
        first = INNER
    elif SLIP == "first block of k twice":
        first = -INNER
    for begin in range(first, last, 1 if SLIP == "steps of one" else INNER):
        start = tl.maximum(begin, 0)
        inner = start + tl.arange(0, INNER)
        a_inner, b_inner = inner[None, :], inner[:, None]
        a_ok, b_ok = row_ok & (a_inner < k), (b_inner < k) & column_ok
        if SLIP == "k unmasked in A":
            a_ok = row_ok & (a_inner >= 0)
        elif SLIP == "k unmasked in B":
            b_ok = (b_inner >= 0) & column_ok
        elif SLIP == "A unmasked":
            a_ok = (row >= 0) & (a_inner >= 0)
        elif SLIP == "B unmasked":
            b_ok = (b_inner >= 0) & (column >= 0)
        elif SLIP == "rows unmasked":
            a_ok = (row >= 0) & (a_inner < k)
        elif SLIP == "columns unmasked":
            b_ok = (b_inner < k) & (column >= 0)
        elif SLIP == "mask stands still":
            a_ok = row_ok & (a_inner - start < k)
            b_ok = (b_inner - start < k) & column_ok
        if SLIP == "nothing moves":
            a_inner, b_inner = a_inner - start, b_inner - start
            a_ok, b_ok = row_ok & (a_inner < k), (b_inner < k) & column_ok
        if SLIP == "same block of k again" or SLIP == "A stands still":
            a_inner = a_inner - start
        if SLIP == "same block of k again" or SLIP == "B stands still":
            b_inner = b_inner - start
        if SLIP == "one step at a time":
            a_inner, b_inner = a_inner - start + start // INNER, b_inner - start + start // INNER
        a_at, b_at = row * a_row + a_inner * a_column, b_inner * b_row + column * b_column
        if SLIP == "step without stride":
            b_at = start + (b_inner - start) * b_row + column * b_column
        if SLIP == "no other":
            a = tl.load(a_ptr + a_at, mask=a_ok)
            b = tl.load(b_ptr + b_at, mask=b_ok)
        elif SLIP == "1 in the tail":
            a = tl.load(a_ptr + a_at, mask=a_ok, other=1.0)
            b = tl.load(b_ptr + b_at, mask=b_ok, other=1.0)
        elif SLIP == "-inf in the tail":
            a = tl.load(a_ptr + a_at, mask=a_ok, other=float("-inf"))
            b = tl.load(b_ptr + b_at, mask=b_ok, other=float("-inf"))
        else:
            a = tl.load(a_ptr + a_at, mask=a_ok, other=0.0)
            b = tl.load(b_ptr + b_at, mask=b_ok, other=0.0)
        if SLIP == "factors in float16":
            a, b = a.to(tl.float16), b.to(tl.float16)
        product = tl.dot(a, b, input_precision="ieee")
        acc = product if SLIP == "last block of k only" else (acc + product).to(acc.dtype)

    ok = row_ok & column_ok
    c_at = row * c_row + column * c_column
    if SLIP == "C without gaps":
        c_at = row * n + column
    elif SLIP == "C transposed":
        c_at = row * c_column + column * c_row
    elif SLIP == "column stride of C ignored":
        c_at = row * c_row + column
    if SLIP == "rounded when stored":
        acc = acc.to(a_ptr.dtype.element_ty)
    if SLIP == "store unmasked":
        tl.store(c_ptr + c_at, acc)
    elif SLIP == "rows of the store unmasked":
        tl.store(c_ptr + c_at, acc, mask=column_ok)
    elif SLIP == "columns of the store unmasked":
        tl.store(c_ptr + c_at, acc, mask=row_ok)
    else:
        tl.store(c_ptr + c_at, acc, mask=ok)


@triton.jit
def program_0_alone(
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
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        for top in range(0, m, ROWS):
            row = top + tl.arange(0, ROWS)[:, None]
            for left in range(0, n, COLUMNS):
                column = left + tl.arange(0, COLUMNS)[None, :]
                acc = tl.zeros((ROWS, COLUMNS), tl.float32)
                for start in range(0, k, INNER):
                    along = start + tl.arange(0, INNER)[None, :]
                    down = start + tl.arange(0, INNER)[:, None]
                    a_ok, b_ok = (row < m) & (along < k), (down < k) & (column < n)
                    a = tl.load(a_ptr + row * a_row + along * a_column, mask=a_ok, other=0.0)
                    b = tl.load(b_ptr + down * b_row + column * b_column, mask=b_ok, other=0.0)
                    acc += tl.dot(a, b, input_precision="ieee")
                ok = (row < m) & (column < n)
                tl.store(c_ptr + row * c_row + column * c_column, acc, mask=ok)


def _slip(name: str, says: str) -> Wrong:
    return Wrong(name, partial(sloppy_kernel, SLIP=name), says)


WRONG = (
    _slip(
        "A unmasked",
        "Your load of A lets everything through: rows from m on and lanes from k on. A tile is "
        "ROWS x INNER whatever is left of A. A mask for two axes is two comparisons joined by &.",
    ),
    _slip(
        "B unmasked",
        "Your load of A stays within A. The one of B lets everything through: lanes from k on and "
        "columns from n on. A mask for two axes is two comparisons joined by &.",
    ),
    _slip(
        "k unmasked in A",
        "In the last block of k your load of A lets lanes from k on through. In a product the "
        "axis k has an end in both factors.",
    ),
    _slip(
        "k unmasked in B",
        "In the last block of k your load of B lets lanes from k on through, and the one of A "
        "does not. In a product the axis k has an end in both factors.",
    ),
    _slip(
        "rows unmasked",
        "Your load of A lets rows from m on through. They make only numbers of C that do not "
        "exist, and reading them is outside all the same. (Where a mask joins two comparisons by "
        "`and`, the interpreter keeps the second alone: & joins them lane by lane.)",
    ),
    _slip(
        "columns unmasked",
        "Your load of B lets columns from n on through. They make only numbers of C that do not "
        "exist, and reading them is outside all the same.",
    ),
    _slip(
        "mask stands still",
        "The mask for k does what it would if it compared the place inside the block with k, and "
        "not the place along the whole axis: start plus arange.",
    ),
    _slip(
        "m and n exchanged",
        "The loads hold back what they would if rows ended at n and columns at m. A has m rows, "
        "B has n columns.",
    ),
    _slip(
        "no other",
        "Where k ends inside a block, everything is NaN: the lanes beyond k take part in the sum. "
        "A load with a mask and no `other` leaves in them whatever was there. The interpreter "
        "makes that 0, a GPU promises nothing, and this check puts NaN.",
    ),
    _slip(
        "1 in the tail",
        "Each lane beyond the end of k adds 1 * 1 to the sum. What adds nothing to a sum of "
        "products?",
    ),
    _slip(
        "-inf in the tail",
        "The lanes beyond the end of k do not add 0: with -inf in both factors they add inf. That "
        "number is for maxima; a sum of products wants another one.",
    ),
    _slip(
        "store unmasked",
        "The loads stay within A and B. The store lets everything through: rows from m on and "
        "columns from n on.",
    ),
    _slip(
        "rows of the store unmasked",
        "The loads stay within A and B. The store lets rows from m on through.",
    ),
    _slip(
        "columns of the store unmasked",
        "The loads stay within A and B. The store lets columns from n on through.",
    ),
    _slip(
        "first block of k only",
        "Each number of C has only the first INNER of its k products. A loop goes on along k, in "
        "steps of INNER.",
    ),
    _slip(
        "last block of k only",
        "Each number of C has only the products of the last block of k. What the blocks before "
        "gave was overwritten and not added to.",
    ),
    _slip(
        "whole blocks of k only",
        "The products of the last block are missing where k ends inside it, and where k is less "
        "than INNER nothing is left. The loop runs while its start is below k.",
    ),
    _slip(
        "last number of k missing",
        "Where the last block of k has one number only, it is missing: the loop runs as if k were "
        "one less.",
    ),
    _slip(
        "one block of k too few",
        "The last block of k is missing, whole or not. The loop runs while its start is below k, "
        "and not below k - INNER.",
    ),
    _slip(
        "first block of k missing",
        "The first INNER products of each number are missing. The loop begins at 0.",
    ),
    _slip(
        "loop up to n",
        "The steps of your loop are as many as n would want. What a tile is summed over is k.",
    ),
    _slip(
        "loop up to m",
        "The steps of your loop are as many as m would want. What a tile is summed over is k.",
    ),
    _slip(
        "steps of one",
        "Your loop moves on by 1 and takes INNER products each time, so most of them are added "
        "again and again.",
    ),
    _slip(
        "first block of k twice",
        "The first INNER products are in the sum twice.",
    ),
    _slip(
        "same block of k again",
        "Every step of your loop adds the first block of k again. Offsets have to move with it, "
        "in A along a row and in B down a column.",
    ),
    _slip(
        "nothing moves",
        "Every step of your loop adds the first block of k again, and its mask is that of the "
        "first block too. The place where the loop stands has to come into the offsets.",
    ),
    _slip("A stands still", "B moves on along k and A does not: it gives its first block again."),
    _slip("B stands still", "A moves on along k and B does not: it gives its first block again."),
    _slip(
        "one step at a time",
        "From one block to the next your offsets along k move on by 1, and the block is INNER "
        "wide.",
    ),
    _slip(
        "step without stride",
        "A moves on rightly. Your numbers are those of a B that moves on by INNER numbers of "
        "memory, and INNER rows of B are INNER * b_row numbers.",
    ),
    _slip(
        "first tile only",
        "Only the first tile of C is filled, the one of program (0, 0). tl.program_id(0) and "
        "tl.program_id(1) tell a program which tile is its own.",
    ),
    _slip(
        "program ids exchanged",
        "What is filled is what would be if tl.program_id(0) counted tiles along the columns. The "
        "grid is (tiles of rows, tiles of columns).",
    ),
    _slip(
        "tiles without their size",
        "Your kernel fills what it would if tile p began at row p. Tiles that lie side by side "
        "begin ROWS, or COLUMNS, apart.",
    ),
    _slip(
        "rows without their size",
        "Columns of tiles are right. In rows your kernel fills what it would if tile p began at "
        "row p, and tiles begin ROWS apart.",
    ),
    _slip(
        "columns without their size",
        "Rows of tiles are right. In columns your kernel fills what it would if tile r began at "
        "column r, and tiles begin COLUMNS apart.",
    ),
    _slip(
        "columns in steps of ROWS",
        "Your kernel fills what it would if tiles began ROWS columns apart. A tile is COLUMNS "
        "wide.",
    ),
    Wrong(
        "program 0 does all",
        program_0_alone,
        "Every tile is stored, and program (0, 0) stores them all while the others stand idle. "
        "The grid is the loop over tiles.",
    ),
    _slip(
        "tiles from the end",
        "The tiles are dealt out from the end: program (0, 0) has the last one.",
    ),
    _slip(
        "contiguous memory",
        "Your kernel reads what it would if A had a row of k numbers right behind the other, and "
        "B a row of n. Here rows lie farther apart: a_row and b_row say how far.",
    ),
    _slip(
        "column strides ignored",
        "Right where the numbers of a row are neighbours, wrong where A and B are transposed: "
        "a_column and b_column say how far apart neighbours in a row lie.",
    ),
    _slip(
        "A transposed",
        "Your kernel reads A as if its two strides had changed places, which makes it A "
        "transposed.",
    ),
    _slip(
        "B transposed",
        "Your kernel reads B as if its two strides had changed places, which makes it B "
        "transposed.",
    ),
    _slip(
        "strides of A for B",
        "Your kernel reads B as if it lay in memory as A does. Each matrix has strides of its own.",
    ),
    _slip(
        "C without gaps",
        "The loads stay within A and B. C is stored as if its rows lay right behind one another; "
        "c_row says how far apart they are.",
    ),
    _slip(
        "C transposed",
        "The loads stay within A and B. C is stored as if its two strides had changed places.",
    ),
    _slip(
        "column stride of C ignored",
        "Right where a row of C lies in one piece. Where C is transposed in memory, neighbours in "
        "a row lie c_column numbers apart.",
    ),
    _slip(
        "sum in float16",
        "The running sum is float16, which has 11 significant bits: what is added to a large sum "
        "is rounded away. Factors may be short, sums are float32.",
    ),
    _slip(
        "sum in the dtype of A",
        "float32 comes out right. For float16 your numbers are those of a running sum in the "
        "dtype of A, float16, which has 11 significant bits. Factors may be short, sums are "
        "float32.",
    ),
    _slip(
        "rounded when stored",
        "The sum is float32 and is rounded to the dtype of A before it is stored. C is float32 "
        "also where A and B are float16.",
    ),
    _slip(
        "factors in float16",
        "A and B are float32 and your numbers are those of their products in float16. The factors "
        "keep the dtype that they come in.",
    ),
)
