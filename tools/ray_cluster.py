"""A Ray cluster of several nodes on this machine: each a `ray start` of its own, with its own ports and resources.

A head without CPUs for data work, and workers. Tokens are on, the dashboard listens on loopback, and what is started
here ends with it, whatever became of its nodes. `make cluster` runs one until Ctrl-C; tests use `ray_cluster`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

HOST = "127.0.0.1"
STORE_BYTES = 200 * 2**20
"""Shared memory of each node; small blocks alone."""
STARTS_WITHIN_S = 180.0
"""A `ray start`. Of these, Ray gives its raylet 30 s to become known to the head: a figure in Ray's source that no
variable changes (`raylet_start_wait_time_s` in ray/_private/node.py of 2.60). So a start that was too slow is repeated.
"""
TRIES = 3
RAY_TOO_SLOW = b"timed out during startup"
"""As `ray start` says that its 30 s were over."""
MARK = "ENCDEC_CLUSTER"
"""Variable of every process of a cluster: by it they are found when the cluster ends."""
START_MARK = "ENCDEC_CLUSTER_START"
"""The same of one `ray start`, for what one that failed leaves behind."""

Environment = dict[str, str]


class NotStartedError(Exception):
    """A cluster that does not come up: one line, what and what to do. Notes have the end of the log."""


@dataclass(slots=True)
class Node:
    """One `ray start --block` and what it started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> dict[str, int]:
        """Of this node: names of programs to process ids (`raylet`, `gcs_server`, ...)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {Path(f"/proc/{pid}/comm").read_text().strip(): int(pid) for pid in children}

    def kill_raylet(self) -> None:
        """Kill -9: what the death of a machine looks like to the others; its workers end with it."""
        os.kill(self.pids["raylet"], signal.SIGKILL)
        self.process.wait(60)


@dataclass(slots=True)
class RayCluster:
    """A head and its workers; `environment` is what a process needs to talk to it."""

    folder: Path
    environment: Environment
    head: Node
    port: int
    dashboard_port: int
    workers: dict[str, Node] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Of the Jobs API."""
        return f"http://{HOST}:{self.dashboard_port}"

    @property
    def gcs_address(self) -> str:
        """What a driver joins."""
        return f"{HOST}:{self.port}"

    def add(
        self,
        name: str,
        *,
        cpus: float = 1,
        labels: Mapping[str, str] | None = None,
        resources: str = "{}",
        cores: Sequence[int] = (),
    ) -> Node:
        """One more worker node; returns when the head knows it. With `cores` all of its processes share those.

        Raises:
            NotStartedError: it does not come up.
        """
        words = [f"--address={self.gcs_address}", f"--num-cpus={cpus:g}", f"--resources={resources}"]
        given = {"encdec-batch/node": name, **(labels or {})}
        words += ["--labels", ",".join(f"{key}={value}" for key, value in given.items())]
        self.workers[name] = _start(self.folder, name, words, self.environment, cores)
        return self.workers[name]

    def take_back(self, node: Node, node_id: str, seconds: float) -> None:
        """As a cloud takes back a spot node: it is drained by cluster/bin/drain, and gone at the deadline. Ray ends a
        drained node that is idle; one that holds actors of a pool it leaves to the cloud.

        Args:
            node: one of the workers.
            node_id: as Ray calls it.
            seconds: from the notice to the end.
        """
        words = ["drain-node", "--address", self.gcs_address, "--node-id", node_id]
        words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        words += ["--deadline-remaining-seconds", f"{seconds:g}"]
        subprocess.run([_ray(), *words], env=self.environment, check=True, capture_output=True, timeout=60)
        try:
            node.process.wait(seconds)
        except subprocess.TimeoutExpired:
            node.kill_raylet()


@contextmanager
def ray_cluster(*, variables: Mapping[str, str] | None = None) -> Iterator[RayCluster]:
    """A head; workers are added. All that was started is gone at the end.

    Args:
        variables: of every node's environment, beside what Ray needs.

    Raises:
        NotStartedError: the head does not come up.
    """
    # Short: Ray puts sockets below it, whose paths may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="eb-cluster-", dir="/tmp"))
    mark = uuid.uuid4().hex
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        MARK: mark,
        # As in cluster/Dockerfile; `python` of an entrypoint is the first one of PATH.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_num_workers_soft_limit": "8",
        # Its own 60 s are few beside other work.
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{STARTS_WITHIN_S:.0f}",
        **(variables or {}),
    }
    # It ends what has the mark when its standard input ends, which it does however this process dies.
    words = [sys.executable, __file__, mark, str(folder)]
    watcher = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    try:
        port, dashboard_port = _free_port(), _free_port()
        words = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=true"]
        words += [f"--dashboard-host={HOST}", f"--dashboard-port={dashboard_port}"]
        head = _start(folder, "head", [*words, f"--ray-client-server-port={_free_port()}"], environment)
        cluster = RayCluster(folder, environment, head, port, dashboard_port)
        if not _comes_up(head, lambda: _answers(cluster)):
            raise _failed(head, f"the dashboard does not answer at {cluster.address}")
        yield cluster
    finally:
        watcher.communicate(timeout=60)


