"""The process in which one block, one commit or one header is alone: `python -m encdec_batch.stream.alone_child`."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from typing import IO, Any

from encdec_batch.errors import EncdecError
from encdec_batch.log import set_up
from encdec_batch.pipeline import Predicted, PredictStage, Read, Record, WriteStage, commit_parts, read_item
from encdec_batch.plan.item import Piece, WorkItem
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.alone import AloneJob, set_aside
from encdec_batch.stream.child import Stage
from encdec_batch.stream.deadline import PROCESS
from encdec_batch.stream.headers import PLAN, HeaderJob, TimedOpening, header_deadline_s


def main() -> None:
    """Does the work on stdin and says on stdout how far it is."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # Libraries that print must not spoil the answers.
    os.dup2(2, 1)
    set_up(verbose=False)
    end_with_parent()
    job: AloneJob | HeaderJob = pickle.load(sys.stdin.buffer)  # noqa: S301  (written by our own parent)
    answer = _header(job, answers) if isinstance(job, HeaderJob) else _Child(job, answers).record()
    answers.write(pickle.dumps(answer, protocol=5))


def _header(job: HeaderJob, answers: IO[bytes]) -> Planned | SetAside | EncdecError:
    deadline_s = header_deadline_s(job.rules)
    answers.write(pickle.dumps(Stage(name=PLAN, deadline_s=deadline_s), protocol=5))
    try:
        return TimedOpening(job.rules, PROCESS)(job.recipe, job.wanted)
    except EncdecError as error:
        return error  # no scene's: it ends the run


class _Child:
    def __init__(self, job: AloneJob, answers: IO[bytes]) -> None:
        self._job, self._answers = job, answers

    def record(self) -> Record:
        job, alone = self._job, self._job.alone
        try:
            if alone.piece is not None:
                return self._block(alone.piece)
            committed: Record = self._within("commit", commit_parts, job.recipe, alone.scene, job.lease_n)
        except EncdecError as error:
            # Not a stage's: the network cannot be loaded here, or the device is another one.
            return set_aside(alone, error)
        else:
            return committed

    def _block(self, piece: Piece) -> Record:
        predict, write = self._stages()
        values = read_item(self._job.recipe, WorkItem(pieces=(piece,)))
        preparing = piece.scene.num_pixels if piece.scene.staged or piece.scene.by_statistics else 0
        made: Read | Predicted | Record = self._within("read", next, values, more=preparing)
        if isinstance(made, Read):
            made = self._within("predict", predict, made)
        if isinstance(made, Predicted):
            made = self._within("write", write, made)
        assert isinstance(made, Record)  # noqa: S101  (the last stage gives nothing else)
        return made

    def _stages(self) -> tuple[PredictStage, WriteStage]:
        import torch

        job = self._job
        assert job.package is not None  # noqa: S101  (only a commit has none)
        torch.set_num_threads(1)
        return PredictStage(job.recipe, job.package), WriteStage(job.recipe, job.lease_n)

    def _within(self, stage: str, call: Any, *arguments: Any, more: int = 0) -> Any:
        """Every stage is the first of its process; `more` are pixels that it has to go through besides."""
        mpx = (self._job.alone.pixels + more) / 1e6
        deadline_s = self._job.rules.deadline_s(stage, mpx, pace=None, first=True)
        self._answers.write(pickle.dumps(Stage(name=stage, deadline_s=deadline_s), protocol=5))
        with PROCESS.within(deadline_s):
            return call(*arguments)


def end_with_parent() -> None:
    """The kernel kills this process when the thread that started it ends."""
    parent = os.getppid()
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
