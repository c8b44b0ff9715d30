"""One job for one spec: survey the output, plan, stream, commit, report.

In: a `JobSpec`, or the URI of an output. Out: summaries and files. Puts the stages in order and does none of their
work.
"""
