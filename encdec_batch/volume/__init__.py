"""Files of a whole volume, made from the committed files of its slices: a second, derived step after all their commits.

order.py      what is wanted of a volume, and the key that names it
slices.py     the slices' committed rasters, one after the other
nifti.py      one file of all of them
build.py      the files of one volume, written by a worker
record.py     `volumes/<volume_id>.json`, the one small object that makes them visible
"""
