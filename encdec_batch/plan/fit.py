"""Does a scene fit the card? Decided from the header alone."""

from __future__ import annotations

from encdec_batch.errors import UnsupportedScene
from encdec_batch.models.card import Card
from encdec_batch.read.header import SceneHeader


def fitting_bands(header: SceneHeader, card: Card, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The bands to read, in the card's order.

    Raises:
        UnsupportedScene: wrong band count or dtype for the card.
    """
    names = ", ".join(band.name for band in card.bands)
    if header.dtype not in card.dtypes:
        raise UnsupportedScene(
            f"its pixels are {header.dtype}, {card.name} takes {', '.join(card.dtypes)}",
            hint="convert the scene, or use a model trained on such pixels",
        )
    if wanted is not None:
        if max(wanted) > header.num_bands:
            raise UnsupportedScene(
                f"it has {bands_said(header.num_bands)}, band {max(wanted)} is asked for",
                hint="correct source.bands (or the table's column bands)",
            )
        if len(wanted) != card.num_bands:
            raise UnsupportedScene(
                f"{len(wanted)} bands are asked for, {card.name} wants {card.num_bands} ({names})",
                hint="correct source.bands",
            )
        return wanted
    if header.num_bands != card.num_bands:
        raise UnsupportedScene(
            f"it has {bands_said(header.num_bands)}, {card.name} wants {card.num_bands} ({names})",
            hint=f"say {bands_to_name(header.num_bands, card.num_bands)} in source.bands, or choose another model",
        )
    return tuple(range(1, card.num_bands + 1))


def bands_to_name(there: int, wanted: int) -> str:
    """What to say in an option `bands` so that images of so many are taken by a network of others."""
    # Grey pictures are taken by a network of colour ones when their band is named once for each.
    return f"[{', '.join(['1'] * wanted)}]" if there == 1 else "the bands to use"


def bands_said(number: int) -> str:
    """`1 band`, `3 bands`."""
    return f"{number} band{'' if number == 1 else 's'}"
