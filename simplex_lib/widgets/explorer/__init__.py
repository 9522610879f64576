"""The third-order attention explorer: A[i, j, k] of any tensor, one query at a time.

Where to start: `explore.py` is what a notebook calls, `widget.py` what it shows. A tensor is read
(`reading.py`), turned into probabilities (`recipes.py`, `looking.py`), described in numbers
(`explaining.py`) and words (`sentences.py`), and packed (`wire.py`, `cube.py`) for `view/`, which
draws. `still.py` and `page.py` need no kernel.
"""
