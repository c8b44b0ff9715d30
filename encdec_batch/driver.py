"""What a cluster runs for a spec: the command of the spec's kind, ended cleanly when the job is stopped.

`python -m encdec_batch.driver SPEC`, and the scripts in jobs/. Complete with something set aside is success here: a
scheduler would start a failed job again, for scenes that no start mends. The last line says what `run` would have.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from encdec_batch.command import IN_QUARANTINE
from encdec_batch.command import command as _command
from encdec_batch.spec.kind import Kind, kind_of
from encdec_batch.submit.follow import EXIT_CODE, STOPPED

_COMMANDS: dict[Kind, str] = {"archive": "run", "training": "train"}


def drive(words: list[str], *, kind: Kind | None = None) -> None:
    """Do what a spec says, and exit.

    Args:
        words: of the command line: the spec file.
        kind: what the spec must be; None: any.
    """
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python -m encdec_batch.driver SPEC_FILE", file=sys.stderr)  # noqa: T201  (a command, if a small one)
        sys.exit(2)
    stop_as_by_hand()
    code = _ended_with(words[0], kind)
    print(f"{EXIT_CODE}{code}", flush=True)  # noqa: T201
    sys.exit(0 if code == IN_QUARANTINE else code)


def _ended_with(spec_file: str, kind: Kind | None) -> int:
    try:
        _do(spec_file=spec_file, kind=kind)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@_command
def _do(*, spec_file: str, kind: Kind | None) -> int:
    from encdec_batch.cli import main

    words = [_COMMANDS[kind or kind_of(Path(spec_file))], spec_file]
    return int(main.main(words, standalone_mode=False) or 0)


def stop_as_by_hand() -> None:
    """From now on SIGTERM, by which Ray, Kubernetes and systemd stop a process, ends a run as Ctrl-C does: its lease is
    given back. Once: whoever sends it again does not stop that.
    """

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt(STOPPED)

    signal.signal(signal.SIGTERM, stop)


if __name__ == "__main__":
    drive(sys.argv[1:])
