"""What a cluster can never give is said, and what may come is waited for."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from encdec_batch.errors import SpecError
from encdec_batch.stream.cluster_fit import check_node_fits

CPUS = {"Alive": True, "Resources": {"CPU": 4.0}, "Labels": {"ray.io/node-id": "f0", "pool": "readers"}}
GPUS = {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}, "Labels": {"pool": "gpu"}}
GONE = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}, "Labels": {}}
FIXED = {"active_nodes": {"node_f0": 1, "node_f1": 1}, "pending_launches": {}}
LAUNCHER = {"active_nodes": {"ray.head.default": 1}, "pending_launches": {}}


def a_ray(monkeypatch, nodes, told):
    """A Ray of these nodes, whose head has been told these things by autoscalers."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    kept = SimpleNamespace(_internal_kv_get=told.get)
    monkeypatch.setitem(sys.modules, "ray.experimental", SimpleNamespace(internal_kv=kept))


def status(report):
    return {b"__autoscaling_status": json.dumps({"autoscaler_report": report}).encode()}


@pytest.mark.parametrize(
    "place",
    [
        {"num_cpus": 4},
        {"num_cpus": 0.5, "num_gpus": 1},
        {"num_cpus": 2, "label_selector": {"pool": "readers"}},
        {"num_gpus": 0.25, "label_selector": {"pool": "in(gpu,other)"}},
    ],
)
def test_what_some_node_has(monkeypatch, place):
    a_ray(monkeypatch, [CPUS, GPUS, GONE], status(FIXED))
    check_node_fits(place, "auto", what="a worker", hint="add one")


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ({"num_cpus": 8}, "8 CPU"),
        ({"num_cpus": 4, "num_gpus": 1}, "4 CPU, 1 GPU"),
        ({"num_gpus": 2}, "2 GPU"),
        ({"num_gpus": 1, "label_selector": {"pool": "readers"}}, "1 GPU, pool=readers"),
        ({"num_cpus": 1, "label_selector": {"zone": "a"}}, "1 CPU, zone=a"),
    ],
)
def test_what_no_node_has_and_none_will(monkeypatch, place, wanted):
    a_ray(monkeypatch, [CPUS, GPUS, GONE], status(FIXED))
    with pytest.raises(SpecError) as raised:
        check_node_fits(place, "auto", what="a worker", hint="add one")
    assert str(raised.value) == (
        f"a worker wants {wanted}, and no node of this Ray has that, nor will one come; its nodes have: "
        "2 CPU, 1 GPU, pool=gpu; 4 CPU, 0 GPU, pool=readers; add one"
    )


@pytest.mark.parametrize(
    "told",
    [
        status(LAUNCHER),
        status({"active_nodes": {}, "pending_launches": {"gpu": 1}}),
        {b"__autoscaler_v2_enabled": b"1", **status(FIXED)},
        {},
        {b"__autoscaling_status": b"something else"},
        status({"other": 1}),
    ],
    ids=["launcher", "coming", "second_autoscaler", "not_told", "not_json", "another_ray"],
)
def test_where_nodes_may_come_or_it_is_not_known(monkeypatch, told):
    a_ray(monkeypatch, [CPUS], told)
    check_node_fits({"num_gpus": 1}, "auto", what="a worker", hint="")
    with pytest.raises(SpecError):
        check_node_fits({"num_gpus": 1}, "local", what="a worker", hint="")
