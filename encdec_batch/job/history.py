"""What earlier runs left below `.encdec/runs/`: their specs, and which marker is of which."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import EncdecError, ObjectMissing, SpecError
from encdec_batch.job.runlog import run_folder
from encdec_batch.job.status import run_ids
from encdec_batch.plan.private import names_of
from encdec_batch.plan.private_map import private_map, spec_name
from encdec_batch.plan.recipe import Order
from encdec_batch.spec.job import MAX_PREVIEWS, JobSpec
from encdec_batch.spec.load import parse_spec
from encdec_batch.spec.privacy import JobPrivacySpec
from encdec_batch.store.store import Store


def newest_spec(store: Store) -> JobSpec:
    """That of the run that began last.

    Raises:
        EncdecError: none has left one.
    """
    for run_id in run_ids(store):
        spec = spec_of(store, run_id)
        if spec is not None:
            return spec
    raise EncdecError(f"{store.uri}: no run has left its spec here", hint="run the job once")


def spec_of(store: Store, run_id: str) -> JobSpec | None:
    """The spec of a run; None where it left none.

    Raises:
        SpecError: it is not one that this version reads.
    """
    try:
        text = store.get(f"{run_folder(run_id)}spec.yaml")
    except ObjectMissing:
        return None
    name = f"{store.uri}: the spec of run {run_id}"
    data = _yaml(text, name)
    privacy = _privacy_of(data)
    if privacy is not None and privacy.hide == "on":
        data = _yaml(_in_clear(store, run_id, privacy, name), name)
    # An earlier version allowed more pictures than a page holds.
    report = data.get("report") if isinstance(data, dict) else None
    if isinstance(report, dict) and isinstance(report.get("previews"), int):
        report["previews"] = min(report["previews"], MAX_PREVIEWS)
    return parse_spec(data, name=name)


def privacy_of(store: Store, run_id: str) -> JobPrivacySpec | None:
    """Of the spec of a run; None where it left none that says."""
    try:
        return _privacy_of(_yaml(store.get(f"{run_folder(run_id)}spec.yaml"), run_id))
    except (ObjectMissing, SpecError):
        return None


def _privacy_of(data: Any) -> JobPrivacySpec | None:
    said = data.get("privacy") if isinstance(data, dict) else None
    try:
        return None if said is None else JobPrivacySpec.model_validate(said)
    except ValidationError:
        return None


def _in_clear(store: Store, run_id: str, privacy: JobPrivacySpec, name: str) -> bytes:
    try:
        return names_of(privacy).decrypted(private_map(store, privacy).get(spec_name(run_id)))
    except (ObjectMissing, ValueError) as error:
        raise SpecError(
            f"{name} names private images, and cannot be read: {error}",
            hint=f"set {privacy.key} to the key that the run had",
        ) from None


def _yaml(text: bytes, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: {' '.join(str(error).split())}") from None


def is_of(order: Order, marker: Marker) -> bool:
    """Whether a scene was made with this package and these options, of the input that it had then."""
    bands = marker.summary.get("bands")
    # A table may give a scene bands of its own; what was asked for is not in the marker, what was read is.
    own = tuple(int(str(band)) for band in bands) if isinstance(bands, list) else None
    images = marker.input.images
    return any(order.scene_key(images, asked) == marker.scene_key for asked in (None, own))
