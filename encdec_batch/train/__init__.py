"""From pairs of images and targets to a trained network as a model package.

In: a training spec. Out: a package, its figures, checkpoints on the way.

    pairs         which files belong together, and their pixels as stored
    dataset       all pairs, once: split, looked through, compared, counted; what windows are drawn from
    samples       a window drawn, varied, made input and target; batches and whole scenes of them
    batch.py, material.py   what both sides agree on: arrays of a step, scenes to judge on, what was found in the files
    learning      losses and networks in steps; checkpoints
    evaluation    scores of a package on whole scenes
    packaging     weights to a model package and its card
    tracking      the curve, and how far it is
    running       all of it in order, by one worker or many

Imports go up in this list, and never from learning, evaluation, packaging or tracking to pairs, dataset or samples:
what makes batches knows no torch, what learns knows no files (import-linter, in `pyproject.toml`).
"""
