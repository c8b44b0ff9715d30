"""Max-pooling that remembers where each largest value was, in one byte, and the unpooling that puts it back there.

Suffixes: N images of a batch, C channels, H and W rows and columns, h and w those of an image of half the side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pool(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each 2x2 square, and which of the four it was; sides must be even.

    Returns:
        (N, C, h, w) like the image, and the places as uint8: 0 and 1 in the upper row, 2 and 3 in the lower one. torch
        gives its indices as int64, eight times as much, and counted from the image's corner; a place within its square
        is the same in a tile as in the whole scene.
    """
    largest_NChw, index_NChw = functional.max_pool2d(x_NCHW, 2, return_indices=True)
    height, width = largest_NChw.shape[2:]
    rows, cols = (torch.arange(side, dtype=torch.int32, device=x_NCHW.device) for side in (height, width))
    # From each square's upper left pixel: 0, 1, W, W + 1. W is even.
    offset_NChw = index_NChw.int() - ((4 * width * rows)[:, None] + 2 * cols)
    lower_NChw = (offset_NChw > 1).to(torch.uint8)
    return largest_NChw, offset_NChw.to(torch.uint8).bitwise_and_(1).add_(lower_NChw, alpha=2)


def unpool(x_NChw: Tensor, place_NChw: Tensor) -> Tensor:
    """(N, C, H, W): each value where `pool` found its largest, and zeros between them.

    Not by torch's own unpooling: it wants int64 indices, and refuses where it must be deterministic, as in jobs on
    CUDA, since it cannot know that no two indices are equal.

    Source: Badrinarayanan et al. 2017, figure 3; Zeiler and Fergus 2014, section 2.1.
    """
    num, channels, height, width = x_NChw.shape
    layout = torch.channels_last if x_NChw.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    out_NCHW = torch.empty(
        (num, channels, 2 * height, 2 * width), dtype=x_NChw.dtype, device=x_NChw.device, memory_format=layout
    )
    zero = x_NChw.new_zeros(())
    for place in range(4):
        out_NCHW[:, :, place // 2 :: 2, place % 2 :: 2] = torch.where(place_NChw == place, x_NChw, zero)
    return out_NCHW
