"""Everything that is sent to a cluster for a job: one folder, with the spec, the package and perhaps the network, and
how it is started. Nothing else leaves this machine.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from encdec_batch.errors import SubmitError
from encdec_batch.plan.private import names_of
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.sealed import SUFFIX, sealed
from encdec_batch.submit.job import DIGEST, OUTPUT
from encdec_batch.submit.package_files import PackageFiles, files_here, files_of_wheel
from encdec_batch.submit.spec import MODEL_FOLDER, ClusterSpec

MOST_BYTES = 100 * 2**20
"""Of an upload by the Jobs API (DASHBOARD_CLIENT_MAX_SIZE of its server)."""
SPEC_NAME = "spec.yaml"
NO_WHEEL = "none"
STOP_WITHIN_S = 30
"""Ray's 3 s are too few to end Ray Data's execution and to give a lease back."""
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: the time of a file is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is sent, byte for byte."""

    kind: str
    files: Mapping[str, bytes]
    """Of the folder that the job is started in."""
    folder: bytes
    """The same, as a zip."""
    metadata: Mapping[str, str]
    entrypoint: str
    environment: Mapping[str, str]
    """Variables of the job; no secret among them, as the Jobs API shows them."""

    left_out: tuple[str, ...] = ()
    """Files beside those of the package that are not of it, and stay here."""

    @property
    def digest(self) -> str:
        """Of names and contents: the same wherever the same is sent from."""
        return self.metadata[DIGEST]


def make_parcel(spec: ClusterSpec, *, wheel: str) -> Parcel:
    """What a job needs of this machine.

    Args:
        spec: what is to be done.
        wheel: empty for the package as it is imported here, `none` where the nodes have it, else a path or URI.

    Raises:
        SpecError, StoreError: there is no such wheel.
        SubmitError: it is more than a cluster takes, or nothing says which files are the package's.
    """
    name, text = _spec_file(spec)
    files = {name: text}
    if spec.package is not None:
        files |= {f"{MODEL_FOLDER}/{name}": data for name, data in spec.package.files.items()}
    code = PackageFiles()
    if wheel != NO_WHEEL:
        code = files_of_wheel(wheel) if wheel else files_here()
    files |= code.files
    folder = packed(files)
    if len(folder) > MOST_BYTES:
        raise SubmitError(
            f"what is to be sent has {len(folder) / 2**20:.0f} MiB, and a cluster takes {MOST_BYTES // 2**20} MiB",
            hint="put the model into a registry or on a store, and name that in the spec",
        )
    return Parcel(
        kind=spec.kind,
        files=files,
        folder=folder,
        metadata={DIGEST: digest_of(files | {name: _what_is_asked(spec)}), OUTPUT: spec.output_uri},
        entrypoint=f"python -m encdec_batch.driver {name}",
        environment={"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WITHIN_S)},
        left_out=code.left_out,
    )


def _spec_file(spec: ClusterSpec) -> tuple[str, bytes]:
    """Name and bytes of the spec: whoever has the cluster's token can fetch it, so private names are encrypted."""
    if not spec.key:
        return SPEC_NAME, spec.text
    return SPEC_NAME + SUFFIX, sealed(spec.text, spec.key, names_of(PrivacySpec(key=spec.key)))


def _what_is_asked(spec: ClusterSpec) -> bytes:
    """What the digest, which the cluster shows, is of: an encrypted text is another each time, and of a clear one the
    digest would tell whether a guess is right.
    """
    return names_of(PrivacySpec(key=spec.key)).digest_of(spec.text) if spec.key else spec.text


def digest_of(files: Mapping[str, bytes]) -> str:
    """64 hex digits that depend on names and contents alone: zips of two versions of zlib differ."""
    lines = (f"{sha256(data).hexdigest()} {name}\n" for name, data in sorted(files.items()))
    return sha256("".join(lines).encode()).hexdigest()


def packed(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _OLDEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return made.getvalue()
