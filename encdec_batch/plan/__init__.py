"""From a spec to values: scenes, blocks, keys, work items, and what is left to do.

In: a spec, a card, listings and headers. Out: frozen records. Opens headers only; knows no torch, no Ray,
and nothing of how a network runs or how a scene is committed.
"""
