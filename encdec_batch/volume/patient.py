"""A header of DICOM without its patient: `patient_module: replace`.

Of a header only what describes pixels stays: elements that are named here, which hold numbers, terms of the standard
and UIDs. All others go, private ones and free text among them, also within sequences. UIDs, and the patient's id,
become keyed hashes, so that objects of one patient, study or series stay together in all that one key wrote.

This is no profile of DICOM PS3.15, annex E: nothing is retained for a purpose, nothing is cleaned by hand, and pixels
are not looked at. Numbers stay as they are: exposures and sizes of a rare device may be known to somebody.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from encdec_batch.privacy import Pseudonyms

_IDENTITY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "SeriesNumber", "AcquisitionNumber", "InstanceNumber",
)  # fmt: skip
_PIXELS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelAspectRatio",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "PresentationLUTShape", "PixelIntensityRelationship", "PixelIntensityRelationshipSign", "BurnedInAnnotation",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "RecognizableVisualFeatures",
)  # fmt: skip
_SPACE = (
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacingCalibrationType",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices", "SliceLocation",
    "GridFrameOffsetVector", "PatientPosition", "PatientOrientation", "ImageLaterality", "Laterality", "ViewPosition",
)  # fmt: skip
_ACQUISITION = (
    "KVP", "XRayTubeCurrent", "ExposureTime", "Exposure", "ReconstructionDiameter", "DataCollectionDiameter",
    "GantryDetectorTilt", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "RepetitionTime", "EchoTime", "InversionTime",
    "EchoNumbers", "EchoTrainLength", "FlipAngle", "MagneticFieldStrength", "NumberOfAverages",
    "FrameTime", "FrameTimeVector", "FrameIncrementPointer", "ConversionType",
)  # fmt: skip
_GROUPS = (
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelMeasuresSequence",
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence",
    "FrameContentSequence", "InStackPositionNumber", "DimensionIndexValues", "TemporalPositionIndex",
    "FrameAcquisitionNumber", "CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "FrameType",
    "DimensionOrganizationSequence", "DimensionOrganizationUID", "DimensionIndexSequence", "DimensionIndexPointer",
    "FunctionalGroupPointer",
)  # fmt: skip
KEPT = frozenset((*_IDENTITY, *_PIXELS, *_SPACE, *_ACQUISITION, *_GROUPS))
"""Keywords of elements that stay."""

_TERMS = frozenset((
    "AP", "AXIAL", "BOTH", "CR", "CT", "DERIVED", "DX", "EP", "FFDL", "FFDR", "FFP", "FFS", "FLUOROSCOPY", "GEOMETRY",
    "GR", "HFDL", "HFDR", "HFP", "HFS", "HU", "IDENTITY", "INVERSE", "IR", "ISO_10918_1", "ISO_14495_1", "ISO_15444_1",
    "L", "LIN", "LINEAR", "LINEAR_EXACT", "LL", "LOCALIZER", "LOG", "M", "MG", "MIXED", "MONOCHROME1", "MONOCHROME2",
    "MR", "MTC", "NM", "NO", "NONE", "OP", "ORIGINAL", "OSP", "OT", "P", "PA", "PALETTE COLOR", "PRIMARY", "PT", "R",
    "REFORMATTED", "RESAMPLED", "RF", "RGB", "RL", "RM", "RTDOSE", "SE", "SECONDARY", "SIGMOID", "SK", "SP", "SS",
    "TRSS", "U", "US", "VOLUME", "WSD", "XA", "XC", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YES", "2D", "3D",
    "00", "01", "A", "F", "H", "AL", "AR", "PL", "PR", "FL", "FR", "HL", "HR",
))  # fmt: skip
"""Values of coded elements that stay: anything else may be a name."""
_CODED = ("CS", "LO")
_NUMBERS = ("DS", "IS", "US", "US or SS", "SS", "UL", "SL", "FL", "FD", "AT")
_METHOD = ["encdec-batch: allowlist of technical attributes", "patient and UIDs by keyed hash"]
"""Of LO, whose values have 64 characters at most."""


def replaced(header: Any, names: Pseudonyms) -> Any:
    """The header of an image under another patient.

    Args:
        header: a pydicom `Dataset`; it is not changed.
        names: by which others are found.
    """
    person = "\n".join(str(header.get(keyword) or "") for keyword in ("PatientID", "IssuerOfPatientID"))
    # Objects without a patient's id are not all of one patient.
    person = person if person.strip() else str(header.get("StudyInstanceUID") or "")
    found = _reduced(header, names)
    found.PatientID = found.PatientName = names.patient(person)
    found.PatientIdentityRemoved = "YES"
    found.DeidentificationMethod = _METHOD
    found.LongitudinalTemporalInformationModified = "REMOVED"
    if hasattr(header, "file_meta"):
        found.file_meta = type(header.file_meta)()
    return found


def _reduced(dataset: Any, names: Pseudonyms) -> Any:
    from pydicom.dataset import Dataset

    found = Dataset()
    for element in dataset:
        if element.tag.is_private or element.keyword not in KEPT or element.is_empty:
            continue
        if (value := _shown(element, names)) is not None:
            setattr(found, element.keyword, value)
    return found


def _shown(element: Any, names: Pseudonyms) -> Any:
    """What stays of a value; None: nothing. Of which kind it is the standard says: what the file says may be wrong."""
    from pydicom.datadict import dictionary_VR
    from pydicom.multival import MultiValue
    from pydicom.uid import UID

    vr = dictionary_VR(element.tag)
    if vr == "SQ":
        return [_reduced(item, names) for item in element.value] if element.VR == "SQ" else None
    values = list(element.value) if isinstance(element.value, MultiValue | list) else [element.value]
    if vr == "UI":
        uids = [str(value) for value in values]
        # Registered as it is: another one may go on with a name.
        return [uid if UID(uid, 0).type else names.uid(uid) for uid in uids]
    if vr in _CODED:
        # Terms are told by their places: after one that goes, the others go too.
        return [str(value) for value in takewhile(lambda value: str(value) in _TERMS, values)] or None
    is_numeric = vr in _NUMBERS and all(isinstance(value, int | float) for value in values)
    return element.value if is_numeric else None
