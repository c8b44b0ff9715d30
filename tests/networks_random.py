"""Random encoder-decoder networks from a seed, and what each is made of.

Kinds are not drawn but dealt: the seed counts through each list of operations with a step of its own, so that any run
of seeds holds each of them about equally often, in ever other company. Sizes and weights are drawn.

`random_network` keeps the image's size (times the scale), `random_unpadded_network` takes a margin off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.networks.unet import UNet

STRIDES = (1, 2, 3, 4, 6, 8, 16)
SCALES = (1, 2, 3, 4)
_FACTORS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((), ()),
    2: ((2,), (2,)),
    3: ((3,), (3,)),
    4: ((2, 2), (4,)),
    6: ((2, 3), (3, 2)),
    8: ((2, 2, 2), (4, 2), (2, 4)),
    16: ((2, 2, 2, 2), (4, 4), (4, 2, 2), (2, 4, 2)),
}
DOWNS = ("max", "average", "max-3x3", "average-3x3", "conv", "conv-3x3", "conv-5x5")
UPS = ("nearest", "bilinear", "transposed", "transposed-wide", "unpool", "shuffle")
BODIES = ("conv-1", "conv-3", "conv-5", "conv-even-2", "conv-even-4", "dilated-2", "dilated-3", "depthwise", "residual")
SKIPS = ("none", "concat", "add")
ACTIVATIONS = ("relu", "leaky", "silu", "hardtanh")
HEADS = ("nearest", "bilinear", "transposed", "shuffle")
_DILATED_DEPTHS = (1, 2, 3, 4)
"""Blocks in a row, for networks of stride 1, which have no levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDescription:
    """What a random network is made of."""

    seed: int
    num_bands: int
    stride: int
    """Product of the down-samplings."""
    scale: int
    depth: int
    """Levels below the first; blocks in a row where the stride is 1."""
    ops: tuple[str, ...]
    """Kinds in it, e.g. `down:max-3x3`; sorted, each once."""


