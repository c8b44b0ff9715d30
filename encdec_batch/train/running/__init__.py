"""One training from spec to package: claimed, data looked through, trained by one worker or many, published.

In: a spec. Out: what is in the training's folder, and a `TrainSummary`. The only place that puts the others in order.
No formula is here, neither of data nor of learning.

Reading order: run.py (from end to end), session.py (one worker's part), ray_train.py (many workers), collect.py (data).
"""
