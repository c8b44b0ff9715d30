"""`python -m bench [figure ...] [--quick]`, and `python -m bench recipes JOB.yaml`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path

from bench.figure import Bench, Figure
from bench.machine import describe, load

FIGURES = (
    "reads", "start", "items", "steps", "plain", "efficiency", "peers", "memory", "many", "grown", "catalogue", "giant",
    "networks", "training", "cluster", "formats",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["recipes"]:
        sys.exit(import_module("bench.recipes").main(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Ratios, measured within one run.",
        epilog="`recipes JOB.yaml` judges a trained package beside plain methods; it has a --help of its own.",
    )
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"any of {', '.join(FIGURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of which the median counts")
    parser.add_argument("--core", type=int, default=768, help="side of a core, pixels")
    parser.add_argument("--folder", type=Path, default=Path("bench-output"), help="for scenes, outputs and results")
    parser.add_argument(
        "--stream", action="append", choices=("local", "ray"), help="one of them alone; both by default"
    )
    parser.add_argument(
        "--outputs", action="append", choices=("cog", "all"), help="what efficiency writes; both by default"
    )
    said = parser.parse_args(arguments)
    unknown = set(said.figures) - set(FIGURES)
    if unknown:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    bench = Bench(
        folder=said.folder.resolve(),
        quick=said.quick,
        rounds=1 if said.quick else said.rounds,
        # Ray takes longer to start than all the rest of a quick run.
        streams=tuple(said.stream or (("local",) if said.quick else ("local", "ray"))),
        outputs=tuple(said.outputs or ("cog", "all")),
        core=said.core,
    )
    bench.folder.mkdir(parents=True, exist_ok=True)
    machine = describe()
    print(json.dumps(machine), flush=True)
    for name in said.figures or FIGURES:
        clock, before = time.perf_counter(), load()
        figure: Figure = import_module(f"bench.{name}").measure(bench)
        seconds = time.perf_counter() - clock
        figure.notes.append(f"{seconds:.0f} s; load average {before:.1f} before, {load():.1f} after")
        print(figure.text(), flush=True)
        line = {"figure": name, "quick": bench.quick, "rounds": bench.rounds, "machine": machine, "seconds": seconds}
        with (bench.folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(line | {"title": figure.title, "rows": figure.rows, "notes": figure.notes}) + "\n")


if __name__ == "__main__":
    main()
