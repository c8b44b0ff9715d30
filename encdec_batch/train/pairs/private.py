"""Pairs whose names nobody may read: as everything after the listing and the split knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from encdec_batch.plan.identity import path_id
from encdec_batch.plan.private import MEDICAL_SUFFIXES, errors_veiled, names_of
from encdec_batch.plan.public_spec import named_by
from encdec_batch.privacy import Pseudonyms, pseudonyms_of
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.train_pairs import Pairs
from encdec_batch.train.pairs.pair import Aside, File, Pair
from encdec_batch.uri import hidden, public_text


def names_for(privacy: PrivacySpec, pairs: Sequence[Pair], aside: Sequence[Aside]) -> Pseudonyms | None:
    """What names are to be hidden by; None: they may be shown.

    Raises:
        SpecError: they are to be hidden, and there is no key.
    """
    if privacy.hide == "off":
        return None
    uris = [*(file.uri for pair in pairs for file in (pair.image, pair.target) if file), *(one.uri for one in aside)]
    is_medical = any(pair.medical for pair in pairs) or any(
        uri.lower().rstrip("/").endswith(MEDICAL_SUFFIXES) for uri in uris
    )
    return names_of(privacy) if privacy.hide == "on" or is_medical else None


def veiled_pair(pair: Pair, names: Pseudonyms) -> Pair:
    """The same pair; only its links open its files."""
    return replace(
        pair,
        image=_file(pair.image, names),
        target=None if pair.target is None else _file(pair.target, names),
        stack=tuple(_file(file, names) for file in pair.stack),
        scene=names.scene_id(pair.scene),
        group=group_name(pair.group, names),
        side="",
        series=names.scene_id(pair.series) if pair.series else "",
        patient=names.scene_id(pair.patient) if pair.patient else "",
    )


def group_name(group: str, names: Pseudonyms) -> str:
    """What stands for a place, patient or folder; for none, none."""
    return names.scene_id(f"group {group}") if group else ""


def veiled_aside(aside: Aside, names: Pseudonyms, source: Pairs) -> Aside:
    """What was set aside before it had a name that may be shown."""
    shown = names.uri(aside.uri)
    with ExitStack() as stack:
        for name in (aside.uri, path_id(aside.uri)):
            stack.enter_context(hidden(name, shown))
        for uri in named_by(source):
            stack.enter_context(hidden(uri, names.uri(uri), steps=False))
        return Aside(uri=shown, reason=public_text(aside.reason), hint=public_text(aside.hint))


@contextmanager
def sources_hidden(privacy: PrivacySpec, sources: Sequence[Pairs]) -> Iterator[None]:
    """While a source is read: also errors that do not leave do not name it, where names are private, or may be and
    there is a key.

    Raises:
        SpecError: as `errors_veiled`.
    """
    names = pseudonyms_of(privacy.key) if privacy.hide != "off" else None
    named = [uri for source in sources for uri in named_by(source)]
    with ExitStack() as stack:
        stack.enter_context(errors_veiled(privacy, named, "reading what is learned from"))
        if names is not None:
            for uri in named:
                stack.enter_context(hidden(uri, names.uri(uri), steps=False))
        yield


def _file(file: File, names: Pseudonyms) -> File:
    return replace(file, uri=names.uri(file.uri), link=file.opened)
