"""Where an output keeps, encrypted, what later runs need in clear: below its own `.encdec/private/`, or where the spec
says, for whom fewer people have rights.

contents            of objects that were looked into (plan/contents_memory.py)
specs/<run id>      the spec of a run
"""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.plan.private import PRIVATE_PREFIX
from encdec_batch.spec.privacy import JobPrivacySpec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

CONTENTS = "contents"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateMap:
    """A folder of a store."""

    store: Store
    prefix: str

    def put(self, name: str, data: bytes) -> None:
        self.store.put(self.prefix + name, data)

    def get(self, name: str) -> bytes:
        """Raises:
        ObjectMissing: there is none.
        """
        return self.store.get(self.prefix + name)

    def delete(self, name: str) -> None:
        """Does nothing where there is none."""
        self.store.delete([self.prefix + name])


def private_map(output: Store, privacy: JobPrivacySpec) -> PrivateMap:
    """That of an output.

    Args:
        output: its root.
        privacy: of the run.

    Raises:
        SpecError: the spec names no store.
    """
    if privacy.map is None:
        return PrivateMap(store=output, prefix=PRIVATE_PREFIX)
    return PrivateMap(store=open_store(privacy.map, privacy.map_storage), prefix="")


def spec_name(run_id: str) -> str:
    return f"specs/{run_id}"
