"""What is logged: JSON for a machine, sentences on a terminal."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from rich.console import Console
from rich.progress import Progress

import encdec_batch
from encdec_batch import log

PACKAGE = Path(encdec_batch.__file__).parent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def restored() -> Iterator[None]:
    ours = logging.getLogger("encdec_batch")
    before = ours.handlers, ours.level, ours.propagate
    yield
    ours.handlers, ours.level, ours.propagate = before


def warn() -> None:
    said = {"files": 3, "used": 9, "first": "a.png: label 3\nis of no class"}
    logging.getLogger("encdec_batch.train").warning("train.set_aside", extra=said)


@pytest.mark.usefixtures("restored")
def test_a_machine_reads_json_and_a_person_a_sentence(monkeypatch):
    for stream, terminal in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr("sys.stderr", stream)
        log.set_up(verbose=True)
        warn()
        if not terminal:
            assert json.loads(stream.getvalue())["files"] == 3
            continue
        logging.getLogger("encdec_batch.train").info("train.epoch", extra={"epoch": 2, "loss": 0.5})
        assert stream.getvalue().splitlines() == [
            "warning: files set aside: 3, learned from: 9; the first: a.png: label 3 is of no class",
            "info: train.epoch, epoch 2, loss 0.5",
        ]


@pytest.mark.usefixtures("restored")
def test_a_sentence_stands_above_a_progress_line(monkeypatch):
    """Written to the terminal itself it would stand in the middle of that line."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    log.set_up(verbose=False)
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    with Progress(console=console, auto_refresh=False) as shown:
        shown.add_task("training")
        shown.refresh()
        warn()
    [line] = [line for line in screen.getvalue().split("\n") if "set aside" in line]
    assert line.rpartition("\x1b[2K")[2].startswith("warning: files set aside: 3")


def warnings() -> Iterator[tuple[str, set[str] | None]]:
    """Event and fields of every warning of the package; None where these are not written beside it."""
    for text in (path.read_text() for path in PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(text)) if ".warning(" in text else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "warning" or not isinstance(node.args[0], ast.Constant):
                continue
            extra = [keyword.value for keyword in node.keywords if keyword.arg == "extra"]
            if not extra:
                yield node.args[0].value, set()
            elif isinstance(extra[0], ast.Dict):
                yield node.args[0].value, {key.value for key in extra[0].keys if isinstance(key, ast.Constant)}
            else:
                yield node.args[0].value, None


def test_every_warning_has_a_sentence_of_the_fields_that_it_has():
    found = list(warnings())
    assert {event for event, _ in found} == log.SENTENCES.keys()
    for event, fields in found:
        wanted = {name for _, name, _, _ in Formatter().parse(log.SENTENCES[event]) if name}
        assert fields is None or wanted <= fields, event
