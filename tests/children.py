"""Jobs in processes of their own that start in no time: forked from one that has imported everything already."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

PRELOAD = [
    "pytest", "torch", "s3fs", "pandas", "rasterio", "pyarrow.parquet", "encdec_batch.cli", "encdec_batch.job.run",
    "encdec_batch.job.maintain", "encdec_batch.stream.local", "encdec_batch.predict.stage", "encdec_batch.predict.heap",
    "encdec_batch.spec.load", "encdec_batch.store.s3", "encdec_batch.models.package",
]  # fmt: skip


def context() -> ForkServerContext:
    """The server is started with the first process, and ends with this one."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOAD)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process with the command line in it."""

    process: ForkServerProcess
    folder: Path

    @property
    def pid(self) -> int:
        pid = self.process.pid
        assert pid is not None
        return pid

    def ended(self, *, within_s: float = 120.0) -> int:
        """The exit code; negative: the signal that ended it."""
        self.process.join(within_s)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise AssertionError(f"it did not end within {within_s} s: {self.stderr}")
        return code

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def start_command(folder: Path, *words: str | Path, settings: Mapping[str, Any] | None = None) -> Child:
    """`encdec-batch` with these words; what it says goes to files in `folder`.

    Args:
        folder: is made.
        words: of the command line.
        settings: of `prepare`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = (str(folder), [str(word) for word in words], dict(os.environ), dict(settings or {}))
    process = context().Process(target=_command, args=arguments, daemon=True)
    process.start()
    return Child(process=process, folder=folder)


def start(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that calls a function of a module; its exit code is 1 if that raises."""
    process = context().Process(target=_call, args=(function, dict(os.environ), *arguments), daemon=True)
    process.start()
    return process


def _call(function: Callable[..., None], environment: dict[str, str], *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def prepare(settings: Mapping[str, Any]) -> None:
    """Makes this process meet what a test needs.

    Args:
        settings: `retry`: fields of RetryPolicy, for every store that is opened by a uri;
            `limits`: as of resource.setrlimit;
            `dead_after_s`: of the leases that this process finds;
            `die_at`: the step on the file system before which it kills itself.
    """
    if "retry" in settings:
        from functools import partial

        from encdec_batch.store import local, s3
        from encdec_batch.store.retry import RetryPolicy

        local.RetryPolicy = s3.RetryPolicy = partial(RetryPolicy, **settings["retry"])  # type: ignore[misc,assignment]
    if "limits" in settings:
        import resource

        for name, value in settings["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
    if "dead_after_s" in settings:
        from functools import partial

        from encdec_batch.commit.lease import LeaseTimes, acquire_lease
        from encdec_batch.job import maintain, run

        hasty = partial(acquire_lease, times=LeaseTimes(dead_after_s=settings["dead_after_s"]))
        run.acquire_lease = maintain.acquire_lease = hasty  # type: ignore[attr-defined]
    if "die_at" in settings:
        _die_at(settings["die_at"])


def _die_at(number: int) -> None:
    """Kill -9 before the step of this number, from 1, of those that change a file system."""
    steps, lock = itertools.count(1), threading.Lock()

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **named: Any) -> Any:
            with lock:
                if next(steps) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **named)

        return take

    for name in ("link", "rename", "replace", "unlink", "fsync", "mkdir", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))


def _command(folder: str, words: list[str], environment: dict[str, str], settings: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    prepare(settings)
    from encdec_batch.cli import main

    main(words)
