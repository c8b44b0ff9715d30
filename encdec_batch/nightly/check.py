"""What can be known to be wrong with a nightly job before a store is asked: its spec, and that of its archive."""

from __future__ import annotations

from encdec_batch.errors import SpecError
from encdec_batch.models.reference import parse_reference
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec
from encdec_batch.spec.nightly import NightlySpec


def check_archive(spec: NightlySpec) -> JobSpec | None:
    """The job of the archive; None: there is none.

    Raises:
        SpecError: it is no job, or of another model than production of this one.
    """
    if spec.archive is None:
        return None
    job = load_spec(spec.archive.spec)
    wanted, named = (spec.registry.rstrip("/"), spec.train.card.name, "production"), parse_reference(job.model.package)
    if named is None or (named.registry.rstrip("/"), named.name, named.wanted) != wanted:
        uri = "{}/{}@{}".format(*wanted)
        raise SpecError(
            f"archive.spec {spec.archive.spec}: its model is {job.model.package}, this job promotes {uri}",
            hint=f"say there model.package: {uri}",
        )
    return job
