"""`encdec-batch nightly`, killed by the system at one of its writes: killed.py NUMBER before|after ARGUMENTS..."""

from __future__ import annotations

import os
import signal
import sys

import torch

from encdec_batch.cli import main
from encdec_batch.store.local import LocalStore

_number, _when = int(sys.argv[1]), sys.argv[2]
_made = 0


def _fatal(real):
    def write(self, path, *arguments, **options):
        global _made  # noqa: PLW0603
        # The lease is renewed by a thread, whenever it likes.
        ours = ".encdec/" not in str(path)
        _made += ours
        if ours and _when == "before" and _made == _number:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(self, path, *arguments, **options)
        if ours and _when == "after" and _made == _number:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return write


for _name in ("create", "put", "replace"):
    setattr(LocalStore, _name, _fatal(getattr(LocalStore, _name)))
torch.set_num_threads(1)
try:
    main(sys.argv[3:])
finally:
    print(f"writes {_made}", file=sys.stderr)
