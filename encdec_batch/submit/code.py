"""This package as nodes get it: the files that its wheel has, and no others.

They travel unpacked, in the folder that the job is started in, where Python looks first. Ray could take the wheel, and
would call `pip install --target`: that takes no notice of what a node has, fetches torch and Ray anew on each, and
needs an index; and Ray knows a wheel by its name alone, so that a changed one of the same version would not be sent.
"""

from __future__ import annotations

import zipfile
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path

import encdec_batch
from encdec_batch.errors import SpecError
from encdec_batch.store.open import locate

PACKAGE = "encdec_batch"
ENDINGS = (".py", ".typed", ".css", ".html", ".j2", ".js", ".json", ".safetensors", ".yaml")
"""Of the files that the package is made of."""
_MOST_BYTES = 100 * 2**20


def installed_code() -> dict[str, bytes]:
    """By name, the files of the package as it is imported here; of a checkout as it is now."""
    root = Path(encdec_batch.__file__).parent
    return {
        f"{PACKAGE}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in ENDINGS and path.is_file() and "__pycache__" not in path.parts
    }


def code_of_wheel(uri: str) -> dict[str, bytes]:
    """By name, the files of a wheel of this package.

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
    return {name: data for name, data in code.items() if not name.endswith("/")}
