"""What a person sees in a terminal: a progress line, and results as text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from encdec_batch.job.progress import Progress
from encdec_batch.job.status import Status, Verdict
from encdec_batch.job.summary import RunSummary
from encdec_batch.plan.scene import SetAside
from encdec_batch.report.figures import cause_rows
from encdec_batch.report.page import format_bytes, format_duration, format_number
from encdec_batch.report.record import SetAside as CauseOf

if TYPE_CHECKING:
    # What is printed by one command is imported by that command.
    from encdec_batch.commit.quarantine import QuarantineRecord
    from encdec_batch.job.deep import DeepVerdict
    from encdec_batch.job.maintain import Pruned
    from encdec_batch.job.repair import Repaired

LINE_EVERY_S = 30.0
"""Between lines where there is no terminal."""
SAME_EVERY_S = 300.0
"""Between lines that say the same."""
SHOWN_CAUSES = 10
SHOWN_IDS = 5


class ProgressLine:
    """Shows snapshots: a live line in a terminal, else one log line every 30 s."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[figures]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("planning", total=None, figures="")
        self._last: Progress | None = None
        self._ended = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[ProgressLine]:
        if self._console.is_terminal:
            with self._live:
                yield self
            return
        speaker = threading.Thread(target=self._say_now_and_then, name="progress", daemon=True)
        speaker.start()
        try:
            yield self
        finally:
            self._ended.set()
            speaker.join()

    def __call__(self, now: Progress) -> None:
        self._last = now
        if self._console.is_terminal:
            self._live.update(
                self._task,
                description=_what(now),
                completed=now.blocks_done,
                total=now.blocks_total or None,
                figures=_figures(now),
            )

    def _say_now_and_then(self) -> None:
        """Also when nothing ends for a while, if less often: silence would look like a hang."""
        said, since, last = "", 0.0, 0.0
        while not self._ended.wait(LINE_EVERY_S):
            if self._last is None:
                continue
            line, now, quiet = _line(self._last), time.monotonic(), ""
            if line == said:
                if now - last < SAME_EVERY_S:
                    continue
                quiet = f"  (nothing new for {format_duration(now - since)})"
            else:
                said, since = line, now
            last = now
            self._console.print(f"{timestamp()}  {line}{quiet}", highlight=False, soft_wrap=True)


