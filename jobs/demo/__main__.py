"""`python -m jobs.demo`, which is what `make demo` runs.

Ends with 0 if the archive came out as planned, the damaged file in quarantine among it, and there is a row for every
task; else with 1. A network that is worse than a plain method is shown as such, and is no failure of the demo.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from rasterio.errors import NotGeoreferencedWarning
from rich.console import Console

from jobs.demo import denoising, enlarging, infrared, segmentation, tissue, tomography
from jobs.demo.archive import run_archive
from jobs.demo.command import OUTPUT, DemoFailedError, say, shown
from jobs.demo.page import render_page
from jobs.demo.pieces import write_pieces
from jobs.demo.record import MissingRow, Row
from jobs.demo.results import report_of
from jobs.demo.server import s3_server
from jobs.demo.table import tables_of

TASKS = {
    segmentation.TASK: segmentation.segmentation,
    denoising.TASK: denoising.denoising,
    enlarging.TASK: enlarging.enlarging,
    infrared.TASK: infrared.infrared,
    tissue.TASK: tissue.slides,
    tomography.TASK: tomography.tomography,
}


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the mosaic and the images of cells have no place
    began = time.monotonic()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    try:
        with s3_server() as store:
            run_archive(store)
        write_pieces()
        missing = show_tasks(TASKS, OUTPUT)
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is left running")
    except DemoFailedError as error:
        sys.exit(f"\nthe demo failed: {error}")
    print(f"\nThe demo is through, in {time.monotonic() - began:.0f} s; its server and what it held are gone. Look at:")
    print(f"  page       {shown(OUTPUT / 'index.html')}   a row of pictures for each task, and the reports of all jobs")
    print(f"  pictures   {shown(OUTPUT / 'pictures')}/   aerial images and their masks side by side")
    print(f"  masks      {shown(OUTPUT / 'vegetation/scenes')}/   for each scene: COG, PNG, quicklook, Parquet")
    print(f"  catalogue  {shown(OUTPUT / 'vegetation/collection.json')}   of them, for any browser of STAC")
    if missing:
        sys.exit(f"\nthe demo failed: there is no row for {', '.join(row.task for row in missing)}")


def show_tasks(tasks: Mapping[str, Callable[[], Row]], folder: Path) -> list[MissingRow]:
    """Runs every task, shows what came of it, on a page and in the terminal; gives those that could not be shown.

    Args:
        tasks: what makes the row of each task, by its name.
        folder: gets the page, `index.html`.
    """
    rows: list[Row] = []
    missing: list[MissingRow] = []
    for task, run in tasks.items():
        say(f"{task}, in one process without Ray, beside plain methods on the same pixels:")
        try:
            rows.append(run())
        except DemoFailedError as error:
            missing.append(MissingRow(task=task, reason=str(error)))
    (folder / "index.html").write_text(render_page(rows, missing, [report_of("vegetation")]), encoding="utf-8")
    say("On pixels that were not trained on:")
    Console(highlight=False).print(*tables_of(rows, missing), sep="\n")
    return missing


if __name__ == "__main__":
    main()
