from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools.check_licences import find_offence


def package(folder: Path, *fields: str, name: str = "thing") -> Distribution:
    """An installed package whose metadata has these lines."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1", *fields, ""]))
    return Distribution.at(info)


@pytest.mark.parametrize(
    "fields",
    [
        ("License-Expression: MIT",),
        ("License-Expression: Apache-2.0 AND (MIT OR BSD-3-Clause)",),
        ("License-Expression: Apache-2.0 WITH LLVM-exception",),
        ("Classifier: License :: OSI Approved :: MIT License",),
        ("Classifier: License :: OSI Approved", "License: Apache 2.0"),
        ("License: MIT License", "        Copyright (c) somebody, and then the whole text, GPL mentioned"),
    ],
)
def test_permissive_licences_pass_however_stated(tmp_path: Path, fields: tuple[str, ...]) -> None:
    assert find_offence(package(tmp_path, *fields)) is None


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        (("License-Expression: MIT AND GPL-3.0-only",), "GPL-3.0-only"),
        (("Classifier: License :: OSI Approved :: GNU Affero General Public License v3",), "Affero"),
        (("License: Proprietary",), "Proprietary"),
        (("License: UNKNOWN",), "UNKNOWN"),
        ((), "states no licence"),
    ],
)
def test_other_and_unstated_licences_are_named(tmp_path: Path, fields: tuple[str, ...], word: str) -> None:
    offence = find_offence(package(tmp_path, *fields))
    assert offence is not None
    assert offence.startswith("thing 1: ")
    assert word in offence


def test_cuda_packages_are_an_exception_by_name(tmp_path: Path) -> None:
    terms = "License: LicenseRef-NVIDIA-Proprietary"
    assert find_offence(package(tmp_path, terms, name="nvidia_cublas")) is None
    assert find_offence(package(tmp_path, terms, name="not_nvidia")) is not None
