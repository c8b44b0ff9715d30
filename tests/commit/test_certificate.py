"""What a certificate says of check windows beside the tiles that were written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commit.scenes import MASK, Array, image_product, patches, scene_tiles
from fakes import FakeStore
from plan.recipes import card, order, recipe, scene

from encdec_batch.commit.certificate import certify, tolerance_of, without_checks
from encdec_batch.commit.checks import stored_checks
from encdec_batch.errors import CertificateFailed, PartMissing
from encdec_batch.models.card import ClassCard, ClassesOutput, ImageOutput, ToleranceCard
from encdec_batch.plan.checks import Checks
from encdec_batch.plan.product import Product
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.window import Window
from encdec_batch.write.check import Check, encode_check

SHAPE = (700, 1100)
WINDOWS = (Window(480, 480, 64, 64), Window(0, 636, 64, 64), Window(1036, 0, 64, 64))
TOLERANCE = {"cpu/float32": ToleranceCard(value=0.01, margin=0.02)}
LOW, HIGH = -1.0, 3.0


def with_tolerance(made: Recipe, tolerance: dict[str, ToleranceCard] = TOLERANCE) -> Recipe:
    changed = made.card.model_copy(update={"tolerance": tolerance})
    return replace(made, order=replace(made.order, card=changed))


def classes() -> ClassesOutput:
    pairs = zip(MASK.class_ids, MASK.class_names, strict=True)
    return ClassesOutput(
        kind="classes", activation="softmax", classes=tuple(ClassCard(id=i, name=n, color=(0, 0, 0)) for i, n in pairs)
    )


def image(dtype: str) -> ImageOutput:
    return ImageOutput(kind="image", band_names=("a", "b"), dtype=dtype, range=(LOW, HIGH))


def planned() -> ScenePlan:
    return scene("a", *SHAPE, checks=Checks(windows=WINDOWS, tile=(96, 96)))


def class_checks(pixels: Array, margin: float = 1.0) -> list[Check]:
    return [
        Check(
            window=w,
            rasters={
                "mask": pixels[:, w.rows, w.cols].copy(),
                "margin": np.where(pixels == MASK.nodata, np.nan, margin).astype(np.float32)[:, w.rows, w.cols],
            },
        )
        for w in WINDOWS
    ]


def certificate(made: Recipe, product: Product, pixels: Array, checks: list[Check]) -> dict[str, Any]:
    return certify(made, planned(), scene_tiles(pixels, product, side=512, levels=0), checks)


@pytest.fixture(scope="module")
def mask() -> Array:
    return patches(MASK, *SHAPE)


def of_classes(**changes: Any) -> Recipe:
    return with_tolerance(recipe(order(card(output=classes()), **changes)))


def a_valid_pixel(pixels: Array, window: Window) -> tuple[int, int]:
    rows, cols = np.nonzero(pixels[0, window.rows, window.cols] == MASK.class_ids[1])
    return int(rows[0]), int(cols[0])


def test_equal_windows_pass_and_nodata_is_not_compared(mask):
    found = certificate(of_classes(), MASK, mask, class_checks(mask))
    valid = sum(int((mask[:, w.rows, w.cols] != MASK.nodata).sum()) for w in WINDOWS)
    assert 0 < valid < 3 * 64 * 64
    assert {name: found[name] for name in ("result", "windows", "pixels", "holes", "differing", "worst")} == {
        "result": "passed",
        "windows": 3,
        "pixels": valid,
        "holes": 0,
        "differing": 0,
        "worst": 0.0,
    }
    assert (found["tolerance"], found["worst_window"]) == (0.02, None)


@pytest.mark.parametrize(("margin", "passes"), [(0.019, True), (0.021, False)])
def test_a_flip_is_forgiven_up_to_the_tolerance(mask, margin, passes):
    checks = class_checks(mask, margin)
    row, col = a_valid_pixel(mask, WINDOWS[1])
    checks[1].rasters["mask"][0, row, col] = MASK.class_ids[0]
    if passes:
        found = certificate(of_classes(), MASK, mask, checks)
        assert (found["differing"], found["worst"], found["worst_window"]) == (1, 0.019, [0, 636, 64, 64])
        return
    with pytest.raises(CertificateFailed, match=r"1 are of another class, by a margin of up to 0.021 where 0.02"):
        certificate(of_classes(), MASK, mask, checks)


def test_many_flips_are_no_rounding_however_close(mask):
    checks = class_checks(mask, 0.001)
    rows, cols = np.nonzero(mask[0, WINDOWS[0].rows, WINDOWS[0].cols] == MASK.class_ids[1])
    checks[0].rasters["mask"][0, rows[:2], cols[:2]] = MASK.class_ids[0]
    with pytest.raises(CertificateFailed, match="2 are of another class, more than rounding explains"):
        certificate(of_classes(), MASK, mask, checks)


@pytest.mark.parametrize("hole_in", ["check", "scene"])
def test_a_hole_on_one_side_is_no_rounding(mask, hole_in):
    checks, pixels = class_checks(mask), mask.copy()
    row, col = a_valid_pixel(mask, WINDOWS[0])
    if hole_in == "check":
        checks[0].rasters["mask"][0, row, col] = MASK.nodata
    else:
        pixels[0, WINDOWS[0].row_off + row, WINDOWS[0].col_off + col] = MASK.nodata
    with pytest.raises(CertificateFailed, match="1 are nodata on one side alone"):
        certificate(of_classes(), MASK, pixels, checks)


def test_windows_of_nodata_alone_compare_nothing():
    pixels = np.full((1, *SHAPE), MASK.nodata, np.uint8)
    found = certificate(of_classes(), MASK, pixels, class_checks(pixels))
    assert (found["result"], found["pixels"], found["holes"], found["worst"]) == ("passed", 0, 0, 0.0)


@pytest.mark.parametrize("tiling", [{"halo": 4}, {"stitch": {"kind": "blend"}}])
def test_of_what_is_not_exact_the_error_is_stated(mask, tiling):
    checks = class_checks(mask, 5.0)
    checks[0].rasters["mask"][0, :8] = MASK.class_ids[0]
    checks[1].rasters["mask"][0, :, :9] = MASK.nodata
    found = certificate(of_classes(tiling={"core": 256, **tiling}), MASK, mask, checks)
    assert (found["result"], found["worst"]) == ("stated", 5.0)
    assert found["differing"] > 100
    assert found["holes"] > 100


def written(dtype: str) -> tuple[Product, Array, Array]:
    """A product, its pixels, and the values that they were made of."""
    rng = np.random.default_rng(3)
    values = rng.uniform(LOW, HIGH, (2, *SHAPE)).astype(np.float32)
    if dtype == "float32":
        product = image_product("float32", 2, np.nan)
        pixels = values.copy()
    else:
        levels = {"uint8": 254, "uint16": 65534}[dtype]
        product = image_product(dtype, 2, 0)
        pixels = (1 + np.floor((values - LOW) * (levels / (HIGH - LOW)) + 0.5)).astype(dtype)
    pixels[:, 500:520, :30] = product.nodata
    values[:, 500:520, :30] = np.nan
    return product, pixels, values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("off", "passes"), [(0.0, True), (0.009, True), (0.011, False)])
def test_values_are_compared_to_the_tolerance_whatever_they_are_stored_as(dtype, off, passes):
    product, pixels, values = written(dtype)
    made = with_tolerance(recipe(order(card(output=image(dtype)))))
    moved = np.where(values + off < HIGH, values + off, values - off)
    checks = [Check(window=w, rasters={"image": moved[:, w.rows, w.cols]}) for w in WINDOWS]
    if passes:
        found = certificate(made, product, pixels, checks)
        assert found["result"] == "passed"
        assert found["differing"] == found["holes"] == 0
        assert found["worst"] == pytest.approx(off, abs=2e-5)
        assert found["tolerance"] == 0.01
        return
    with pytest.raises(CertificateFailed, match=r"have another value, by up to 0\.011 where 0\.01 "):
        certificate(made, product, pixels, checks)


def test_a_value_that_is_not_finite_on_one_side_is_the_worst():
    product, pixels, values = written("float32")
    values[0, WINDOWS[0].row_off, WINDOWS[0].col_off] = np.inf
    checks = [Check(window=w, rasters={"image": values[:, w.rows, w.cols]}) for w in WINDOWS]
    made = recipe(order(card(output=image("float32"))))
    with pytest.raises(CertificateFailed):
        certificate(with_tolerance(made), product, pixels, checks)
    blended = recipe(order(card(output=image("float32")), tiling={"stitch": {"kind": "blend"}}))
    assert certificate(with_tolerance(blended), product, pixels, checks)["worst"] is None


def test_the_tolerance_is_that_of_the_device_and_precision():
    here = {"cpu/float32": 1.0, "cuda/float32": 2.0, "cpu/bfloat16": 3.0}
    cards = {name: ToleranceCard(value=value, margin=2 * value) for name, value in here.items()}
    made = with_tolerance(recipe(), cards)
    kinds = [(device, precision) for device in ("cpu", "cuda") for precision in ("float32", "bfloat16")]
    on = {kind: replace(made.resolved, torch_device=kind[0], precision=kind[1]) for kind in kinds}
    found = {kind: tolerance_of(replace(made, resolved=resolved)) for kind, resolved in on.items()}
    assert list(found.values()) == [2.0, 6.0, 4.0, None]
    images = with_tolerance(recipe(order(card(output=image("uint8")))), cards)
    assert tolerance_of(images) == 1.0


def test_without_a_tolerance_the_difference_is_stated(mask):
    checks = class_checks(mask, 0.5)
    row, col = a_valid_pixel(mask, WINDOWS[0])
    checks[0].rasters["mask"][0, row, col] = MASK.class_ids[0]
    found = certificate(with_tolerance(of_classes(), {}), MASK, mask, checks)
    assert (found["result"], found["tolerance"], found["worst"]) == ("stated", None, 0.5)


def test_scenes_without_checks_say_why():
    assert without_checks(scene("a", 200, 300)) == {"result": "one tile"}
    assert without_checks(scene("a", 900, 300)) == {"result": "not drawn"}


def test_a_check_that_is_gone_damaged_or_of_another_window_runs_once_more(mask):
    store, made = FakeStore(), planned()
    good = class_checks(mask)
    paths = [f"p/{name}" for name in made.checks.names]
    for path, check in zip(paths, good, strict=True):
        store.put(path, encode_check(check))
    assert [check.window for check in stored_checks(store, "p/", made)] == list(WINDOWS)
    store.put(paths[0], encode_check(replace(good[0], window=Window(8, 8, 64, 64))))
    store.put(paths[1], b"damaged")
    store.delete([paths[2]])
    with pytest.raises(PartMissing) as raised:
        stored_checks(store, "p/", made)
    assert raised.value.context["blocks"] == list(made.checks.names)
    assert store.objects == {}, "what was wrong is not found again"