class Block(nn.Module):
    """One operation of `BODIES` with batch norm (random statistics) and an activation; keeps the size."""

    def __init__(self, kind: str, num_in: int, num_out: int, activation: str) -> None:
        super().__init__()
        kernel, dilation = {
            "conv-1": (1, 1), "conv-3": (3, 1), "conv-5": (5, 1), "conv-even-2": (2, 1), "conv-even-4": (4, 1),
            "dilated-2": (3, 2), "dilated-3": (3, 3), "depthwise": (3, 1), "residual": (3, 1),
        }[kind]  # fmt: skip
        around = dilation * (kernel - 1)
        # Even kernels see one pixel more after than before: explicit, as `padding="same"` does it.
        self.pads = (around // 2, around - around // 2) * 2
        groups = num_in if kind == "depthwise" else 1
        self.residual = kind == "residual"
        middle = num_in if kind in ("depthwise", "residual") else num_out
        self.conv = nn.Conv2d(num_in, middle, kernel, dilation=dilation, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(middle)
        self.mix = nn.Conv2d(middle, num_out, 1) if middle != num_out or self.residual else nn.Identity()
        self.act = {
            "relu": nn.ReLU(), "leaky": nn.LeakyReLU(0.1), "silu": nn.SiLU(), "hardtanh": nn.Hardtanh(-3, 3)
        }[activation]  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(functional.pad(x, self.pads)))
        if self.residual:
            y = y + x
        return self.mix(self.act(y))


class Down(nn.Module):
    """One operation of `DOWNS`; returns pooling indices where it has them."""

    def __init__(self, kind: str, num: int, factor: int) -> None:
        super().__init__()
        self.indexed = kind == "max"
        if kind == "max":
            self.op: nn.Module = nn.MaxPool2d(factor, return_indices=True)
        elif kind == "average":
            self.op = nn.AvgPool2d(factor)
        elif kind == "max-3x3":
            self.op = nn.MaxPool2d(3, stride=factor, padding=1)
        elif kind == "average-3x3":
            self.op = nn.AvgPool2d(3, stride=factor, padding=1)
        else:
            kernel = {"conv": factor, "conv-3x3": 3, "conv-5x5": 5}[kind]
            padding = 0 if kind == "conv" else kernel // 2
            self.op = nn.Conv2d(num, num, kernel, stride=factor, padding=padding)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.indexed:
            pooled, indices = self.op(x)
            return pooled, indices
        return self.op(x), None


class Up(nn.Module):
    """One operation of `UPS`; `unpool` needs the indices of the pooling on its level."""

    def __init__(self, kind: str, num: int, factor: int) -> None:
        super().__init__()
        self.kind, self.factor = kind, factor
        if kind == "transposed":
            self.op: nn.Module = nn.ConvTranspose2d(num, num, factor, stride=factor)
        elif kind == "transposed-wide":
            # Kernel factor + 2 with one pixel cut off on each side: neighbours overlap, the size is factor times.
            self.op = nn.ConvTranspose2d(num, num, factor + 2, stride=factor, padding=1)
        elif kind == "shuffle":
            self.op = nn.Sequential(nn.Conv2d(num, num * factor**2, 1), nn.PixelShuffle(factor))
        elif kind == "bilinear":
            self.op = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
        else:
            self.op = nn.Upsample(scale_factor=factor, mode="nearest")

    def forward(self, x: Tensor, indices: Tensor | None) -> Tensor:
        if self.kind == "unpool":
            assert indices is not None
            return functional.max_unpool2d(x, indices, self.factor)
        return self.op(x)


class RandomNetwork(nn.Module):
    """Down, a body on each level, up with skips, and a head that enlarges by the scale."""

    def __init__(self, stem: nn.Module, levels: nn.ModuleList, bottom: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stem, self.levels, self.bottom, self.head = stem, levels, bottom, head

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        kept: list[tuple[Tensor, Tensor | None]] = []
        for level in self.levels:
            smaller, indices = level["down"](x)
            kept.append((x, indices))
            x = level["body"](smaller)
        x = self.bottom(x)
        for level in reversed(self.levels):
            skip, indices = kept.pop()
            x = level["up"](x, indices)
            x = torch.cat([x, skip], 1) if "merge" in level else x + skip if "added" in level else x
            x = level["merge"](x) if "merge" in level else x
        return self.head(x)


class _Dealer:
    """Deals kinds by counting with a stride of its own through each list."""

    def __init__(self, seed: int) -> None:
        self.seed, self.ops, self.turn = seed, set[str](), 0

    def deal(self, name: str, kinds: Sequence[str], without: Sequence[str] = ()) -> str:
        allowed = [kind for kind in kinds if kind not in without]
        # 7 and 11 are prime to most lengths; the quotient makes lists of one length fall out of step.
        number = self.seed + 7 * self.turn + 11 * (self.seed // len(allowed))
        self.turn += 1
        kind = allowed[number % len(allowed)]
        self.ops.add(f"{name}:{kind}")
        return kind


def random_network(seed: int) -> tuple[nn.Module, NetworkDescription]:
    """The network of this seed in eval mode, float32, and its description. Takes any size that is a multiple of the
    stride."""
    draw, dealer = Random(seed), _Dealer(seed)
    stride = STRIDES[seed % len(STRIDES)]
    scale = SCALES[(seed // len(STRIDES)) % len(SCALES)] if seed % 2 else 1
    factors = _FACTORS[stride][(seed // len(STRIDES)) % len(_FACTORS[stride])]
    num_bands, width = draw.randint(1, 4), draw.randint(2, 4)
    activation = dealer.deal("activation", ACTIVATIONS)
    stem = Block(dealer.deal("body", BODIES, without=("depthwise",)), num_bands, width, activation)
    levels = nn.ModuleList(_level(dealer, factor, width, activation) for factor in factors)
    num_bottom = 1 if factors else _DILATED_DEPTHS[(seed // len(STRIDES)) % 4]
    bottom = nn.Sequential(*(Block(dealer.deal("body", BODIES), width, width, activation) for _ in range(num_bottom)))
    head = _head(dealer, width, draw.randint(1, 3), scale)
    network = RandomNetwork(stem, levels, bottom, head)
    _randomize(network, seed)
    description = NetworkDescription(
        seed=seed,
        num_bands=num_bands,
        stride=stride,
        scale=scale,
        depth=len(factors) or num_bottom,
        ops=tuple(sorted(dealer.ops)),
    )
    return network.eval(), description


def random_unpadded_network(seed: int) -> tuple[nn.Module, NetworkDescription]:
    """A network without padding, in eval mode: a U-Net for even seeds, for odd ones convolutions in a row."""
    draw = Random(seed)
    num_bands, depth = draw.randint(1, 3), 1 + (seed // 2) % 3
    if seed % 2 == 0:
        network: nn.Module = UNet(num_bands, 2, width=2, depth=depth, padding=False, norm="batch")
        stride, ops = 2**depth, ("unpadded:unet",)
    else:
        kernels = [draw.choice((1, 3, 5)) for _ in range(depth)]
        channels = [num_bands, *(draw.randint(2, 4) for _ in kernels)]
        layers: list[nn.Module] = []
        for kernel, num_in, num_out in zip(kernels, channels, channels[1:], strict=False):
            layers += [nn.Conv2d(num_in, num_out, kernel), nn.BatchNorm2d(num_out), nn.ReLU()]
        network, stride, ops = nn.Sequential(*layers, nn.Conv2d(channels[-1], 2, 3)), 1, ("unpadded:plain",)
    _randomize(network, seed)
    description = NetworkDescription(seed=seed, num_bands=num_bands, stride=stride, scale=1, depth=depth, ops=ops)
    return network.eval(), description


def _level(dealer: _Dealer, factor: int, width: int, activation: str) -> nn.ModuleDict:
    up = dealer.deal("up", UPS)
    # The indices exist for plain max pooling alone.
    down = "max" if up == "unpool" else dealer.deal("down", DOWNS)
    dealer.ops.add(f"down:{down}")
    skip = dealer.deal("skip", SKIPS)
    parts: dict[str, nn.Module] = {
        "down": Down(down, width, factor),
        "body": Block(dealer.deal("body", BODIES), width, width, activation),
        "up": Up(up, width, factor),
    }
    if skip == "concat":
        parts["merge"] = Block(dealer.deal("body", BODIES), 2 * width, width, activation)
    elif skip == "add":
        parts["added"] = nn.Identity()
    return nn.ModuleDict(parts)


def _head(dealer: _Dealer, width: int, num_out: int, scale: int) -> nn.Module:
    last = nn.Conv2d(width, num_out, 1)
    if scale == 1:
        return last
    kind = dealer.deal("head", HEADS)
    dealer.ops.add(f"scale:{scale}")
    if kind == "shuffle":
        dealer.ops.add(f"shuffle:{scale}")
    enlarge = Up(kind, width, scale).op
    return nn.Sequential(enlarge, last)


def _randomize(network: nn.Module, seed: int) -> None:
    """Weights and batch statistics that keep values near one, and every weight away from zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
