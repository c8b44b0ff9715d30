"""SegNet: the paper's sizes; reach by hand; and unpooling, which must give torch's own result in a byte a square."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn import functional

from encdec_batch.models.reach import measure_geometry
from encdec_batch.networks.segnet import SegNet, SegNetBasic
from encdec_batch.networks.unpool import pool, unpool


def convolutions(module: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in module.modules())


def test_the_network_of_the_paper_has_its_layers_and_parameters() -> None:
    with torch.device("meta"):
        network = SegNet(3, 12)
    learnt = sum(parameter.numel() for parameter in network.parameters())
    # 29.46 M: Paszke et al. 2016 (ENet, arXiv:1606.02147), table 3, of the authors' network, running statistics among
    # them. The paper itself gives the encoder alone, 14.7 M: section 3.
    assert learnt == 29_441_996
    assert round((learnt + sum(buffer.numel() for buffer in network.buffers())) / 1e6, 2) == 29.46
    assert round(sum(parameter.numel() for parameter in network.encoders.parameters()) / 1e6, 1) == 14.7
    # "The encoder network consists of 13 convolutional layers [...] each encoder layer has a corresponding decoder
    # layer and hence the decoder network has 13 layers": section 3. The last of them is the classifier.
    assert convolutions(network.encoders) == 13
    assert convolutions(network.decoders) + 1 == 13


def test_the_basic_one_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        network = SegNetBasic(3, 11)
    learnt = sum(parameter.numel() for parameter in network.parameters())
    # 1.425 M: table 1 (SegNet-Basic). Four and four 7x7 convolutions of 64 channels come to 9000 less.
    assert learnt == 3 * 64 * 49 + 7 * 64 * 64 * 49 + 8 * 128 + 64 * 11 + 11
    assert learnt == pytest.approx(1.425e6, rel=0.01)


def test_the_deepest_layer_of_the_basic_one_sees_106_pixels() -> None:
    """ "A pixel in the deepest layer feature map (layer 4) can be traced back to a context window in the input image of
    106 x 106 pixels": section 3.1.
    """
    torch.manual_seed(0)
    network = SegNetBasic(1, 2, width=2).eval()
    # One image for each of its columns, which alone is NaN.
    x = torch.zeros(256, 1, 16, 256)
    x[torch.arange(256), :, :, torch.arange(256)] = torch.nan
    with torch.inference_mode():
        for encoder in network.encoders:
            x = pool(encoder(x))[0]
    assert int(x[:, 0, 0, 8].isnan().sum()) == 106


@pytest.mark.parametrize("make", [SegNet, SegNetBasic])
def test_sides_stay_and_others_name_the_next(make: type[nn.Module]) -> None:
    network = make(3, 4, width=2, depth=3).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 24, 40)).shape == (2, 4, 24, 40)
    # 360 rows, the paper's, are no multiple of 32: a job continues the image to 384.
    with pytest.raises(ValueError, match=r"side of 360 px does not pass .* 384$"):
        make(3, 4, width=1, depth=5)(torch.zeros(1, 3, 360, 480))


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"depth": 6}, {"width": 0}])
def test_arguments_that_make_no_network_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        SegNet(3, 2, **wrong)


def reach_by_hand(down: Sequence[int], up: Sequence[int]) -> int:
    """From a border at a multiple of the stride: pixels each level's convolutions add, halved where it pools."""
    at = 0
    for pixels in down:
        at = (at - pixels) // 2
    for pixels in up:
        at = 2 * at - pixels
    return -at


def test_reach_by_hand_is_that_of_the_design() -> None:
    """DESIGN.md, section 3: a SegNet of depth 4 with two convolutions a level reaches 62 px, within its phase."""
    assert reach_by_hand((2, 2, 2, 2), (2, 2, 2, 2)) == 62


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_reach_is_what_the_convolutions_add_up_to(depth: int) -> None:
    convs = (2, 2, 3, 3, 3)[:depth]
    torch.manual_seed(0)
    found = measure_geometry(SegNet(1, 2, width=4, depth=depth).eval(), 1)
    assert (found.stride, found.reach, found.exactness) == (2**depth, reach_by_hand(convs, convs[::-1]), "exact")


def test_the_reach_of_the_basic_one() -> None:
    torch.manual_seed(0)
    found = measure_geometry(SegNetBasic(1, 2, width=4).eval(), 1)
    assert (found.stride, found.reach) == (16, reach_by_hand((3, 3, 3, 3), (3, 3, 3, 3)))


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unpooling_is_that_of_torch(dtype: torch.dtype, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    # Wider than 256 pixels, and with equal values in some squares: they are common in bfloat16.
    image = torch.randn(2, 3, 6, 300).mul(4).round().to(dtype).contiguous(memory_format=layout)
    values, indices = functional.max_pool2d(image, 2, return_indices=True)
    wanted = functional.max_unpool2d(values, indices, 2)
    largest, place = pool(image)
    made = unpool(largest, place)
    assert place.dtype == torch.uint8
    assert torch.equal(largest, values)
    assert torch.equal(made, wanted)
    assert made.is_contiguous(memory_format=layout)


def test_unpooling_is_deterministic_where_torch_s_own_is_refused() -> None:
    image = torch.randn(1, 1, 4, 4)
    values, indices = functional.max_pool2d(image, 2, return_indices=True)
    wanted = functional.max_unpool2d(values, indices, 2)
    torch.use_deterministic_algorithms(mode=True)
    try:
        with pytest.raises(RuntimeError, match="deterministic"):
            functional.max_unpool2d(values, indices, 2)
        assert torch.equal(unpool(*pool(image)), wanted)
    finally:
        torch.use_deterministic_algorithms(mode=False)


def test_a_place_is_the_same_in_a_tile_as_in_the_whole() -> None:
    image = torch.randn(1, 2, 40, 60)
    whole, tile = pool(image)[1], pool(image[:, :, 8:32, 20:48])[1]
    assert torch.equal(tile, whole[:, :, 4:16, 10:24])


def test_the_gradient_goes_back_to_the_largest_alone() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 1, 4, 6, requires_grad=True)
    weight = torch.arange(1.0, 25).reshape(1, 1, 4, 6)
    made = unpool(*pool(image))
    (made * weight).sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, torch.where(made != 0, weight, 0))
