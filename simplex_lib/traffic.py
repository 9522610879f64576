"""How many bytes PyTorch's operations read and write.

with Traffic() as traffic:
    trilinear_attention(q, k1, k2, v1, v2)
traffic.total  # bytes
traffic.moved  # for each operation its name, and the bytes of each tensor it reads or writes
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Traffic(TorchDispatchMode):
    """Notes the tensors that each operation is given and makes.

    A view moves nothing. A tensor counts as if each of its elements went through memory once,
    also where a cache or a stride of 0 saves a part of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[tuple[str, list[int]]] = []

    @property
    def total(self) -> int:
        return sum(sum(sizes) for _, sizes in self.moved)

    def times(self, size: int) -> int:
        """How often a tensor of so many bytes was read or written."""
        return sum(sizes.count(size) for _, sizes in self.moved)

    def __torch_dispatch__(
        self,
        func: Any,
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        view = func.is_view or func is torch.ops.aten._unsafe_view.default
        seen = [x for x in tree_leaves((args, kwargs, made)) if torch.is_tensor(x)]
        if seen and not view:
            self.moved.append((str(func), [x.nbytes for x in seen]))
        return made
