from __future__ import annotations

import pytest
import torch
from networks_random import random_network, random_unpadded_network
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.errors import ModelError
from encdec_batch.models.card import GeometryCard
from encdec_batch.models.reach import measure_geometry
from encdec_batch.networks.unet import UNet


class SegNet(nn.Module):
    """Max pooling whose indices the decoder unpools by: NaN is swallowed there."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.down = nn.ModuleList(nn.Conv2d(width if i else 1, width, 3, padding=1) for i in range(depth))
        self.up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for conv in self.down:
            x, indices = functional.max_pool2d(functional.relu(conv(x)), 2, return_indices=True)
            kept.append(indices)
        for conv in self.up:
            x = functional.relu(conv(functional.max_unpool2d(x, kept.pop(), 2)))
        return x


class Pix2Pix(nn.Module):
    """4x4 convolutions of stride 2 down, transposed ones up."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.down = nn.ModuleList(nn.Conv2d(width if i else 1, width, 4, 2, 1) for i in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, 4, 2, 1) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.down:
            x = functional.leaky_relu(conv(x), 0.2)
        for conv in self.up:
            x = functional.leaky_relu(conv(x), 0.2)
        return x


class Wrapped(nn.Module):
    def __init__(self, call, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.call, self.layer = call, layer or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer(x))


def seeded(make):
    torch.manual_seed(1)
    return make().eval()


def test_unet_of_depth_4():
    found = measure_geometry(seeded(lambda: UNet(3, 2, width=4, depth=4)), 3)
    assert found == GeometryCard(scale=1, stride=16, reach=94, exactness="exact")


@pytest.mark.parametrize(("depth", "reach"), [(1, 8), (2, 22), (3, 46)])
def test_unet_of_other_depths(depth, reach):
    # By hand for depth 2: 2 px to the left of b, so from b/2 - 1 on and 2 more to b/2 - 3, from b/4 - 2 on and 2 more
    # to b/4 - 4; up: b/2 - 8 and 2 more, b - 20 and 2 more.
    found = measure_geometry(seeded(lambda: UNet(1, 1, width=2, depth=depth)), 1)
    assert (found.stride, found.reach) == (2**depth, reach)


def test_segnet_and_pix2pix_of_depth_4():
    # By hand, Pix2Pix: 1 px a level down, b - 1, so b/2 - 1 and so on; up: 1 px before each doubling, b/8 - 3, ...
    pix2pix = measure_geometry(Pix2Pix(4, 4).eval(), 1)
    segnet = measure_geometry(SegNet(4, 8).eval(), 1)
    assert (pix2pix.stride, pix2pix.reach) == (16, 31)
    assert (segnet.stride, segnet.reach) == (16, 31)


@pytest.mark.parametrize("seed", range(0, 300, 11))
def test_stride_and_scale_of_random_networks(seed):
    network, said = random_network(seed)
    found = measure_geometry(network, said.num_bands)
    assert (found.stride, found.scale, found.exactness) == (said.stride, said.scale, "exact")


