"""Networks of segmentation-models-pytorch (the extra `smp`), never with weights from the internet.

Source: Iakubovskii, "Segmentation Models Pytorch", github.com/qubvel-org/segmentation_models.pytorch, which names the
paper of each architecture and encoder.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import re
from inspect import Parameter, signature
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from encdec_batch.networks.layers import check_sides

_ARCHITECTURES = {found.__name__: found for found in smp.MODEL_ARCHITECTURES_MAPPING.values()}
_FIXED = frozenset({"self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"})
"""Parameters of its constructors that are said otherwise here, would download weights, or give more than one image."""
_ENCODER = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""A name, with `tu-` before it one of timm's; with a colon or a slash in it timm would look into the internet or a
folder for what the model is."""


class Smp(nn.Module):
    """One of its architectures on one of its encoders; what comes out are logits, or values.

    Args:
        in_channels: bands of the image.
        out_channels: logits or values for each pixel.
        architecture: as it calls the class: Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, DeepLabV3, ...
        encoder: as it calls it: resnet18, mobilenet_v2, tu-regnety_004, ...
        options: further arguments of that class by its names, e.g. encoder_depth, decoder_channels.
    """

    def __init__(self, in_channels: int, out_channels: int, *, architecture: str, encoder: str, **options: Any) -> None:
        super().__init__()
        if str(architecture) not in _ARCHITECTURES:
            raise ValueError(f"architecture {str(architecture)[:100]!r} is none of {', '.join(_ARCHITECTURES)}")
        if not _ENCODER.fullmatch(str(encoder)):
            raise ValueError(f"encoder {str(encoder)[:100]!r} is not the name of one")
        made = _ARCHITECTURES[architecture]
        # Options that are not its own it hands to timm, which would open files that some of them name.
        kinds = {name: found.kind for name, found in signature(made.__init__).parameters.items() if name not in _FIXED}
        own = {name for name, kind in kinds.items() if kind is not Parameter.VAR_KEYWORD}
        if unknown := sorted(options.keys() - own):
            raise ValueError(f"{', '.join(unknown)} cannot be said of {architecture}; {', '.join(sorted(own))} can")
        said = {
            "encoder_name": str(encoder),
            "encoder_weights": None,
            "in_channels": in_channels,
            "classes": out_channels,
        }
        try:
            self.network = made(**said, **options)
        except MemoryError:
            raise
        except Exception as error:  # what it says of arguments that cannot be has no class in common but this
            raise ValueError(f"{architecture} on {encoder}: {type(error).__name__}: {error}") from error
        self._multiple = int(getattr(self.network.encoder, "output_stride", 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        # Some take other sides too, and stretch what is up-sampled to fit; a job's tiles are multiples anyway.
        check_sides(f"{type(self.network).__name__} of smp", x_NCHW, self._multiple)
        out_NCHW: Tensor = self.network(x_NCHW)
        return out_NCHW
