"""The fused kernels in Triton: the operations of `simplex_lib.attention` with impl="triton".

dot_product.py         attention over keys: the first fused kernel, forward and backward
trilinear.py           attention over pairs of keys, as an operator of PyTorch
trilinear_forward.py   its forward kernel
trilinear_backward.py  its backward kernels
tiles.py               what all of them share: rows, windows, block sizes, checks

Read dot_product.py first. Determinant attention runs on the trilinear kernels too: forward with
another merged query, backward on longer vectors.

Importing this package decides how the kernels run, and so it needs triton: compiled on a GPU,
in Triton's interpreter elsewhere. Modules are imported where they are needed, one by one.
"""

from simplex_lib.triton_mode import prepare_triton

MODE = prepare_triton()
if MODE == "absent":
    raise RuntimeError(
        "impl must be 'reference' on this machine: impl='triton' needs the package triton (Linux) "
        "and, where TRITON_INTERPRET=0 refuses the interpreter, a CUDA GPU."
    )
