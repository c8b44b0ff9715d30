"""Many blocks: the stages of `pipeline.py` repeated in one process or on a Ray cluster.

In: work items. Out: records, and commits carried out. The only folder, with `train` and `submit`, that knows Ray;
both streams write the same bytes.
"""
