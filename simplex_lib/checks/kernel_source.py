"""What the text of a kernel tells: lines that Triton's interpreter takes and a GPU refuses."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.kernel_errors import ERRORS
from simplex_lib.checks.kernel_judge import where

CHAIN = (
    "Your kernel compares three things in a row, as in 0 <= at < n. Python takes that for two "
    "comparisons joined by `and`, and a GPU refuses it: (0 <= at) & (at < n)."
)
ARANGE = next(known.says for known in ERRORS if "constexpr" in known.text)
ONE_NUMBER = (
    "int() and float() make numbers of Python, and what a kernel computes with are blocks and "
    "numbers of Triton: x.to(tl.int32), x.to(tl.float32)."
)
RETURN = (
    "Your kernel returns something, and nobody receives it: a kernel gives its results away by "
    "tl.store alone."
)


def check_source(kernel: Any) -> None:
    """Reject what the interpreter would let through, in the kernel and in kernels that it calls."""
    found = _first_fault(kernel.fn)
    if found is not None:
        cause, says, function, line = found
        raise Rejected(cause, says, where(_Kernel(function), line))


class _Kernel:
    def __init__(self, fn: Any):
        self.fn = fn


@lru_cache(maxsize=256)
def _first_fault(function: Any) -> tuple[str, str, Any, int] | None:
    seen, waiting = set(), [function]
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        body = _parsed(asked)
        if body is None:
            continue
        for cause, says, node in _faults(asked, body, helper=asked is not function):
            return cause, says, asked, asked.__code__.co_firstlineno + node.lineno - 1
        space = asked.__globals__
        named = (space.get(name) for name in asked.__code__.co_names)
        waiting += [helper.fn for helper in named if hasattr(helper, "rewriter")]
    return None


def _parsed(function: Any) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made without a text: nothing to read
        return None
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)


def _faults(
    function: Any, body: ast.FunctionDef, *, helper: bool
) -> Iterator[tuple[str, str, ast.expr | ast.stmt]]:
    changing = _names_that_change(body)
    for node in ast.walk(body):
        if isinstance(node, ast.Call):
            called = _value_of(node.func, function, changing)
            used = {name for x in node.args + node.keywords for name in _names_in(x)}
            if _is_arange(called) and used & changing:
                yield "arange", ARANGE, node
            home = _home(called)
            if called in (int, float) and used & changing:
                yield "function of Python", ONE_NUMBER, node
            if home == "torch" or (home in ("math", "numpy") and used & changing):
                yield f"function of {home}", _of_home(home, node), node
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            yield "chain of comparisons", CHAIN, node
        elif isinstance(node, ast.Return) and not helper and not _is_none(node.value):
            yield "returns", RETURN, node


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _names_that_change(body: ast.FunctionDef) -> set[str]:
    """Names whose values are known only when the kernel runs."""
    arguments = body.args.posonlyargs + body.args.args
    found = {a.arg for a in arguments if not _is_constexpr(a.annotation)}
    fixed = {a.arg for a in arguments} - found
    for node in ast.walk(body):
        if isinstance(node, ast.AnnAssign) and _is_constexpr(node.annotation):
            fixed |= set(_names_in(node.target))
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name for target in targets for name in _names_in(target)}
        elif isinstance(node, ast.For):
            static = "static_range" in ast.unparse(node.iter)
            (fixed if static else found).update(_names_in(node.target))
    return found - fixed


def _is_constexpr(annotation: ast.expr | None) -> bool:
    return annotation is not None and "constexpr" in ast.unparse(annotation)


def _names_in(node: ast.AST) -> Iterator[str]:
    """All names but those of which only an attribute is used: x.shape is known beforehand."""
    if isinstance(node, ast.Name):
        yield node.id
    elif not isinstance(node, ast.Attribute):
        for child in ast.iter_child_nodes(node):
            yield from _names_in(child)


def _value_of(node: ast.expr, function: Any, changing: set[str]) -> Any:
    """What a name or an attribute of a module stands for; None if that is not known."""
    if isinstance(node, ast.Name) and node.id not in changing:
        return function.__globals__.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute):
        module = _value_of(node.value, function, changing)
        return getattr(module, node.attr, None) if inspect.ismodule(module) else None
    return None


def _is_arange(called: Any) -> bool:
    name, module = getattr(called, "__name__", ""), getattr(called, "__module__", None) or ""
    return name == "arange" and module.startswith("triton")


def _home(called: Any) -> str:
    """The package that a function comes from."""
    return str(getattr(called, "__module__", None)).split(".")[0]


def _of_home(home: str, node: ast.Call) -> str:
    called = ast.unparse(node.func)
    if home == "torch":
        return next(known.says for known in ERRORS if known.cause == "function of torch")
    return (
        f"{called} knows Python's numbers, and a kernel has blocks and numbers of Triton: a GPU "
        f"refuses it. Inside a kernel the functions are those of tl, as tl.exp or tl.sqrt."
    )
