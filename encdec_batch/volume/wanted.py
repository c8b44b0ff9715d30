"""What is wanted of a volume: its slices as they are committed, and the files to be made of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.output import DicomFile, VolumeFile

VOLUME_FORMAT = 2
"""Of the record and of what decides files; a newer one makes volumes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedSlice:
    """The raster of one slice, as its marker names it."""

    scene_id: str
    path: str
    """From the root of the output."""
    sha256: str
    image: SourceImage
    """That it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOrder:
    """All that a worker needs to make the files of a volume."""

    volume_id: str
    slices: tuple[CommittedSlice, ...]
    """In the order of space."""
    product: Product
    geometry: VolumeGeometry | None
    """Of the output's voxels; None: nobody knows where they lie."""
    files: tuple[VolumeFile, ...]
    package: str = ""
    """Digest of the network's package."""
    pseudonyms: str = ""
    """Fingerprint of the key by which patients get other names; empty: they keep theirs."""
    reach: int = 0
    """So many slices before and after it each was made from too."""

    @property
    def key(self) -> str:
        """sha256 of all that decides what the files say, 64 hex digits."""
        asked = {
            "key": "volume",
            "format": VOLUME_FORMAT,
            "slices": [[one.scene_id, one.sha256] for one in self.slices],
            "product": asdict(self.product) | {"nodata": repr(self.product.nodata)},
            "geometry": asdict(self.geometry) if self.geometry else None,
            "files": [file.model_dump(mode="json") for file in self.files],
        }
        if any(isinstance(file, DicomFile) for file in self.files):
            # Headers of the source and names of the card are in these files.
            asked["dicom"] = [self.package, self.pseudonyms, self.reach, [one.image.etag for one in self.slices]]
        return hashlib.sha256(canonical_json(asked)).hexdigest()
