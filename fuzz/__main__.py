"""`python -m fuzz [--seconds S] [--seed N] [FILE ...]`: see `make fuzz`."""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from fuzz.campaign import Tally, count, for_seconds, run
from fuzz.corpus import corpus
from fuzz.pair import Pair


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Damaged files against the readers.")
    parser.add_argument("again", nargs="*", type=Path, metavar="file", help="read these instead: files kept before")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all that is drawn")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-output"), help="for files that did wrong")
    said = parser.parse_args()
    pair = Pair()
    try:
        tally = _again(said.again, said.folder, pair) if said.again else _campaign(said, pair)
    finally:
        pair.close()
    print(tally.line(), flush=True)
    raise SystemExit(1 if tally.faults else 0)


def _campaign(said: argparse.Namespace, pair: Pair) -> Tally:
    with tempfile.TemporaryDirectory() as scratch:
        seeds = corpus(Path(scratch))
    print(f"seed {said.seed}: {len(seeds)} files to damage, {said.seconds:.0f} s", flush=True)
    until = for_seconds(said.seconds)
    return run(seeds, seed=said.seed, until=until, folder=said.folder, pair=pair, tell=partial(print, flush=True))


def _again(paths: list[Path], folder: Path, pair: Pair) -> Tally:
    tally = Tally()
    for path in paths:
        data = path.read_bytes()
        print(f"{path}: {count(tally, pair.read(data), data, folder=folder) or 'no fault'}", flush=True)
    return tally


if __name__ == "__main__":
    main()
