"""The same session on many workers, by Ray Train; the only module of `train` that imports it.

Ray starts the workers, connects them (gloo, NCCL), notices one that died and starts all of them anew, on more or fewer
machines where the spec lets it. What was learned is not Ray's: checkpoints lie on our store (docs/decisions/020), so
each attempt is a new experiment for Ray, whose own memory of it is thrown away.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from contextlib import ExitStack
from tempfile import mkdtemp
from typing import Any

from encdec_batch.errors import EncdecError, ObjectMissing, SpecError, StoreError, TrainingError, unexpected
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.text import parse_json
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.cluster_fit import check_node_fits, may_grow
from encdec_batch.stream.ray_session import ray_session
from encdec_batch.train.material import Material
from encdec_batch.train.tracking.progress import Progress, Report

PROGRESS = "progress.json"
_WRITE_EVERY_S, _READ_EVERY_S = 2.0, 1.0
_STORE_GIB = 1.0

log = logging.getLogger(__name__)


def train_on_ray(spec: TrainSpec, stream: RayTraining, material: Material, *, report: Report, verbose: bool) -> None:
    """Train to the last step on the workers of a Ray.

    Args:
        spec: of the training.
        stream: `spec.compute.stream`.
        material: its data.
        report: is told how far it is, by a thread.
        verbose: let Ray talk.

    Raises:
        EncdecError: a worker cannot go on, or died more often than the spec puts up with.
    """
    memory = int((stream.object_store_gib or _STORE_GIB) * 2**30)
    with ExitStack() as stack:
        processes = 2 * stream.most_workers + 2
        session = ray_session(stream.address, object_store_bytes=memory, processes=processes, verbose=verbose)
        stack.enter_context(session)
        folder = mkdtemp(prefix="eb-train-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _check_cluster_fits(spec, stream)
        listener = _Listener(open_store(spec.output.uri, spec.output.storage), report)
        stack.enter_context(listener)
        _fit(spec, stream, {"work": Given(spec, material)}, folder)


class Given:
    """What every worker is given. Ray shows what a training was given, as text, on its dashboard and in its state: of
    this it can show nothing.
    """

    def __init__(self, spec: TrainSpec, material: Material) -> None:
        self.spec, self.material = spec, material

    def __repr__(self) -> str:
        return "a training of encdec-batch"


def _check_cluster_fits(spec: TrainSpec, stream: RayTraining) -> None:
    """Workers that find no CPU would be waited for without end, and so would those that make their samples."""
    import ray

    if spec.compute.device == "cuda" and not ray.cluster_resources().get("GPU") and not may_grow(stream.address):
        raise SpecError("compute.device is cuda, but this Ray has no GPU", hint="say device: auto or cpu")
    if stream.address != "local":
        place = {"num_cpus": stream.cpus_per_worker, "num_gpus": stream.gpus_per_worker or 0}
        check_node_fits(place, stream.address, what="a worker of this training", hint="ask for less in compute.stream")
    loading, workers = spec.data.loading, stream.workers
    least = workers if isinstance(workers, int) else workers[0]
    wanted = least * (stream.cpus_per_worker + loading.workers * loading.cpus_per_worker)
    there = ray.cluster_resources().get("CPU", 0.0)
    if wanted <= there:
        return
    if not may_grow(stream.address):
        where = "this machine" if stream.address == "local" else "this cluster, which does not grow,"
        raise SpecError(
            f"{least} workers and those that make their samples want {wanted:g} CPUs, {where} has {there:g}",
            hint="lower compute.stream.workers, compute.stream.cpus_per_worker or data.loading.cpus_per_worker",
        )
    log.warning("train.waiting_for_room", extra={"cpus_wanted": wanted, "cpus": there})


def _fit(spec: TrainSpec, stream: RayTraining, config: dict[str, Any], folder: str) -> None:
    import ray
    from ray.train.v2.api.exceptions import TrainingFailedError

    from encdec_batch.train.running.deaths import deaths_in, died_while_starting, note

    for name in ("ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    most, result = stream.max_failures, None
    while result is None:
        left = most if most < 0 else most - len(deaths_in(folder))
        try:
            result = _trainer(spec, stream, config, folder, max_failures=left).fit()
        except (TrainingFailedError, ray.exceptions.RayError) as error:
            lost = died_while_starting(error)
            if lost is not None:
                note(folder, {"one that was started": lost})
            if lost is None or 0 <= most < len(deaths_in(folder)):
                raise _failure(error, deaths_in(folder)) from error
    for death in deaths_in(folder):
        log.warning("train.workers_started_again", extra={"after": death})
    if isinstance(result.return_value, EncdecError):
        raise result.return_value


def _trainer(
    spec: TrainSpec, stream: RayTraining, config: dict[str, Any], folder: str, *, max_failures: int
) -> Any:  # of Ray, which types no result of ours
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from encdec_batch.train.running.deaths import Deaths

    gpus = stream.gpus_per_worker
    if gpus is None:
        has_any = ray.cluster_resources().get("GPU", 0) > 0
        gpus = 1.0 if has_any and spec.compute.device != "cpu" else 0.0
    work: Any = _work  # it may give a value back, and workers may be two numbers, whatever Ray's types say
    workers: Any = stream.workers
    noting: list[Any] = [Deaths(folder)]
    return TorchTrainer(
        work,
        train_loop_config=config,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": stream.cpus_per_worker} | ({"GPU": gpus} if gpus else {}),
        ),
        # A name of its own: under one that it knows Ray would go on from what it remembers.
        run_config=RunConfig(
            name=f"attempt-{time.time_ns()}",
            storage_path=folder,
            failure_config=FailureConfig(max_failures=max_failures),
            callbacks=noting,
        ),
    )


def _work(config: dict[str, Any]) -> EncdecError | None:
    """A worker of Ray Train. An error of ours is given back: raised, it would count as a death and be tried again."""
    import ray.train
    import ray.train.torch
    import torch
    import torch.distributed as dist

    from encdec_batch.train.learning.all_reduce import TorchTeam
    from encdec_batch.train.running.session import Session

    given: Given = config["work"]
    spec = given.spec
    torch.set_num_threads(spec.compute.threads)
    device = ray.train.torch.get_device() if spec.compute.device != "cpu" else torch.device("cpu")
    speaker = _Speaker(open_store(spec.output.uri, spec.output.storage))

    def told(error: EncdecError | None) -> EncdecError | None:
        """The error of any worker: what happened, rather than that it happened to another."""
        said: list[EncdecError | None] = [None] * dist.get_world_size()
        dist.all_gather_object(said, error)
        errors = [one for one in said if one is not None]
        return next((one for one in errors if not one.context.get("elsewhere")), errors[0] if errors else None)

    session, failure = None, None
    try:
        session = Session(spec, given.material, team=TorchTeam(device), device=device, report=speaker)
    except EncdecError as error:
        failure = error
    # Before any of them waits for another in a step.
    failure = told(failure)
    if session is None or failure is not None:
        return failure
    try:
        session.run()
    except EncdecError as error:
        failure = error
    return told(failure)


def _failure(error: Exception, deaths: list[str]) -> EncdecError:
    """What a user is told of workers that died, or of a Ray that gave up for another reason."""
    causes = getattr(error, "worker_failures", {})
    first = next(iter(causes.values()), None)
    reason = first if isinstance(first, Exception) else error
    if isinstance(reason, EncdecError):
        return reason
    # Not counted from what the spec allows: Ray gives up at once where its controller fails.
    what = f"workers died {len(deaths)} times ({' | '.join(deaths)})" if deaths else "Ray gave up"
    return TrainingError(
        f"{what[:900]}: {unexpected(reason, 'train').message[:300]}",
        hint="look at Ray's logs with -v; started once more it goes on from its newest checkpoint, if it has one",
    )


class _Speaker:
    """Tells the driver by way of the store, now and then."""

    def __init__(self, store: Store) -> None:
        self._store, self._said = store, 0.0

    def __call__(self, now: Progress) -> None:
        if time.monotonic() - self._said < _WRITE_EVERY_S and now.step < now.steps:
            return
        self._said = time.monotonic()
        try:
            self._store.put(PROGRESS, canonical_json(now.to_dict()))
        except StoreError as error:
            # A comfort; and the other workers are in their next step already.
            log.warning("train.progress_not_written", extra={"error": str(error)})


class _Listener:
    """A thread that looks what rank 0 has said, wherever it is."""

    def __init__(self, store: Store, report: Report) -> None:
        self._store, self._report, self._over = store, report, threading.Event()
        self._seen: bytes | None = None
        self._thread = threading.Thread(target=self._listen, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._store.delete([PROGRESS])
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _listen(self) -> None:
        while not self._over.wait(_READ_EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            data = self._store.get(PROGRESS)
        except (ObjectMissing, StoreError):
            # A comfort: what is wrong with the store the workers will say.
            return
        if data != self._seen:
            self._seen = data
            self._report(Progress(**parse_json(data)))
