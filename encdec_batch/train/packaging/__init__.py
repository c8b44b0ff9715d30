"""From weights to a model package: what its card says, and which weights they are.

In: a network, or the last checkpoint; spec and facts of the data. Out: a package, in a registry where that is asked.
Must not know how a step is done or who did it. Formats and measurements are those of `encdec_batch/models`.
"""
