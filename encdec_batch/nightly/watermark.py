"""The watermark: the labelled scenes that the last promoted version knew. Whatever else is labelled is news."""

from __future__ import annotations

from collections.abc import Mapping

from encdec_batch.models.alias import Alias, read_alias
from encdec_batch.models.lineage import read_lineage
from encdec_batch.store.store import Store


def watermark_of(registry: Store, name: str, production: Alias | None) -> Mapping[str, str]:
    """Scenes of the watermark, by key to fingerprint: the lineage of the version that was promoted last.

    Also where it was rolled back since, for what made it is no news. Where nothing was promoted yet, the lineage of the
    candidate; where no night made the promoted version, that of the version in production.

    Raises:
        ModelError: a record of the registry is damaged.
    """
    if production is None:
        candidate = read_alias(registry, name, "candidate")
        digests = [candidate[0].digest] if candidate else []
    else:
        promoted = [move.digest for move in reversed(production.moves) if move.kind == "promote"]
        digests = [*promoted[:1], production.digest]
    for digest in digests:
        lineage = read_lineage(registry, name, digest)
        if lineage is not None:
            return lineage.scenes
    return {}
