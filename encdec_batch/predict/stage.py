"""The network of a job, ready for blocks of any of its scenes."""

from __future__ import annotations

import threading

from encdec_batch.grid import Block
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Package
from encdec_batch.plan.products import CELLS, needed_products
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import affine_of
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
        self._engine = EagerEngine(build_network(package), device=resolved.torch_device, precision=resolved.precision)
        self._predictors: dict[Wanted, Predictor] = {}
        self._making = threading.Lock()

    def predict(self, scene: ScenePlan, block: Block, patch: Patch) -> Prediction:
        """The products of a block; `patch` covers its padded window."""
        scales = [scene.header.scales[band - 1] for band in scene.bands]
        offsets = [scene.header.offsets[band - 1] for band in scene.bands]
        affine = affine_of(self._recipe.card, scales, offsets, scene.value_range)
        return self._for(scene).predict(patch, scene.grid(), block, affine)

    def _for(self, scene: ScenePlan) -> Predictor:
        wanted = Wanted(
            products=needed_products(self._recipe.products, scene.outputs),
            cells=CELLS in scene.outputs,
        )
        with self._making:
            if wanted not in self._predictors:
                stitch, resolved = self._recipe.spec.tiling.stitch, self._recipe.resolved
                self._predictors[wanted] = Predictor(
                    self._recipe.card,
                    self._engine,
                    wanted,
                    batch=resolved.batch,
                    weights=stitch.weights if stitch.kind == "blend" else "hann",
                )
            return self._predictors[wanted]
