"""Weights that others published, as files of torch.save or safetensors, to packages of networks of spandrel.

Nothing in such a file is run. The loader of spandrel opens `.pt` as TorchScript and others by an unpickler of its own;
here torch reads them with `weights_only=True`, which makes tensors and containers and nothing else, and spandrel is
given the tensors. From there on they are safetensors.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
from torch import Tensor, nn

from encdec_batch.errors import CardError, EncdecError, ModelError
from encdec_batch.models.bounded import at_most
from encdec_batch.models.card import ConstantNormalization, Declared
from encdec_batch.models.given import read_file
from encdec_batch.models.package import Package
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.spandrel import Spandrel, quiet
from encdec_batch.store.secrets import Options

SPANDREL = "spandrel"
MAX_BYTES = 2**31
_SAMPLE_SIDE = 1024
"""Of the noise that the golden sample is cut from: more than any stride and margin."""
_TRIED_SIDE, _CLOSE = 64, 1e-4


def read_state(path: Path) -> dict[str, Any]:
    """What a file of published weights holds: tensors by name, or groups of them.

    Raises:
        SpecError: it cannot be read.
        ModelError: it is damaged, or holds more than tensors; nothing in it was run.
    """
    data = read_file(path, MAX_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that others wrote; what is wrong comes as an error
            if path.suffix.lower() == ".safetensors":
                state: Any = load(data)
            else:
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files: anything
        raise _not_weights(path, error) from error
    if not isinstance(state, dict) or not all(map(_is_whole, _tensors(state))):
        raise ModelError(f"{path}: holds no weights by name", hint="save a state_dict, e.g. as safetensors")
    return state


def import_published(path: Path, declared: Declared, uri: str, options: Options | None = None) -> Package:
    """Write published weights as a package and load it back, golden sample and all.

    Its golden sample is noise: what it is for is to show that another machine computes the same.

    Args:
        path: `.pth`, `.pt`, `.ckpt` or `.safetensors`.
        declared: what its user says of it.
        uri: folder of the new package.
        options: of the store.

    Raises:
        SpecError: the file cannot be read.
        ModelError: it holds something else, spandrel does not know the network or calls it in a way of its own, or it
            cannot be measured, or another package is there.
        CardError: network and card do not fit each other.
    """
    network, arguments = network_of(path, declared.num_bands)
    declared = declared.model_copy(update={"arguments": arguments})
    return publish_package(uri, network, declared, _noise(declared), options)


def network_of(path: Path, num_bands: int) -> tuple[Spandrel, dict[str, Any]]:
    """The network that published weights are of, with these weights, and what a card says of how it is made.

    Raises:
        SpecError: the file cannot be read.
        ModelError: it holds something else, or spandrel does not know the network or calls it in a way of its own.
        CardError: it takes another number of bands.
    """
    found = _detect(read_state(path), path)
    if found.input_channels != num_bands:
        raise CardError(
            f"{path}: takes {found.input_channels} bands, the card has {num_bands}", hint="correct `bands` in the card"
        )
    arguments: dict[str, Any] = {
        "architecture": str(found.architecture.id),
        "network": type(found.model).__name__,
        "parameters": _parameters(found.model, path),
    }
    network = Spandrel(**arguments).eval().requires_grad_(requires_grad=False)
    network.network.load_state_dict(found.model.state_dict())
    _check_same(network, found, path)
    return network, arguments


def _detect(state: dict[str, Any], path: Path) -> ImageModelDescriptor[nn.Module]:
    """The network of these weights, as spandrel makes it."""
    # As many as the bytes of them in float32, which bound the network of its package too.
    most = 4 * sum(tensor.numel() for tensor in _tensors(state))
    try:
        with at_most(most), quiet():
            found = ModelLoader().load_from_state_dict(state).eval()
    except UnsupportedModelError as error:
        raise ModelError(
            f"{path}: these weights are of none of the networks that spandrel knows",
            hint="spandrel's README lists them; other networks can be imported as ONNX files (docs/onnx.md)",
        ) from error
    except Exception as error:  # each of its architectures has errors of its own for weights that it cannot take
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path}: spandrel cannot make a network of these weights: {type(error).__name__}: {said}",
            hint="take the file as it was published",
        ) from error
    if not isinstance(found, ImageModelDescriptor):
        raise ModelError(
            f"{path}: {found.architecture.id} takes a mask beside the image ({found.purpose})",
            hint="a job has images alone: such a network cannot be run by one",
        )
    return found


def _parameters(network: nn.Module, path: Path) -> dict[str, Any]:
    """What its constructor was given, as far as it is not the default; JSON."""
    made: Any = type(network)
    said: Mapping[str, Any] = network.hyperparameters  # type: ignore[assignment]  # what spandrel adds to each
    defaults = {name: one.default for name, one in signature(made.__init__).parameters.items()}
    kept = {name: value for name, value in said.items() if name not in defaults or defaults[name] != value}
    try:
        parameters: dict[str, Any] = json.loads(json.dumps(kept, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: what {made.__name__} was made with cannot be said in a card: {error}",
            hint="export the network to ONNX where it comes from (docs/onnx.md)",
        ) from error
    return parameters


def _check_same(network: Spandrel, found: ImageModelDescriptor[nn.Module], path: Path) -> None:
    """What spandrel gives for an image is what the network gives for the image alone.

    For some it adds a noise level, or takes one of several results, which no card says.
    """
    sizes = found.size_requirements
    side = -(-max(_TRIED_SIDE, sizes.minimum) // sizes.multiple_of) * sizes.multiple_of
    image_NCHW = torch.rand(1, found.input_channels, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            wanted_NCHW = found(image_NCHW.clone())
            made_NCHW = network(image_NCHW).clamp(0, 1)
        same = wanted_NCHW.shape == made_NCHW.shape and float((wanted_NCHW - made_NCHW).abs().max()) <= _CLOSE
    except (RuntimeError, AttributeError, TypeError):
        same = False
    if not same:
        raise ModelError(
            f"{path}: a network of {found.architecture.id} that is called with more than an image, or gives more",
            hint="export it to ONNX where it comes from, wrapped so that it takes an image and gives one",
        )


def _noise(declared: Declared) -> NDArray[np.float64]:
    """Pixels whose normalised values are uniform in 0..1, which is what these networks are made for."""
    shape = (declared.num_bands, _SAMPLE_SIDE, _SAMPLE_SIDE)
    values: NDArray[np.float64] = np.random.default_rng(0).random(shape)
    if isinstance(how := declared.normalization, ConstantNormalization):
        values = values * np.reshape(how.std, (-1, 1, 1)) + np.reshape(how.mean, (-1, 1, 1))
    return values


def _tensors(state: object) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)


def _is_whole(tensor: Tensor) -> bool:
    """Whether the file holds all values that the tensor shows: one can be a single value, shown a billion times."""
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _not_weights(path: Path, error: Exception) -> EncdecError:
    said = str(error)
    if path.suffix.lower() != ".safetensors" and (forbidden := re.search(r"GLOBAL ([\w.]+)", said)):
        return ModelError(
            f"{path}: holds more than weights ({forbidden[1]}), and loading it would run that; nothing in it was run",
            hint="take a file with weights alone, best one of safetensors",
        )
    if "TorchScript" in said:
        return ModelError(
            f"{path}: is a TorchScript program, which was not opened", hint="take a file with weights alone"
        )
    return ModelError(f"{path}: is no file of weights, or damaged", hint="download it anew")
