"""What `make bench` measures: ratios within one run, so that they mean something on a busy machine too.

In: nothing but this machine. Out: a table, and a JSON line in bench-output/. Knows the package as a user does, plus
its engine and grid, for baselines. A figure is one file with one function `measure`.
"""
