"""Prediction of one block in, bytes of one part out.

Knows products, tiles and codecs. Must not know where a block lies in a job, who stores the part,
or how parts become files: that is `commit`.
"""
