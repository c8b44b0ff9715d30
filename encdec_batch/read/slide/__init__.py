"""Whole slides and stacks of microscopy in TIFF, and in formats of vendors by openslide.

Reading order: open.py, directory.py (the directories of a file, tag by tag), layout.py (which of them are levels),
ome.py and scanner.py (what OME, Aperio and Philips add), level.py, tile.py (from an encoded tile to pixels), vendor.py.
"""
