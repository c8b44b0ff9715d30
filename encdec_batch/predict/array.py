"""One image, or a stack of them, through the same predictor as a job's: of an array, or of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SpecError, UnsupportedScene
from encdec_batch.grid import Stitch, Tiling, make_grid, round_up
from encdec_batch.models.card import Card
from encdec_batch.models.package import Package, load_package
from encdec_batch.plan.products import products_of
from encdec_batch.plan.recipe import effective_halo
from encdec_batch.plan.statistics import value_range_in
from encdec_batch.predict.device import Device, Precision
from encdec_batch.predict.engines import open_engine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import affine_of
from encdec_batch.predict.opened import ALL, Opened, open_images, reading_of
from encdec_batch.predict.predictor import Predictor
from encdec_batch.predict.resolve import device_for
from encdec_batch.read.block import pad
from encdec_batch.read.options import Axis
from encdec_batch.read.patch import Patch
from encdec_batch.spec.output import OutputSpec

DEFAULT_CORE = 768
"""Fast on a CPU's caches and cheap in halo for networks of usual reach (docs/results.md)."""


def predict_array(  # noqa: PLR0913  (one call in a notebook, not a stage)
    package: Package | str,
    image: NDArray[np.generic] | str | os.PathLike[str],
    core: int | None = None,
    halo: int | None = None,
    stitch: Stitch = "crop",
    *,
    precision: Literal["auto"] | Precision = "auto",
    plane: str = "",
    context_slices: int = 0,
    axis: Axis = "axial",
    um_per_px: float | None = None,
    tissue_only: bool = False,
    bands: Sequence[int] | None = None,
    storage: Mapping[str, Any] | None = None,
) -> NDArray[np.generic]:
    """What a job would write for an image.

    Args:
        package: a loaded package, or the URI of one.
        image: (bands, height, width), bands in the card's order, one of the card's dtypes; (slices, bands, height,
            width), a stack in the order of space; or the path or URI of a file of any format that is read.
        core: side of the output of one forward pass, in input pixels.
        halo: context on each side; None is what the network's measured reach demands.
        precision: `auto` is what a job's `auto` is here: bfloat16 where the device computes it natively and results are
            classes or of 8 bits, else float32.
        stitch: `crop` is exact for networks of finite reach; `blend` averages overlapping tiles.
        plane: of a file that holds several images, which: `"slice=12"`, as an error names them, or `"all"`.
        context_slices: of a stack, or of a file that holds one: as `source.context_slices` of a job.
        axis: of a file: as `source.axis`.
        um_per_px: of a file: as `source.um_per_px`.
        tissue_only: of a file: as `source.tissue_only`.
        bands: of a file: as `source.bands`.
        storage: of a URI: as `source.storage`.

    Returns:
        Class ids (height, width), or an image (bands, height * scale, width * scale), nodata written in; of a stack, or
        of all images of a file, one after the other along a first axis.

    Raises:
        SpecError: an argument has no meaning, or no effect for this network or image.
        SceneError: the file cannot be read; bands, dtype or values are not what the card takes.
        ModelError: the package cannot be used.
        StoreError: the store does not answer.
    """
    package = load_package(package) if isinstance(package, str) else package
    card = package.card
    _check_choices(stitch, precision)
    _check_sides(card, core, halo, stitch)
    reading = reading_of(context_slices=context_slices, axis=axis, um_per_px=um_per_px, tissue_only=tissue_only)
    if isinstance(image, np.ndarray):
        _check_of_a_file(plane=plane, bands=bands, storage=storage, **reading.pixel_options)
        scenes: Iterator[Opened] = (_opened(pixels, card) for pixels in _with_neighbours(image, reading.context_slices))
        is_stack = image.ndim == 4
    else:
        scenes = open_images(image, card, reading, plane=plane, bands=bands, storage=storage)
        is_stack = plane == ALL
    made = [
        predict_patch(
            package,
            scene.patch,
            core=core,
            halo=halo,
            stitch=stitch,
            precision=precision,
            scales=scene.scales,
            offsets=scene.offsets,
        )
        for scene in scenes
    ]
    return np.stack(made) if is_stack else made[0]


def stitch_of(card: Card) -> Stitch:
    """How tiles are put together where nobody asks for one way: a network without reach has no exact one."""
    return "blend" if card.geometry.exactness == "global" else "crop"


def predict_patch(  # noqa: PLR0913  (as above)
    package: Package,
    scene: Patch,
    *,
    core: int | None = None,
    halo: int | None = None,
    stitch: Stitch = "crop",
    precision: Literal["auto"] | Precision = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    scales: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
) -> NDArray[np.generic]:
    """As `predict_array`, of pixels of any dtype whose validity is known; nothing is checked. Where no scales and
    offsets are given stored values are meant as they are.
    """
    card = package.card
    _, height, width = scene.pixels.shape
    # Rounded before a halo is made of it, as a job's is.
    side = round_up(DEFAULT_CORE if core is None else core, card.geometry.stride)
    halo = effective_halo(card, side, halo)
    tiling = Tiling(core=side, block=max(height, width), halo=halo, stitch=stitch)
    grid = make_grid(height, width, card.network_geometry, tiling)
    block = grid.block(0, 0)
    window = grid.source_window(block, card.padding)
    inside = window.rows, window.cols
    patch = Patch(pixels=scene.pixels[:, *inside], valid_mask=scene.valid_mask[inside])
    num_bands = len(scene.pixels)
    affine = affine_of(card, scales or (1.0,) * num_bands, offsets or (0.0,) * num_bands, value_range_in(card, scene))
    prediction = _predictor(package, precision, device).predict(
        pad(patch, grid, block, card.padding), grid, block, affine
    )
    main = next(iter(prediction.rasters.values()))
    return main[0] if card.output.kind == "classes" else main


