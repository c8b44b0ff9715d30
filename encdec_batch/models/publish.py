"""From a trained network to a package: measure it, record its golden sample, write it, load it back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import save
from torch import nn

from encdec_batch.errors import CardError
from encdec_batch.models.card import ConstantNormalization, Declared, GeometryCard, ToleranceCard
from encdec_batch.models.forward import prepare
from encdec_batch.models.golden import keeps, record
from encdec_batch.models.memory import measure_memory
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Measured, Package, create_package, load_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.models.tolerance import measure_tolerances
from encdec_batch.store.open import open_store
from encdec_batch.store.secrets import Options

log = logging.getLogger(__name__)

_GOLDEN_CORE = 48


def publish_package(  # noqa: PLR0913  (two of them are for few callers)
    uri: str,
    network: nn.Module,
    declared: Declared,
    sample: NDArray[np.generic],
    options: Options | None = None,
    *,
    measured: Measured | None = None,
) -> Package:
    """Write a trained network as a package and load it back, golden sample and all.

    Args:
        uri: folder of the new package.
        network: in eval mode, float32.
        declared: what its author says of it.
        sample: (bands, height, width) of real pixels as stored, for the golden sample; a part of it is used.
        options: of the store.
        measured: what is known of this network already; None: it is measured, as it must be for a package that is to
            be kept.

    Raises:
        CardError: network and card do not fit each other, or the sample is too small.
        ModelError: the network cannot be measured, or another package lies there.
    """
    if measured is None:
        geometry = measure_geometry(network, declared.num_bands)
        measured = Measured(
            geometry=geometry,
            tolerance=measure_tolerances(network, declared.num_bands, geometry),
            memory=measure_memory(network, declared.num_bands, geometry),
        )
    image_CHW = _golden_image(declared, measured.geometry, sample)
    with torch.inference_mode():
        num_channels = int(network(image_CHW[None]).shape[1])
    if num_channels != declared.output.num_channels:
        raise CardError(
            f"{declared.name}: the network gives {num_channels} channels, the card's output has "
            f"{declared.output.num_channels}",
            hint="correct `output` in the card",
        )
    weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    golden = record(network, image_CHW)
    measured = replace(measured, tolerance=_kept(network, golden, measured.tolerance))
    create_package(open_store(uri, options), declared, measured, weights=weights, golden=golden)
    package = load_package(uri, options)
    build_network(package)
    return package


def _kept(network: nn.Module, golden: bytes, tolerance: Mapping[str, ToleranceCard]) -> Mapping[str, ToleranceCard]:
    """Without the precisions in which the network does not give its golden output: `auto` takes none of them."""
    kept = {}
    for kind, value in tolerance.items():
        device, _, precision = kind.partition("/")
        if keeps(golden, prepare(network, device=device, precision=precision)):  # type: ignore[arg-type]
            kept[kind] = value
        else:
            log.warning("publish.precision_left_out", extra={"device": device, "precision": precision})
    return kept


def normalize(image: NDArray[np.generic], mean: ArrayLike, std: ArrayLike) -> NDArray[np.float32]:
    """(value - mean) / std per band of a (bands, height, width) image."""
    shape = (-1, 1, 1)
    scaled = (image.astype(np.float32) - np.asarray(mean, dtype=np.float32).reshape(shape)) / np.asarray(
        std, dtype=np.float32
    ).reshape(shape)
    return scaled.astype(np.float32)


def _golden_image(declared: Declared, geometry: GeometryCard, sample: NDArray[np.generic]) -> torch.Tensor:
    s, offset = geometry.stride, geometry.size_offset
    side = -(-(_GOLDEN_CORE + 2 * geometry.margin - offset) // s) * s + offset
    if sample.ndim != 3 or sample.shape[0] != declared.num_bands or min(sample.shape[1:]) < side:
        raise CardError(
            f"{declared.name}: a golden sample of {declared.num_bands} bands and {side} px is wanted, "
            f"the one given is {sample.shape}"
        )
    image, how = sample[:, :side, :side], declared.normalization
    if isinstance(how, ConstantNormalization):
        return torch.from_numpy(normalize(image, how.mean, how.std))
    ranges = np.percentile(image.astype(np.float64), (how.lower, how.upper), axis=(1, 2))
    return torch.from_numpy(normalize(image, ranges[0], np.where(ranges[1] > ranges[0], ranges[1] - ranges[0], 1)))
