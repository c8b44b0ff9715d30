"""From a spec to a job on a Ray cluster, by its Jobs API. Comes in: a spec file and an address. Goes out: a job's id,
its log, its end. What is sent is an allow-list, named file by file; how a job is done, this folder does not know.
"""
