#!/usr/bin/env python3
"""One night of retraining: what cluster/bin/nightly runs, and `ray job submit ... -- python jobs/nightly_retrain.py`.

The command `encdec-batch nightly SPEC` with the options that a scheduler has use for; all else is in the spec.

Exit codes: 0 the night is over, whatever it decided; 1 it could not be done, the same night goes on; 2 wrong spec.
"""

from __future__ import annotations

import argparse
import sys

from encdec_batch.cli import main
from encdec_batch.driver import stop_as_by_hand


def arguments(words: list[str]) -> list[str]:
    """Of `encdec-batch`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spec", required=True, help="a nightly spec, as jobs/nightly.yaml")
    parser.add_argument("--night", help="YYYY-MM-DD; by default the night that it is, from noon to noon UTC")
    parser.add_argument("--shadow", action="store_true", help="decide, and move no alias")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the spec")
    given = parser.parse_args(words)
    sets = [*given.set, *(["shadow=true"] if given.shadow else [])]
    night = ["--night", given.night] if given.night else []
    return ["nightly", given.spec, *night, *(word for one in sets for word in ("--set", one))]


if __name__ == "__main__":
    stop_as_by_hand()
    main(arguments(sys.argv[1:]), prog_name="encdec-batch")
