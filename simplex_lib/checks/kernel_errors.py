"""What Triton says of a kernel that it cannot run, in the words of the course."""

from typing import NamedTuple


class Error(NamedTuple):
    """What Triton says, and in which kind of line; the mistake's name, and the same in words."""

    text: str
    cause: str
    says: str
    line: str = ""


ERRORS = (
    Error(
        r"Expected dtype \['fp32', 'fp64'\] but got",
        "float16 kept",
        "A block has the dtype of the memory it was loaded from, float16 here, and functions like "
        "tl.exp take float32. Convert right after the load: .to(tl.float32).",
    ),
    Error(
        r"Value argument cannot be block type if pointer argument is not a block",
        "one pointer",
        "tl.store gets one pointer and a block of numbers. It wants a pointer for each number: the "
        "pointer plus a block of offsets.",
    ),
    Error(
        r"Mask argument cannot be block type if pointer argument is not a block",
        "one pointer",
        "One pointer goes together with a block as its mask. A block of pointers is wanted: the "
        "pointer plus a block of offsets.",
    ),
    Error(
        r"arange's range must be a power of 2",
        "arange",
        "tl.arange makes blocks whose size is a power of two, and nothing else. Take the size "
        "that is given in capitals, and let a mask switch off the lanes that do not exist.",
    ),
    Error(
        r"arange's arguments must be of type tl.constexpr",
        "arange",
        "tl.arange needs numbers that are known when the kernel is compiled: the names in "
        "capitals, marked tl.constexpr. Sizes, program ids and where a loop stands are known only "
        "when it runs; add them to the block afterwards.",
    ),
    Error(
        r"reduction dimensions",
        "shapes of tl.dot",
        "tl.dot(a, b) takes (rows, inner) and (inner, columns): the last axis of a is the first "
        "of b.",
    ),
    Error(
        r"[Cc]annot make_shape_compatible|Expected pointer argument to have shape",
        "shapes",
        "Two blocks with shapes that do not fit meet in your kernel: only an axis of size 1 "
        "stretches. block[:, None] is a column, block[None, :] a row.",
    ),
    Error(
        r"invalid operands of type pointer",
        "address in place of number",
        "Your kernel computes with addresses. A pointer says where a number lies; tl.load gets "
        "the number.",
    ),
    Error(
        r"must be Tensor, not tensor",
        "function of torch",
        "Functions of torch take tensors of torch. A kernel has blocks, and they have functions "
        "of their own: tl.exp, tl.sum, tl.where ...",
    ),
    Error(
        r"axis \S+ out of bounds",
        "no such axis",
        "Your kernel names an axis that the block does not have. Axes are counted from 0, so a "
        "block of one axis has axis 0 alone.",
    ),
    Error(
        r"can be converted to Python scalars",
        "function of Python",
        "Python's own functions for numbers take one number, and a block holds many. A kernel has "
        "functions for blocks: tl.exp, x.to(tl.int32) ...",
    ),
    Error(
        r"'list' object has no attribute|<class 'list'> to tensor",
        "list",
        "A Python list is no block. Blocks come from tl.arange, tl.zeros, tl.full and tl.load.",
    ),
    Error(
        r"list index out of range|'dtype' object has no attribute 'shape'",
        "shape of a pointer",
        "A pointer knows where its first number lies, and not how many there are: it has no "
        "shape. The sizes are arguments of the kernel.",
        line=r"\.shape",
    ),
    Error(
        r"'(float|int)' object has no attribute 'to'",
        "number of Python",
        "A number that is written in the kernel, or is a tl.constexpr, is a plain number of "
        "Python and has no .to. Use it as it is.",
    ),
    Error(
        r"object is not iterable",
        "shape without tuple",
        "A shape is a tuple, also for one axis: (BLOCK,).",
        line=r"tl\.(zeros|full)\(\s*\w+\s*,",
    ),
    Error(
        r"object is not iterable|object does not support item assignment",
        "square brackets",
        "Square brackets reach no memory and pick no element; they only add axes, as in "
        "block[:, None]. Memory is read by tl.load(pointer + offsets) and written by tl.store.",
        line=r"\w\[",
    ),
)
