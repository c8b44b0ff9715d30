"""What a person sees in a terminal: a progress line, and results as text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from encdec_batch.job.progress import Progress
from encdec_batch.job.status import Status, Verdict
from encdec_batch.job.summary import RunSummary
from encdec_batch.plan.plan import Plan
from encdec_batch.plan.scene import SetAside
from encdec_batch.report.page import format_bytes, format_duration, format_number

if TYPE_CHECKING:
    # What is printed by one command is imported by that command.
    from encdec_batch.commit.quarantine import QuarantineRecord
    from encdec_batch.job.deep import DeepVerdict
    from encdec_batch.job.maintain import Pruned
    from encdec_batch.job.plan import Helpers
    from encdec_batch.job.repair import Repaired

LINE_EVERY_S = 30.0
"""Between lines where there is no terminal."""
SHOWN_ASIDE = 10
SHOWN_IDS = 5
STANDS_OUT = 1.3
"""A scene this many times dearer than the mean is named."""


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
        """Also when nothing ends for a while: silence would look like a hang."""
        while not self._ended.wait(LINE_EVERY_S):
            if (now := self._last) is not None:
                blocks = f"{now.blocks_done}/{now.blocks_total} blocks{'' if now.planned else ' planned so far'}"
                self._console.print(f"{_what(now)}  {blocks}  {_figures(now)}", highlight=False, soft_wrap=True)


def print_plan(console: Console, plan: Plan, projected_bytes: int, helpers: Helpers) -> None:
    recipe, scenes, totals = plan.recipe, plan.scenes, plan.totals
    if not scenes:
        done, aside = _count(len(plan.done), "scene"), len(plan.set_aside)
        console.print(f"nothing to do: {done} done, {aside} set aside", highlight=False)
        print_notes(console, plan.notes)
        print_aside(console, plan.set_aside, more="plan --json lists them")
        return
    cost = totals.cost
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("scenes", f"{len(scenes)} to do, {len(plan.done)} done, {len(plan.set_aside)} set aside")
    sides = ", ".join(map(str, sorted(totals.block_sides))) or "-"
    table.add_row("blocks", f"{totals.blocks} of {sides} px, {cost.scene_pixels / 1e6:,.1f} Mpx to compute")
    to_read, encoded = format_bytes(totals.bytes_to_read), format_bytes(totals.bytes_in_scenes)
    table.add_row("to read", f"{to_read} of pixels for {encoded} in the scenes")
    if totals.bytes_for_statistics:
        before = format_bytes(totals.bytes_for_statistics)
        table.add_row("", f"{before} before, for statistics of whole scenes, at most")
    table.add_row(
        "core", f"{recipe.resolved.core} px, halo {recipe.halo_pixels} px: {'exact' if recipe.exact else 'not exact'}"
    )
    tiles = f"{cost.tiles:,} tile{'' if cost.tiles == 1 else 's'}"
    table.add_row("compute", f"{cost.tile_pixels / 1e6:,.1f} Mpx through the network, in {tiles}")
    if cost.scene_pixels:
        table.add_row("halo tax", f"{cost.halo_tax:.2f} pixels computed for each pixel of the scenes")
    if cost.checks:
        table.add_row("certificates", f"{cost.checks:,} windows, {100 * cost.check_share:.2f} % of the network's work")
    if cost.dearest_tax > STANDS_OUT * cost.halo_tax:
        table.add_row("", f"{cost.dearest_tax:.2f} for {cost.dearest}, the dearest")
    for side, rate in recipe.resolved.rates:
        chosen = "  <- chosen" if side == recipe.resolved.core else ""
        table.add_row("measured", f"core {side}: {rate:.2f} Mpx/s of one worker, tax included{chosen}")
    table.add_row(
        "device", f"{recipe.resolved.device_kind}, {recipe.resolved.precision}, batch {recipe.resolved.batch}"
    )
    table.add_row("memory", f"{format_bytes(projected_bytes)} a worker process")
    if helpers.number:
        table.add_row("", f"{format_bytes(helpers.bytes)} each of {helpers.number} more, for small scenes, at most")
    rates = dict(recipe.resolved.rates)
    if recipe.resolved.core in rates and cost.scene_pixels:
        seconds = cost.scene_pixels / 1e6 / rates[recipe.resolved.core]
        table.add_row("", f"{format_duration(seconds)} of one worker")
    console.print(table)
    print_notes(console, plan.notes)
    print_aside(console, plan.set_aside, more="plan --json lists them")


def print_summary(console: Console, summary: RunSummary) -> None:
    rate = f", {format_number(summary.mpx_per_s)} Mpx/s" if summary.blocks else ""
    done = f"{_count(summary.scenes_done, 'scene')} done ({summary.scenes_committed} by this run)"
    took = (
        f"{_count(summary.blocks, 'block')} in {format_duration(summary.seconds)}{rate}"
        if summary.blocks
        else "nothing was to do"
    )
    console.print(f"complete: {done}, {len(summary.set_aside)} set aside; {took}", highlight=False, soft_wrap=True)
    if summary.checks:
        share = f"{100 * summary.check_share:.2f} % of the network's work"
        console.print(
            f"certificates: {_count(summary.checks, 'window')} checked, {share}", highlight=False, soft_wrap=True
        )
    if number := len(summary.scenes_removed):
        console.print(
            f"{_count(number, 'scene')} taken out, as their input is gone; their files go later", highlight=False
        )
    print_notes(console, summary.notes)
    print_aside(console, summary.set_aside, more="see quarantine.parquet")
    console.print(f"output  {summary.output_uri}", highlight=False, soft_wrap=True)
    console.print(f"report  {summary.report_uri}", highlight=False, soft_wrap=True)
    console.print(f"digest  {summary.digest}", highlight=False, soft_wrap=True)


def print_notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)


def print_aside(console: Console, aside: tuple[SetAside, ...], *, more: str) -> None:
    for item in aside[:SHOWN_ASIDE]:
        hint = f" -> {item.hint}" if item.hint else ""
        said = f"set aside  {item.scene_id}  {item.stage}: {item.reason}{hint}"
        console.print(said, highlight=False, soft_wrap=True)
    if len(aside) > SHOWN_ASIDE:
        console.print(f"set aside  ... and {len(aside) - SHOWN_ASIDE} more, {more}", highlight=False)


def print_status(console: Console, status: Status) -> None:
    outputs = f"{_count(status.scenes_with_outputs, 'scene')} with outputs"
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
    bad = len(verdict.bad_files)
    unread = len(verdict.bad) - bad
    more = f"; {_count(unread, 'marker')} cannot be read" if unread else ""
    console.print(f"{_count(verdict.files, 'file')}, {bad} of them not what their markers say{more}", highlight=False)
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
    if number := len(repaired.taken_out):
        console.print(f"{_count(number, 'scene')} taken out, to be made again by the next run", highlight=False)


def print_deep(console: Console, deep: DeepVerdict) -> None:
    console.print(
        f"{_count(deep.windows, 'window')} of {_count(deep.scenes, 'scene')} computed again ({deep.pixels:,} px), "
        f"{len(deep.differ)} of them came out otherwise; largest difference {format_number(deep.largest)}",
        highlight=False,
        soft_wrap=True,
    )
    for why, ids in deep.not_compared.items():
        shown = ", ".join(ids[:SHOWN_IDS]) + (", ..." if len(ids) > SHOWN_IDS else "")
        console.print(f"not compared: {_count(len(ids), 'scene')}, {why} ({shown})", highlight=False, soft_wrap=True)


def print_taken(console: Console, taken: list[QuarantineRecord], *, dry_run: bool) -> None:
    for record in taken:
        line = f"{record.scene_id}  {record.stage}: {record.reason}"
        console.print(line, highlight=False, soft_wrap=True)
    console.print(
        f"{_count(len(taken), 'scene')} {'would be ' if dry_run else ''}taken out of quarantine", highlight=False
    )


def print_pruned(console: Console, pruned: Pruned, *, dry_run: bool) -> None:
    for scene_id in pruned.removed:
        console.print(f"removed  {scene_id}", highlight=False, soft_wrap=True)
    for folder in pruned.folders:
        console.print(f"{folder.reason}  {folder.path}", highlight=False, soft_wrap=True)
    if pruned.removed:
        taken = "would be taken out" if dry_run else "taken out"
        console.print(f"{_count(len(pruned.removed), 'scene')} {taken}; their files go later", highlight=False)
    if foreign := str(pruned.foreign):
        console.print(foreign, highlight=False, soft_wrap=True)
    size = format_bytes(sum(folder.size_bytes for folder in pruned.folders))
    end = ", would be deleted" if dry_run else " deleted"
    console.print(f"{_count(len(pruned.folders), 'folder')}, {size}{end}", highlight=False)


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


def stdout() -> Console:
    # Names of scenes and folders may hold square brackets, which rich would take for its markup.
    return Console(markup=False)


def stderr() -> Console:
    # Not the stream object of this moment: a Ray session puts another one in its place while it runs.
    return Console(stderr=True, markup=False)


def _what(now: Progress) -> str:
    if now.state == "planning":
        read, total = now.headers
        return f"planning, {read}/{total} headers" if total else now.message or "planning"
    planned = "" if now.planned else f", {now.headers[0]} planned so far"
    return f"{now.scenes_done}/{now.scenes_total} scenes{planned}"


def _count(number: int, noun: str) -> str:
    """`1 scene`, `2 scenes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _figures(now: Progress) -> str:
    left = now.seconds_left
    figures = [f"{format_number(now.mpx_per_s)} Mpx/s", f"{format_duration(left)} left" if left is not None else "", ""]
    if now.scenes_aside:
        figures[2] = f"{now.scenes_aside} set aside"
    return "  ".join(part for part in figures if part) if now.state == "running" else ""
