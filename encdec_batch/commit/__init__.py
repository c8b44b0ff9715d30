"""Parts of one scene in, its files and its marker out.

Must not know how pixels were predicted, nor Ray, nor torch. For the COG no tile is decoded.
"""
