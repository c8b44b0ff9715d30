"""From what a spec names to the pixels of a pair: which files belong together, and how they are read.

In: tables, folders. Out: `Pair`, and windows of it as stored (`Raw`), its labels as numbers of classes.
Must not know how sides of a split are told apart, which windows are drawn, or what a network makes of them.

Reading order: pair.py (the records), find.py, slices.py (objects of several images), private.py, reader.py,
labels.py.
"""
