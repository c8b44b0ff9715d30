"""From what a spec names to the pixels of a pair: which files belong together, and how they are read.

In: tables, folders. Out: `Pair`, and windows of it as stored (`Raw`), its labels as numbers of classes.
Must not know on which side of the split a pair is, what is drawn from it, or what is made of its pixels.
"""
