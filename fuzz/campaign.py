"""Many damaged files, counted; those that did what no file may do are kept."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.corpus import Seed
from fuzz.mutate import mutated
from fuzz.pair import Fault, Pair


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of how many files."""

    files: int = 0
    pixels: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By class of error."""
    faults: Counter[str] = field(default_factory=Counter)
    """By kind."""
    kept: list[Path] = field(default_factory=list)

    def line(self) -> str:
        """As a person reads it."""
        refused = ", ".join(f"{count} {name}" for name, count in sorted(self.refused.items()))
        crashes = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "no fault"
        return f"{self.files} files: {self.pixels} gave pixels, {refused}; {crashes}"


def run(  # noqa: PLR0913
    seeds: Sequence[Seed],
    *,
    seed: int,
    until: Callable[[int], bool],
    folder: Path,
    pair: Pair,
    tell: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Damages one file of the corpus after the other.

    Args:
        seeds: the corpus.
        seed: of all that is drawn; case n is the same whatever came before it.
        until: told how many files are through; true ends the campaign.
        folder: for files that did what they must not, named by kind and digest.
        pair: what reads them.
        tell: gets a line for each of these.
    """
    tally = Tally()
    others = [one.data for one in seeds]
    while not until(tally.files):
        source = random.Random(f"{seed}/{tally.files}")
        chosen = source.choice(seeds)
        name = f"{seed}/{tally.files} {chosen.name}"
        data = mutated(chosen.data, others, source)
        fault = count(tally, pair.read(data), data, folder=folder)
        if fault:
            tell(f"{name}: {fault}")
    return tally


def count(tally: Tally, found: dict[str, object] | Fault, data: bytes, *, folder: Path) -> str:
    """Puts one file into the tally; a line about a fault, empty where there is none."""
    tally.files += 1
    if not isinstance(found, Fault):
        if "error" in found:
            tally.refused[str(found["error"])] += 1
        else:
            tally.pixels += 1
        return ""
    tally.faults[found.kind] += 1
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found.kind}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(found.said)
    tally.kept.append(path)
    return f"{found.kind}: {found.said.strip()[:400]} ({path})"


def for_seconds(seconds: float) -> Callable[[int], bool]:
    """True once that much time is over."""
    end = time.monotonic() + seconds
    return lambda _: time.monotonic() >= end
