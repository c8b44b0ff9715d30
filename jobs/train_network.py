"""The driver of a training: `python jobs/train_network.py SPEC`, alone or by `ray job submit ... --`.

As `encdec-batch train SPEC`, but SIGTERM ends it as Ctrl-C does.
"""

from __future__ import annotations

import sys

from encdec_batch.driver import drive

if __name__ == "__main__":
    drive(sys.argv[1:], kind="training")