@pytest.mark.parametrize("seed", range(0, 300, 17))
def test_a_tile_with_its_halo_gives_the_plain_pass_and_one_with_less_does_not(seed):
    network, said = random_network(seed)
    network.double()
    found = measure_geometry(network, said.num_bands)
    s, k = found.stride, found.scale
    halo = s * -(-found.reach // s)
    core = s * -(-24 // s)
    image = torch.randn(1, said.num_bands, core + 2 * halo + 4 * s, core + 2 * halo + 4 * s, dtype=torch.float64)
    start = halo + s
    with torch.inference_mode():
        whole = network(image)[:, :, k * start : k * (start + core), k * start : k * (start + core)]

        def tiled(h: int) -> Tensor:
            tile = network(image[:, :, start - h : start + core + h, start - h : start + core + h])
            return tile[:, :, k * h : k * (h + core), k * h : k * (h + core)]

        torch.testing.assert_close(tiled(halo), whole, rtol=0, atol=1e-9)
        if halo:
            assert not torch.equal(tiled(halo - s), whole)


@pytest.mark.parametrize("seed", range(8))
def test_unpadded_networks_agree_up_to_their_edges(seed):
    network, said = random_unpadded_network(seed)
    found = measure_geometry(network.double(), said.num_bands)
    assert (found.reach, found.stride, found.exactness) == (0, said.stride, "exact")
    s, m = found.stride, found.margin
    side = next(n for n in range(2 * m + 40, 2 * m + 90) if n % s == found.size_offset)
    image = torch.randn(1, said.num_bands, side + 2 * s, side + 2 * s, dtype=torch.float64)
    with torch.inference_mode():
        whole, tile = network(image), network(image[:, :, s : s + side, 2 * s : 2 * s + side])
    assert tile.shape[2] == side - 2 * m
    there = whole[:, :, s : s + tile.shape[2], 2 * s : 2 * s + tile.shape[3]]
    torch.testing.assert_close(tile, there, rtol=0, atol=1e-9)


def test_the_unpadded_unet_of_the_paper():
    network = seeded(lambda: UNet(1, 2, width=2, depth=4, padding=False, norm="none"))
    found = measure_geometry(network, 1)
    assert found == GeometryCard(scale=1, stride=16, reach=0, margin=92, size_offset=12, exactness="exact")


def test_perturbation_finds_what_nan_does_not():
    # `where` on a comparison drops NaN: only a value that is large enough shows.
    def gate(x: Tensor) -> Tensor:
        near = functional.max_pool2d(torch.nan_to_num(x), 9, stride=1, padding=4)
        return torch.where(near > 0.5, x + near, x)

    assert measure_geometry(Wrapped(gate), 1).reach == 4


def test_nan_finds_what_perturbation_cannot():
    # A weight so small that adding it changes nothing in float64 is still part of what the network sees.
    layer = nn.Conv2d(1, 1, 7, padding=3, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1e-30)
        layer.weight[0, 0, 2:5, 2:5] = 1.0
    assert measure_geometry(Wrapped(lambda x: x, layer), 1).reach == 3


@pytest.mark.parametrize(
    "network",
    [
        Wrapped(lambda x: x, nn.InstanceNorm2d(2)),
        Wrapped(lambda x: x, nn.GroupNorm(1, 2)),
        Wrapped(lambda x: x * x.mean(dim=(2, 3), keepdim=True).sigmoid()),
        Wrapped(
            lambda x: functional.interpolate(
                functional.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=True
            )
        ),
        Wrapped(lambda x: functional.dropout(x, 0.5, training=True)),
    ],
    ids=["instance-norm", "group-norm", "squeeze-excite", "align-corners", "dropout"],
)
def test_global_networks_are_named(network):
    found = measure_geometry(network.eval(), 2)
    assert found.exactness == "global"
    assert found.reach == 0


def test_batch_statistics_of_the_image_make_a_network_global():
    norm = nn.BatchNorm2d(2, track_running_stats=False)
    assert measure_geometry(Wrapped(lambda x: x, norm).eval(), 2).exactness == "global"


def test_far_reach_is_a_class_of_its_own():
    layer = nn.Conv2d(1, 1, 3, dilation=300, padding=300)
    found = measure_geometry(Wrapped(lambda x: x, layer), 1)
    assert (found.reach, found.exactness) == (300, "large-reach")


def test_one_sided_kernels_count_from_their_longer_side():
    network = nn.Sequential(nn.ZeroPad2d((0, 5, 0, 5)), nn.Conv2d(1, 1, 6))
    assert measure_geometry(network, 1).reach == 5


def test_axes_may_differ():
    layer = nn.Conv2d(1, 1, (3, 9), padding=(1, 4))
    assert measure_geometry(Wrapped(lambda x: x, layer), 1).reach == 4
    pool = Wrapped(lambda x: functional.interpolate(functional.max_pool2d(x, (2, 3)), scale_factor=(2, 3)))
    assert measure_geometry(pool, 1).stride == 6


def test_a_stride_that_is_no_divisor_of_the_first_probe():
    network = Wrapped(lambda x: functional.interpolate(functional.max_pool2d(x, 5), scale_factor=5))
    found = measure_geometry(network, 1)
    assert (found.stride, found.reach, found.exactness) == (5, 0, "exact")


def test_a_network_that_enlarges_back_to_any_size():
    class Resizing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            small = functional.max_pool2d(x, 4, ceil_mode=True)
            return functional.interpolate(small, size=x.shape[2:], mode="nearest")

    assert measure_geometry(Resizing(), 1).stride == 4


def test_the_network_is_not_changed():
    network = seeded(lambda: UNet(1, 1, width=2, depth=1))
    measure_geometry(network, 1)
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Conv2d(3, 1, 3, padding=1), "no image of 2 bands"),
        (Wrapped(lambda x: x.mean(dim=(2, 3))), "no tensor"),
        (Wrapped(lambda x: x.mean(dim=(2, 3), keepdim=True)), "do not follow"),
    ],
)
def test_what_cannot_be_measured_is_said(network, said):
    with pytest.raises(ModelError, match=said):
        measure_geometry(network.eval(), 2)
