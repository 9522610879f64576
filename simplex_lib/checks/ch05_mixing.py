"""Exercise 5.4: mixing the maps of the heads of a group.

Axes: b batch, h head, n group, c heads of a group, o new and e old head within it, i query,
j key, s sequence length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong


def mixing_inputs(draw: Draw, *, b: int, n: int, c: int, s: int) -> dict[str, Any]:
    return dict(maps=2 * draw.normal(b, n * c, s, s), mixing=draw.normal(n, c, c))


def ask_mixing(answer: Any, arguments: Mapping[str, Any]) -> Any:
    found, (n, c, _) = answer(*arguments.values()), arguments["mixing"].shape
    if isinstance(found, Tensor) and found.ndim == 5 and found.shape[1:3] == (n, c):
        raise Rejected(
            "groups kept",
            f"maps should have shape {tuple(arguments['maps'].shape)}; yours has "
            f"{tuple(found.shape)}. Groups, and heads within a group, are still two axes.",
        )
    return found


def truth_mixing(maps: Tensor, mixing: Tensor) -> Tensor:
    c = mixing.shape[1]
    new = torch.zeros_like(maps)
    for head in range(maps.shape[1]):
        group, place = divmod(head, c)
        for other in range(c):
            new[:, head] += float(mixing[group, place, other]) * maps[:, group * c + other]
    return new


def mixed(
    change: Callable[[Tensor], Tensor] = lambda mixing: mixing,
    after: Callable[[Tensor], Tensor] = lambda new: new,
) -> Callable[[Tensor, Tensor], Tensor]:
    """The right sum with other matrices, or with something done to the new maps."""

    def answer(maps: Tensor, mixing: Tensor) -> Tensor:
        old = maps.unflatten(1, mixing.shape[:2])
        new = torch.einsum("noe,bneij->bnoij", change(mixing), old).flatten(1, 2)
        return after(new)

    return answer


def _apart(heads: Tensor, n: int) -> Tensor:
    """Heads 0, n, 2 n, ... into group 0."""
    return heads.unflatten(1, (-1, n)).transpose(1, 2)


def wrong_apart(maps: Tensor, mixing: Tensor) -> Tensor:
    new = torch.einsum("noe,bneij->bnoij", mixing, _apart(maps, len(mixing)))
    return new.transpose(1, 2).flatten(1, 2)


def wrong_apart_in(maps: Tensor, mixing: Tensor) -> Tensor:
    return torch.einsum("noe,bneij->bnoij", mixing, _apart(maps, len(mixing))).flatten(1, 2)


def wrong_apart_out(maps: Tensor, mixing: Tensor) -> Tensor:
    old = maps.unflatten(1, mixing.shape[:2])
    return torch.einsum("noe,bneij->bonij", mixing, old).flatten(1, 2)


def wrong_groups_summed(maps: Tensor, mixing: Tensor) -> Tensor:
    old = maps.unflatten(1, mixing.shape[:2])
    new = torch.einsum("noe,bneij->boij", mixing, old)
    return new.repeat(1, len(mixing), 1, 1)


def wrong_groups_meet(maps: Tensor, mixing: Tensor) -> Tensor:
    """Every group's matrix on the sum of all groups."""
    old = maps.unflatten(1, mixing.shape[:2])
    return torch.einsum("noe,bmeij->bnoij", mixing, old).flatten(1, 2)


def wrong_groups_kept(maps: Tensor, mixing: Tensor) -> Tensor:
    return mixed()(maps, mixing).unflatten(1, mixing.shape[:2])


def wrong_overwritten(maps: Tensor, mixing: Tensor) -> Tensor:
    """New heads are written where later sums still read old ones."""
    new, c = maps.clone(), mixing.shape[1]
    for head in range(maps.shape[1]):
        group, place = divmod(head, c)
        old = new[:, group * c : group * c + c].clone()
        new[:, head] = torch.einsum("e,beij->bij", mixing[group, place], old)
    return new


def wrong_added(maps: Tensor, mixing: Tensor) -> Tensor:
    return maps + mixed()(maps, mixing)


def wrong_unmixed(maps: Tensor, mixing: Tensor) -> Tensor:
    return maps.clone()


def right_block_matrix(maps: Tensor, mixing: Tensor) -> Tensor:
    return torch.einsum("oe,beij->boij", torch.block_diag(*mixing), maps)


def right_by_groups(maps: Tensor, mixing: Tensor) -> Tensor:
    new = []
    for matrix, old in zip(mixing, maps.split(mixing.shape[1], 1), strict=True):
        new += [sum(row[e] * old[:, e] for e in range(len(row))) for row in matrix]
    return torch.stack(new, 1)


