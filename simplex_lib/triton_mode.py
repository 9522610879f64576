"""How Triton kernels run on this machine: compiled on a GPU, interpreted on a CPU, or not at all.

Triton reads TRITON_INTERPRET once, while it is imported: its own functions (tl.sum, tl.cdiv) become
compiled or interpreted there and then. So the choice is made when `simplex_lib` is imported, and
without importing triton.

Other code may import triton first: in torch 2.13 making an optimizer does. `import simplex_lib`
then only warns, since most chapters run no kernel; a kernel asks again and gets the error.
"""

import importlib.util
import os
import sys
from typing import Literal

import torch

TritonMode = Literal["gpu", "interpreter", "absent"]

WRONG_MODE = (
    "triton must be imported with {wanted} on this machine; it was imported {got} before "
    "simplex_lib could choose. Restart Python (in a notebook: Kernel, Restart) and import "
    "simplex_lib first, before any optimizer is made."
)


def prepare_triton() -> TritonMode:
    """Choose how kernels run, and set TRITON_INTERPRET=1 where only the interpreter can run them.

    A value of TRITON_INTERPRET that is already set is kept: 1 asks for the interpreter on a machine
    with a GPU, 0 refuses it on a machine without one.

    Returns:
        "gpu", "interpreter", or "absent": triton is not installed, or no kernel can run because
        the interpreter was refused.

    Raises:
        RuntimeError: triton was already imported in the other mode.
    """
    mode = triton_mode()
    if mode == "interpreter":
        os.environ["TRITON_INTERPRET"] = "1"
    imported = imported_mode()
    if mode == "interpreter" and imported == "gpu":
        raise RuntimeError(WRONG_MODE.format(wanted="TRITON_INTERPRET=1", got="without it"))
    if mode == "gpu" and imported == "interpreter":
        raise RuntimeError(WRONG_MODE.format(wanted="TRITON_INTERPRET unset", got="with it"))
    return mode


def triton_mode() -> TritonMode:
    """The mode that suits this machine and its environment; changes nothing, imports no triton."""
    if not triton_installed():
        return "absent"
    asked = os.environ.get("TRITON_INTERPRET")
    if asked is not None and asked.lower() in ("1", "true", "on", "yes", "y"):
        return "interpreter"
    if torch.cuda.is_available():
        return "gpu"
    return "interpreter" if asked is None else "absent"


def triton_installed() -> bool:
    if "triton" in sys.modules:
        return sys.modules["triton"] is not None  # None blocks an import
    return importlib.util.find_spec("triton") is not None


def imported_mode() -> Literal["gpu", "interpreter"] | None:
    """The mode in which triton was imported; None if it was not."""
    language = sys.modules.get("triton.language")
    if language is None:
        return None
    # one of triton's own functions tells: JITFunction or InterpretedFunction
    return "interpreter" if type(language.sum).__name__ == "InterpretedFunction" else "gpu"
