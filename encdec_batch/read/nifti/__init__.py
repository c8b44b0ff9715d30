"""NIfTI volumes: a slice across one axis of the patient is a scene.

Reading order: open.py, header.py (which voxel is which pixel), rows.py (slices of which rows are fetched), volume.py
(those of which the volume is held whole).
"""
