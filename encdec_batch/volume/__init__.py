"""Files of a whole volume, made from the committed files of its slices: a second, derived step after all their commits.

wanted.py     what is wanted of a volume, and the key that names it
slices.py     the slices' committed rasters, one after the other
nifti.py      one file of all of them
dicom_source.py  what its objects of DICOM say; patient.py replaces whom they name
dicom_seg.py  segmentations that refer to them
dicom_image.py  derived images beside them: derived.py (their headers), derived_values.py (their values)
build.py      the files of one volume, written by a worker
removed.py    volumes that go with their slices
table.py      what there is, as a table
record.py     `volumes/<volume_id>.json`, the one small object that makes them visible
"""
