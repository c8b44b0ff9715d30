"""A whole run that is stopped with SIGSTOP while it commits, and goes on when others have done its work and more."""

from __future__ import annotations

import pytest
from children import start_command
from jobs_made import make_archive, make_job, make_package
from memory_s3 import MemoryS3
from proxy import Answer, Forward, Request, proxy_of
from stopping import Stop
from watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

AT_ONCE = {"dead_after_s": 0}
"""Others need not wait for 45 s until the stopped run is dead to them."""


class StopAt(Stop):
    """Stops at the first request of a kind."""

    def __init__(self, method: str, below: str) -> None:
        super().__init__(-1, "held")
        self.method, self.below = method, below

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        if self.at is None and request.method == self.method and f"/o/{self.below}" in request.path:
            self.number = request.number
        return super().__call__(request, forward)


@pytest.mark.parametrize(
    ("method", "below"),
    [("PUT", ".encdec/parts/"), ("PUT", "scenes/"), ("PUT", "markers/")],
)
def test_a_run_that_wakes_up_when_others_have_gone_back_and_pruned(tmp_path, method, below):
    archive = make_archive(tmp_path / "archive", {"pair": (1100, 300)})
    old, new = make_package(tmp_path / "old"), make_package(tmp_path / "new", seed=1)
    memory = MemoryS3()
    watch = Watch(memory, "out/o", may_go=True)
    memory.changed = watch.changed
    with proxy_of(memory) as watched, proxy_of(memory) as straight:
        source = {"kind": "prefix", "uri": str(archive)}
        job, others = (
            make_job(tmp_path / name, "", package, source=source, output="s3://out/o", storage=proxy.server.options)
            for name, package, proxy in (("zombie", new, watched), ("others", old, straight))
        )
        stop = StopAt(method, below)
        watched.behave(stop)
        zombie = start_command(job.file.parent / "said", "run", job.file)
        stop.pid.set_result(zombie.pid)
        assert stop.stopped.wait(120)

        def command(*words: str) -> None:
            child = start_command(tmp_path / "said", *words, settings=AT_ONCE)
            assert child.ended() == 0, child.stderr

        storage = [f"--storage={key}={value}" for key, value in straight.server.options.items()]
        command("run", str(others.file))
        command("run", str(others.file), "--set", f"model.package={new}")
        command("run", str(others.file))
        command("prune", others.output_uri, "--keep-hours", "0", *storage)
        markers, moves = others.markers(), len(watch.moves["pair"])
        assert moves == 3

        stop.go_on()
        assert zombie.ended() == 1
        assert "lease 1 was taken over by run" in zombie.stderr
        assert others.markers() == markers
        assert len(watch.moves["pair"]) == moves
        assert watch.violations == []
        assert others.verified()
