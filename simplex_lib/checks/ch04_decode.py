"""Exercise 4.5: one decoding step with two rolling caches.

Its wrong and right answers are in `ch04_cache.py`.
Axes: b batch, h head, i query, s sequence length, d head_dim, dv size of a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from simplex_lib.checks.ch04_cache import (
    TENSORS,
    TENSORS_IN,
    Caches,
    before,
    columns,
    first_value,
    guessed,
    one_in_full,
    right_masked,
    right_ring,
    right_shifted,
    ring,
    rows,
    scaled_twice,
    shifted,
    unscaled,
    values_added,
    wrong_alone,
    wrong_elsewhere,
    wrong_finite,
    wrong_grows,
    wrong_squeezed,
)
from simplex_lib.checks.ch04_windowed import truth_windowed, windowed_inputs
from simplex_lib.checks.exercise import Exercise, Rejected, Right, Wrong


def empty_caches(x: Mapping[str, Any]) -> Caches:
    b, h, _, d = x["q"].shape
    sizes = zip(TENSORS, (d, x["v1"].shape[-1]) * 2, (x["w1"],) * 2 + (x["w2"],) * 2, strict=True)
    return {name: x["q"].new_zeros(b, h, w, n) for name, n, w in sizes} | dict(seen=0)


def token(x: Mapping[str, Any], i: int) -> list[Tensor]:
    """The arguments of step i after the caches: views, as slices are, but of copies of the past."""
    return [x[name][:, :, : i + 1].clone()[:, :, i:] for name in ("q", *TENSORS_IN)]


def ask_decode(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Decodes the sequence alone; then in turns with another, and from a copy of its caches."""
    s = arguments["q"].shape[2]
    turned = {k: x.flip(2) if isinstance(x, Tensor) else x for k, x in arguments.items()}
    caches, steps = empty_caches(arguments), []
    held: list[Caches] = []  # after each step
    for i in range(s):
        found = _step(answer, caches, arguments, i)
        if not isinstance(found, Tensor):
            return found
        steps.append(found)
        held.append(dict(caches))
    require_caches(held, empty_caches(arguments))
    alone = torch.cat(steps, 2)
    if alone.dtype != torch.float64:
        return alone
    caches, others, steps = empty_caches(arguments), empty_caches(arguments), []
    for i in range(s):
        if i == s // 2:
            caches = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, caches)
        _step(answer, others, turned, i)
        steps.append(_step(answer, caches, arguments, i))
    again = torch.cat(steps, 2)
    if not torch.allclose(alone, again, rtol=1e-9, atol=1e-9, equal_nan=True):
        raise Rejected(
            "kept elsewhere",
            "The outputs of a sequence change when another sequence is decoded in turns with it, "
            "or when it goes on from a copy of its caches. Whatever a step keeps for the next one "
            "has to lie in caches.",
        )
    return alone


def _step(answer: Any, caches: Caches, x: Mapping[str, Any], i: int) -> Any:
    given = token(x, i)
    before = [y.clone() for y in given]
    found = answer(caches, *given)
    for name, y, z in zip(("q", *TENSORS_IN), given, before, strict=True):
        if y.shape != z.shape or not torch.equal(y, z):
            raise Rejected(
                "token changed",
                f"Your answer changes its input {name} in place. caches is the only argument "
                "that a step changes.",
            )
    if not isinstance(found, Tensor):
        return found
    b, h, _, dv = x["v1"].shape
    if tuple(found.shape) != (b, h, 1, dv):
        raise Rejected(
            "shape",
            f"The output of one step should have shape {(b, h, 1, dv)}, which is (b, h, 1, dv); "
            f"yours has {tuple(found.shape)}.",
        )
    return found