def timestamp() -> str:
    """Before a line of a log, as in `log.py`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def print_summary(console: Console, summary: RunSummary) -> None:
    rate = f", {format_number(summary.mpx_per_s)} Mpx/s" if summary.blocks else ""
    done = f"{count(summary.scenes_done, 'scene')} done ({summary.scenes_committed} by this run)"
    took = (
        f"{count(summary.blocks, 'block')} in {format_duration(summary.seconds)}{rate}"
        if summary.blocks
        else "nothing was to do"
    )
    console.print(f"complete: {done}, {summary.num_scenes_aside} set aside; {took}", highlight=False, soft_wrap=True)
    if summary.checks:
        share = f"{100 * summary.check_share:.2f} % of the network's work"
        console.print(
            f"certificates: {count(summary.checks, 'window')} checked, {share}", highlight=False, soft_wrap=True
        )
    lacking = len(summary.set_aside) - summary.num_scenes_aside
    if summary.volumes_done or lacking:
        rest = f", {lacking} could not get them" if lacking else ""
        console.print(f"volumes: {summary.volumes_done} have their files{rest}", highlight=False, soft_wrap=True)
    if number := len(summary.scenes_removed):
        gone = f"{count(number, 'scene')} taken out, as their input is gone"
        line = f"{gone}; their files stay a day for who reads them, and go with the next prune after it"
        console.print(line, highlight=False, soft_wrap=True)
    if summary.removal_held_back:
        console.print(f"held back: {summary.removal_held_back}", highlight=False, soft_wrap=True)
    print_notes(console, summary.notes)
    more = f"{summary.output_uri}/quarantine.parquet has them all"
    print_aside(console, summary.set_aside, said="set aside  ", more=more)
    console.print(f"output  {summary.output_uri}", highlight=False, soft_wrap=True)
    console.print(f"report  {summary.report_uri}", highlight=False, soft_wrap=True)
    console.print(f"digest  {summary.digest}", highlight=False, soft_wrap=True)


def print_notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)


def print_aside(console: Console, aside: Sequence[SetAside | QuarantineRecord], *, said: str, more: str) -> None:
    """A line for each cause, the most frequent first.

    Args:
        console: that it goes to.
        aside: the scenes.
        said: before each line.
        more: a line on where all of them stand; empty: nowhere.
    """
    rows = [CauseOf(scene_id=one.scene_id, stage=one.stage, reason=one.reason, hint=one.hint) for one in aside]
    causes = cause_rows(rows, len(rows))
    for cause in causes[:SHOWN_CAUSES]:
        ids = [one.scene_id for one in cause.scenes]
        who = ids[0] if len(ids) == 1 else count(len(ids), "scene")
        hint = f" -> {cause.hint}" if cause.hint else ""
        examples = f"  ({_some(ids)})" if len(ids) > 1 else ""
        line = f"{said}{who}  {cause.stage}: {cause.reason}{hint}{examples}"
        console.print(line, highlight=False, soft_wrap=True)
    if other := causes[SHOWN_CAUSES:]:
        scenes = count(sum(cause.num_scenes for cause in other), "scene")
        console.print(f"{said}{scenes} more, for {count(len(other), 'other reason')}", highlight=False)
    if more and (other or any(cause.num_scenes > SHOWN_IDS for cause in causes)):
        console.print(more, highlight=False, soft_wrap=True)


def print_status(console: Console, status: Status) -> None:
    outputs = f"{count(status.scenes_with_outputs, 'scene')} with outputs"
    console.print(f"{status.uri}: {outputs}, {status.scenes_set_aside} set aside", soft_wrap=True)
    if not status.run_id:
        return
    heard = "last heard of" if status.state in ("planning", "running", "interrupted") else "ended"
    console.print(f"run {status.run_id}: {status.state}, {heard} {format_duration(status.age_s)} ago", highlight=False)
    progress = status.progress
    if status.state == "complete" or not progress.get("blocks_total"):
        return
    blocks = f"{progress['blocks_done']}/{progress['blocks_total']} blocks"
    planned = "" if progress.get("planned", True) else " planned so far"
    scenes = f"{progress['scenes_done']}/{progress['scenes_total']} scenes"
    figures = [f"{blocks}{planned}", scenes, f"{format_number(progress['mpx_per_s'])} Mpx/s"]
    if status.state == "running":
        left = progress.get("seconds_left")
        figures.append(f"{format_duration(left) if left is not None else '?'} left")
    console.print(", ".join(figures), highlight=False)


def print_verdict(console: Console, verdict: Verdict, deep: DeepVerdict | None = None) -> None:
    for path in verdict.bad:
        console.print(f"bad  {path}: {verdict.why[path]}", highlight=False, soft_wrap=True)
    for line in deep.differ if deep else ():
        console.print(f"differs  {line}", highlight=False, soft_wrap=True)
    bad = len(verdict.bad_files) + len(verdict.bad_volume_files)
    unread = len(verdict.bad) - bad
    more = f"; {count(unread, 'marker')} cannot be read" if unread else ""
    well = f"{bad:,} of them not what their markers say" if bad else "each what its marker says"
    console.print(f"{count(verdict.files, 'file')}, {well}{more}", highlight=False)
    if verdict.volume_files:
        of_volumes = f"{verdict.volume_files:,} of these are files of volumes, which do not count in the digest"
        console.print(of_volumes, highlight=False)
    if deep:
        print_deep(console, deep)
    if verdict.catalogue:
        console.print(f"note: {verdict.catalogue}", highlight=False, soft_wrap=True)
    console.print(f"digest  {verdict.digest or 'unknown, as long as a marker cannot be read'}", highlight=False)


def print_repaired(console: Console, repaired: Repaired) -> None:
    for scene_id, why in repaired.left.items():
        console.print(f"left as it is  {scene_id}: {why}", highlight=False, soft_wrap=True)
    for scene_id in repaired.taken_out:
        console.print(f"taken out  {scene_id}", highlight=False, soft_wrap=True)
    for volume_id in repaired.volumes:
        console.print(f"taken out  volume {volume_id}, to be made again by the next run", highlight=False)
    if number := len(repaired.taken_out):
        console.print(f"{count(number, 'scene')} taken out, to be made again by the next run", highlight=False)


def print_deep(console: Console, deep: DeepVerdict) -> None:
    console.print(
        f"{count(deep.windows, 'window')} of {count(deep.scenes, 'scene')} computed again ({deep.pixels:,} px), "
        f"{len(deep.differ)} of them came out otherwise; largest difference {format_number(deep.largest)}",
        highlight=False,
        soft_wrap=True,
    )
    for why, ids in deep.not_compared.items():
        line = f"not compared: {count(len(ids), 'scene')}, {why} ({_some(ids)})"
        console.print(line, highlight=False, soft_wrap=True)


def print_taken(console: Console, taken: list[QuarantineRecord], *, dry_run: bool) -> None:
    print_aside(console, taken, said="", more="retry --dry-run --json lists them all" if dry_run else "")
    console.print(
        f"{count(len(taken), 'scene')} {'would be ' if dry_run else ''}taken out of quarantine", highlight=False
    )


def print_pruned(console: Console, pruned: Pruned, *, keep_hours: float, dry_run: bool) -> None:
    for scene_id in pruned.removed:
        console.print(f"removed  {scene_id}", highlight=False, soft_wrap=True)
    for folder in pruned.folders:
        console.print(f"{folder.reason}  {folder.path}", highlight=False, soft_wrap=True)
    if pruned.removed:
        would = "would be " if dry_run else ""
        line = f"{count(len(pruned.removed), 'scene')} {would}taken out; their files "
        line += (
            f"stay {keep_hours:g} h for who reads them, and go with the next prune after it" if keep_hours else "too"
        )
        console.print(line, highlight=False, soft_wrap=True)
    if foreign := str(pruned.foreign):
        console.print(foreign, highlight=False, soft_wrap=True)
    size = format_bytes(sum(folder.size_bytes for folder in pruned.folders))
    end = ", would be deleted" if dry_run else " deleted"
    console.print(f"{count(len(pruned.folders), 'folder')}, {size}{end}", highlight=False)


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how much of how much is done, in a terminal alone."""
    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as live:
        task = live.add_task(what, total=None)
        yield lambda done, total: live.update(task, completed=done, total=total or None)


