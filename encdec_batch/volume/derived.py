"""The header of a derived image: the source's, with all that is no longer so taken out or changed.

Source: DICOM PS3.3, C.7.6.1.1.2 (derived images), C.12.4 (references), C.7.6.16.2 (functional groups of multi-frame
objects), PS3.16, CID 7202, 7203 and 7205. A pixel of the source becomes k x k; its outer corner stays where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from encdec_batch.models.card import Card, Code
from encdec_batch.volume.derived_values import StoredValues

_NAME = "encdec-batch"
_SERIES_NUMBER = 301
_SOURCE = Code(scheme="DCM", value="121322", meaning="Source image for image processing operation")
_RESAMPLING = Code(scheme="DCM", value="113085", meaning="Spatial resampling")
_SMOOTHING = Code(scheme="DCM", value="113087", meaning="Smoothing")
_OTHER = Code(scheme="99ENCDEC", value="ENCDEC", meaning="Processed by an encoder-decoder network")
_ACQUISITION = Code(scheme="DCM", value="109101", meaning="Acquisition Equipment")
_NO_LONGER_SO = (
    "ModalityLUTSequence", "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries", "PixelPaddingValue", "PixelPaddingRangeLimit", "IconImageSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelDataProviderURL", "PixelDataQueryURL",
    "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID", "SeriesDate", "SeriesTime",
    "SourceImageSequence", "DerivationCodeSequence", "OriginalAttributesSequence", "MACParametersSequence",
    "DigitalSignaturesSequence", "EncryptedAttributesSequence", "ColorSpace", "ICCProfile",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    "PaletteColorLookupTableUID",
)  # fmt: skip
_WINDOWS = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence")
_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType", "DoseGridScaling")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_IN_PIXELS = ("Shutter", "Collimator", "BitmapDisplayShutter", "VerticesOfThe", "CenterOfCircular", "RadiusOfCircular")
"""Beginnings of keywords that count pixels of the source."""
_OVERLAYS = range(0x6000, 0x6100)
_CURVES = range(0x5000, 0x5100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """What is said of how an image was made."""

    card: Card
    series_uid: str
    instance_uid: str
    references: Sequence[tuple[str, str]]
    """Class and instance of the objects that it was made from."""


def derived_header(source: Any, made: Sequence[StoredValues], derivation: Derivation) -> Any:
    """The header of a derived object, without pixels.

    Args:
        source: of the object that it stands beside; it is not changed.
        made: of each frame, how its values are stored.
        derivation: how it was made.
    """
    header = deepcopy(source)
    for element in list(header):
        if element.tag.is_private or element.tag.group in _OVERLAYS or element.tag.group in _CURVES:
            del header[element.tag]
    _drop(header, _NO_LONGER_SO)
    _identify(header, derivation)
    _describe(header, derivation)
    _set_pixels(header, made[0])
    _set_values(header, made)
    if (k := derivation.card.geometry.scale) > 1:
        _enlarge(header, k)
    return header


def _drop(dataset: Any, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if keyword in dataset:
            delattr(dataset, keyword)


def _identify(header: Any, derivation: Derivation) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    header.SOPInstanceUID, header.SeriesInstanceUID = derivation.instance_uid, derivation.series_uid
    header.SeriesNumber = _SERIES_NUMBER
    header.SeriesDescription = f"{derivation.card.name} {derivation.card.version}"[:64]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID


def _describe(header: Any, derivation: Derivation) -> None:
    card = derivation.card
    # Two values at least; what comes after them still holds: AXIAL, of what the detector counted, ...
    header.ImageType = ["DERIVED", "SECONDARY", *list(header.get("ImageType") or ())[2:]]
    for group in _all_groups(header):
        for keyword in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "XAXRFFrameCharacteristicsSequence"):
            for item in group.get(keyword) or ():
                if "FrameType" in item:
                    item.FrameType = ["DERIVED", "SECONDARY", *list(item.FrameType)[2:]]
        _drop(group, ["DerivationImageSequence"])
    text = f"{card.task} by {card.name} {card.version}, package of {_NAME}"
    code = {"denoising": _SMOOTHING}.get(card.task, _RESAMPLING if card.geometry.scale > 1 else _OTHER)
    header.DerivationDescription = text[:1024]
    header.DerivationCodeSequence = [_coded(code)]
    header.SourceImageSequence = [_reference(*one) for one in derivation.references]
    for group in header.get("SharedFunctionalGroupsSequence") or ():
        item = _item(DerivationDescription=text[:1024], DerivationCodeSequence=[_coded(code)])
        item.SourceImageSequence = [_reference(*one) for one in derivation.references]
        group.DerivationImageSequence = [item]
    before = {key: header.get(key) for key in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions")}
    if before["Manufacturer"]:
        acquired = _item(**{key: value for key, value in before.items() if value})
        acquired.PurposeOfReferenceCodeSequence = [_coded(_ACQUISITION)]
        header.ContributingEquipmentSequence = [*(header.get("ContributingEquipmentSequence") or ()), acquired]
    header.Manufacturer, header.ManufacturerModelName = _NAME, card.name[:64]
    header.SoftwareVersions = metadata.version(_NAME)
    _drop(header, ["DeviceSerialNumber", "StationName"])


def _set_pixels(header: Any, made: StoredValues) -> None:
    """Type and colour; size comes later."""
    header.SamplesPerPixel = made.num_samples
    header.BitsAllocated = 8 if made.dtype == "uint8" else 16
    header.BitsStored, header.HighBit = made.bits, made.bits - 1
    header.PixelRepresentation = int(made.dtype == "int16")
    if made.num_samples == 3:
        header.PhotometricInterpretation, header.PlanarConfiguration = "RGB", 0
        return
    _drop(header, ["PlanarConfiguration"])
    if not made.as_source or made.turned is not None or header.PhotometricInterpretation != "MONOCHROME1":
        header.PhotometricInterpretation = "MONOCHROME2"
        if "PresentationLUTShape" in header:
            header.PresentationLUTShape = "IDENTITY"
    if made.padding is not None:
        header.add_new(0x00280120, "SS" if made.dtype == "int16" else "US", made.padding)


def _set_values(header: Any, made: Sequence[StoredValues]) -> None:
    """What values mean, and how they are shown."""
    first, groups = made[0], list(_all_groups(header))
    if first.as_source and not first.tabled:
        if first.turned is not None:
            _turn(header, first.turned)
            for group in groups:
                for item in group.get("FrameVOILUTSequence") or ():
                    _turn(item, first.turned)
        return
    _drop(header, _RESCALE)
    for group in groups:
        _drop(group, ["PixelValueTransformationSequence"])
    if not first.as_source:
        _drop(header, (*_WINDOWS, "RealWorldValueMappingSequence", "PixelIntensityRelationship"))
        _drop(header, ["PixelIntensityRelationshipSign"])
        for group in groups:
            _drop(group, ["FrameVOILUTSequence", "RealWorldValueMappingSequence"])
    if first.slope is None:
        return
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or ()), None)
    rescale = {"RescaleSlope": _ds(first.slope), "RescaleIntercept": _ds(first.intercept)}
    rescale["RescaleType"] = first.unit or "US"
    least, greatest = (end * first.slope + first.intercept for end in first.ends)
    window = {"WindowCenter": _ds((least + greatest) / 2), "WindowWidth": _ds(greatest - least)}
    window["VOILUTFunction"] = "LINEAR_EXACT"
    if shared is not None:
        shared.PixelValueTransformationSequence = [_item(**rescale)]
        if not first.as_source:
            shared.FrameVOILUTSequence = [_item(**window)]
        return
    for keyword, value in (rescale | (window if not first.as_source else {})).items():
        setattr(header, keyword, value)


def _turn(dataset: Any, turned: int) -> None:
    """Windows of values that are turned round; tables of them go."""
    _drop(dataset, ["VOILUTSequence"])
    if "WindowCenter" in dataset:
        found = dataset.WindowCenter
        # PS3.3, C.11.2.1.2: a window's middle is half a value below its centre.
        centres = [turned - float(centre) + 1 for centre in ([found] if isinstance(found, float | int) else found)]
        dataset.WindowCenter = [_ds(centre) for centre in centres]
    if "PixelIntensityRelationshipSign" in dataset:
        dataset.PixelIntensityRelationshipSign = -dataset.PixelIntensityRelationshipSign


def _enlarge(header: Any, k: int) -> None:
    header.Rows, header.Columns = header.Rows * k, header.Columns * k
    for element in list(header):
        if element.keyword.startswith(_IN_PIXELS):
            del header[element.tag]
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        _enlarge_region(region, k)
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or ()), None)
    # Positions first: they move by parts of the spacing before.
    _move(header, header, None, k)
    for group in header.get("PerFrameFunctionalGroupsSequence") or ():
        _move_in_group(group, shared, header, k)
    if shared is not None:
        _move_in_group(shared, None, header, k)
    for dataset in (header, *(i for g in _all_groups(header) for i in g.get("PixelMeasuresSequence") or ())):
        for keyword in _SPACINGS:
            if dataset.get(keyword):
                setattr(dataset, keyword, [_ds(float(value) / k) for value in dataset[keyword].value])


def _move_in_group(group: Any, shared: Any, header: Any, k: int) -> None:
    def first(keyword: str) -> Any:
        return next((item for one in (group, shared) if one is not None for item in one.get(keyword) or ()), header)

    for place in group.get("PlanePositionSequence") or ():
        _move(place, first("PlaneOrientationSequence"), first("PixelMeasuresSequence"), k)


def _move(place: Any, orientation: Any, measures: Any, k: int) -> None:
    """The centre of the first pixel, which is smaller now, lies nearer to the image's corner."""
    measures = orientation if measures is None else measures
    position, axes = place.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    spacing = measures.get("PixelSpacing")
    if not position or not axes or not spacing:
        return
    rows, columns = (float(value) * (1 - k) / (2 * k) for value in spacing)
    place.ImagePositionPatient = [
        _ds(float(at) + float(along_row) * columns + float(along_column) * rows)
        for at, along_row, along_column in zip(position, axes[:3], axes[3:], strict=True)
    ]


