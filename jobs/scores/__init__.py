"""What recipes are held to: plain methods that need no network, and figures as the cited papers count them.

In: images, and `Example`s of a training's validation scenes. Out: predictions of plain methods, and figures.
Must not know how networks learn. `python -m bench recipes JOB.yaml` puts a package beside them.
"""