@contextmanager
def now_and_then(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many of how many are through: as a bar in a terminal, else by a line every 30 s."""
    with progress_bar(console, what) as show:
        last = time.monotonic()

        def told(done: int, total: int) -> None:
            nonlocal last
            show(done, total)
            if not console.is_terminal and time.monotonic() - last >= LINE_EVERY_S:
                last = time.monotonic()
                console.print(f"{timestamp()}  {done:,}/{total:,} {what}", highlight=False, soft_wrap=True)

        yield told


def stdout() -> Console:
    # Names of scenes and folders may hold square brackets, which rich would take for its markup.
    return Console(markup=False)


def stderr() -> Console:
    # Not the stream object of this moment: a Ray session puts another one in its place while it runs.
    return Console(stderr=True, markup=False)


def _line(now: Progress) -> str:
    """All of a snapshot."""
    blocks = f"{now.blocks_done}/{now.blocks_total} blocks{'' if now.planned else ' planned so far'}"
    parts = [_what(now), "" if now.state == "planning" else blocks, _figures(now)]
    return "  ".join(part for part in parts if part)


def _what(now: Progress) -> str:
    if now.state == "planning":
        read, total = now.headers
        return f"planning, {read}/{total} headers" if total else now.message or "planning"
    planned = "" if now.planned else f", {now.headers[0]} planned so far"
    return f"{now.scenes_done}/{now.scenes_total} scenes{planned}"


def count(number: int, noun: str) -> str:
    """`1 scene`, `1,200 scenes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN_IDS]) + (", ..." if len(ids) > SHOWN_IDS else "")


def _figures(now: Progress) -> str:
    left = now.seconds_left
    figures = [f"{format_number(now.mpx_per_s)} Mpx/s", f"{format_duration(left)} left"] if left is not None else []
    if now.scenes_aside:
        figures.append(f"{now.scenes_aside} set aside")
    return "  ".join(part for part in figures if part) if now.state == "running" else ""
