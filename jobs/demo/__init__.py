"""`make demo`: what this repository does, on this machine, with nothing but what lies in it.

First an archive on an S3 server, by Ray: `archive.py`. Then a row of pictures for each task, on pixels that no package
was trained on, beside plain methods: `segmentation.py`, `denoising.py`, `enlarging.py`, `infrared.py`. They run the
product by its command (`command.py`), on pieces that `pieces.py` writes, and give records (`record.py`) that `page.py`
and `table.py` show.
"""
