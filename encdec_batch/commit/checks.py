"""The checks of a scene that lie beside its parts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from encdec_batch.errors import ObjectMissing, PartMissing, PreconditionFailed
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.store.store import Store
from encdec_batch.window import Window
from encdec_batch.write.check import Check, decode_check

_AT_ONCE = 8


def stored_checks(store: Store, prefix: str, scene: ScenePlan) -> list[Check]:
    """The results of all check windows of a scene, in their order.

    Args:
        store: the root of the output.
        prefix: of the scene's parts, "/" at its end.
        scene: whose windows are wanted.

    Raises:
        PartMissing: `context["blocks"]` names all that are gone, damaged or of another window; what was wrong was
            deleted.
    """
    names, scale = scene.checks.names, scene.geometry.scale
    if not names:
        return []
    windows = [window.scale(scale) for window in scene.checks.windows]
    with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
        found = list(pool.map(lambda name, window: _stored(store, prefix + name, window), names, windows))
    lost = [name for name, check in zip(names, found, strict=True) if check is None]
    if lost:
        raise PartMissing(
            f"checks are gone or damaged: {', '.join(lost)}", hint="they are computed once more", blocks=lost
        )
    return [check for check in found if check is not None]


def _stored(store: Store, path: str, window: Window) -> Check | None:
    try:
        data, info = store.get_with_info(path)
    except ObjectMissing:
        return None
    with suppress(PartMissing):
        check = decode_check(data)
        # An earlier version may have placed its windows otherwise.
        if check.window == window:
            return check
    # Another committer may have dropped it already, and its window may have been computed again.
    with suppress(ObjectMissing, PreconditionFailed):
        store.delete_if_match(path, info.etag)
    return None
