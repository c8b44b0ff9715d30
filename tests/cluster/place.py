"""A real cluster of several nodes on this machine, with a store, an archive and a network for it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs_made import MadeJob, command, make_archive, make_job, make_package
from stream.deaths import Faults

from encdec_batch.job.run import run
from encdec_batch.spec.load import load_spec
from encdec_batch.store.open import open_store
from tools.ray_cluster import RayCluster

ROOT = Path(__file__).parents[2]
SCENES = {"first": (1100, 1100), "second": (1100, 1101), "third": (1100, 1102), "fourth": (1100, 1103)}
"""Four blocks each; by their widths faults tell them apart."""
LOCAL = "compute.stream={kind: local, workers: 2}"
RAY = {"kind": "ray", "min_workers": 1, "max_workers": 4, "cpus_per_worker": 0.5}


class Place:
    """Cluster, store, archive and network of these tests."""

    def __init__(self, cluster: RayCluster, faults: Faults, folder: Path, s3: Any) -> None:
        self.cluster, self.faults, self.folder, self.s3 = cluster, faults, folder, s3
        self.bucket = f"s3://{s3.make_bucket()}"
        self.package = make_package(folder / "package")
        store = open_store(f"{self.bucket}/archive", s3.options)
        for path in make_archive(folder / "archive", SCENES).iterdir():
            store.put(path.name, path.read_bytes())
        self.quiet = run(load_spec(self.job("quiet").file, [LOCAL])).digest

    def job(self, name: str, **stream: Any) -> MadeJob:
        compute = {"stream": RAY | stream, "device": "cpu", "precision": "float32", "batch": 1}
        uri = f"{self.bucket}/{name}"
        options = dict(self.s3.options)
        archive = f"{self.bucket}/archive"
        return make_job(self.folder / name, archive, self.package, output=uri, storage=options, compute=compute)

    def command(self, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """`encdec-batch` as somebody calls it who has the cluster's token."""
        return subprocess.run(
            command(*map(str, words), "--address", self.cluster.address),
            env={**self.cluster.environment, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def api(self, path: str) -> str:
        """What the Jobs API says to whoever has the token."""
        request = urllib.request.Request(f"{self.cluster.address}{path}")
        request.add_header("Authorization", f"Bearer {self.cluster.environment['RAY_AUTH_TOKEN']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def wait_for(self, submission_id: str, condition: Callable[[], bool], *, what: str) -> None:
        """Until something is so while a job runs; one that ends before is a failure."""
        deadline = time.monotonic() + 150
        while not condition():
            state = json.loads(self.api(f"/api/jobs/{submission_id}"))["status"]
            if state not in ("PENDING", "RUNNING") or time.monotonic() > deadline:
                raise AssertionError(f"no {what}, {state}: {self.api(f'/api/jobs/{submission_id}/logs')}")
            time.sleep(0.2)
