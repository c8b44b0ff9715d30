"""OME-Zarr images: a plane of one level is a scene, and a folder of chunks is its object.

Reading order: open.py, ome.py (axes, levels, size of pixels), array.py (what an array's metadata say), plane.py,
chunks.py and shards.py (where the bytes of a chunk lie), codecs.py.
"""
