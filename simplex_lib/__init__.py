"""The library of the course on attention beyond pairs.

Importing it costs torch and jaxtyping. Triton, plotly, ipywidgets and matplotlib are imported by
the modules that need them, when they are needed.
"""

import warnings

from simplex_lib.triton_mode import prepare_triton

__version__ = "0.1.0"

try:
    prepare_triton()
except RuntimeError as error:  # everything but the kernels still works; they raise it again
    warnings.warn(str(error), RuntimeWarning, stacklevel=2)
