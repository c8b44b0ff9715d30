"""All pairs as one data set, once, before training: split, looked through, compared, counted.

In: pairs. Out: `Prepared`: both sides of the split, what is wrong with files, leaks, the constants of normalisation,
and from where windows are drawn, how often. It draws none, and must not know what is done to a window.

Reading order: split.py, inspect.py (one pair), prepare.py (all of them).
"""
