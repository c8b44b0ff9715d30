"""Images that GDAL decodes: TIFF that is no slide, PNG, JPEG, WebP. We fetch, it decodes, and it sees no other file.

Reading order: settings.py (which drivers, which settings), files.py (the one folder that it sees), decoder.py,
describe.py, geotiff.py with tiff_index.py, tiff_metadata.py and jpeg_tables.py; image.py.
"""
