"""Networks that learn: from batches to weights, and to checkpoints from which it goes on.

In: `Batches`, the spec's network and losses. Out: a `Loop` that does steps, and its `State`.
Must not know files, pairs or samples, what is judged, or how workers are started: only that they sum (all_reduce.py).

Reading order: loop.py (a step, whole), learner.py (who learns from what), losses.py, build.py (spec to loop).
"""
