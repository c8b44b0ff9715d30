"""The state of the protocol's model, and small steps of it; protocol_model.py says what it models."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Folder: TypeAlias = tuple[int, str, int]
"""Generation, key, and d: the kind of device, on which the bytes depend."""


class File(NamedTuple):
    name: str
    folder: Folder
    content: tuple[str, int]
    """Key and kind of device: stands for the sha256."""


class Marker(NamedTuple):
    """Its value is its etag too, as on a store whose etag is the md5 of the content."""

    g: int
    key: str
    outputs: tuple[File, ...]

    def has(self, key: str, outputs: tuple[str, ...]) -> bool:
        """Whether it is of this key and has these outputs; with none asked for, whether the scene was removed."""
        there = {file.name for file in self.outputs}
        return bool(there) == bool(outputs) and self.key == key and there.issuperset(outputs)


class Wish(NamedTuple):
    """What a run wants of the scene; no outputs: it is to be removed."""

    model: str
    outputs: tuple[str, ...] = ("tif",)


class Plan(NamedTuple):
    """What a driver found when it planned, and what it wants."""

    number: tuple[int, int]
    """Number of the lease, and of the plan within the run."""
    key: str
    outputs: tuple[str, ...]
    base: Marker | None

    @property
    def is_done(self) -> bool:
        return self.base is not None and self.base.has(self.key, self.outputs)


class Driver(NamedTuple):
    wish: int
    lease: int
    plans: int
    plan: Plan | None


class Committer(NamedTuple):
    plan: Plan
    device: int
    at: str
    file: int = 0
    previous: Marker | None = None


class Prune(NamedTuple):
    lease: int
    at: str
    files: tuple[File, ...] = ()


class Reader(NamedTuple):
    marker: Marker
    file: int = 0


class PutMarker(NamedTuple):
    marker: Marker
    expected: Marker | None
    mover: tuple[int, int]


class CreateFile(NamedTuple):
    file: File


class DeleteFile(NamedTuple):
    file: File


Process: TypeAlias = Driver | Committer | Prune | Reader
Request: TypeAlias = PutMarker | CreateFile | DeleteFile


class State(NamedTuple):
    marker: Marker | None = None
    files: frozenset[File] = frozenset()
    lease: int = 0
    input: int = 0
    late: frozenset[Request] = frozenset()
    processes: tuple[Process, ...] = ()
    budget: tuple[int, ...] = ()
    """How many more of each event there may be: see `Bounds`."""
    mover: tuple[int, int] = (0, 0)
    """The plan that moved the marker last."""
    named: frozenset[File] = frozenset()
    """Every file that a marker has ever named."""
    newest: Plan | None = None
    done: tuple[int, int] = (0, 0)
    """The newest plan that was reported as committed."""


COMMITTERS, UNANSWERED, PRUNES, READERS, REPLACEMENTS = range(5)


def carry_on(previous: Marker | None, plan: Plan) -> tuple[File, ...]:
    if previous is None or previous.key != plan.key:
        return ()
    return tuple(file for file in previous.outputs if file.name in plan.outputs)


def again(driver: Driver) -> Driver:
    return driver._replace(plans=driver.plans + 1, plan=None)


def report(state: State, plan: Plan) -> State:
    return state._replace(done=max(state.done, plan.number))


def deleted(state: State, file: File) -> State:
    return state._replace(files=frozenset(there for there in state.files if there[:2] != file[:2]))


def spend(state: State, what: int) -> State:
    budget = list(state.budget)
    budget[what] -= 1
    return state._replace(budget=tuple(budget))


def start(state: State, process: Process) -> State:
    return state._replace(processes=(*state.processes, process))


def change(state: State, number: int, process: Process) -> State:
    return state._replace(processes=(*state.processes[:number], process, *state.processes[number + 1 :]))


def end(state: State, number: int) -> State:
    return state._replace(processes=state.processes[:number] + state.processes[number + 1 :])


def step_on(state: State, number: int, prune: Prune) -> State:
    return change(state, number, prune) if prune.files else end(state, number)