def require_caches(held: list[Caches], empty: Caches) -> None:
    """held: the caches after each step. Four tensors, of one shape and dtype from first to last."""
    for name in TENSORS:
        shape, dtype = tuple(empty[name].shape), empty[name].dtype
        for i, caches in enumerate(held):
            now = caches.get(name)
            when = f'After step {i}, counted from 0, caches["{name}"]'
            if not isinstance(now, Tensor):
                what = "missing" if name not in caches else f"a {type(now).__name__}"
                raise Rejected(
                    "no cache", f"{when} is {what}. It should still be a tensor of shape {shape}."
                )
            if now.dtype != dtype:
                raise Rejected(
                    "cache dtype",
                    f"{when} has another dtype than the tokens. A cache keeps the dtype that it "
                    "had when it was empty.",
                )
        _require_shape(name, [tuple(c[name].shape) for c in held], shape)
    for caches in held:
        extra = [x for name, x in caches.items() if name not in TENSORS]
        if any(isinstance(x, Tensor) for x in tree_leaves(extra)):
            raise Rejected(
                "more tensors",
                "Your step puts further tensors into caches. The four that are there are enough; "
                "beside them only numbers may be kept.",
            )


def _require_shape(name: str, shapes: list[tuple[int, ...]], want: tuple[int, ...]) -> None:
    wrong = [i for i, shape in enumerate(shapes) if shape != want]
    if not wrong:
        return
    i, w = wrong[0], want[2]
    now = f'After step {i}, counted from 0, caches["{name}"] has the shape {shapes[i]}'
    lengths = [shape[2] if len(shape) == 4 else -1 for shape in shapes]
    if lengths == [w + 1 + i for i in range(len(lengths))] and len(lengths) > 1:
        raise Rejected(
            "cache grows",
            f"{now}, and it becomes longer with every token: {lengths[-1]} places after "
            f"{len(lengths)} tokens, where the window is {w}. Positions that have left the window "
            "are never read again.",
        )
    if set(lengths) <= {w, w + 1}:
        raise Rejected(
            "cache too long by one",
            f"{now}: {w + 1} places for a window of {w}. The newest token is one of the window's "
            "own positions, so one old position has to leave for it.",
        )
    raise Rejected(
        "cache shape",
        f"{now}, and it should be {want}, from the first step to the last: as many places as the "
        "window is long, filled or not.",
    )


EMPTY = (
    "Places of a cache that no token has filled yet take part, as keys of zeros. A key of zeros "
    "has the logit 0, and a logit of 0 has a weight."
)
LOGIT_0 = (
    "Pairs with a logit of 0 are hidden. Empty places have the logit 0, and so have pairs of real "
    "tokens: where q or one of the keys is all zeros, or happens to be orthogonal. How many places "
    "are filled, seen knows."
)
KEY_0 = (
    "Places whose key is all zeros are taken for empty ones. A real key may be all zeros too. How "
    "many places are filled, seen knows."
)
LATE = (
    "You attend first and take the newest token in afterwards, so a query does not see its own "
    "position, and query 0 sees nothing."
)
LONGER = (
    "Once the caches are full, your query reads one position too many in each: all that a cache "
    "holds, and the newest token beside it. The oldest one has left the window."
)

