"""Batch norms of a network in eval mode, folded into the convolutions before them: the same function, fewer passes."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeGuard

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """The network itself, changed in place, each convolution that a batch norm directly follows in an `nn.Sequential`
    holding both; in float32 the output differs by rounding alone.
    """
    for module in network.modules():
        # What is derived from it may do something else with its layers.
        if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
            continue
        names = list(module._modules)  # noqa: SLF001  (nn.Sequential has no public way to replace a layer by its name)
        for first, second in pairwise(names):
            convolution, norm = module._modules[first], module._modules[second]  # noqa: SLF001
            if _is_foldable(convolution) and _is_plain_norm(norm):
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                module._modules[first] = fuse_conv_bn_eval(convolution, norm, transpose=transposed)  # noqa: SLF001
                module._modules[second] = nn.Identity()  # noqa: SLF001
    return network


def _is_foldable(layer: nn.Module | None) -> TypeGuard[nn.Conv2d | nn.ConvTranspose2d]:
    # Not what is derived from them, which may change its weights as it runs (weight standardisation, parametrisations).
    # Grouped transposed ones are left as they are: their output channels lie on two axes of the weights.
    return type(layer) is nn.Conv2d or (type(layer) is nn.ConvTranspose2d and layer.groups == 1)


def _is_plain_norm(layer: nn.Module | None) -> TypeGuard[nn.BatchNorm2d]:
    # Not what is derived from it: timm's BatchNormAct2d has the activation in it.
    return type(layer) is nn.BatchNorm2d and layer.track_running_stats