def make_predictor(package: Package, device: Device, output: OutputSpec, weights: str = "hann") -> Predictor:
    """A predictor for all products that a job's output asks for."""
    engine = open_engine(package, device=device.torch_name, precision=device.precision)
    wanted = Wanted(products=products_of(package.card, output))
    return Predictor(package.card, engine, wanted, batch=device.batch, weights=weights)


_recent: dict[tuple[str, str, str], Predictor] = {}
_KEPT = 4


def _predictor(package: Package, precision: str, device: str) -> Predictor:
    """Networks are built once: a notebook calls this function for many images."""
    key = package.digest, precision, device
    if key not in _recent:
        if len(_recent) == _KEPT:
            del _recent[next(iter(_recent))]
        found = device_for(package.card, device, precision, "auto")
        _recent[key] = make_predictor(package, found, OutputSpec(uri="memory"))
    return _recent[key]


def _with_neighbours(image: NDArray[np.generic], reach: int) -> Iterator[NDArray[np.generic]]:
    """(bands, height, width) of an image, or of each slice of a stack with the bands of its neighbours; at its ends the
    last slice stands for what is missing.
    """
    if image.ndim != 4:
        if reach:
            raise SpecError(
                "context_slices has no effect: the array is one image",
                hint="give the slices as an array (slices, bands, height, width)",
            )
        yield image
        return
    last = len(image) - 1
    for at in range(len(image)):
        slices = [image[min(max(at + shift, 0), last)] for shift in range(-reach, reach + 1)]
        yield np.concatenate(slices) if reach else slices[0]


def _opened(image: NDArray[np.generic], card: Card) -> Opened:
    _check(image, card)
    patch = Patch(pixels=image, valid_mask=_valid(image, card))
    return Opened(patch=patch, scales=(1.0,) * len(image), offsets=(0.0,) * len(image))


def _check_of_a_file(**asked: object) -> None:
    named = [name for name, value in asked.items() if value]
    if named:
        raise SpecError(f"{named[0]} has no effect: the image is an array", hint="give the path or URI of a file")


def _valid(image: NDArray[np.generic], card: Card) -> NDArray[np.bool_]:
    """(height, width): NaN is the only nodata that an array can tell."""
    if image.dtype.kind != "f":
        return np.ones(image.shape[1:], bool)
    invalid = np.isnan(image)
    merged: NDArray[np.bool_] = invalid.any(axis=0) if card.nodata.rule == "any" else invalid.all(axis=0)
    return ~merged


def _check_choices(stitch: str, precision: str) -> None:
    choices = (("stitch", stitch, get_args(Stitch)), ("precision", precision, ("auto", *get_args(Precision))))
    for name, value, allowed in choices:
        if value not in allowed:
            raise SpecError(f"{name} is {value!r}", hint=f"say one of {', '.join(map(repr, allowed))}")


def _check_sides(card: Card, core: int | None, halo: int | None, stitch: str) -> None:
    """A job refuses the same (plan/recipe.py), in the words of a spec."""
    for name, value, least in (("core", core, 1), ("halo", halo, 0)):
        if value is not None and not _is_whole(value, least):
            raise SpecError(
                f"{name} is {value!r}, not a whole number of pixels, {least} or more",
                hint="leave it out for one that fits the network",
            )
    if halo is not None and card.geometry.margin:
        raise SpecError(
            f"halo has no effect for {card.name}: the context of a network without padding is its margin",
            hint="leave it out",
        )
    if card.geometry.exactness == "global" and stitch == "crop":
        raise SpecError(
            f"{card.name} is of global reach: every pixel depends on all others, and cropped tiles would show seams",
            hint='say stitch="blend"; the result is then an approximation',
        )


def _is_whole(value: object, least: int) -> bool:
    # numpy's integers are fine; False is no halo of 0, it is a mistake.
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def _check(image: NDArray[np.generic], card: Card) -> None:
    wanted = f"(bands, height, width) with bands {', '.join(band.name for band in card.bands)}"
    if image.ndim != 3 or image.shape[0] != card.num_bands or 0 in image.shape:
        raise UnsupportedScene(f"the image has shape {image.shape}, {card.name} wants {wanted}")
    if image.dtype.name not in card.dtypes:
        raise UnsupportedScene(f"the image is {image.dtype.name}, {card.name} takes {', '.join(card.dtypes)}")
    if card.nodata.nan == "refuse" and image.dtype.kind == "f" and np.isnan(image).any():
        raise UnsupportedScene(f"the image holds NaN and {card.name} has no rule for it", hint="fill or mask it first")
    if image.dtype.kind == "f" and np.isinf(image).any():
        raise UnsupportedScene("the image holds infinite values", hint="clip or mask them first")
