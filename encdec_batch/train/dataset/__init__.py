"""All pairs as one data set, once, before training: split, looked through, compared, counted.

In: pairs. Out: `Prepared`: both sides of the split, what is wrong with files, leaks, the constants of normalisation,
and which windows an epoch has. It must not know what is done to a window that was drawn.

Reading order: split.py, inspect.py (one pair), prepare.py (all of them), sampling.py.
"""
