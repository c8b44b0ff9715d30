"""A model of the commit protocol for one scene, small enough that every state of it can be visited.

The store holds a marker, files and the number of the newest lease. Drivers plan, committers write files and move
the marker, a prune deletes, readers read; each step is one request to the store, and they interleave in every order.
A process that is never scheduled again has crashed, one that is scheduled much later is a zombie. A request that
changes something may stay without an answer: it then takes effect at any later moment, or never (a lost answer is one
that took effect at once). The steps are those of encdec_batch/commit/{marker,scene,prune}.py and job/run.py.

Not in the model: parts (no reader sees them, and `d` is a function of them), the time of `keep_previous` (here 0, so
that prune is as eager as can be), folders of a higher generation (pruned a week after their committer gave up).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from commit.protocol_state import (
    COMMITTERS,
    PRUNES,
    READERS,
    REPLACEMENTS,
    UNANSWERED,
    Committer,
    CreateFile,
    DeleteFile,
    Driver,
    File,
    Marker,
    Plan,
    Process,
    Prune,
    PutMarker,
    Reader,
    Request,
    State,
    Wish,
    again,
    carry_on,
    change,
    deleted,
    end,
    report,
    spend,
    start,
    step_on,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of the protocol; each can be left out."""

    generation: bool = True
    if_match: bool = True
    digest: bool = True
    lease_check: bool = True
    no_new_etag: bool = True
    prune_by_generation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much happens in all."""

    runs: tuple[Wish, ...]
    devices: int = 1
    """Kinds of device that may make the files."""
    committers: int = 2
    """All that are ever started; of one plan there may be two, as after a worker that was thought dead."""
    unanswered: int = 1
    prunes: int = 0
    readers: int = 0
    replacements: int = 0
    """Times that the input is replaced."""
    replans: int = 1
    """Of one run, after a conflict or a replaced input."""
    committed: Wish | None = None
    """What is there at first."""


class Violation(Exception):
    """An invariant does not hold; the argument says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What an exploration found."""

    states: int
    violation: str = ""
    trace: tuple[str, ...] = ()
    """The shortest way to the violation."""


@dataclass(slots=True)
class Explorer:
    """Visits every state that the bounds admit, breadth first."""

    bounds: Bounds
    rules: Rules = field(default_factory=Rules)

    def explore(self) -> Explored:
        start = self.start()
        came_from: dict[State, tuple[State, str] | None] = {start: None}
        queue = deque([start])
        while queue:
            state = seen = queue.popleft()
            try:
                for label, following in self.steps(state):
                    if following not in came_from:
                        came_from[following] = state, label
                        seen = following
                        self.check(following)
                        seen = state
                        queue.append(following)
            except Violation as violation:
                return Explored(states=len(came_from), violation=str(violation), trace=trace(came_from, seen))
        return Explored(states=len(came_from))

    def start(self) -> State:
        bounds = self.bounds
        budget = (bounds.committers, bounds.unanswered, bounds.prunes, bounds.readers, bounds.replacements)
        if bounds.committed is None:
            return State(budget=budget)
        plan = Plan((0, 0), f"{bounds.committed.model}0", bounds.committed.outputs, None)
        files = frozenset(self.to_make(plan, 0))
        return State(marker=Marker(self.g(None), plan.key, tuple(files)), files=files, named=files, budget=budget)

    # What must hold in every state.

    def check(self, state: State) -> None:
        marker, newest = state.marker, state.newest
        for file in marker.outputs if marker else ():
            found = self.content(state, file)
            if found is None:
                raise Violation("the marker names a file that is not there")
            if found != file.content:
                raise Violation("the marker names a file of other bytes")
        if newest and state.done == newest.number and not (marker and marker.has(newest.key, newest.outputs)):
            raise Violation("what the newest plan wanted was reported as committed and is not there")
        self.check_goes_on(state)

    def check_goes_on(self, state: State) -> None:
        """Were all processes dead now, one more run of what was wanted last would come through."""
        wish = self.bounds.runs[-1]
        plan = Plan((state.lease + 1, 0), f"{wish.model}{state.input}", wish.outputs, state.marker)
        if any(self.content(state, file) not in (None, file.content) for file in self.to_make(plan, 0)):
            raise Violation("the next run would take other bytes for its own")

    def moved(self, state: State, request: PutMarker) -> State | None:
        """The state after a PUT of the marker; None: refused."""
        if self.rules.if_match and state.marker != request.expected:
            return None
        if request.mover < state.mover:
            raise Violation("an older plan came back over a newer one")
        return state._replace(
            marker=request.marker, mover=request.mover, named=state.named | set(request.marker.outputs)
        )

    def created(self, state: State, file: File) -> State:
        """The state after a create-only PUT: of a name that exists the old bytes stay."""
        if self.content(state, file) is not None:
            return state
        if any((old.name, old.folder) == file[:2] and old.content != file.content for old in state.named):
            raise Violation("a file that a marker named has come back with other bytes")
        return state._replace(files=state.files | {file})

    @staticmethod
    def content(state: State, file: File) -> tuple[str, int] | None:
        return next((there.content for there in state.files if there[:2] == file[:2]), None)

    # What happens next: every step that any process, or the network, may take.

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield from self.world(state)
        for number, process in enumerate(state.processes):
            yield from {
                Driver: self.driver,
                Committer: self.committer,
                Prune: self.prune,
                Reader: self.reader,
            }[type(process)](state, number, process)

    def world(self, state: State) -> Iterator[tuple[str, State]]:
        """A run or a prune takes the lease, a reader comes, the input is replaced, a late request arrives."""
        started = sum(isinstance(process, Driver) for process in state.processes)
        taken = state._replace(lease=state.lease + 1)
        if started < len(self.bounds.runs):
            yield f"run {started} takes lease {taken.lease}", start(taken, Driver(started, taken.lease, 0, None))
        if state.budget[PRUNES]:
            yield f"prune takes lease {taken.lease}", start(spend(taken, PRUNES), Prune(taken.lease, "list"))
        if state.budget[READERS] and state.marker and state.marker.outputs:
            yield "a reader opens the marker", start(spend(state, READERS), Reader(state.marker))
        if state.budget[REPLACEMENTS]:
            yield "the input is replaced", spend(state, REPLACEMENTS)._replace(input=state.input + 1)
        for request in state.late:
            rest = state._replace(late=state.late - {request})
            yield f"late: {type(request).__name__}", self.takes_effect(rest, request)

    def takes_effect(self, state: State, request: Request) -> State:
        if isinstance(request, PutMarker):
            return self.moved(state, request) or state
        if isinstance(request, CreateFile):
            return self.created(state, request.file)
        return deleted(state, request.file)

    def driver(self, state: State, number: int, driver: Driver) -> Iterator[tuple[str, State]]:
        wish, plan = self.bounds.runs[driver.wish], driver.plan
        name = f"run {driver.wish}"
        if plan is None:
            # A scene that was removed keeps its key; one that was never there has nothing to remove.
            removes = not wish.outputs
            key = (state.marker.key if state.marker else "") if removes else f"{wish.model}{state.input}"
            plan = Plan((driver.lease, driver.plans), key, wish.outputs, state.marker)
            after = change(state, number, driver._replace(plan=plan))
            newer = state.newest is None or plan.number >= state.newest.number
            if newer and not (removes and not state.marker):
                after = after._replace(newest=plan)
            yield f"{name} plans", after
            return
        if plan.is_done or not (plan.outputs or plan.base):
            return
        if state.budget[COMMITTERS]:
            for device in range(self.bounds.devices):
                given = start(spend(state, COMMITTERS), Committer(plan, device, "previous"))
                yield f"{name} gives the scene to a committer (device {device})", given
        if wish.outputs and plan.key != f"{wish.model}{state.input}" and driver.plans < self.bounds.replans:
            yield f"{name} sees the new input", change(state, number, again(driver))

    def committer(self, state: State, number: int, c: Committer) -> Iterator[tuple[str, State]]:
        """`commit_scene` and `move_marker`, a request at a time."""
        name = f"committer of {c.plan.number}"
        make = self.to_make(c.plan, c.device)
        if c.at == "previous":
            found = state.marker
            if c.plan.base and found != c.plan.base and not (found and found.key == c.plan.key):
                yield f"{name} finds another marker", self.conflict(state, number, c)
                return
            previous = found if c.plan.base else None
            after = c._replace(at="file" if make else "check", previous=previous)
            yield f"{name} reads the marker", change(state, number, after)
        elif c.at == "file":
            last = c.file + 1 == len(make)
            after = c._replace(at="check" if last else "file", file=0 if last else c.file + 1)
            created = self.created(state, make[c.file])
            yield f"{name} creates {make[c.file].name}", change(created, number, after)
            yield from self.unanswered(state, number, c, CreateFile(make[c.file]))
        elif c.at == "check":
            if self.rules.lease_check and state.lease != c.plan.number[0]:
                yield f"{name} sees that the lease was taken over", end(state, number)
            else:
                yield f"{name} checks the lease", change(state, number, c._replace(at="put"))
        elif c.at == "put":
            request = PutMarker(self.marker(c, make), c.plan.base, c.plan.number)
            moved = self.moved(state, request)
            if moved is None:
                yield f"{name} is refused", change(state, number, c._replace(at="refused"))
            else:
                yield f"{name} moves the marker", end(report(moved, c.plan), number)
            yield from self.unanswered(state, number, c._replace(at="no answer"), request)
        else:
            yield from self.look_back(state, number, c, make)

    def look_back(self, state: State, number: int, c: Committer, make: tuple[File, ...]) -> Iterator[tuple[str, State]]:
        """The marker is read after a refusal, or after no answer."""
        name, found = f"committer of {c.plan.number}", state.marker
        wanted = self.marker(c, make)
        if found and found.has(wanted.key, tuple(file.name for file in wanted.outputs)):
            yield f"{name} finds it done", end(report(state, c.plan), number)
        elif c.at == "no answer" and found == c.plan.base:
            yield f"{name} finds nothing done", change(state, number, c._replace(at="check"))
        elif self.rules.no_new_etag:
            yield f"{name} reports a conflict", self.conflict(state, number, c)
        else:
            mine = c._replace(plan=c.plan._replace(base=found), at="file" if make else "check")
            yield f"{name} takes the new etag", change(state, number, mine)

    def conflict(self, state: State, number: int, c: Committer) -> State:
        """The driver, if it lives and this is its plan, plans anew."""
        state = end(state, number)
        for other, process in enumerate(state.processes):
            if isinstance(process, Driver) and process.plan and process.plan.number == c.plan.number:
                return change(state, other, again(process)) if process.plans < self.bounds.replans else state
        return state

    def unanswered(self, state: State, number: int, after: Process, request: Request) -> Iterator[tuple[str, State]]:
        """The request is under way for any time; for creations and deletions the store's own retry asks again."""
        if state.budget[UNANSWERED]:
            late = spend(state, UNANSWERED)._replace(late=state.late | {request})
            yield f"no answer to {type(request).__name__}", change(late, number, after)

    def prune(self, state: State, number: int, prune: Prune) -> Iterator[tuple[str, State]]:
        marker = state.marker
        if prune.at == "list":
            files = tuple(sorted(state.files))
            yield "prune lists the folders", change(state, number, Prune(prune.lease, "marker", files))
        elif prune.at == "marker":
            named = {file.folder for file in marker.outputs} if marker else set()
            g = marker.g if marker else 0
            files = tuple(
                file
                for file in prune.files
                if file.folder not in named and (file.folder[0] <= g or not self.rules.prune_by_generation)
            )
            yield "prune reads the marker", step_on(state, number, Prune(prune.lease, "check", files))
        elif prune.at == "check":
            if state.lease != prune.lease:
                yield "prune sees that the lease was taken over", end(state, number)
            else:
                yield "prune checks the lease", change(state, number, prune._replace(at="delete"))
        else:
            file, rest = prune.files[0], prune._replace(files=prune.files[1:])
            yield f"prune deletes {file.folder}", step_on(deleted(state, file), number, rest)
            yield from self.unanswered(state, number, prune, DeleteFile(file))

    def reader(self, state: State, number: int, reader: Reader) -> Iterator[tuple[str, State]]:
        file = reader.marker.outputs[reader.file]
        found = self.content(state, file)
        if found is None and state.marker == reader.marker:
            raise Violation("a reader of the present marker gets a 404")
        if found is not None and found != file.content:
            raise Violation("a reader gets other bytes than its marker says")
        rest = reader._replace(file=reader.file + 1)
        over = found is None or rest.file == len(reader.marker.outputs)
        yield "a reader reads a file", end(state, number) if over else change(state, number, rest)

    # What a plan comes to.

    def g(self, base: Marker | None) -> int:
        return (base.g if base else 0) + 1 if self.rules.generation else 1

    def to_make(self, plan: Plan, device: int) -> tuple[File, ...]:
        """The files that the marker of the plan has not yet."""
        carried = {file.name for file in carry_on(plan.base, plan)}
        folder = (self.g(plan.base), plan.key, device if self.rules.digest else 0)
        return tuple(File(name, folder, (plan.key, device)) for name in plan.outputs if name not in carried)

    def marker(self, c: Committer, make: tuple[File, ...]) -> Marker:
        made = {file.name: file for file in (*carry_on(c.previous, c.plan), *make)}
        return Marker(self.g(c.plan.base), c.plan.key, tuple(made[name] for name in sorted(made)))


def trace(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    """The steps that led to a state."""
    labels, step = [], came_from[state]
    while step is not None:
        labels.append(step[1])
        step = came_from[step[0]]
    return tuple(reversed(labels))
