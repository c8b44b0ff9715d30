"""Whole jobs for tests: packages with known answers, specs, and the command line in this process."""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import rasterio
import torch
import yaml
from click.testing import CliRunner
from models.made import declared
from numpy.typing import NDArray

from encdec_batch.cli import main
from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.models.card import BandCard, ConstantNormalization, ImageOutput, PercentileNormalization
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.unet import UNet
from encdec_batch.store.open import open_store

LOCAL = {"stream": {"kind": "local", "workers": 2}, "device": "cpu", "precision": "float32", "batch": 1}
CORE, BLOCK = 128, 512


def identity_network(bands: int, *, depth: int = 1) -> UNet:
    """A U-Net that gives its input back, bit for bit, where that is not negative; its other paths carry zeros."""
    network = UNet(bands, bands, width=bands, depth=depth, norm="none").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        straight = [*network.encoders[0], network.decoders[0][0], network.decoders[0][2], network.head]
        for layer in straight:
            if isinstance(layer, torch.nn.Conv2d):
                middle = layer.kernel_size[0] // 2
                for band in range(bands):
                    layer.weight[band, band, middle, middle] = 1
    return network


def random_network(bands: int, seed: int = 0, gain: float = 1.0) -> UNet:
    """Two classes of random weights that are about as frequent on noise of mean 0; sure of them by the gain."""
    torch.manual_seed(seed)
    network = UNet(bands, 2, width=2, depth=1, norm="none").eval()
    with torch.inference_mode():
        network.head.weight *= gain
        no, yes = network(torch.randn(1, bands, 256, 256))[0]
        network.head.bias[1] += (no - yes).median()
    return network


@cache
def identity_package(bands: int = 1, dtypes: tuple[str, ...] = ("uint8",), nan: str = "refuse") -> str:
    """Folder of a package whose float32 image is the scene itself: what is wrong with it can be read off its values."""
    changes: dict[str, Any] = {
        "name": "identity",
        "architecture": "unet",
        "arguments": {"in_channels": bands, "out_channels": bands, "width": bands, "depth": 1, "norm": "none"},
        "dtypes": dtypes,
        "nodata": {"nan": nan},
        "output": ImageOutput(
            kind="image", band_names=tuple(f"out{n}" for n in range(bands)), dtype="float32", range=(0, 255)
        ),
    }
    return _published(identity_network(bands), bands, changes)


@cache
def classes_package(
    bands: int = 1,
    dtypes: tuple[str, ...] = ("uint8",),
    nan: str = "refuse",
    seed: int = 0,
    unit: str = "raw",
    gain: float = 1.0,
    version: str = "",
) -> str:
    """Folder of a package with random weights that tells two classes apart; the seed is its version if none is said."""
    changes: dict[str, Any] = {
        "name": "classes",
        "version": version or str(seed),
        "arguments": {"in_channels": bands, "out_channels": 2, "width": 2, "depth": 1, "norm": "none"},
        "dtypes": dtypes,
        "nodata": {"nan": nan},
        "bands": tuple(BandCard(name=f"b{n}", unit=unit) for n in range(bands)),
        "normalization": ConstantNormalization(kind="constants", mean=(125.0,) * bands, std=(70.0,) * bands),
    }
    return _published(random_network(bands, seed, gain), bands, changes)


@cache
def denoiser_package() -> str:
    """Folder of a package that gives its normalised input back, and whose card turns it into that one's units."""
    changes: dict[str, Any] = {
        "name": "denoiser",
        "arguments": {"in_channels": 1, "out_channels": 1, "width": 1, "depth": 1, "norm": "none"},
        "dtypes": ("int16", "uint16"),
        "bands": (BandCard(name="ct", unit="scaled"),),
        "normalization": ConstantNormalization(kind="constants", mean=(-3000.0,), std=(500.0,)),
        "output": ImageOutput(
            kind="image", band_names=("ct",), dtype="float32", range=(0, 20), scale=500.0, offset=-3000.0
        ),
    }
    return _published(identity_network(1), 1, changes)


@cache
def stretch_package(dtypes: tuple[str, ...] = ("uint8", "uint16", "float32"), upper: float = 99.0) -> str:
    """Folder of a package whose float32 image is the scene as it was normalised: its least value 0, percentile
    `upper` 1.
    """
    changes: dict[str, Any] = {
        "name": "stretch",
        "arguments": {"in_channels": 1, "out_channels": 1, "width": 1, "depth": 1, "norm": "none"},
        "dtypes": dtypes,
        "nodata": {"nan": "nodata"},
        "normalization": PercentileNormalization(kind="percentiles", lower=0, upper=upper),
        "output": ImageOutput(kind="image", band_names=("out",), dtype="float32", range=(0, 2)),
    }
    return _published(identity_network(1), 1, changes)


