"""This package as nodes get it: the files that its wheel or its repository names, and no others.

They travel unpacked, in the folder that the job is started in, where Python looks first. Ray could take the wheel, and
would call `pip install --target`: that takes no notice of what a node has, fetches torch and Ray anew on each, and
needs an index; and Ray knows a wheel by its name alone, so that a changed one of the same version would not be sent.
"""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

import encdec_batch
from encdec_batch.errors import SpecError, SubmitError
from encdec_batch.store.open import locate

PACKAGE = "encdec_batch"
_MOST_BYTES = 100 * 2**20
_GIT_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """The package, file by file."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """By name, from the folder that Python looks into."""
    left_out: tuple[str, ...] = ()
    """What lies among them and is named by nobody."""


def files_here(root: Path | None = None) -> PackageFiles:
    """The package as it is imported here: what the record of its installation lists, or what git tracks of a checkout,
    as these files are now.

    Args:
        root: the package's folder; None: of this very package.

    Raises:
        SubmitError: neither says which files are the package's.
    """
    root = root or Path(encdec_batch.__file__).parent
    named = _installed(root) or _tracked(root)
    there = {f"{PACKAGE}/{path.relative_to(root).as_posix()}": path for path in sorted(root.rglob("*"))}
    there = {name: path for name, path in there.items() if path.is_file() and "__pycache__" not in path.parts}
    return PackageFiles(
        files={name: path.read_bytes() for name, path in there.items() if name in named},
        left_out=tuple(name for name in there if name not in named),
    )


def _installed(root: Path) -> frozenset[str]:
    """Names in the RECORD of an installation; none where the package was not installed into this folder."""
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        return frozenset()
    # An .egg-info, as beside an editable checkout, has no RECORD: its list is of the day on which it was made.
    if installed.read_text("RECORD") is None or Path(str(installed.locate_file(PACKAGE))).resolve() != root.resolve():
        return frozenset()
    return frozenset(file.as_posix() for file in installed.files or () if file.parts[0] == PACKAGE)


def _tracked(root: Path) -> frozenset[str]:
    words = ["git", "-C", str(root), "ls-files", "-z"]
    try:
        ended = subprocess.run(words, capture_output=True, timeout=_GIT_WITHIN_S, check=True)  # noqa: S603
        said, names = "git tracks none of them", ended.stdout.decode(errors="surrogateescape").split("\0")[:-1]
    except subprocess.CalledProcessError as error:
        said, names = " ".join(error.stderr.decode(errors="replace").split())[:200], []
    except (OSError, subprocess.TimeoutExpired) as error:
        said, names = str(error), []
    if not names:
        raise SubmitError(
            f"which files of {root} are the package's is not known: it was not installed there, and {said}",
            hint="give its wheel (--wheel), or --wheel none where the nodes have it",
        )
    return frozenset(f"{PACKAGE}/{name}" for name in names)


def files_of_wheel(uri: str) -> PackageFiles:
    """The files of a wheel of this package.

    Args:
        uri: a path, or an object on a store.

    Raises:
        SpecError: it is no such wheel.
        StoreError: it cannot be read.
    """
    store, path = locate(uri)
    if (size := store.info(path).size) > _MOST_BYTES:
        raise SpecError(f"{uri}: {size:,} bytes are no wheel of encdec-batch")
    try:
        with zipfile.ZipFile(BytesIO(store.get(path))) as wheel:
            names = wheel.namelist()
            metadata = next((wheel.read(name) for name in names if name.endswith(".dist-info/METADATA")), b"")
            code = {name: wheel.read(name) for name in sorted(names) if name.startswith(f"{PACKAGE}/")}
    except zipfile.BadZipFile:
        raise SpecError(f"{uri} is no wheel", hint="make one by `pip wheel --no-deps .`") from None
    name = str(BytesParser().parsebytes(metadata, headersonly=True)["Name"] or "")
    if name.replace("-", "_") != PACKAGE or not code:
        raise SpecError(f"{uri} is a wheel of {name or 'nothing'}", hint="give one of encdec-batch")
    return PackageFiles(files={name: data for name, data in code.items() if not name.endswith("/")})
