"""From pairs of images and targets to a trained network as a model package.

In: a training spec. Out: a package, its figures, checkpoints on the way.
Data and learning meet in one record, `batch.py`: what makes batches knows no torch, what learns knows no files.
"""
