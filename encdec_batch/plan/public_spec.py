"""A spec as anybody may read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from encdec_batch.plan.private import names_of
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.job import JobSpec, LimitsSpec
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.source import IMAGE_SUFFIXES, SCENE_SUFFIXES, Reading, Source
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import Pairs
from encdec_batch.uri import public_uri, public_values

_ONE, _SEVERAL = ("uri", "pattern", "images", "targets"), ("uris", "prefixes")
"""Keys of sources that name objects or folders."""
_SINCE = {
    **{name: field.default for name, field in Reading.model_fields.items()},
    "folders": 1,
    "values": DataSpec.model_fields["values"].default,
    **{name: LimitsSpec.model_fields[name].default for name in ("max_volume_mib", "max_planes", "max_objects")},
}
"""Options of the data of a training that there were not always, as they usually are: a training that was begun before
is the same one."""


def public_spec(spec: JobSpec) -> dict[str, Any]:
    """Without what opens signed links and, where names are private, with what stands for those of the source.

    Raises:
        SpecError: names are private, and there is no key.
    """
    data: dict[str, Any] = public_values(spec.model_dump(mode="json"))
    _veil(data["source"], _names(spec.privacy))
    return data


def public_train_spec(spec: TrainSpec) -> dict[str, Any]:
    """The same of a training.

    Raises:
        SpecError: as `public_spec`.
    """
    data: dict[str, Any] = public_values(spec.model_dump(mode="json"))
    for source in _sources_of(data["data"]):
        _veil(source, _names(spec.privacy))
    return data


def public_data(data: DataSpec, privacy: PrivacySpec) -> dict[str, Any]:
    """What decides which samples a network learns from, in what order: neither stores nor processes.

    Raises:
        SpecError: as `public_spec`.
    """
    said: dict[str, Any] = public_values(_without_storage(data.model_dump(mode="json", exclude={"loading"})))
    for section in (said, *_sources_of(said), said["split"], said["limits"]):
        for key in [key for key, value in section.items() if key in _SINCE and value == _SINCE[key]]:
            del section[key]
    for source in _sources_of(said):
        # Which files there are is in their digest; what was looked for has become more.
        if source.get("suffixes") == list(IMAGE_SUFFIXES):
            source["suffixes"] = list(SCENE_SUFFIXES)
        _veil(source, _names(privacy))
    return said


def named_by(source: Pairs | Source) -> Iterator[str]:
    """URIs of a source's tables and folders."""
    said = source.model_dump(mode="json")
    yield from (said[key] for key in _ONE if isinstance(said.get(key), str))
    for key in _SEVERAL:
        yield from said.get(key) or ()


def source_name(spec: JobSpec) -> str:
    """What a job is over, in a few words."""
    source = spec.source
    if source.kind == "list":
        return f"{len(source.uris)} scenes"
    return "private images" if spec.privacy.hide == "on" else public_uri(source.uri)


def _names(privacy: PrivacySpec) -> Pseudonyms | None:
    return names_of(privacy) if privacy.hide == "on" else None


def _sources_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the section `data` of a training."""
    split = data["split"]
    return [data["train"], *([split["pairs"]] if split["kind"] == "pairs" else [])]


def _veil(source: dict[str, Any], names: Pseudonyms | None) -> None:
    if names is None:
        return
    for key in _ONE:
        if isinstance(source.get(key), str):
            # Of a table `target` and `image` are columns; these are not among the keys.
            source[key] = names.uri(source[key])
    for key in _SEVERAL:
        if source.get(key):
            source[key] = [names.uri(uri) for uri in source[key]]


def _without_storage(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_storage(one) for key, one in value.items() if key != "storage"}
    return [_without_storage(one) for one in value] if isinstance(value, list) else value
