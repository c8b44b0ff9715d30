"""From a prepared data set to batches to learn from and whole scenes to judge on, the same for the same seed.

In: `Prepared`. Out: `Batch` and `Example` (batch.py, one folder up). A window is drawn, read, varied, and made what the
network sees and what it is to give, in this process (local_batches.py) or by others (ray_batches.py).
Must not know torch, networks or losses, nor how files are found and split.

Reading order: sample.py (one sample, whole), targets.py, augment.py.
"""
