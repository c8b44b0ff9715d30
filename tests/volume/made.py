"""A series of CT as files, and committed masks of its slices."""

from __future__ import annotations

import hashlib
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import rasterio
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from encdec_batch.plan.scene import SourceImage
from encdec_batch.store.store import Store
from encdec_batch.volume.wanted import CommittedSlice


def ct_slice(number: int, *, shape: tuple[int, int] = (24, 32), uid: str = "1.2.3") -> Dataset:
    """One of a series, 3 mm apart; names of a person in it."""
    rows, cols = shape
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{uid}.9.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
        f"{uid}.1",
        f"{uid}.2",
        f"{uid}.3",
    )
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Doernbecher^Janetta", "MRN-77", "CT"
    dataset.StudyDate, dataset.StudyTime = "20200102", "030405"
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = [-10.0, -20.0, 3.0 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.75], 3.0
    dataset.Rows, dataset.Columns = rows, cols
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = np.full(shape, 1000 + number, np.int16).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def enhanced(numbers: tuple[int, ...] = (2, 1, 0)) -> Dataset:
    """A multi-frame CT of these slices, by highdicom's own conversion, with its frames in this order."""
    slices = [ct_slice(number) for number in numbers]
    for one in slices:
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.PatientBirthDate = one.PatientSex = one.StudyID = one.AccessionNumber = one.ReferringPhysicianName = ""
        one.Manufacturer, one.PositionReferenceIndicator, one.BodyPartExamined = "Scanner & Sons", "", "CHEST"
        one.ContentDate, one.ContentTime = "20200102", "030405"
        one.AcquisitionDate, one.AcquisitionTime, one.AcquisitionNumber = "20200102", "030405", 1
        one.KVP, one.PatientPosition = 120, "HFS"
    made = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, "1.2.3.20", 2, "1.2.3.21", 1)
    frames = sorted(
        made.PerFrameFunctionalGroupsSequence,
        key=lambda group: numbers.index(round(group.PlanePositionSequence[0].ImagePositionPatient[2] / 3)),
    )
    made.PerFrameFunctionalGroupsSequence = frames
    made.PixelData = np.zeros((len(slices), 24, 32), np.int16).tobytes()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def write_series(folder: Path, count: int) -> list[SourceImage]:
    """Files in the order of space, under names in another order."""
    images = []
    for number in range(count):
        path = folder / f"{(7 * number) % 10}{number}.dcm"
        pydicom.dcmwrite(path, ct_slice(number), enforce_file_format=True)
        images.append(SourceImage(uri=str(path), etag=""))
    return images


def committed(
    store: Store, slices: np.ndarray, images: list[SourceImage], name: str = "mask"
) -> tuple[CommittedSlice, ...]:
    """Rasters (slices, bands, height, width) as the COGs of scenes s0, s1, ..."""
    made = []
    for number, (pixels, image) in enumerate(zip(slices, images, strict=True)):
        with rasterio.MemoryFile() as memory:
            shape = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
            with memory.open(driver="GTiff", dtype=pixels.dtype, **shape) as file:
                file.write(pixels)
            data = bytes(memory.read())
        path = f"scenes/s{number}/1-0123456789abcdef-01234567/{name}.tif"
        store.put(path, data)
        digest = hashlib.sha256(data).hexdigest()
        made.append(CommittedSlice(scene_id=f"s{number}", path=path, sha256=digest, image=image))
    return tuple(made)