DECODE = Exercise(
    id="4.5",
    title="One decoding step",
    minutes=15,
    inputs=windowed_inputs,
    sizes=(
        dict(b=1, h=1, s=3, d=1, dv=1, w1=2, w2=1),  # by hand, in the statement
        dict(b=1, h=2, s=4, d=3, dv=5, w1=2, w2=1),
        dict(b=2, h=3, s=1, d=4, dv=5, w1=2, w2=3),
        dict(b=1, h=2, s=5, d=3, dv=4, w1=9, w2=2),
        dict(b=1, h=2, s=7, d=3, dv=4, w1=1, w2=3),
        dict(b=1, h=2, s=4, d=3, dv=5, w1=7, w2=6),
        dict(b=1, h=3, s=8, d=5, dv=4, w1=2, w2=5),
        dict(b=3, h=1, s=6, d=4, dv=2, w1=3, w2=2),  # with a third sentence, see windowed_inputs
        dict(b=2, h=3, s=11, d=4, dv=5, w1=4, w2=3),
    ),
    truth=truth_windowed,
    outputs=("out: b h i d",),
    wrong=(
        Wrong("empty places take part", ring(held=lambda seen, w, _: w), EMPTY),
        Wrong(
            "empty places of the first cache take part",
            one_in_full(True),
            "The second cache is right. The first one is read in full from the first step on, and "
            "its empty places take part as keys of zeros.",
        ),
        Wrong(
            "empty places of the second cache take part",
            one_in_full(False),
            "The first cache is right. The second one is read in full from the first step on, and "
            "its empty places take part as keys of zeros.",
        ),
        Wrong("logits of 0 hidden", guessed("logit", False), LOGIT_0),
        Wrong("logits of 0 hidden, no NaN", guessed("logit", True), LOGIT_0),
        Wrong("keys of zeros hidden", guessed("key", False), KEY_0),
        Wrong("keys of zeros hidden, no NaN", guessed("key", True), KEY_0),
        Wrong("newest token left out", before(zeros=False, new=False), LATE),
        Wrong(
            "newest token left out, empty places take part",
            before(zeros=True, new=False),
            "You attend first and take the newest token in afterwards, so a query does not see "
            "its own position; at first it reads the zeros of the empty places.",
        ),
        Wrong("window off by one", before(zeros=False, new=True), LONGER),
        Wrong(
            "window off by one and empty places",
            before(zeros=True, new=True),
            "Your query reads all places of a cache and the newest token beside them: one position "
            "too many once a cache is full, and keys of zeros before that.",
        ),
        Wrong(
            "place of the next token",
            ring(place=lambda seen, w, _: (seen + 1) % w),
            "It is right once the caches are full. Before, the token is not written to the first "
            "empty place but to the one behind it. Was seen raised before the place was taken?",
        ),
        Wrong(
            "count one behind",
            ring(held=lambda seen, w, _: min(seen, w)),
            "It is right once the caches are full. Before, you read one place too few, and that "
            "one holds the newest token: it has been written and not yet counted.",
        ),
        Wrong(
            "count one ahead",
            ring(held=lambda seen, w, _: min(seen + 2, w)),
            "It is right once the caches are full. Before, you read one place too many, which "
            "no token has filled: a key of zeros.",
        ),
        Wrong(
            "seen raised twice",
            ring(raised=2, between=1),
            "A step raises seen by 2: once for each cache. It counts tokens, and a step takes in "
            "one.",
        ),
        Wrong(
            "seen starts again",
            ring(after=lambda seen, both: (seen + 1) % both[0]),
            "It is right until the first cache is full. Then seen begins again at 0, and caches "
            "that hold something are taken for empty ones.",
        ),
        Wrong(
            "seen stops",
            ring(after=lambda seen, both: min(seen + 1, both[0])),
            "It is right until the first cache is full. From then on seen does not grow, so every "
            "token is written to the same place.",
        ),
        Wrong(
            "place of the first cache for both",
            ring(place=lambda seen, w, both: seen % both[0]),
            "The place in both caches is counted with the length of the first. Each cache has a "
            "length of its own, and rolls over by itself.",
        ),
        Wrong(
            "place of the second cache for both",
            ring(place=lambda seen, w, both: seen % both[1]),
            "The place in both caches is counted with the length of the second. Each cache has a "
            "length of its own, and rolls over by itself.",
        ),
        Wrong(
            "place of the shorter cache for both",
            ring(place=lambda seen, w, both: seen % min(both)),
            "The place in both caches is counted with the length of the shorter one, so the longer "
            "one never fills up. Each cache has a length of its own, and rolls over by itself.",
        ),
        Wrong(
            "last place overwritten",
            ring(place=lambda seen, w, _: min(seen, w - 1)),
            "It is right while the caches fill up. From then on you overwrite the last place "
            "every time, so the oldest positions stay and the newest ones go.",
        ),
        Wrong(
            "first place overwritten",
            ring(place=lambda seen, w, _: seen if seen < w else 0),
            "It is right while the caches fill up. From then on you overwrite place 0 every time, "
            "though the oldest position has moved on.",
        ),
        Wrong(
            "no rolling",
            ring(place=lambda seen, w, _: seen),
            "It is right while the caches fill up, and then there is no place of that number. The "
            "place of the oldest position is free for the newest.",
        ),
        Wrong(
            "full caches keep what they have",
            ring(full=False),
            "It is right while the caches fill up. A full cache takes in nothing more in your "
            "answer: the window stays at the start of the sequence.",
        ),
        Wrong(
            "shorter count for both",
            ring(held=lambda seen, w, both: min(seen + 1, *both)),
            "Of both caches you read as many places as the shorter one has.",
        ),
        Wrong(
            "cache grows",
            wrong_grows,
            "Refused by its caches.",
        ),
        Wrong("cache too long by one", shifted(longer=1), "Refused by its caches."),
        Wrong("kept elsewhere", wrong_elsewhere, "Refused by its caches."),
        Wrong("shape", wrong_squeezed, "Refused by its shape."),
        Wrong(
            "not kept",
            ring(keep=False),
            "Each step sees its own token and zeros in place of all earlier ones. Either "
            "what a step writes does not reach the next one through caches, or the next one "
            "writes over it.",
        ),
        Wrong(
            "newest token alone",
            wrong_alone,
            "Every output is v1 ∘ v2 of the newest token: no earlier position takes part. What "
            "does caches hold when the second step begins, and what is seen?",
        ),
        Wrong(
            "read from the wrong end",
            shifted(front=True),
            "It is right once the caches are full. You move positions towards the start and put "
            "the newest at the end, and while a cache fills up you read from its start, where the "
            "zeros are.",
        ),
        Wrong(
            "values in another order",
            ring(values="shifted"),
            "Keys and values do not lie at the same places of a cache, so the weight of one "
            "position meets the value of another.",
        ),
        Wrong(
            "unscaled",
            ring(attend=unscaled),
            "The logits lack the factor 1/√d of Eq. 5.",
        ),
        Wrong(
            "scaled twice",
            ring(attend=scaled_twice),
            "The logits are divided by √d twice.",
        ),
        Wrong(
            "second key only",
            ring(attend=rows),
            "The softmax runs over the second key alone, so every first key gets a unit of its "
            "own.",
        ),
        Wrong(
            "first key only",
            ring(attend=columns),
            "The softmax runs over the first key alone, so every second key gets a unit of its "
            "own.",
        ),
        Wrong(
            "keys swapped",
            ring(order=(1, 0, 2, 3)),
            "k1 and k2 changed places on their way into caches, while v1 and v2 did not.",
        ),
        Wrong(
            "values swapped",
            ring(order=(0, 1, 3, 2)),
            "v1 and v2 changed places on their way into caches, while k1 and k2 did not.",
        ),
        Wrong(
            "caches swapped",
            ring(order=(1, 0, 3, 2)),
            "The second keys and values are kept in the first cache and the first ones in the "
            "second: each gets the window of the other.",
        ),
        Wrong(
            "window too short",
            ring(held=lambda seen, w, _: min(seen + 1, max(1, w - 1))),
            "You never read the last place of a cache: of a window of w at most w − 1 positions.",
        ),
        Wrong(
            "first value only",
            ring(attend=first_value),
            "v2 is missing: these are the first values, weighted by the marginal over j.",
        ),
        Wrong(
            "values added",
            ring(attend=values_added),
            "These are the numbers of v1_j + v2_k. The value of a pair is a product.",
        ),
        Wrong(
            "finite mask",
            wrong_finite,
            "Empty places were given some finite logit, and −10,000, say, is an ordinary logit: "
            "where all the others lie lower, the empty places get everything.",
        ),
    ),
    right=(
        Right("a ring, in place", right_ring),
        Right("moved by one place", right_shifted),
        Right("all places, masked", right_masked),
    ),
    hints=(
        "Which position leaves the window when token p comes in? Its place is free from then on. "
        "And how many places are in use after p + 1 tokens?",
        "Write first, then attend: the newest token is in its own window. A softmax does not see "
        "the order of the keys, so a ring is enough, as long as keys and values share a place. "
        "Each of the two caches has a length of its own.",
        "for each cache of length w: place = seen mod w; keys and values there become the token's. "
        "Raise seen by 1. Read the first min(seen, w) places of each. Logits Σ_d q k1 k2 / √d over "
        "pairs of places, one softmax over all of them, Σ of probs v1 v2.",
    ),
    why="A token that has left both windows is never read again, so w1 + w2 positions are all that "
    "a step needs, and its cost does not depend on how many tokens came before.",
    another_way="move all positions by one place and put the newest at the end: the same numbers, "
    "and w times as much writing as in a ring.",
    variants=("float32", "bfloat16", "strided", "large"),
    ask=ask_decode,
)
