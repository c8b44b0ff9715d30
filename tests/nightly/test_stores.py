"""Nights whose labels, registry and papers lie on S3, each with its own options."""

from __future__ import annotations

import json

import pytest
from nightly.nuclei import nightly_values
from servers import s3_server_process
from train.made import mask_of, picture, write_png

from encdec_batch.models.registry import promote, rollback, show_model
from encdec_batch.nightly.run import run_night
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.store.open import open_store

pytestmark = pytest.mark.integration


def test_everything_may_lie_on_s3(tmp_path):
    with s3_server_process() as server:
        bucket, client = server.make_bucket(), server.client()

        def deliver(first: int, count: int) -> None:
            for number in range(first, first + count):
                image = picture(number, 48, 48)
                for name, pixels in (("images", image), ("masks", mask_of(image))):
                    path = write_png(tmp_path / f"{name}{number}.png", pixels)
                    client.upload_file(str(path), bucket, f"labelled/{name}/{number:02}.png")

        values = nightly_values(
            tmp_path,
            registry=f"s3://{bucket}/models",
            registry_storage=server.options,
            output={"uri": f"s3://{bucket}/nights", "storage": server.options},
            new_scenes=2,
            judge__least_scenes=2,
            split={"held_out": 0.4, "audit": 0.1, "audit_scenes": 1},
        )
        values["train"]["learn"]["steps"] = 4
        values["train"]["data"]["sampling"] |= {"crop": 32, "samples": 8}
        values["train"]["data"]["train"] = {
            "kind": "folders",
            "images": f"s3://{bucket}/labelled/images",
            "targets": f"s3://{bucket}/labelled/masks",
            "storage": server.options,
        }
        spec, model = parse_nightly_spec(values), f"s3://{bucket}/models/nuclei"
        deliver(0, 12)
        assert run_night(spec, "2026-11-27", wait_s=0).decision.outcome == "no_production"
        promote(f"{model}@candidate", "production", server.options)
        deliver(12, 12)
        decision = run_night(spec, "2026-11-28", wait_s=0).decision
        assert decision.outcome in ("kept", "promoted")
        assert decision.candidate.parent == "2026.11.27"
        found = show_model(model, server.options).aliases["production"]
        assert found.version == ("2026.11.28" if decision.outcome == "promoted" else "2026.11.27")
        if decision.outcome == "promoted":
            assert rollback(model, options=server.options).alias.version == "2026.11.27"
        store = open_store(spec.output.uri, server.options)
        kept = json.loads(store.get("decisions/2026-11-28.json"))
        assert kept["outcome"] == decision.outcome
        assert b"Night of 2026-11-28" in store.get("nights/2026-11-28/index.html")
