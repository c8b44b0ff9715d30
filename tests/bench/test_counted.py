from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.counted import counted


def test_the_peak_of_a_small_command_is_small_though_a_large_process_starts_it(tmp_path: Path) -> None:
    held = np.ones(2**27, np.uint8)
    with (tmp_path / "out").open("w") as out:
        used = counted([sys.executable, "-c", "print(sum(range(10**6))); raise SystemExit(3)"], stdout=out)
    assert held[-1]
    assert (used["code"], (tmp_path / "out").read_text()) == (3, f"{sum(range(10**6))}\n")
    assert 1 < used["peak_MiB"] < 100
    assert 0 < used["cpu_s"] < 60


def test_the_peak_of_a_large_command_is_its_own() -> None:
    used = counted([sys.executable, "-c", "held = bytearray(b'1') * 2**27"])
    assert 128 < used["peak_MiB"] < 200
