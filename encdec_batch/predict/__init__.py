"""Tiles through the network: one process, no Ray.

In: a patch of pixels that covers a block and its context. Out: the block's products as numpy arrays.
Knows neither stores nor files.
"""