def _published(network: UNet, bands: int, changes: Mapping[str, Any]) -> str:
    fields: dict[str, Any] = {
        "bands": tuple(BandCard(name=f"b{n}") for n in range(bands)),
        "normalization": ConstantNormalization(kind="constants", mean=(0.0,) * bands, std=(1.0,) * bands),
    }
    folder = mkdtemp(prefix="encdec-test-package-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sample = np.random.default_rng(0).integers(0, 255, (bands, 64, 64), dtype=np.uint8)
    publish_package(folder, network, declared(**(fields | dict(changes))), sample)
    return folder


@torch.inference_mode()
def plain_logits(package: str, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(2, height, width): what one plain float32 pass of `classes_package` over a whole image gives."""
    loaded = load_package(package)
    constants = loaded.card.normalization
    gain = np.array([1 / std for std in constants.std], np.float32).reshape(-1, 1, 1)
    bias = np.array([-mean / std for mean, std in zip(constants.mean, constants.std, strict=True)], np.float32)
    x_CHW = pixels.astype(np.float32) * gain + bias.reshape(-1, 1, 1)
    _, height, width = x_CHW.shape
    x_CHW = np.pad(x_CHW, ((0, 0), (0, height % 2), (0, width % 2)), "reflect")
    logits_CHW = build_network(loaded)(torch.from_numpy(x_CHW)[None])[0]
    return logits_CHW.numpy()[:, :height, :width]


def plain_labels(package: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """(height, width): the classes of that pass."""
    return plain_logits(package, pixels).argmax(0)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """What --json printed."""
        return json.loads(self.stdout)


def command(*arguments: str | Path) -> Ended:
    """The command line in this process; an exception that is not an exit is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    return Ended(result.exit_code, result.stdout, result.stderr)


def write_spec(folder: Path, source: Mapping[str, Any] | str | Path, package: str, **changes: Any) -> Path:
    """A job on `local`: scenes below `source` (or what that says), output in `folder`/out."""
    if not isinstance(source, Mapping):
        source = {"kind": "prefix", "uri": str(source)}
    spec: dict[str, Any] = {
        "source": dict(source),
        "model": {"package": package},
        "output": {"uri": str(folder / "out"), "files": [{"kind": "cog"}], "certify": "all", "catalogue": False},
        "tiling": {"core": CORE, "block": BLOCK},
        "compute": LOCAL,
        "report": {"previews": 0},
    }
    for key, value in changes.items():
        spec[key] = {**spec.get(key, {}), **value} if isinstance(value, Mapping) else value
    path = folder / "job.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(spec))
    return path


def run(spec: Path, *more: str) -> Ended:
    return command("run", spec, "--json", *more)


def aside(ended: Ended) -> dict[str, dict[str, Any]]:
    """What a run set aside, by scene id."""
    return {row["scene_id"]: row for row in ended.result["set_aside"]}


def markers(output: str | Path, options: Mapping[str, str] | None = None) -> dict[str, Marker]:
    """Every marker of an output, by scene id."""
    return {marker.scene_id: marker for marker, _ in read_markers(open_store(str(output), options))}


def image_of(output: Path, scene_id: str, name: str = "image.tif") -> NDArray[Any]:
    """(bands, height, width) of a committed file, by another reader than ours."""
    with rasterio.open(output / markers(output)[scene_id].outputs[name].path) as file:
        return file.read()


def write_tiff(path: Path, pixels: NDArray[Any], **profile: Any) -> Path:
    """A tiled GeoTIFF by GDAL; strips where the image is small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    given: dict[str, Any] = {
        "compress": "DEFLATE",
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(1, 0, 5e5, 0, -1, 4e6),
    }
    if min(height, width) > 256:
        given |= {"tiled": True, "blockxsize": 256, "blockysize": 256}
    given |= {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name} | profile
    with rasterio.open(path, "w", driver="GTiff", **given) as file:
        file.write(pixels)
    return path


def paragraphs(text: str) -> list[str]:
    """What a person reads: lines that are not empty."""
    return [line for line in text.splitlines() if line.strip()]
