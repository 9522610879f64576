"""The mistakes with windows, and with where loops begin and end, that exercise 9.5 knows.

Axes: i query, j first key, k second key.
"""

from __future__ import annotations

from simplex_lib.checks.ch09_trilinear_kernels import careless
from simplex_lib.checks.ch09_trilinear_slips import trilinear_slip
from simplex_lib.checks.exercise import Wrong

WRONG_WINDOWS = (
    Wrong(
        "first window one too long",
        trilinear_slip(wider=(1, 0)),
        "Your first window holds w1 + 1 keys. It counts the query's own position: i - w1 < j, "
        "without the equals sign.",
    ),
    Wrong(
        "second window one too long",
        trilinear_slip(wider=(0, 1)),
        "Your second window holds w2 + 1 keys. It counts the query's own position: i - w2 < k, "
        "without the equals sign.",
    ),
    Wrong(
        "windows one too long",
        trilinear_slip(wider=(1, 1)),
        "Your windows hold w1 + 1 and w2 + 1 keys. They count the query's own position: i - w1 < "
        "j and i - w2 < k, without equals signs.",
    ),
    Wrong(
        "windows one too long, loops right",
        trilinear_slip(wider=(1, 1), longer=(-1, -1)),
        "Your masks let w1 + 1 and w2 + 1 keys through, and only where a loop begins later is one "
        "cut off. It is i - w1 < j and i - w2 < k, without equals signs.",
    ),
    Wrong(
        "first window one too long, loop right",
        trilinear_slip(wider=(1, 0), longer=(-1, 0)),
        "Your mask lets w1 + 1 first keys through, and only where the loop over j begins later is "
        "one cut off. It is i - w1 < j, without the equals sign.",
    ),
    Wrong(
        "second window one too long, loop right",
        trilinear_slip(wider=(0, 1), longer=(0, -1)),
        "Your mask lets w2 + 1 second keys through, and only where the loop over k begins later "
        "is one cut off. It is i - w2 < k, without the equals sign.",
    ),
    Wrong(
        "first window in the loop only",
        trilinear_slip(wider=(10**6, 0), longer=(-(10**6), 0)),
        "Your loop over j begins where the window of the tile's first query does, and later "
        "queries of the tile read those j too: i - w1 < j has to be asked for each query.",
    ),
    Wrong(
        "second window in the loop only",
        trilinear_slip(wider=(0, 10**6), longer=(0, -(10**6))),
        "Your loop over k begins where the window of the tile's first query does, and later "
        "queries of the tile read those k too: i - w2 < k has to be asked for each query.",
    ),
    Wrong(
        "windows in the loops only",
        trilinear_slip(wider=(10**6, 10**6), longer=(-(10**6), -(10**6))),
        "Your loops begin where the windows of the tile's first query do, and later queries of "
        "the tile read those keys too: i - w1 < j and i - w2 < k have to be asked for each query.",
    ),
    Wrong(
        "windows one too short",
        trilinear_slip(wider=(-1, -1)),
        "Your windows hold w1 - 1 and w2 - 1 keys, so that a window of 1 is empty. They count the "
        "query's own position: i - w1 < j and i - w2 < k.",
    ),
    Wrong(
        "windows exchanged",
        trilinear_slip(exchanged=True),
        "Your first keys are cut by w2 and your second keys by w1. It is the other way round.",
    ),
    Wrong(
        "first window ignored",
        trilinear_slip(wider=(10**6, 0)),
        "Your first keys are all of the past: w1 does nothing.",
    ),
    Wrong(
        "second window ignored",
        trilinear_slip(wider=(0, 10**6)),
        "Your second keys are all of the past: w2 does nothing.",
    ),
    Wrong(
        "windows ignored",
        trilinear_slip(wider=(10**6, 10**6)),
        "Your pairs are all pairs of the past: w1 and w2 do nothing.",
    ),
    Wrong(
        "loops begin too late",
        trilinear_slip(begin="last query"),
        "Your loops begin where the windows of the tile's last query do. Earlier queries of the "
        "tile see earlier keys: the first query decides where a loop begins.",
    ),
    Wrong(
        "loops end too early",
        trilinear_slip(stop="first query"),
        "Your loops end with the first query of the tile. Later queries of the tile see later "
        "keys: the last query decides where a loop ends.",
    ),
    Wrong(
        "first window one too short",
        trilinear_slip(wider=(-1, 0)),
        "Your first window holds w1 - 1 keys, so that a window of 1 is empty. It counts the "
        "query's own position: i - w1 < j.",
    ),
    Wrong(
        "second window one too short",
        trilinear_slip(wider=(0, -1)),
        "Your second window holds w2 - 1 keys, so that a window of 1 is empty. It counts the "
        "query's own position: i - w2 < k.",
    ),
    Wrong(
        "first loop begins one late",
        trilinear_slip(longer=(-1, 0)),
        "Your loop over j begins one key late for the first query of the tile: its window begins "
        "at tile ROWS - w1 + 1.",
    ),
    Wrong(
        "second loop begins one late",
        trilinear_slip(longer=(0, -1)),
        "Your loop over k begins one key late for the first query of the tile: its window begins "
        "at tile ROWS - w2 + 1.",
    ),
    Wrong(
        "loops begin one late",
        trilinear_slip(longer=(-1, -1)),
        "Your loops begin one key late for the first query of the tile: its windows begin at tile "
        "ROWS - w1 + 1 and tile ROWS - w2 + 1.",
    ),
    Wrong(
        "first loop ends one early",
        trilinear_slip(early=(1, 0)),
        "Your loop over j ends one key early: the last query of the tile does not see its own "
        "position as a first key. The end of a range is left out already.",
    ),
    Wrong(
        "second loop ends one early",
        trilinear_slip(early=(0, 1)),
        "Your loop over k ends one key early. Where the last tile of keys would begin with that "
        "key, it is left out. The end of a range is left out already.",
    ),
    Wrong(
        "loops end one early",
        trilinear_slip(early=(1, 1)),
        "Both of your loops end one key early: the last query of the tile does not see its own "
        "position. The end of a range is left out already.",
    ),
    Wrong(
        "first keys before the text",
        careless(BEGIN="j"),
        "Your loop over j begins at tile ROWS - w1 + 1 also where that is below 0, before the "
        "text.",
    ),
    Wrong(
        "second keys before the text",
        careless(BEGIN="k"),
        "Your loop over k begins at tile ROWS - w2 + 1 also where that is below 0, before the "
        "text.",
    ),
)