MIXING = Exercise(
    id="5.4",
    title="Head mixing",
    minutes=6,
    inputs=mixing_inputs,
    sizes=(
        dict(b=1, n=1, c=1, s=2),
        dict(b=1, n=1, c=3, s=2),
        dict(b=1, n=3, c=1, s=2),
        dict(b=1, n=2, c=2, s=1),
        dict(b=4, n=2, c=3, s=5),
        dict(b=1, n=3, c=2, s=4),
        dict(b=2, n=3, c=4, s=5),
    ),
    truth=truth_mixing,
    outputs=("maps: b h i j",),
    wrong=(
        Wrong(
            "transposed",
            mixed(lambda m: m.mT),
            "Your matrices are transposed: mixing[g, o, e] is what new head o takes of old head e, "
            "and yours takes mixing[g, e, o]. (The authors' released code stores them your way.)",
        ),
        Wrong(
            "overwritten",
            wrong_overwritten,
            "You write a new head where the old one stood, and later sums of its group read the "
            "new one there. Every sum reads old heads: write to another tensor.",
        ),
        Wrong(
            "groups apart",
            wrong_apart,
            "Your groups are heads 0, n, 2 n, … The heads of a group are neighbours: group 0 has "
            "the heads 0 to c − 1.",
        ),
        Wrong(
            "groups apart, read",
            wrong_apart_in,
            "New heads are in the right places, and are made of the wrong old ones: you read "
            "groups of heads 0, n, 2 n, … The heads of a group are neighbours.",
        ),
        Wrong(
            "groups apart, written",
            wrong_apart_out,
            "The sums are right, and lie in the wrong places: head 0 of every group comes first, "
            "then head 1 of every group. All heads of group 0 come first.",
        ),
        Wrong(
            "groups summed",
            wrong_groups_summed,
            "The sum runs over the groups too, so that every group gets the same new heads. A new "
            "head reads its own group only.",
        ),
        Wrong(
            "groups meet",
            wrong_groups_meet,
            "Each matrix is applied to the sum of all groups. A new head reads its own group only.",
        ),
        Wrong("groups kept", wrong_groups_kept, "Groups and their heads are still two axes."),
        Wrong(
            "first matrix",
            mixed(lambda m: m[:1].expand_as(m)),
            "Every group is mixed by the matrix of group 0. Each group has its own.",
        ),
        Wrong(
            "matrices reversed",
            mixed(lambda m: m.flip(0)),
            "The matrices are used in reverse order: group 0 gets the one of the last group.",
        ),
        Wrong(
            "mean matrix",
            mixed(lambda m: m.mean(0, keepdim=True).expand_as(m)),
            "Every group is mixed by the mean of all matrices. Each group has its own.",
        ),
        Wrong(
            "softmax of the weights",
            mixed(lambda m: m.softmax(-1)),
            "A softmax was taken over each row of the matrices. Their entries are used as they "
            "are: negative ones subtract a head.",
        ),
        Wrong(
            "rows sum to 1",
            mixed(lambda m: m / m.sum(-1, keepdim=True)),
            "Each row of the matrices was divided by its sum. Their entries are used as they are.",
        ),
        Wrong(
            "averaged",
            lambda maps, mixing: mixed()(maps, mixing) / mixing.shape[1],
            "The sums are divided by the number of heads in a group. They are plain weighted sums.",
        ),
        Wrong(
            "diagonal only",
            mixed(lambda m: torch.diag_embed(m.diagonal(dim1=-2, dim2=-1))),
            "Only the diagonals of the matrices are used: every head is scaled, and none reads "
            "another.",
        ),
        Wrong(
            "unweighted",
            mixed(torch.ones_like),
            "Every new head is the plain sum of its group: the matrices change nothing.",
        ),
        Wrong(
            "maps added",
            wrong_added,
            "The old maps are added to the mixed ones. If a head is to keep itself, the diagonal "
            "of its matrix does it.",
        ),
        Wrong(
            "masked",
            mixed(after=torch.tril),
            "Entries above the diagonal were put to 0. Mixing is a sum over heads, at each query "
            "and key alone; no mask belongs to it.",
        ),
        Wrong(
            "not mixed",
            wrong_unmixed,
            "These are the old maps: the matrices change nothing in your numbers.",
        ),
    ),
    right=(
        Right("einsum", mixed()),
        Right("block matrix", right_block_matrix),
        Right("head by head", right_by_groups),
    ),
    hints=(
        "At one query and one key there are c numbers of a group, one a head. What turns c numbers "
        "into c others?",
        "Split the head axis in two, group and head within it. Then one einsum: which letter is "
        "summed, and which one is only carried along?",
        "old = maps with axes (b, n, c, s, s); new[b, g, o, i, j] = sum over e of "
        "mixing[g, o, e] * old[b, g, e, i, j]; join the axes g and o again.",
    ),
    why="The identity leaves every head alone, a row (1, −1) subtracts one head from another, as "
    "differential attention does. The mean of a group is a mixing too.",
    another_way="torch.block_diag(*mixing) is one (h, h) matrix with zeros outside the groups, and "
    "that matrix over the head axis does the same.",
    ask=ask_mixing,
)
