"""The local variables of a kernel while it runs, in Triton's interpreter.

    with noting(kernel, after="m = m_new", names=("m", "l", "j0")) as notes:
        kernel[grid](...)
    notes[0].values["m"]  # a NumPy array: m when that line had run for the first time

The interpreter runs a rewritten copy of the kernel's Python. Here that copy gets one more call,
behind the statement asked for. No trace function is set, so a debugger or a coverage run that
has one keeps it, and breakpoints in the kernel's file still hold: lines keep their numbers.
"""

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from simplex_lib.errors import kind
from simplex_lib.triton_mode import imported_mode, prepare_triton

NOTE = "_simplex_note"


class Note(NamedTuple):
    """What stood in the chosen names at one time; blocks as arrays, single numbers as numbers."""

    program: tuple[int, int, int]
    values: dict[str, Any]


@contextlib.contextmanager
def noting(kernel: Any, *, after: str, names: Sequence[str]) -> Iterator[list[Note]]:
    """Note local variables of a kernel each time that one of its statements has run.

    Args:
        kernel: decorated with @triton.jit, and launched inside. Others run as always.
        after: the statement, as it stands in the kernel; it must stand there once.
        names: the variables; all of them must exist by then.

    Raises:
        RuntimeError: kernels are compiled here, or there is no triton.
        TypeError: kernel has no @triton.jit. ValueError: after does not stand there just once.
    """
    prepare_triton()
    if imported_mode() is None:
        with contextlib.suppress(ImportError):
            import triton  # noqa: F401
    if imported_mode() != "interpreter":
        raise RuntimeError(
            "noting must run in Triton's interpreter; here kernels are compiled or there is no "
            "triton. Set TRITON_INTERPRET=1 before Python starts."
        )
    from triton.runtime.interpreter import InterpretedFunction, interpreter_builder

    if not isinstance(kernel, InterpretedFunction):
        raise TypeError(f"kernel must be a function with @triton.jit; got {kind(kernel)}.")
    notes: list[Note] = []

    def note(found: dict[str, Any]) -> None:
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(
                f"names must be variables of {kernel.fn.__name__} that exist after {after}; got "
                f"{missing[0]!r}."
            )
        values = {name: _plain(found[name]) for name in names}
        notes.append(Note(tuple(interpreter_builder.grid_idx), values))

    usual = kernel.rewrite()
    copies = InterpretedFunction.rewritten_fn
    copies[kernel.fn] = _with_note(kernel, after, note)
    try:
        yield notes
    finally:
        copies[kernel.fn] = usual


def _with_note(kernel: Any, after: str, note: Callable[[dict[str, Any]], None]) -> FunctionType:
    """The interpreter's copy of the kernel with `note(locals())` behind the statement."""
    lines, first = inspect.getsourcelines(kernel.fn)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    body, n = _place(tree, after, kernel.fn.__name__)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    call = ast.parse(f"{NOTE}(locals())").body[0]
    for node in ast.walk(call):
        ast.copy_location(node, body[n])
    body.insert(n + 1, call)
    # before the interpreter's own changes, which leave a call that assigns nothing as it is
    tree = ast.fix_missing_locations(kernel.rewriter.ast_transformer.visit(tree))
    made: dict[str, Any] = {}
    code = compile(tree, kernel.fn.__code__.co_filename, "exec")
    exec(code, {**kernel.fn.__globals__, NOTE: note}, made)
    return made[kernel.fn.__name__]


def _place(tree: ast.Module, after: str, name: str) -> tuple[list[ast.stmt], int]:
    """The block that holds the statement, and where in it."""
    wanted = ast.unparse(ast.parse(after))
    found = [
        (block, n)
        for node in ast.walk(tree)
        for field in ("body", "orelse")
        if isinstance(block := getattr(node, field, None), list)
        for n, statement in enumerate(block)
        if ast.unparse(statement) == wanted
    ]
    if len(found) != 1:
        raise ValueError(
            f"after must be a statement that stands once in {name}; got {after!r}, which stands "
            f"there {len(found)} times."
        )
    return found[0]


def _plain(x: Any) -> Any:
    """A copy: a block becomes an array, a single number a number."""
    handle = getattr(x, "handle", None)
    if handle is None:
        return x
    data = np.array(handle.data)
    return data if x.type.is_block() else data.item()
