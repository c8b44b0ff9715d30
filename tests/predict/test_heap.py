"""A process that keeps what it frees computes the same and is spared its page faults."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping

import pytest

from encdec_batch.predict.heap import ENVIRONMENT

SCRIPT = """
import json, resource, sys
if sys.argv[1] == "kept":
    from encdec_batch.predict.heap import keep_freed_memory
    assert keep_freed_memory()
import torch
torch.set_num_threads(1)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

x = torch.arange(8 * 2**20, dtype=torch.float32)
for _ in range(20):  # until the heap has found its size
    (x + 1).sum()
before = faults()
total = 0.0
for _ in range(10):
    total += float((x + 1).sum())
print(json.dumps({"faults": faults() - before, "total": total}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_page_faults():
    def run(how: str, environment: Mapping[str, str] | None = None) -> dict[str, float]:
        command = [sys.executable, "-c", SCRIPT, how]
        env = {**os.environ, **(environment or {})}
        return json.loads(subprocess.run(command, capture_output=True, check=True, text=True, env=env).stdout)

    kept, started, plain = run("kept"), run("plain", ENVIRONMENT), run("plain")
    pages_of_one_array = 8 * 2**20 * 4 // 4096
    assert plain["faults"] > 5 * pages_of_one_array
    assert kept["faults"] < plain["faults"] / 4
    assert started["faults"] < plain["faults"] / 4
    assert kept["total"] == started["total"] == plain["total"]
