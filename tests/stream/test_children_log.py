"""What processes beside a run say on stderr."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


class Warns:
    """Logs a warning where it is unpickled, as the job that such a process is given first."""

    def __reduce__(self):
        return logging.getLogger("encdec_batch.planted").warning, ("planted.event",)


@pytest.mark.parametrize("module", ["small_child", "alone_child"])
def test_a_warning_is_a_line_of_json(module):
    done = subprocess.run(
        [sys.executable, "-m", f"encdec_batch.stream.{module}"],
        input=pickle.dumps(Warns()),
        capture_output=True,
        check=False,
        timeout=100,
    )
    said = json.loads(done.stderr.splitlines()[0])
    assert (said["level"], said["event"]) == ("warning", "planted.event")