def end_all(mark: str, variable: str = MARK) -> None:
    """Kill -9 of every process of a cluster, until there is none; or of those where another variable has the mark."""
    deadline = time.monotonic() + 30
    while pids := processes_of(mark, variable):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} do not end")
        time.sleep(0.05)


def processes_of(mark: str, variable: str = MARK) -> list[int]:
    """Processes that have inherited the mark of a cluster and are not over, and what they started."""
    wanted = f"{variable}={mark}".encode()
    found, parents = set(), {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if not folder.name.isdecimal():
                continue
            # What waits for its parent alone has no environment any more; what renames itself may have lost its own.
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(folder.name)] = int(parent)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _start(folder: Path, name: str, words: list[str], environment: Environment, cores: Sequence[int] = ()) -> Node:
    """A node, once the head knows it. What was too slow for Ray is started anew: a machine is not always as busy.

    Raises:
        NotStartedError: it was too slow each time, or ended for another reason.
    """
    for number in range(1, TRIES + 1):
        mark = uuid.uuid4().hex
        node = _launch(folder, name, words, environment | {START_MARK: mark}, cores)
        if _comes_up(node, partial(_says, node, b"Ray runtime started")):
            return node
        too_slow = node.process.poll() is None or _says(node, RAY_TOO_SLOW)
        end_all(mark, START_MARK)
        node.process.wait()
        shutil.rmtree(folder / name, ignore_errors=True)
        if not too_slow:
            raise _failed(node, "`ray start` ended")
        print(f"{name}: not up in the time that Ray gives it (try {number} of {TRIES})", file=sys.stderr, flush=True)
    raise NotStartedError(
        f"{name}: not up in the time that Ray gives it, {TRIES} times, at a load of {os.getloadavg()[0]:.0f} on "
        f"{os.cpu_count()} cores; start the cluster again when this machine has less to do"
    )


def _launch(folder: Path, name: str, words: list[str], environment: Environment, cores: Sequence[int]) -> Node:
    log = folder / f"{name}.log"
    own = [f"--node-ip-address={HOST}", f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats", "--block"]
    # Each its own, as on machines of their own: Ray unpacks what jobs bring into it.
    own += [f"--temp-dir={folder}/{name}"]
    own += [f"--dashboard-agent-listen-port={_free_port()}", f"--metrics-export-port={_free_port()}"]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*pinned, _ray(), "start", *words, *own],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
    return Node(name, process, log)


def _says(node: Node, words: bytes) -> bool:
    return words in node.log.read_bytes()


def _ray() -> str:
    return str(Path(sys.executable).with_name("ray"))


def _answers(cluster: RayCluster) -> bool:
    request = urllib.request.Request(f"{cluster.address}/api/version")  # noqa: S310
    request.add_header("Authorization", f"Bearer {cluster.environment['RAY_AUTH_TOKEN']}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _comes_up(node: Node, condition: Callable[[], bool]) -> bool:
    """Whether it does before the node ends, and in time."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not condition():
        if node.process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _failed(node: Node, what: str) -> NotStartedError:
    said = re.sub(r"\x1b\[[\d;]*m", "", node.log.read_text(errors="replace")).strip()
    error = NotStartedError(f"{node.name}: {what}: {said.rpartition(chr(10))[2] or 'it said nothing'}")
    error.add_note(f"the end of its log:\n{said[-2000:]}")
    return error


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def watch(mark: str, folder: str) -> None:
    """Waits for the end of standard input, then ends a cluster."""
    sys.stdin.read()
    end_all(mark)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Runs a cluster until Ctrl-C and says how to talk to it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("starting a head and two workers: half a minute, more on a busy machine", file=sys.stderr, flush=True)
    try:
        with ray_cluster() as cluster:
            for number, cpus in enumerate((1, 1), 1):
                cluster.add(f"worker{number}", cpus=cpus)
            token = cluster.environment["RAY_AUTH_TOKEN"]
            print(f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN={token}")
            print(f"encdec-batch submit SPEC --address {cluster.address} --follow")
            print("Ctrl-C ends it", flush=True)
            signal.pause()
    except NotStartedError as error:
        sys.exit("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    watch(*sys.argv[1:]) if sys.argv[1:] else main()
