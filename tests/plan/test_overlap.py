"""An output in its own source, or the other way round, under every name that both may have."""

from __future__ import annotations

import os

import pytest
from plan.recipes import order

from encdec_batch.errors import SpecError


def refused(source: str, output: str, *, storage: dict | None = None, kind: str = "prefix") -> bool:
    asked = order(
        source={"kind": kind, "uri": source, **({"pattern": "**/*.tif"} if kind == "glob" else {})},
        output={"uri": output, "storage": storage or {}},
    )
    try:
        asked.check()
    except SpecError as error:
        return "next run would take its masks" in error.message and bool(error.hint)
    return False


@pytest.mark.parametrize("kind", ["prefix", "glob"])
@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://a/scenes", "s3://a/scenes"),
        ("s3://a/scenes/", "s3://a/scenes/masks"),
        ("s3://a/scenes", "s3a://a/scenes/masks/"),
        ("s3a://a", "s3://a/masks"),
        ("S3://a/", "s3://a/masks"),
        ("s3://a/scenes/", "s3://a"),
        ("s3://a/scenes/2024", "s3://a/"),
        ("s3://a/.encdec/staged/", "s3a://a"),
        ("/data", "file:///data/masks"),
        ("file:///data/", "/data/x/../masks"),
        ("/data/scenes", "file:///data"),
        ("/", "/data"),
    ],
)
def test_the_one_in_the_other_is_refused(source, output, kind):
    assert refused(source, output, kind=kind)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://a/scenes", "s3://a/scenes-masks"),
        ("s3://a/scenes", "s3://b/scenes/masks"),
        ("s3://a/images", "s3://a"),
        ("s3://a/x", "/a/x/y"),
        ("/data/scenes", "/data/masks"),
        ("/data/images", "/data"),
    ],
)
def test_the_one_beside_the_other_is_not(source, output):
    assert not refused(source, output)


def test_another_store_may_have_buckets_of_the_same_name():
    assert not refused("s3://a/", "s3://a/masks", storage={"endpoint_url": "http://other:9000"})


def test_links_and_their_targets_are_one_folder(tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    archive.mkdir()
    (tmp_path / "alias").symlink_to(archive)
    (archive / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "into").symlink_to(archive)
    assert refused(str(archive), f"{tmp_path}/alias/masks")
    assert refused(f"{tmp_path}/alias", f"{archive}/masks")
    assert refused(str(archive), f"{tmp_path}/into/deep/masks")
    assert not refused(str(archive), f"{archive}/out/masks"), "that is elsewhere"
    monkeypatch.chdir(archive)
    assert refused(os.curdir, f"{tmp_path}/alias/masks")
    assert refused(str(archive), "masks")
    assert refused(f"{tmp_path}/alias/scenes", str(archive))
