"""A mask in, row by row; polygons of its classes out, as soon as each is closed.

Must not know what they are written into.
"""
