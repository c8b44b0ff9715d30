"""The networks a card can name. Importing this imports no torch: each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from encdec_batch.errors import CardError

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


def find_architecture(name: str) -> Callable[..., nn.Module]:
    """The constructor of an architecture.

    Raises:
        CardError: there is none of this name.
    """
    if name not in ARCHITECTURES:
        raise CardError(
            f"architecture {name!r} is not known",
            hint=f"known are: {', '.join(sorted(ARCHITECTURES))}; a newer version may know more",
            architecture=name,
        )
    module, _, attribute = ARCHITECTURES[name].partition(":")
    constructor: Callable[..., nn.Module] = getattr(import_module(module), attribute)
    return constructor


def construct(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network of this architecture with fresh weights.

    Raises:
        CardError: the architecture is unknown, or does not take these arguments.
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
