"""DICOM images: a frame is a scene.

In: one pinned object. Out: `SceneHeader`, `Patch`, and which frames and places in space the object holds.
Must not know series, patients' names or any other text of a header: numbers alone leave this folder.

Reading order: open.py, file.py (all that a header says: dataset.py, image.py, groups.py), rows.py or fragments.py and
decoded.py (where a frame lies, and its bytes), codec.py, values.py (from stored values to pixels), contents.py (which
frames there are). Of whole slides, whose frames are tiles: slide.py, tiled.py. library.py keeps in what pydicom says.
"""
