"""Small models, trained on a CPU while one looks on.

match3.py        one 2-simplicial against one dot-product layer on Match3: the command
match3_run.py    one run of it: settings, loop, curve, what continuing needs
match3_model.py  the model of both kinds
schedule.py      warm-up, then a cosine
"""
