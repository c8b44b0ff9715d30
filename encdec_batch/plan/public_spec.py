"""A spec as anybody may read it."""

from __future__ import annotations

from typing import Any

from encdec_batch.plan.private import names_of
from encdec_batch.spec.job import JobSpec
from encdec_batch.uri import public_uri, public_values


def public_spec(spec: JobSpec) -> dict[str, Any]:
    """Without what opens signed links and, where names are private, with what stands for those of the source.

    Raises:
        SpecError: names are private, and there is no key.
    """
    data: dict[str, Any] = public_values(spec.model_dump(mode="json"))
    if spec.privacy.hide == "on":
        names, source = names_of(spec.privacy), data["source"]
        for key in ("uri", "pattern"):
            if key in source:
                source[key] = names.uri(source[key])
        for key in ("uris", "prefixes"):
            if source.get(key):
                source[key] = [names.uri(uri) for uri in source[key]]
    return data


def source_name(spec: JobSpec) -> str:
    """What a job is over, in a few words."""
    source = spec.source
    if source.kind == "list":
        return f"{len(source.uris)} scenes"
    return "private images" if spec.privacy.hide == "on" else public_uri(source.uri)
