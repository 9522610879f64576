"""Importing the library is cheap, and chooses how triton runs before triton is imported."""

import os
import subprocess
import sys
import textwrap

import pytest

from simplex_lib import triton_mode

HEAVY = ("triton", "plotly", "ipywidgets", "anywidget", "matplotlib", "IPython", "nbformat")


def run(code, **environment):
    """The output of a fresh Python; an environment value of None unsets the variable."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["simplex_lib", "simplex_lib.attention"])
def test_import_brings_nothing_heavy(module):
    code = f"""
    import sys, {module}
    print([name for name in {HEAVY} if name in sys.modules])
    """
    assert run(code) == "[]"


def test_attention_runs_without_triton():
    code = """
    import sys
    sys.modules["triton"] = None  # any import of it fails
    import torch
    import simplex_lib.attention
    from simplex_lib.triton_mode import prepare_triton
    x = torch.ones(1, 1, 4, 2)
    print(prepare_triton(), simplex_lib.attention.trilinear_attention(x, x, x, x, x).sum().item())
    """
    assert run(code) == "absent 8.0"


@pytest.mark.skipif(not triton_mode.triton_installed(), reason="triton is not installed")
def test_without_a_gpu_triton_is_imported_as_its_interpreter():
    code = """
    import os
    import torch
    torch.cuda.is_available = lambda: False
    import simplex_lib
    print(os.environ["TRITON_INTERPRET"])
    import triton.language as tl
    from simplex_lib.triton_mode import imported_mode, prepare_triton
    print(imported_mode(), prepare_triton())
    """
    assert run(code, TRITON_INTERPRET=None).split() == ["1", "interpreter", "interpreter"]


@pytest.mark.skipif(not triton_mode.triton_installed(), reason="triton is not installed")
def test_triton_imported_too_early_is_a_warning_then_an_error():
    code = """
    import warnings
    import torch
    torch.cuda.is_available = lambda: False
    import triton.language
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import simplex_lib
    print(caught[0].category.__name__)
    import simplex_lib.attention  # needs no kernel, so it still works
    from simplex_lib.triton_mode import prepare_triton
    try:
        prepare_triton()
    except RuntimeError as error:
        print(error)
    """
    category, message = run(code, TRITON_INTERPRET=None).splitlines()
    assert category == "RuntimeWarning"
    assert message.startswith("triton must be imported with TRITON_INTERPRET=1 on this machine; it")
    assert "Restart Python" in message


@pytest.mark.parametrize(
    ("asked", "gpu", "imported", "mode"),
    [
        (None, True, None, "gpu"),
        (None, False, None, "interpreter"),
        ("1", True, None, "interpreter"),
        ("1", True, "interpreter", "interpreter"),
        ("0", True, "gpu", "gpu"),
        ("0", False, None, "absent"),
        (None, True, "interpreter", "interpreter asked for too late"),
        ("1", True, "gpu", "compiled too early"),
        (None, False, "gpu", "compiled too early"),
    ],
)
def test_mode_follows_gpu_wish_and_what_was_imported(monkeypatch, asked, gpu, imported, mode):
    monkeypatch.setattr(triton_mode, "triton_installed", lambda: True)
    monkeypatch.setattr(triton_mode, "imported_mode", lambda: imported)
    monkeypatch.setattr(triton_mode.torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setenv("TRITON_INTERPRET", "before")  # so that it is restored afterwards
    if asked is None:
        monkeypatch.delenv("TRITON_INTERPRET")
    else:
        monkeypatch.setenv("TRITON_INTERPRET", asked)
    if "too" in mode:
        with pytest.raises(RuntimeError, match="triton must be imported with TRITON_INTERPRET"):
            triton_mode.prepare_triton()
    else:
        assert triton_mode.prepare_triton() == mode
        expected = "1" if mode == "interpreter" else asked
        assert os.environ.get("TRITON_INTERPRET") == expected


def test_without_triton_nothing_is_set(monkeypatch):
    monkeypatch.setattr(triton_mode, "triton_installed", lambda: False)
    monkeypatch.setattr(triton_mode, "imported_mode", lambda: None)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert triton_mode.prepare_triton() == "absent"
    assert "TRITON_INTERPRET" not in os.environ
