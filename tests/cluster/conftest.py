"""One cluster for all tests that need one: it takes half a minute to start."""

from __future__ import annotations

import threading

import pytest
from cluster.place import ROOT, Place
from servers import s3_server_process
from stream.deaths import Faults

from tools.ray_cluster import MARK, processes_of, ray_cluster


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    faults = Faults(folder / "faults.json")
    faults.plant()
    # Of this checkout the nodes have nothing: what they run is what was sent.
    variables = {**faults.environment, "PYTHONPATH": str(ROOT / "tests/planted")}
    with s3_server_process() as s3, ray_cluster(variables=variables) as cluster:
        starting = [threading.Thread(target=cluster.add, args=(name,)) for name in ("one", "two")]
        for thread in starting:
            thread.start()
        made = Place(cluster, faults, folder, s3)
        for thread in starting:
            thread.join()
        yield made
        mark = cluster.environment[MARK]
    assert processes_of(mark) == []
