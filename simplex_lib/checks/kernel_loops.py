"""What a compiled kernel may not do and the interpreter lets it do, seen while it runs.

A loop must leave each variable the dtype and the shape that it had; a block has no single truth
value, which `and`, `or`, `not` and `if` ask for; and tl.dot of float32 has a precision.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simplex_lib.checks.exercise import Rejected

TRUTH = (
    "`and`, `or`, `not` and `if` want one truth value, and a block of conditions has one for each "
    "lane. & joins two blocks lane by lane, | is or, ~ is not; and what an `if` would decide for "
    "each lane is decided by a mask or by tl.where."
)
PYTHONS_MAX = (
    "Python's max and min choose one of two blocks as a whole in the interpreter. tl.maximum and "
    "tl.minimum go lane by lane."
)
IEEE = (
    'input_precision="ieee" is missing in your tl.dot, or says something else. float32 factors '
    "would be rounded to TF32 on a GPU, which has 11 significant bits; the interpreter keeps all."
)
HERE = "__import__('sys').modules['" + __name__ + "']"
Kept = dict[str, Any]  # the type of each variable before a loop


@contextlib.contextmanager
def as_if_compiled(kernel: Any, *, ieee: bool) -> Iterator[None]:
    """Kernels launched inside raise Rejected for what a GPU refuses.

    ieee: and at the end, if a tl.dot of float32 was not asked for input_precision="ieee".
    """
    from triton.runtime import interpreter as module

    interpreter: Any = module
    rewriter, function = interpreter.FunctionRewriter, interpreter.InterpretedFunction
    known, transform = function.rewritten_fn, rewriter.ast_transformer
    patch, builder = interpreter._patch_lang_tensor, interpreter.interpreter_builder
    inexact: list[int] = []

    def patch_too(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__bool__", _truth)

    def dot(a: Any, b: Any, d: Any, precision: Any, *rest: Any) -> Any:
        if a.dtype.name == "fp32" and getattr(precision, "name", "IEEE") != "IEEE":
            inexact.append(_line_of(kernel))
        return type(builder).create_dot(builder, a, b, d, precision, *rest)

    function.rewritten_fn = _rewritten  # kernels with the questions of this file in them
    rewriter.ast_transformer = _Loops()
    interpreter._patch_lang_tensor = patch_too
    builder.create_dot = dot
    try:
        yield
    finally:
        function.rewritten_fn, rewriter.ast_transformer = known, transform
        interpreter._patch_lang_tensor = patch
        del builder.create_dot
    if ieee and inexact:
        raise NotIeee(inexact[0])


_rewritten: dict[Any, Any] = {}


class NotIeee(Exception):
    """line: of the first tl.dot that rounds."""

    def __init__(self, line: int):
        self.line = line
        super().__init__(IEEE)


def _line_of(kernel: Any) -> int:
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        own = kernel.fn.__code__
        if (code.co_name, code.co_filename) == (own.co_name, own.co_filename):
            return frame.f_lineno
        frame = frame.f_back
    return 0


def _truth(x: Any) -> bool:
    import triton

    data = x.handle.data
    if data.size == 1:
        return bool(data)
    if not sys._getframe(1).f_code.co_filename.startswith(str(Path(triton.__file__).parent)):
        raise Rejected("truth of a block", TRUTH)
    return True  # as the interpreter says to itself


def types_before(names: tuple[str, ...], variables: Mapping[str, Any]) -> Kept:
    return {name: variables[name].type for name in names if hasattr(variables.get(name), "type")}


def compare_types(before: Kept, variables: Mapping[str, Any]) -> None:
    """Called at the end of each step of a loop."""
    for name, old in before.items():
        new = getattr(variables.get(name), "type", None)
        if new is None or (
            old.scalar.is_int() and new.scalar.is_int() and _shape(old) == _shape(new)
        ):
            continue
        if (_shape(old), _dtype(old)) == (_shape(new), _dtype(new)):
            continue
        was, becomes = (
            (_dtype(old), _dtype(new))
            if _shape(old) == _shape(new)
            else (
                _words(old),
                _words(new),
            )
        )
        raise Rejected(
            "changes in a loop",
            f"`{name}` is {was} before the loop and {becomes} after a step of it. In a compiled "
            "kernel a variable keeps its dtype and its shape through a loop, so a GPU refuses "
            "yours; the interpreter does not. Begin with what it is to become.",
        )


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in kind.shape) if kind.is_block() else ()


def _dtype(kind: Any) -> str:
    name = str(kind.scalar)
    if name.startswith("pointer"):
        return "a pointer"
    return name.replace("fp", "float", 1) if name.startswith("fp") else name


def _words(kind: Any) -> str:
    shape = _shape(kind)
    if not shape:
        return f"one number ({_dtype(kind)})"
    return f"a block of shape ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


class _Loops:
    """Rewrites a kernel as the interpreter does, and has each loop look at its variables."""

    def visit(self, tree: ast.Module) -> ast.AST:
        from triton.runtime.interpreter import ASTTransformer

        tree = ASTTransformer().visit(tree)
        function = tree.body[0]
        if isinstance(function, ast.FunctionDef):
            arguments = function.args.posonlyargs + function.args.args
            self.count = 0
            function.body = self.block(function.body, {a.arg for a in arguments})[0]
        return tree

    def block(self, body: list[ast.stmt], names: set[str]) -> tuple[list[ast.stmt], set[str]]:
        """names: those that a compiled kernel knows here; what a loop makes ends with it."""
        found: list[ast.stmt] = []
        names = set(names)
        for node in body:
            if isinstance(node, (ast.For, ast.While)):
                found += self.loop(node, names)
                continue
            if isinstance(node, ast.If):
                node.body, one = self.block(node.body, names)
                node.orelse, other = self.block(node.orelse, names)
                names |= one | other
            names |= _stored(node) if not isinstance(node, ast.If) else set()
            found.append(node)
        return found, names

    def loop(self, node: ast.For | ast.While, names: set[str]) -> list[ast.stmt]:
        own = _stored(node.target) if isinstance(node, ast.For) else set()
        inside = set().union(*(_stored(statement) for statement in node.body))
        carried = tuple(sorted((inside & names) - own))
        node.body = self.block(node.body, names | own)[0]
        if not carried or (isinstance(node, ast.For) and "static_range" in ast.unparse(node.iter)):
            return [node]
        self.count += 1
        kept = f"_kept_{self.count}"
        before = ast.parse(f"{kept} = {HERE}.types_before({carried}, locals())").body[0]
        after = ast.parse(f"{HERE}.compare_types({kept}, locals())").body[0]
        for statement, at in ((before, node), (after, node.body[-1])):
            for child in ast.walk(statement):
                ast.copy_location(child, at)
        node.body.append(after)
        return [before, node]


def _stored(node: ast.AST) -> set[str]:
    found = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    return {n.id for n in found if isinstance(n.ctx, ast.Store)}
