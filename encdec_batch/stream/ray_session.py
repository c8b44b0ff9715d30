"""A Ray session: environment before the import, a quiet driver, and nothing left behind.

Traps behind each line, with measurements: docs/decisions/003-ray.md.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from encdec_batch.errors import EncdecError
from encdec_batch.predict import heap

_TEMP_PREFIX = "eb-ray-"


@contextmanager
def ray_session(address: str, *, object_store_bytes: int, processes: int, verbose: bool) -> Iterator[None]:
    """Ray for one run: started here for `local`, joined otherwise.

    Args:
        address: as in the spec.
        object_store_bytes: of a Ray that is started here.
        processes: workers that a Ray started here keeps when they have nothing to do.
        verbose: let Ray talk.

    Raises:
        EncdecError: the cluster does not answer.
    """
    imported = "ray" in sys.modules
    _set_environment(local=address == "local", processes=processes)
    import ray

    if imported:
        _look_at_environment_again()

    with ExitStack() as stack:
        # Where nodes are started by others, workers get it as they are started for this run.
        own: dict[str, Any] = {"runtime_env": {"env_vars": heap.ENVIRONMENT}}
        if address == "local":
            temp = _make_temp()
            stack.callback(shutil.rmtree, temp, ignore_errors=True)
            own = {"object_store_memory": object_store_bytes, "_temp_dir": str(temp), "include_dashboard": False}
        stack.enter_context(_quiet(verbose=verbose))
        stack.callback(ray.shutdown)
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            # Always named: without an address Ray joins whatever cluster it finds on the machine.
            ray.init(address=address, log_to_driver=verbose, configure_logging=False, **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EncdecError(
                f"Ray at {address} does not answer: {' '.join(str(error).split())[:200]}",
                hint="start it, or correct compute.stream.address; a cluster with tokens needs RAY_AUTH_TOKEN",
            ) from error
        # Ray puts a handler of its own in the place of whatever was there, and that one ends the process at once.
        if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
        _tame_data(verbose=verbose)
        yield


def _set_environment(*, local: bool, processes: int) -> None:
    """What Ray reads when it is imported; what the user has set holds."""
    # Token authentication, always said: its default depends on version and on files of earlier sessions.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if local and os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray starts workers at niceness 15: beside any other busy process they would starve.
    os.environ.setdefault("RAY_worker_niceness", "0")
    if local:
        # Ray ends idle workers above one per CPU after a second, and so would start a reader and a writer anew, a
        # CPU second each, for nearly every block.
        os.environ.setdefault("RAY_num_workers_soft_limit", str(processes))
        for name, value in heap.ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    # One thread an actor: bytes that do not depend on the machine's cores, and faster than threads in one network.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _look_at_environment_again() -> None:
    """Ray reads mode and token of its authentication once: somebody imported it before they were set."""
    # As ray.init does where it turns tokens on by itself; names of Ray's own that a newer version may not have.
    with suppress(ImportError, AttributeError):
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # Cython, without stubs

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def _make_temp() -> Path:
    """A session folder of this process; those of processes that were killed are removed."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{_TEMP_PREFIX}*"):
        namespace, _, rest = old.name.removeprefix(_TEMP_PREFIX).partition("-")
        pid = rest.partition("-")[0]
        # A container may share this folder and not see our processes, nor we its.
        if namespace == _pid_namespace() and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(old, ignore_errors=True)
    # Short: Ray puts sockets below it, whose paths may have 107 bytes.
    return Path(tempfile.mkdtemp(prefix=f"{_TEMP_PREFIX}{_pid_namespace()}-{os.getpid()}-", dir=root))


def _pid_namespace() -> str:
    """Four hex digits of it: socket paths have no room for all of its number."""
    try:
        return f"{Path('/proc/self/ns/pid').stat().st_ino & 0xFFFF:04x}"
    except OSError:
        return "0000"


@contextmanager
def _quiet(*, verbose: bool) -> Iterator[None]:
    """Keeps Ray's own chatter off our stdout and stderr: loggers, the driver's listener, and C++ lines on fd 2."""
    if verbose:
        yield
        return
    warnings.filterwarnings("ignore", module="ray\\.")
    import ray._private.worker as ray_worker

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    listener = getattr(ray_worker, "print_to_stdstream", None)
    # "(raylet) A worker died ..." ignores log_to_driver; a name of Ray's own that a newer version may not have.
    ray_worker.print_to_stdstream = lambda *_, **__: None
    sys.stderr.flush()
    ours = os.dup(2)
    before = sys.stderr
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    sys.stderr = os.fdopen(ours, "w", buffering=1, closefd=False)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)
        sys.stderr = before
        os.close(ours)
        os.close(sink)
        if listener is not None:
            ray_worker.print_to_stdstream = listener


def _tame_data(*, verbose: bool) -> None:
    import ray.data

    if not verbose:
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.issue_detectors_config.detectors = []
    # One row, one Ray block: rows of tens of megabytes are not glued together, and reads stream.
    context.target_max_block_size = 1
    # An error in a stage is a record; one that reaches Ray is ours and ends the run.
    context.max_errored_blocks = 0
    # One slow scene must not fail the whole execution.
    context.execution_no_progress_timeout_s = -1
