"""Scenes that a run sets aside: the record of each is in the store before it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from encdec_batch.commit.lease import Lease
from encdec_batch.commit.quarantine import QuarantineRecord, remove_quarantine, write_quarantine
from encdec_batch.plan.plan import Quarantined
from encdec_batch.plan.recipe import Order
from encdec_batch.plan.scene import SetAside
from encdec_batch.store.store import Store


class Asides:
    """The quarantine, as one run writes it. Used by one thread.

    Args:
        order: what is asked for.
        store: of the output.
        lease: of the run: an overtaken driver has no say in what is set aside.
        earlier: what earlier runs set aside, by scene id.
    """

    def __init__(self, order: Order, store: Store, lease: Lease, earlier: Mapping[str, Quarantined]) -> None:
        self._order, self._store, self._lease, self._earlier = order, store, lease, earlier
        self._scenes: dict[str, SetAside] = {}

    def __contains__(self, scene_id: object) -> bool:
        return scene_id in self._scenes

    @property
    def scenes(self) -> tuple[SetAside, ...]:
        """In the order in which they were set aside."""
        return tuple(self._scenes.values())

    def add(self, aside: SetAside, key: str | None) -> bool:
        """Sets a scene aside.

        Args:
            aside: which, and why.
            key: its scene key, where it has one.

        Returns:
            False if this run had set it aside before: the first reason stands.

        Raises:
            LeaseHeld: another run has taken over the output.
        """
        if aside.scene_id in self._scenes:
            return False
        record = QuarantineRecord(
            stage=aside.stage,
            scene_id=aside.scene_id,
            uri=aside.uri,
            block=aside.block,
            reason=aside.reason,
            hint=aside.hint,
            kind="transient" if aside.transient else "condemned",
            trial_key=key and self._order.trial_key(key),
        )
        earlier = self._earlier.get(aside.scene_id)
        if earlier is None or (earlier.trial_key, earlier.aside) != (record.trial_key or "", aside):
            self._lease.check()
            write_quarantine(self._store, record)
        self._scenes[aside.scene_id] = aside
        return True

    def add_all(self, asides: Iterable[SetAside], keys: Mapping[str, str]) -> None:
        """`add` for each, with the key that `keys` has for it."""
        for aside in asides:
            self.add(aside, keys.get(aside.scene_id))

    def drop_record(self, scene_id: str) -> None:
        """Of a scene that was committed, if an earlier run had set it aside."""
        if scene_id in self._earlier:
            remove_quarantine(self._store, [scene_id])

    def drop_stale(self, is_over: Callable[[str], bool] = lambda _: True) -> None:
        """Records of scenes that are done by now, or no longer in the source, as far as `is_over` agrees."""
        stale = [name for name in self._earlier if name not in self._scenes]
        remove_quarantine(self._store, [name for name in stale if is_over(name)])
