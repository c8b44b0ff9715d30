"""What is written, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, field_validator

from encdec_batch.spec.base import Spec, StorageOptions


class CogFile(Spec):
    """Cloud-optimised GeoTIFF of each product, 512 px tiles, with overviews."""

    kind: Literal["cog"]
    codec: Literal["deflate", "zstd"] = "deflate"


class PngFile(Spec):
    """The mask or image at full size; above `max_side` only the quicklook is made, and the marker says so."""

    kind: Literal["png"]
    max_side: Annotated[int, Field(ge=512, le=2**31 - 1)] = 16384


class QuicklookFile(Spec):
    """A PNG of at most `max_side` pixels a side, from the overviews."""

    kind: Literal["quicklook"]
    max_side: Annotated[int, Field(ge=512, le=8192)] = 2048


class CellsFile(Spec):
    """A Parquet table with a row per core: place, class pixels, mean probability and the mask itself as PNG."""

    kind: Literal["cells"]


class GeojsonFile(Spec):
    """Outlines of classes as GeoJSON, as QuPath reads them: in pixels of the slide's finest level."""

    kind: Literal["geojson"]
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the classes that are outlined; None: all but the one of id 0."""
    objects: Literal["annotation", "detection"] = "annotation"
    """What they are to QuPath. Detections cannot be edited, and many thousands of them are no trouble."""
    min_area_px: Annotated[int, Field(ge=1)] = 1
    """Connected pixels of the mask that are fewer have no outline."""
    tolerance_px: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    """Points no further from the line between others are left out, in pixels of the mask; 0: pixels' own edges."""


class OmeTiffFile(Spec):
    """The mask or image once more as a pyramidal OME-TIFF, with the tiles and levels of the COG."""

    kind: Literal["ome_tiff"]


class OmeZarrFile(Spec):
    """The mask or image once more as OME-Zarr 0.5: a folder, of each level one object; classes as a label image."""

    kind: Literal["ome_zarr"]


class NiftiFile(Spec):
    """Of each volume one NIfTI of all its slices, with the affine of its source."""

    kind: Literal["nifti"]
    packed: bool = True
    """As .nii.gz."""


class DicomFile(Spec):
    """What the files of DICOM have in common."""

    patient_module: Literal["keep", "replace"] = "keep"
    """`keep`: patient and study are those of the source. `replace`: they and every UID become keyed hashes, and of the
    rest of the header only what describes pixels stays."""


class DicomSegFile(DicomFile):
    """Of each series of DICOM a segmentation, which refers to its images."""

    kind: Literal["dicom_seg"]
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the classes that become segments; None: all but the one of id 0."""


class DicomImageFile(DicomFile):
    """Of each object of DICOM a derived one: a new series, whose images refer to those they were made from."""

    kind: Literal["dicom_image"]
    values: Literal["source", "network"] | None = None
    """What results are. `source`: values in the unit of the input, stored as the source's are. `network`: a quantity of
    its own, stored over the card's range. None: `source` where the card says that the network gives its normalised
    input back (`output.scale` and `output.offset` are deviation and mean of that), else `network`."""


class OmeZarrVolumeFile(Spec):
    """Of each volume one OME-Zarr 0.5 of all its slices, with their distance."""

    kind: Literal["ome_zarr_volume"]


WAIT_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
WAIT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?[smhd]")

VolumeFile = NiftiFile | DicomSegFile | DicomImageFile | OmeZarrVolumeFile
"""Of a whole volume, made from the COGs of its slices."""
OF_VOLUMES = ("nifti", "ome_zarr_volume", "dicom_seg", "dicom_image")
OutputFile = Annotated[
    CogFile | PngFile | QuicklookFile | CellsFile | GeojsonFile | OmeTiffFile | OmeZarrFile | VolumeFile,
    Field(discriminator="kind"),
]


class OutputSpec(Spec):
    """One output holds the results of one archive; runs on it go on where the last one ended."""

    uri: str
    storage: StorageOptions = {}
    files: Annotated[tuple[OutputFile, ...], Field(min_length=1)] = (
        CogFile(kind="cog"),
        QuicklookFile(kind="quicklook"),
    )
    probability: bool = False
    """Segmentation: beside the mask a uint8 probability per class (0..254, 255 is nodata)."""
    entropy: bool = False
    """Segmentation: beside the mask the entropy of the class probabilities as uint8 (0..254, 255 is nodata)."""
    certify: Literal["all", "sample", "off"] = "sample"
    """Which scenes are checked before they are committed: windows of them computed once more, on other tiles. `sample`:
    for at most 2 % of the forward passes in the mean, small scenes by lot; `all`: every scene of more than one tile."""

    catalogue: bool = True
    """A STAC collection with an item for each scene, beside the files (collection.json, stac/)."""
    wait: str = "0"
    """How long to wait for another run that writes this output, as `2h`, `30m` or `90s`; 0: not at all."""

    @property
    def wait_s(self) -> float:
        """The same in seconds."""
        number, unit = self.wait[:-1], self.wait[-1:]
        return float(number) * WAIT_UNITS[unit] if unit in WAIT_UNITS else float(self.wait)

    @field_validator("wait", mode="before")
    @classmethod
    def _a_time(cls, value: object) -> object:
        # YAML reads 0 as a number.
        text = "0" if value == 0 and not isinstance(value, bool) else value
        if isinstance(text, str) and (text == "0" or WAIT.fullmatch(text)):
            return text
        raise ValueError("should be a time with its unit, as 2h, 30m or 90s; or 0")

    @field_validator("certify", mode="before")
    @classmethod
    def _off_is_no_boolean(cls, value: object) -> object:
        # YAML 1.1 reads off as false.
        return "off" if value is False else value

    @field_validator("files")
    @classmethod
    def _one_of_each_kind(cls, files: tuple[OutputFile, ...]) -> tuple[OutputFile, ...]:
        kinds = [file.kind for file in files]
        twice = {kind for kind in kinds if kinds.count(kind) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is listed twice")
        return files

    @property
    def volume_files(self) -> tuple[VolumeFile, ...]:
        """Those of a whole volume."""
        return tuple(file for file in self.files if isinstance(file, VolumeFile))

    @field_validator("files")
    @classmethod
    def _volumes_have_slices(cls, files: tuple[OutputFile, ...]) -> tuple[OutputFile, ...]:
        kinds = [file.kind for file in files]
        of_volumes = [kind for kind in kinds if kind in OF_VOLUMES]
        if of_volumes and "cog" not in kinds:
            raise ValueError(f"{of_volumes[0]} is made from the COGs of slices, and there are none: add {{kind: cog}}")
        return files

    def file(self, kind: str) -> OutputFile | None:
        return next((file for file in self.files if file.kind == kind), None)


def replaces_patients(files: Iterable[OutputFile]) -> bool:
    """Whether any of them names its patient otherwise than its source does."""
    return any(isinstance(file, DicomFile) and file.patient_module == "replace" for file in files)
