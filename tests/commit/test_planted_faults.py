"""A certificate that cannot fail is none: each fault that tiling can have, planted in the blocks of a worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from commit.faults import (
    Fault,
    Worker,
    border_padded,
    certificate_in,
    halo_one_stride_short,
    job,
    lying_card,
    make_package,
    noise,
    normalised_by_tile,
    origin_off_by_one,
    run_stages,
    weights_of_another_model,
)
from e2e.made import aside, markers, run, write_spec, write_tiff

from encdec_batch.pipeline import open_output

pytestmark = pytest.mark.integration
SHAPE = (900, 1100)
KINDS = ("classes", "float32", "uint16")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("packages")
    made = {kind: make_package(folder / kind, kind) for kind in KINDS}
    return made | {f"other {kind}": make_package(folder / f"other-{kind}", kind, seed=1) for kind in KINDS}


def fault_of(name: str, packages: dict[str, str], kind: str) -> Fault:
    faults = {
        "halo one stride short": halo_one_stride_short,
        "origin off by one": origin_off_by_one,
        "border padded": border_padded,
        "per-tile normalisation": normalised_by_tile,
        "weights of another model": weights_of_another_model(packages[f"other {kind}"]),
    }
    return faults[name]


FAULTS = (
    "halo one stride short",
    "origin off by one",
    "border padded",
    "per-tile normalisation",
    "weights of another model",
)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_fault_the_certificate_passes(tmp_path: Path, packages: dict[str, str], kind: str) -> None:
    worker = job(tmp_path, packages[kind], SHAPE)
    records = run_stages(worker)
    assert records[-1].committed
    assert not any(record.trouble for record in records)
    certificate = certificate_in(worker)
    assert certificate is not None
    assert (certificate["result"], certificate["holes"], certificate["differing"]) == ("passed", 0, 0)
    assert certificate["pixels"] > 4 * 50 * 50


def same_as_without(worker: Worker, read: object) -> object:
    """The faults' own machinery, with no fault in it."""
    return worker.predict(read)


@pytest.mark.parametrize("kind", KINDS)
def test_the_machinery_of_the_faults_is_none(tmp_path: Path, packages: dict[str, str], kind: str) -> None:
    worker = job(tmp_path, packages[kind], SHAPE)
    assert run_stages(worker, same_as_without)[-1].committed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_makes_it_fail(tmp_path: Path, packages: dict[str, str], kind: str, name: str) -> None:
    # A ring that is missing from the context changes a value everywhere along a border, but flips few labels: many
    # borders, so that the windows hold some.
    few = kind == "classes" and name == "halo one stride short"
    tiling = {"core": 16 if few else 128, "block": 512}
    worker = job(tmp_path, packages[kind], (700, 640) if few else SHAPE, tiling=tiling)
    *blocks, commit = run_stages(worker, fault_of(name, packages, kind))
    assert not any(record.trouble for record in blocks)
    assert not commit.committed
    assert commit.trouble is not None
    assert commit.trouble.stage == "commit"
    assert commit.trouble.reason.startswith("certificate: ")
    assert "retry" in commit.trouble.hint
    assert not commit.trouble.transient
    assert certificate_in(worker) is None
    left = [info.path for info in open_output(worker.plan.recipe).list("")]
    assert not [path for path in left if path.startswith((".encdec/parts/", "scenes/"))], "nothing of it is used again"
    # The same work by a worker without the fault.
    assert run_stages(worker)[-1].committed


def test_a_fault_in_a_scene_of_one_block_is_found_in_memory(tmp_path: Path, packages: dict[str, str]) -> None:
    worker = job(tmp_path, packages["float32"], (300, 400), tiling={"core": 64, "block": 512})
    [record] = run_stages(worker, normalised_by_tile)
    assert record.trouble is not None
    assert (record.trouble.stage, record.blocks, record.committed) == ("commit", ("0-0",), False)
    assert [info.path for info in open_output(worker.plan.recipe).list("")] == []
    [record] = run_stages(worker)
    assert record.committed
    assert record.checks == worker.scene.checks.names


def test_a_card_that_lies_about_its_reach_commits_nothing(tmp_path: Path, packages: dict[str, str]) -> None:
    """The windows take their halo from the same card: a border lies in their middle, where they have context left."""
    write_tiff(tmp_path / "in/a.tif", noise(*SHAPE))
    fields = {"output": {"certify": "all"}, "tiling": {"core": 128, "block": 512}}
    liar = write_spec(tmp_path / "lie", tmp_path / "in", lying_card(packages["float32"], tmp_path / "liar"), **fields)
    ended = run(liar)
    assert ended.code == 3
    row = aside(ended)["a"]
    assert (row["stage"], row["transient"]) == ("commit", False)
    assert row["reason"].startswith("certificate: of ")
    assert markers(tmp_path / "lie/out") == {}
    assert run(liar).result["blocks"] == 0, "it stays aside until something changes"
    # Whoever knows better may have it without a certificate.
    assert run(liar, "--set", "output.certify=off").code == 0
    assert markers(tmp_path / "lie/out")["a"].certificate is None
    honest = write_spec(tmp_path / "honest", tmp_path / "in", packages["float32"], **fields)
    assert run(honest).code == 0
    assert markers(tmp_path / "honest/out")["a"].certificate["result"] == "passed"
