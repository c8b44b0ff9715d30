"""The networks a card can name. Importing this imports no torch: each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from encdec_batch.errors import CardError, ModelError

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES: Mapping[str, str] = {
    "autoencoder": "encdec_batch.networks.autoencoder:Autoencoder",
    "dncnn": "encdec_batch.networks.dncnn:DnCNN",
    "edsr": "encdec_batch.networks.edsr:EDSR",
    "espcn": "encdec_batch.networks.espcn:ESPCN",
    "pix2pix": "encdec_batch.networks.pix2pix:Pix2Pix",
    "segnet": "encdec_batch.networks.segnet:SegNet",
    "segnet-basic": "encdec_batch.networks.segnet:SegNetBasic",
    "unet": "encdec_batch.networks.unet:UNet",
    "unet-denoiser": "encdec_batch.networks.denoiser:UNetDenoiser",
}
"""Key in the card to `module:class`. A key is never given to another network: old packages name it."""

EXTRAS: Mapping[str, str] = {
    "smp": "encdec_batch.networks.smp:Smp",
    "spandrel": "encdec_batch.networks.spandrel:Spandrel",
}
"""Likewise, of networks that other people's packages hold; the key is the extra's name too."""

EXTRA_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "smp": ("segmentation-models-pytorch", "timm"),
    "spandrel": ("spandrel",),
}
"""Whose code such a network is: their versions are part of what made a result."""


def find_architecture(name: str) -> Callable[..., nn.Module]:
    """The constructor of an architecture.

    Raises:
        CardError: there is none of this name.
        ModelError: it needs an extra that is not installed.
    """
    place = ARCHITECTURES.get(name) or EXTRAS.get(name)
    if place is None:
        raise CardError(
            f"architecture {name!r} is not known",
            hint=f"known are: {', '.join(sorted([*ARCHITECTURES, *EXTRAS]))}; a newer version may know more",
            architecture=name,
        )
    module, _, attribute = place.partition(":")
    try:
        imported = import_module(module)
    except Exception as error:
        if name not in EXTRAS:
            raise
        raise cannot_import(name, error) from error
    constructor: Callable[..., nn.Module] = getattr(imported, attribute)
    return constructor


def missing_extra(name: str, package: str) -> ModelError:
    """What to say where the packages of an extra are not here."""
    return ModelError(
        f"architecture {name!r} needs {package}, which is not installed",
        hint=f"pip install 'encdec-batch[{name}]', on every machine that runs it",
        architecture=name,
    )


def cannot_import(name: str, error: Exception) -> ModelError:
    """What to say where the packages of an extra do not import."""
    if isinstance(error, ModuleNotFoundError):
        return missing_extra(name, str(error.name))
    # torchvision that is not of this torch raises RuntimeError while it is imported.
    return ModelError(
        f"what architecture {name!r} needs cannot be imported: {' '.join(str(error).split())[:200]}",
        hint="torch and torchvision must be of one release and build: see docs/extras.md",
        architecture=name,
    )


def construct(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network of this architecture with fresh weights.

    Raises:
        CardError: the architecture is unknown, or does not take these arguments.
        ModelError: it needs an extra that is not installed.
    """
    constructor = find_architecture(name)
    wanted = get_type_hints(constructor.__init__)
    wrong = [
        key for key, value in arguments.items() if wanted.get(key) in (int, bool) and type(value) is not wanted[key]
    ]
    if wrong:
        raise CardError(
            f"architecture {name!r} does not take {', '.join(f'{key}={arguments[key]!r}' for key in wrong)[:200]}",
            hint=f"write {', '.join(f'{key} as {wanted[key].__name__}' for key in wrong)}",
            architecture=name,
        )
    try:
        return constructor(**arguments)
    except (TypeError, ValueError) as error:
        raise CardError(
            f"architecture {name!r} does not take {dict(arguments)}: {error}",
            hint="correct `arguments` in the card",
            architecture=name,
        ) from error
