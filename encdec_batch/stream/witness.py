"""A small process beside a run that does its blocks itself: if the run dies, it says at which blocks that was.

It is told of starts and ends through a pipe. Where the pipe breaks without a goodbye, everything that was open gets a
mark in the store: all of it, since nobody knows which was to blame. That is found out when a block runs alone.

It imports next to nothing before that: it starts beside every run.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from typing import Any

LAST_WORDS_S = 20.0
"""How long a store may take to take the marks; whoever waits for the run's end waits for that."""

STAGES = ("plan", "read", "predict", "write", "commit")
"""In the order in which a block goes through them."""

Options = dict[str, str | int | float | bool]


def main() -> None:
    """Listens on stdin until its end."""
    # Ctrl-C in a terminal reaches both: the run says goodbye.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listen(sys.stdin.buffer)


def listen(lines: Iterable[bytes]) -> None:
    """Keeps what is open; marks it if the lines end without a goodbye."""
    uri = ""
    options: Options = {}
    is_open: dict[tuple[str, str, str], str] = {}
    for line in lines:
        word, *rest = _words(line)
        if word == "output":
            uri, options = rest
        elif word == "start":
            key, block, stage, scene_id = rest
            is_open[key, block, stage] = scene_id
        elif word == "end":
            key, block, stage = rest
            is_open.pop((key, block, stage), None)
        elif word == "goodbye":
            return
    if is_open:
        _mark(uri, options, is_open)


def _words(line: bytes) -> list[Any]:
    """A line may be cut short by the death of who wrote it."""
    try:
        words: list[Any] = json.loads(line)
    except ValueError:
        return [""]
    return words


def _mark(uri: str, options: Options, is_open: dict[tuple[str, str, str], str]) -> None:
    from encdec_batch.commit.attempts import attempts_path, count_death
    from encdec_batch.errors import EncdecError
    from encdec_batch.log import set_up
    from encdec_batch.store.open import open_store
    from encdec_batch.store.retry import RetryPolicy

    set_up(verbose=False)
    store = open_store(uri, options, policy=RetryPolicy().shortened(LAST_WORDS_S))
    # A reader may still end a block that the network has already: one death, at the stage that is furthest on.
    furthest: dict[tuple[str, str], tuple[str, str]] = {}
    for (key, block, stage), scene_id in sorted(is_open.items(), key=lambda item: STAGES.index(item[0][2])):
        furthest[key, block] = stage, scene_id
    for (key, block), (stage, scene_id) in furthest.items():
        try:
            deaths = count_death(store, (key, block), scene_id=scene_id, stage=stage)
        except EncdecError as error:
            _say(f"{attempts_path((key, block))} could not be written: {error}")
        else:
            _say(f"the run died while it was at {stage} of {scene_id}, block {block} (death {deaths})")
    _say("the same command goes on where it was; a block that takes a run down twice then runs alone")


def _say(message: str) -> None:
    sys.stderr.write(f"encdec-batch: {message}\n")


if __name__ == "__main__":
    main()