def _enlarge_region(region: Any, k: int) -> None:
    """PS3.3, C.8.5.5: corners, reference and size of a pixel."""
    for axis in "XY":
        for keyword, shift in ((f"RegionLocationMin{axis}0", 0), (f"RegionLocationMax{axis}1", k - 1)):
            if keyword in region:
                setattr(region, keyword, region[keyword].value * k + shift)
        if f"ReferencePixel{axis}0" in region:
            setattr(region, f"ReferencePixel{axis}0", region[f"ReferencePixel{axis}0"].value * k)
        if f"PhysicalDelta{axis}" in region:
            setattr(region, f"PhysicalDelta{axis}", region[f"PhysicalDelta{axis}"].value / k)


def _all_groups(header: Any) -> Iterator[Any]:
    """Functional groups, shared and of each frame."""
    yield from header.get("SharedFunctionalGroupsSequence") or ()
    yield from header.get("PerFrameFunctionalGroupsSequence") or ()


def _reference(sop_class: str, instance: str) -> Any:
    return _item(
        ReferencedSOPClassUID=sop_class,
        ReferencedSOPInstanceUID=instance,
        PurposeOfReferenceCodeSequence=[_coded(_SOURCE)],
        SpatialLocationsPreserved="YES",
    )


def _coded(code: Code) -> Any:
    return _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)


def _item(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def _ds(value: float) -> Any:
    """A decimal of at most 16 characters."""
    from pydicom.valuerep import DSfloat

    return DSfloat(value, auto_format=True)
