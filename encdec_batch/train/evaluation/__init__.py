"""How good a package is on whole scenes, predicted as the main job predicts them.

In: a package, `Examples`. Out: scores, over all scenes and for each, and pictures of some.
Must not know how the package came about.
"""
