"""What is told of a kernel of 9.4 or 9.5 from what it reads and how it is written."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from functools import partial
from typing import Any

import numpy as np

from simplex_lib.checks.exercise import Rejected
from simplex_lib.triton_trace import Access

FLOAT16 = (
    "A function like tl.exp or tl.log got a block of float16 and takes float32. Logits, m, l and "
    "acc are float32, whatever the inputs are."
)
TWO_DTYPES = (
    "tl.dot takes two blocks of one dtype, and here float16 meets float32: what is loaded has the "
    "dtype of the inputs, and what tl.exp, tl.dot and .to(tl.float32) give is float32. "
    "x.to(y.dtype) makes two blocks alike."
)
STAY = "m, l and acc are float32 before, in and after the loop."


def in_our_words(answer: Any, error: Rejected) -> Rejected:
    """The same rejection, said in the words of these exercises where they have their own."""
    if error.cause == "float16 kept":
        return Rejected(error.cause, FLOAT16, error.where)
    if re.search("same dtype. Got fp(32 and fp16|16 and fp32)", str(error)):
        return Rejected("two dtypes", TWO_DTYPES, error.where)
    if error.cause == "changes in a loop" and "float" in str(error):
        says = str(error).replace("Begin with what it is to become.", STAY)
        return Rejected(error.cause, says, error.where)
    found = re.match(r"(?:reads|writes) outside (\w+)$", error.cause)
    if found and (stride := stride_left_out(source_of(answer), found[1])):
        says = f"Your kernel never uses `{stride}`, and it is not always 1. {error}"
        return Rejected(f"last stride of {found[1]} left out", says, error.where)
    return error


def source_of(answer: Any) -> str:
    """The text of a kernel; "" if it cannot be had."""
    kernel: Any = answer.func if isinstance(answer, partial) else answer
    try:
        return textwrap.dedent(inspect.getsource(kernel.fn))
    except (OSError, TypeError, AttributeError):
        return ""


def stride_left_out(source: str, tensor: str) -> str:
    """q_strides[3], if the kernel takes other elements of q_strides by number, and not this."""
    strides, last = f"{tensor}_strides", "2" if tensor == "lse" else "3"
    text = re.sub(r"\s", "", source)
    taken = set(re.findall(rf"\b{strides}\[([^\]]*)\]", text))
    whole = len(re.findall(rf"\b{strides}\b(?!\[)", text)) > 1  # not in the signature alone
    numbered = bool(taken) and taken <= {"0", "1", "2", "3"}
    return f"{strides}[{last}]" if numbered and not whole and last not in taken else ""


def turned_round(source: str) -> str:
    """exp(new - old), as it is written, where old = new stands in the same kernel."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return ""
    becomes = {
        (node.targets[0].id, node.value.id)
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Name)
    }
    for node in nodes:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        of = node.args[0]
        if ast.unparse(node.func).split(".")[-1] not in ("exp", "exp2"):
            continue
        if not isinstance(of, ast.BinOp) or not isinstance(of.op, ast.Sub):
            continue
        if (ast.unparse(of.right), ast.unparse(of.left)) in becomes:
            return ast.unparse(node)
    return ""


def reject_second_pass(names: tuple[str, ...], accesses: list[Access]) -> None:
    """Each program meets each tile of keys once, and each pair of tiles once where keys are two.

    Of pairs, one key may be loaded again and again while the other rests. Whichever it is: where
    it is loaded, the two together must be new.
    """
    seen: dict[str, set[Any]] = {name: set() for name in names}
    again: dict[str, Access] = {}
    held: dict[tuple[Any, str], bytes] = {}
    for access in accesses:
        if access.kind != "load" or access.tensor not in names:
            continue
        tile = np.sort(access.elements[access.elements >= 0])  # in whatever order it is read
        if tile.size == 0:
            continue
        held[access.program, access.tensor] = tile.tobytes()
        pair = (access.program, *(held.get((access.program, name)) for name in names))
        if pair in seen[access.tensor]:
            again.setdefault(access.tensor, access)
        seen[access.tensor].add(pair)
    if len(again) < len(names):
        return
    program = again[names[-1]].program
    what = f"a tile of `{names[0]}`" if len(names) == 1 else "a pair of a first and a second key"
    raise Rejected(
        "second pass",
        f"Program {program} loads {what} that it has met before. One pass over the keys is asked "
        "for: m, l and acc hold all that is needed of those seen so far.",
    )
