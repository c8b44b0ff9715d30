"""A source whose names nobody may read: scenes as everything after the listing knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from encdec_batch.errors import EncdecError, SpecError, unexpected
from encdec_batch.plan.expand import Expanded, Group
from encdec_batch.plan.scene import Candidate, SetAside, SourceImage
from encdec_batch.privacy import LEAST_CHARACTERS, Pseudonyms, pseudonyms_of
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.source import ListSource, Source
from encdec_batch.uri import hidden, public_text, public_uri

PRIVATE_PREFIX = ".encdec/private/"
"""Of an output: what must be kept in clear, encrypted."""
MEDICAL_SUFFIXES = (
    ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".czi",
)  # fmt: skip
"""Of names of medical images, in lower case."""


def is_private(spec: JobSpec, listed: Iterable[Candidate], *, is_medical: bool) -> bool:
    """Whether names are to be hidden.

    Args:
        spec: of the job.
        listed: objects of the source.
        is_medical: DICOM or NIfTI was found, whatever its names.
    """
    if spec.privacy.hide != "auto":
        return spec.privacy.hide == "on"
    return is_medical or any(one.uri.lower().rstrip("/").endswith(MEDICAL_SUFFIXES) for one in listed)


def names_of(spec: PrivacySpec) -> Pseudonyms:
    """By the key of the environment.

    Raises:
        SpecError: it has none.
    """
    found = pseudonyms_of(spec.key)
    if found is None:
        raise SpecError(
            f"names of medical images are kept private, and {spec.key} holds no key of {LEAST_CHARACTERS} characters",
            hint=f"export {spec.key}=$(openssl rand -hex 32) and keep it: by another key scenes have other names; "
            "or say privacy: off",
        )
    return found


@contextmanager
def errors_veiled(privacy: PrivacySpec, named: Iterable[str], stage: str) -> Iterator[None]:
    """Around what reads a source: no error that leaves names it, where names are private, or may be and there is a key.
    What other people's errors say of it is not behind ours either, as -v would show it.

    Args:
        privacy: of the spec.
        named: URIs by which the source is named.
        stage: what is being done.

    Raises:
        SpecError: names are to be hidden, and there is no key.
    """
    names = names_of(privacy) if privacy.hide == "on" else None
    if privacy.hide == "auto":
        names = pseudonyms_of(privacy.key)
    try:
        yield
    except Exception as error:
        if names is None:
            raise
        if not isinstance(error, EncdecError):
            raise unexpected(error, stage, private=True) from None
        raise _veiled_error(error, named, names) from None


def _veiled_error(error: EncdecError, named: Iterable[str], names: Pseudonyms) -> EncdecError:
    with ExitStack() as stack:
        for uri in named:
            for form in {uri, public_uri(uri)}:
                stack.enter_context(hidden(form, names.uri(uri), steps=False))
        said = type(error)(error.message, hint=public_text(error.hint), **error.context)
    for note in getattr(error, "__notes__", ()):
        said.add_note(note)
    return said


def veiled(found: Expanded, names: Pseudonyms, source: Source) -> Expanded:
    """The same scenes under names that tell nothing; only their links open them."""
    ids = {one.scene_id: names.scene_id(one.scene_id) for one in found.candidates}
    return Expanded(
        candidates=tuple(_candidate(one, names) for one in found.candidates),
        set_aside=tuple(veiled_aside(one, names, source) for one in found.set_aside),
        groups=tuple(_group(one.renamed(ids), names) for one in found.groups),
    )


def veiled_aside(aside: SetAside, names: Pseudonyms, source: Source) -> SetAside:
    """What was set aside before it had a name that may be shown; a table that named it has none either."""
    shown, scene_id = names.uri(aside.uri), names.scene_id(aside.scene_id)
    # Where several want one id, each has it with a hash behind, and the reason names it without.
    wanted = aside.scene_id.rpartition("-")[0] or aside.scene_id
    with ExitStack() as stack:
        for name, other in ((aside.uri, shown), (aside.scene_id, scene_id), (wanted, scene_id)):
            stack.enter_context(hidden(name, other))
        for uri in () if isinstance(source, ListSource) else (source.uri, public_uri(source.uri)):
            stack.enter_context(hidden(uri, names.uri(uri), steps=False))
        reason, hint = public_text(aside.reason), public_text(aside.hint)
    return replace(aside, scene_id=scene_id, uri=shown, reason=reason, hint=hint)


def _candidate(one: Candidate, names: Pseudonyms) -> Candidate:
    return replace(
        one,
        scene_id=names.scene_id(one.scene_id),
        uri=names.uri(one.uri),
        link=one.opened,
        stack=tuple(_image(image, names) for image in one.stack),
    )


def _group(group: Group, names: Pseudonyms) -> Group:
    images = tuple(_image(image, names) for image in group.images)
    return replace(group, group_id=names.scene_id(f"volume {group.group_id}"), images=images)


def _image(image: SourceImage, names: Pseudonyms) -> SourceImage:
    return replace(image, uri=names.uri(image.uri), link=image.opened)
