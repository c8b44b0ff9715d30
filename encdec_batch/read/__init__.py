"""From an object in a store to the pixels of a window.

In: a `Store`, a path in it, windows. Out: `SceneHeader`, `Patch`, or one of the errors under `SceneError`
(and `TransientStoreError`, which is no property of a scene).
It must not know cores, halos, models or where its patches go.

Reading order: reader.py (the contract), open.py, ranges.py (which bytes are fetched), decoder.py (GDAL over
those bytes), geotiff.py, image.py; tiff.py (what a TIFF is), slide.py, with its tiff_directory.py, slide_layout.py and
slide_tile.py; resampled.py and tissue.py, around any of them; staging.py and staged.py for giants in strips.
"""
