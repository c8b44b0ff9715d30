"""Whether a cluster can ever give what is asked of one of its nodes: Ray itself would wait for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from encdec_batch.errors import SpecError

_STATUS, _SECOND_AUTOSCALER = b"__autoscaling_status", b"__autoscaler_v2_enabled"
"""Keys of what autoscalers tell the cluster's head (ray/_private/ray_constants.py, ray/autoscaler/v2/utils.py)."""
_NOT_MADE = "node_"
"""Before the id of a node, in the place of its type: nothing made it, and nothing will make another."""
_RULES = ("!", "in(", "!in(")
"""How a label's wanted value begins that is a rule of Ray's; those are Ray's to judge."""


def check_node_fits(place: Mapping[str, Any], address: str, *, what: str, hint: str) -> None:
    """Nothing, where some node of this Ray has what `place` asks for, or nodes may come.

    Args:
        place: options of a task or actor: num_cpus, num_gpus, label_selector.
        address: of this Ray, as in the spec.
        what: asks for it.
        hint: what to do about it.

    Raises:
        SpecError: no node has it, and none will.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if any(_fits(node, place) for node in nodes) or may_grow(address):
        return
    there = "; ".join(sorted({_said(node) for node in nodes}))
    raise SpecError(
        f"{what} wants {_wanted(place)}, and no node of this Ray has that, nor will one come; its nodes have: {there}",
        hint=hint,
    )


def _fits(node: Mapping[str, Any], place: Mapping[str, Any]) -> bool:
    there, labels = node["Resources"], node.get("Labels", {})
    enough = all(there.get(name, 0) >= place.get(key, 0) for name, key in (("CPU", "num_cpus"), ("GPU", "num_gpus")))
    selector: Mapping[str, str] = place.get("label_selector", {})
    return enough and all(value.startswith(_RULES) or labels.get(key) == value for key, value in selector.items())


def _wanted(place: Mapping[str, Any]) -> str:
    counts = {"CPU": place.get("num_cpus", 0), "GPU": place.get("num_gpus", 0)}
    said = [f"{value:g} {name}" for name, value in counts.items() if value]
    return ", ".join(said + [f"{key}={value}" for key, value in place.get("label_selector", {}).items()])


def _said(node: Mapping[str, Any]) -> str:
    there = node["Resources"]
    said = [f"{there.get(name, 0):g} {name}" for name in ("CPU", "GPU")]
    labels = [f"{key}={value}" for key, value in node.get("Labels", {}).items() if not key.startswith("ray.io/node-id")]
    return ", ".join(said + labels)


def may_grow(address: str) -> bool:
    """Whether something makes nodes for this Ray; yes, where it is not known."""
    if address == "local":
        return False
    from ray.experimental import internal_kv

    if internal_kv._internal_kv_get(_SECOND_AUTOSCALER) == b"1":  # noqa: SLF001  (Ray has no other way to ask)
        return True
    data = internal_kv._internal_kv_get(_STATUS)  # noqa: SLF001
    try:
        report = json.loads(data or b"")["autoscaler_report"]
        types = [*report["active_nodes"], *(report.get("pending_launches") or {})]
    except (ValueError, KeyError, TypeError):
        return True
    return not types or any(not name.startswith(_NOT_MADE) for name in types)
