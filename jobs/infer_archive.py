"""The driver of an archive: `python jobs/infer_archive.py SPEC`, alone or by `ray job submit ... --`.

As `encdec-batch run SPEC`, but complete with something set aside is success, and SIGTERM ends it as Ctrl-C does.
"""

from __future__ import annotations

import sys

from encdec_batch.driver import drive

if __name__ == "__main__":
    drive(sys.argv[1:], kind="archive")
