"""From a spec to values: scenes, blocks, keys, work items, and what is left to do.

In: a spec, a card, listings and headers. Out: frozen records. Plans from headers alone; knows no torch, no Ray,
and nothing of how a network runs or how a scene is committed. What workers need of a scene before its blocks can be
read (its object pinned, its strips cut, its values counted) is here too.
"""
