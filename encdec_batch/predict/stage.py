"""The network of a job, ready for blocks of any of its scenes."""

from __future__ import annotations

import threading

from encdec_batch.grid import Block
from encdec_batch.models.package import Package
from encdec_batch.plan.checks import check_block, check_grid
from encdec_batch.plan.products import CELLS, check_products, needed_products
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.engines import open_engine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import Affine, affine_of
from encdec_batch.predict.prediction import Prediction
from encdec_batch.predict.predictor import Predictor
from encdec_batch.read.patch import Patch


class BlockPredictor:
    """One engine, and a predictor for each set of products that scenes still lack.

    Raises:
        ModelError: the network cannot be built, or does not give its golden output here.
    """

    def __init__(self, recipe: Recipe, package: Package) -> None:
        self._recipe = recipe
        resolved = recipe.resolved
        self._engine = open_engine(package, device=resolved.torch_device, precision=resolved.precision)
        self._predictors: dict[tuple[Wanted, int], Predictor] = {}
        self._making = threading.Lock()

    def predict(self, scene: ScenePlan, block: Block, patch: Patch) -> Prediction:
        """The products of a block; `patch` covers its padded window."""
        wanted = Wanted(
            products=needed_products(self._recipe.products, scene.outputs),
            cells=CELLS in scene.outputs,
        )
        predictor = self._for(wanted, self._recipe.resolved.batch)
        return predictor.predict(patch, scene.grid(), block, self._affine(scene))

    def check(self, scene: ScenePlan, number: int, patch: Patch) -> Prediction:
        """A check window by itself; a batch filled up with copies of it would cost as much as a batch."""
        grid = check_grid(scene.grid(), scene.checks, number)
        block = check_block(scene.grid(), scene.checks, number)
        predictor = self._for(Wanted(products=check_products(self._recipe.products[0]), as_check=True), 1)
        return predictor.predict(patch, grid, block, self._affine(scene))

    def _affine(self, scene: ScenePlan) -> Affine:
        scales = [scene.header.scales[band - 1] for band in scene.bands]
        offsets = [scene.header.offsets[band - 1] for band in scene.bands]
        return affine_of(self._recipe.card, scales, offsets, scene.value_range)

    def _for(self, wanted: Wanted, batch: int) -> Predictor:
        with self._making:
            if (wanted, batch) not in self._predictors:
                stitch = self._recipe.spec.tiling.stitch
                weights = stitch.weights if stitch.kind == "blend" else "hann"
                made = Predictor(self._recipe.card, self._engine, wanted, batch=batch, weights=weights)
                self._predictors[wanted, batch] = made
            return self._predictors[wanted, batch]
