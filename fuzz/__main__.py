"""`python -m fuzz [--seconds S | --files N] [--seed N] [FILE ...]`: see `make fuzz`."""

from __future__ import annotations

import argparse
import tempfile
import time
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
    tally = _again(said.again, said.folder) if said.again else _campaign(said.seed, said.seconds, said.folder)
    print(tally.line(), flush=True)
    raise SystemExit(1 if tally.faults else 0)


def _campaign(seed: int, seconds: float, folder: Path) -> Tally:
    with tempfile.TemporaryDirectory() as scratch:
        seeds = corpus(Path(scratch))
    print(f"seed {seed}: {len(seeds)} files to damage, {seconds:.0f} s", flush=True)
    return run(seeds, seed=seed, until=for_seconds(seconds), folder=folder, tell=lambda line: print(line, flush=True))


def _again(paths: list[Path], folder: Path) -> Tally:
    tally, pair = Tally(), Pair()
    try:
        for path in paths:
            data = path.read_bytes()
            count(tally, pair.read(data), data, folder=folder, tell=lambda said, of=path: print(f"{of}: {said}", flush=True))
    finally:
        pair.close()
    return tally


if __name__ == "__main__":
    main()
