"""How scenes are cut."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encdec_batch.spec.base import Spec

MOST_PIXELS = 1 << 24
"""Of a side: no scene is as wide, and products of such numbers are still numbers of bytes."""


class CropStitch(Spec):
    """Each pixel comes from the one tile whose core holds it: exact for networks of finite reach."""

    kind: Literal["crop"] = "crop"


class BlendStitch(Spec):
    """Overlapping tiles averaged with weights, for networks of global reach: an approximation, but for scenes of one
    tile.
    """

    kind: Literal["blend"]
    weights: Literal["hann", "gaussian"] = "hann"


Stitch = Annotated[CropStitch | BlendStitch, Field(discriminator="kind")]


class TilingSpec(Spec):
    """Sides in scene pixels."""

    core: Annotated[int, Field(ge=1, le=MOST_PIXELS)] | Literal["auto"] = "auto"
    """Side of the output of one forward pass; `auto` measures a few on the device that runs the job."""
    halo: Annotated[int, Field(ge=0, le=MOST_PIXELS)] | None = None
    """Context on each side; None: what the card's measured reach demands. Less is faster and no longer exact."""
    stitch: Stitch = CropStitch()
    block: Annotated[int, Field(ge=512, le=MOST_PIXELS, multiple_of=512)] | None = None
    """Side of the unit of work and resume, a multiple of 512 px of output; None: the largest within `budget_gib`."""
    budget_gib: Annotated[float, Field(gt=0, le=1e6)] = 2.0
    """Memory that one block may take, all that is alive at a time counted."""
