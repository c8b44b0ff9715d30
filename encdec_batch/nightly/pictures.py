"""Held-out scenes for the page: input, target, and what both networks make of them, or a first candidate alone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from encdec_batch.errors import ObjectMissing
from encdec_batch.models.card import CardModel
from encdec_batch.models.package import Package
from encdec_batch.nightly.evaluate import Evaluating, evaluate_here
from encdec_batch.nightly.find import key_of
from encdec_batch.nightly.judge import Evaluator, worst
from encdec_batch.nightly.records import Compared, Figures, Score
from encdec_batch.plan.keys import canonical_json
from encdec_batch.report.preview import preview_picture
from encdec_batch.store.store import Store
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.evaluation.evaluate import Seen
from encdec_batch.train.evaluation.picture import picture_of


class Picture(CardModel):
    """One scene; image, target and what was made of it are data URIs."""

    name: str
    production: Score
    candidate: Score
    image: str
    target: str
    made_by_candidate: str
    made_by_production: str = ""
    """Empty: there was none."""


_ALL = TypeAdapter(tuple[Picture, ...])


def choose(figures: Figures, number: int) -> list[Compared]:
    """The scenes to be shown: up to half of them those that fell most, then those that the candidate does worst."""
    fell = [row for row in figures.scenes if row.fall > 0][: (number + 1) // 2]
    others = sorted((row for row in figures.scenes if row not in fell), key=worst)
    return [*fell, *others][:number]


def draw(evaluator: Evaluator, figures: Figures, candidate: Package, production: Package | None) -> tuple[Picture, ...]:
    """Predicts the chosen scenes once more.

    Args:
        evaluator: of the night.
        figures: of its held-out scenes.
        candidate: made this night.
        production: None: there is none.
    """
    rows = choose(figures, evaluator.spec.judge.pictures)
    by_key = {key_of(one.pair): one for one in evaluator.held_out}
    scenes = [by_key[row.name] for row in rows]
    if not scenes:
        return ()

    def panels(package: Package) -> list[tuple[str, str, str]]:
        return evaluator.calls(_panels, evaluator.evaluating(package), [scenes])[0]

    after = panels(candidate)
    before = after if production is None else panels(production)
    return tuple(
        Picture(
            name=row.name,
            production=row.production,
            candidate=row.candidate,
            image=new[0],
            target=new[1],
            made_by_candidate=new[2],
            made_by_production="" if production is None else old[2],
        )
        for row, old, new in zip(rows, before, after, strict=True)
    )


def keep_pictures(store: Store, night: str, pictures: tuple[Picture, ...]) -> None:
    """Beside the page, which can be made anew from them."""
    store.put(_path(night), canonical_json(_ALL.dump_python(pictures, mode="json")))


def kept_pictures(store: Store, night: str) -> tuple[Picture, ...]:
    try:
        return _ALL.validate_json(store.get(_path(night)))
    except ObjectMissing:
        return ()


def _path(night: str) -> str:
    return f"nights/{night}/pictures.json"


def _panels(shared: Evaluating, scenes: Sequence[Inspected]) -> list[tuple[str, str, str]]:
    """Input, target and prediction of each, as data URIs; runs on a worker."""
    found: list[tuple[str, str, str]] = []
    card = shared.package.card

    def keep(seen: Seen) -> None:
        whole = picture_of(seen, card)
        width = whole.shape[1] // 3
        image, target, made = (whole[:, n * width : (n + 1) * width] for n in range(3))
        exact = card.output.kind == "classes"
        found.append((preview_picture(image), preview_picture(target, exact=exact), preview_picture(made, exact=exact)))

    evaluate_here(shared, scenes, on_scene=keep)
    return found
