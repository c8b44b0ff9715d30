"""On a CUDA device, where there is one: the labels of the CPU beyond rounding, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from predict.test_array import picture

import encdec_batch as eb
from encdec_batch.grid import Tiling, make_grid
from encdec_batch.models.network import build_network
from encdec_batch.plan.products import products_of
from encdec_batch.predict.device import choose_device
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import affine_of
from encdec_batch.predict.predictor import Predictor
from encdec_batch.read.block import pad
from encdec_batch.read.patch import Patch
from encdec_batch.spec.output import OutputSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]

PACKAGE = Path(__file__).parents[2] / "jobs" / "packages" / "nuclei"
SIDE = 700


def labels_on(device: str, precision: str, core: int = 128) -> np.ndarray:
    package = eb.load_package(str(PACKAGE))
    card, image = package.card, picture(3, SIDE, SIDE)
    engine = EagerEngine(build_network(package), device=device, precision=precision)
    wanted = Wanted(products=products_of(card, OutputSpec(uri="memory")), cells=True)
    predictor = Predictor(card, engine, wanted, batch=3)
    grid = make_grid(SIDE, SIDE, card.network_geometry, Tiling(core=core, block=SIDE))
    block = grid.block(0, 0)
    patch = pad(Patch(pixels=image, valid_mask=np.ones((SIDE, SIDE), bool)), grid, block, card.padding)
    made = predictor.predict(patch, grid, block, affine_of(card, (1.0,) * 3, (0.0,) * 3))
    return made.rasters["mask"][0]


def test_it_is_chosen_where_it_is():
    assert choose_device("auto", "auto", "auto").torch_name == "cuda"


@pytest.mark.parametrize(("precision", "share"), [("float32", 1e-4), ("bfloat16", 1e-2)])
def test_labels_are_the_cpus_but_for_close_calls(precision: str, share: float):
    assert (labels_on("cuda", precision) != labels_on("cpu", "float32")).mean() <= share


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_labels_every_time(precision: str):
    np.testing.assert_array_equal(labels_on("cuda", precision), labels_on("cuda", precision))


def test_float32_labels_do_not_depend_on_the_core():
    one, other = labels_on("cuda", "float32", 128), labels_on("cuda", "float32", 256)
    assert (one != other).mean() <= 1e-4
