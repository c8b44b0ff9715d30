"""From an object in a store to the pixels of a window.

In: a `Store`, a path in it, windows. Out: `SceneHeader`, `Patch`, or one of the errors under `SceneError`
(and `TransientStoreError`, which is no property of a scene).
It must not know cores, halos, models or where its patches go.

Reading order: reader.py (the contract), open.py, ranges.py (which bytes are fetched); a folder for each family of
formats (gdal, slide, dicom, nifti, zarr), with tiff.py, which tells a slide from a plain TIFF; resampled.py, tissue.py
and stacked.py, around any of them; staging.py and staged.py for giants in strips.
"""
