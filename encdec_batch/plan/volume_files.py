"""Whether files of volumes can be made of what a network gives."""

from __future__ import annotations

from encdec_batch.errors import SpecError
from encdec_batch.models.card import Card, ConstantNormalization, ImageOutput
from encdec_batch.privacy import LEAST_CHARACTERS, pseudonyms_of
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.output import DicomImageFile, DicomSegFile, replaces_patients

COLOURS = (1, 3)
"""Bands of an image of DICOM: grey, or red, green and blue."""


def check_volume_files(spec: JobSpec, card: Card) -> None:
    """Refuse what no volume of this job could have.

    Raises:
        SpecError: a kind of file does not fit the network, or there is no key to name patients by.
    """
    output = card.output
    for file in spec.output.volume_files:
        if isinstance(file, DicomSegFile) and isinstance(output, ImageOutput):
            raise SpecError(f"dicom_seg is of classes, {card.name} makes images", hint="ask for dicom_image instead")
        if not isinstance(file, DicomImageFile):
            continue
        if not isinstance(output, ImageOutput):
            raise SpecError(f"dicom_image is of images, {card.name} makes classes", hint="ask for dicom_seg instead")
        if output.num_channels not in COLOURS:
            raise SpecError(
                f"an image of DICOM has 1 or 3 bands, {card.name} makes {output.num_channels}",
                hint="leave dicom_image out of output.files",
            )
        if file.values == "source" and not isinstance(card.normalization, ConstantNormalization):
            raise SpecError(
                f"{card.name} normalises each scene by its own percentiles: its values have no unit of the source",
                hint="say values: network for dicom_image",
            )
    if replaces_patients(spec.output.files) and pseudonyms_of(spec.privacy.key) is None:
        raise SpecError(
            f"patient_module: replace names patients by a key, and {spec.privacy.key} holds none of {LEAST_CHARACTERS} "
            "characters",
            hint=f"export {spec.privacy.key}=$(openssl rand -hex 32) and keep it: by another key patients have other "
            "names",
        )
