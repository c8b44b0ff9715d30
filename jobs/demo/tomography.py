"""Noise of a low dose in CT: a U-Net beside plain filters, from a DICOM series to derived DICOM images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from jobs.demo import pictures
from jobs.demo.pieces import FOLDER
from jobs.demo.record import Figure, Picture, Place, Row, Strip
from jobs.demo.results import report_of, result, run_job
from jobs.phantoms.__main__ import SIDE, invented
from jobs.phantoms.scanner import scan
from jobs.scores.restoration import median, nl_means

TASK = "Computed tomography"
LOW, GAUSS, MEDIAN, NL_MEANS, UNET = "Low dose", "Gaussian", "Median 3x3", "Non-local means", "U-Net"
FIRST, SLICES, SHOWN = 10_000, 8, 2
"""Numbers of invented bodies far from those that were trained on; how many; how many of them are shown."""
PHOTONS = 2e5
WIDTHS = np.arange(0.3, 2.0, 0.1)
"""Of the Gaussian, in pixels."""
BODY = -500.0
"""Hounsfield units above which a pixel is judged: air says nothing."""
WINDOW = -160.0, 240.0
"""Of the pictures: soft tissue."""
_ROOT = "2.25.8236482364"
"""Of identifiers that nobody else has."""

Stack = NDArray[np.float32]
"""(slices, H, W) in Hounsfield units."""


def tomography() -> Row:
    """Writes a series, runs a job on it and judges that."""
    low, full = scanned()
    write_series(FOLDER / "ct", low)
    run_job("demo-ct.yaml", "ct")
    made = plain(low, full) | {
        UNET: np.stack([result("ct", f"slice-{number}", "image.tif")[0] for number in range(SLICES)])
    }
    judged = judge(full, made)
    place = Place(
        title=f"{SLICES} slices",
        note="Bodies that nobody has, scanned by the computed scanner of the training, other bodies than it saw. On "
        "slices of a patient see the card of the package.",
        figures=judged,
        strips=tuple(_strip(number, full, made, judged) for number in range(SHOWN)),
    )
    return Row(
        task=TASK,
        text="Noise of a low dose taken off a DICOM series by the package ct-denoiser (U-Net), beside plain filters: "
        "the Gaussian has the width that is best for these slices, and non-local means are told the strength of the "
        "noise in each slice. Root of the mean squared error in Hounsfield units, and SSIM over the window of soft "
        "tissue. The job wrote derived DICOM images too.",
        places=(place,),
        reports=(report_of("ct"),),
    )


def scanned() -> tuple[Stack, Stack]:
    """At a low dose, and without noise."""
    pairs = [
        scan(one.units, pixel_mm=one.pixel_mm, photons=PHOTONS, rng=np.random.default_rng(number))
        for number, one in enumerate(invented(FIRST, SLICES, "demo"))
    ]
    low, full = (np.stack(side).round() for side in zip(*pairs, strict=True))
    return low, full


def write_series(folder: Path, units: Stack) -> None:
    """One file of CT Image Storage for each slice, 3 mm apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, slice_units in enumerate(units):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{_ROOT}.3.{number}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{_ROOT}.1", f"{_ROOT}.2"
        image.FrameOfReferenceUID = f"{_ROOT}.4"
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Nobody", "0", "", ""
        image.StudyDate = image.StudyTime = image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
        image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, number + 1
        image.ImageType, image.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY", "AXIAL"], ""
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness, image.KVP = [3, 3], 3, 120
        image.Rows, image.Columns, image.SamplesPerPixel = SIDE, SIDE, 1
        image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, -10000, "HU"
        image.PixelData = (slice_units + 10000).clip(0, 65535).astype("<u2").tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"slice-{number}.dcm", enforce_file_format=True)


def plain(low: Stack, full: Stack) -> dict[str, Stack]:
    """By method: as it is, and what filters make of it, slice by slice.

    Args:
        low: the slices.
        full: without noise, by which the Gaussian's width is chosen and the strength of the noise is known.
    """
    noise = [float(np.std((one - clean)[clean > BODY])) for one, clean in zip(low, full, strict=True)]
    blurred = [gaussian_filter(low, (0, width, width)) for width in WIDTHS]
    return {
        LOW: low,
        GAUSS: min(blurred, key=lambda one: _rmse(full, one)),
        MEDIAN: np.stack([median(one[None], 3)[0] for one in low]),
        NL_MEANS: np.stack([nl_means(one[None], sigma)[0] for one, sigma in zip(low, noise, strict=True)]),
    }


def judge(full: Stack, made: Mapping[str, Stack]) -> tuple[Figure, ...]:
    """Over all pixels of bodies, by method."""
    errors = {name: _rmse(full, one) for name, one in made.items()}
    shown = {name: float(np.mean([_ssim(a, b) for a, b in zip(full, one, strict=True)])) for name, one in made.items()}
    return tuple(
        Figure(
            measure=measure,
            higher_is_better=higher,
            plain={name: value for name, value in values.items() if name != UNET},
            networks={UNET: values[UNET]},
            digits=digits,
        )
        for measure, higher, values, digits in (("RMSE HU", False, errors, 1), ("SSIM", True, shown, 3))
    )


def _rmse(full: Stack, made: Stack) -> float:
    return float(np.sqrt(np.mean((made - full)[full > BODY] ** 2)))


def _ssim(truth: NDArray[np.float32], made: NDArray[np.float32]) -> float:
    low, high = WINDOW
    value: float = structural_similarity(truth.clip(low, high), made.clip(low, high), data_range=high - low)
    return value


def _strip(number: int, full: Stack, made: Mapping[str, Stack], judged: tuple[Figure, ...]) -> Strip:
    error = judge(full[number : number + 1], {name: one[number : number + 1] for name, one in made.items()})[0]
    values = error.plain | error.networks
    shown = [
        Picture(
            name=name,
            role="network" if name == UNET else "input" if name == LOW else "plain",
            image=_windowed(one[number]),
            said=f"RMSE {error.said(values[name])} HU",
            fault=judged[0].fault(name),
        )
        for name, one in made.items()
    ]
    truth = Picture(name="Without noise", role="truth", image=_windowed(full[number]))
    low, high = WINDOW
    caption = f"Slice {number + 1}, {SIDE} x {SIDE} px, from {low:.0f} to {high:.0f} HU"
    return Strip(caption=caption, pictures=(*shown, truth))


def _windowed(units: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = WINDOW
    return pictures.photo((units - low).clip(0, high - low)[None] * (255 / (high - low)))
