"""What the demo has to show: a row for each task, on one or several places, each judged against plain methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

Role = Literal["input", "plain", "network", "truth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture of a strip."""

    name: str
    """What it shows, or the method that made it."""
    role: Role
    image: NDArray[Any]
    """uint8 (H, W, 3)."""
    said: str = ""
    """Its figures, under it."""
    fault: str = ""
    """As of `Figure.fault`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The same pixels as they were given, as each method has them, and as they truly are."""

    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measure of every method on the same pixels."""

    measure: str
    higher_is_better: bool
    plain: dict[str, float]
    """By method, without a network."""
    networks: dict[str, float]
    digits: int = 2

    def __post_init__(self) -> None:
        if not self.plain or not self.networks:
            raise ValueError(f"{self.measure} compares nothing: {self.plain} and {self.networks}")

    @property
    def best_plain(self) -> str:
        """The plain method that a network has to beat."""
        sign = 1 if self.higher_is_better else -1
        return max(self.plain, key=lambda name: sign * self.plain[name])

    def fault(self, method: str) -> str:
        """Which plain method a network is no better than; empty for one that is, and for plain methods."""
        if method not in self.networks:
            return ""
        made, best = self.networks[method], self.plain[self.best_plain]
        better = made > best if self.higher_is_better else made < best
        return "" if better else f"no better than {self.best_plain}"

    def said(self, value: float) -> str:
        """`0.91`, with the digits of this measure."""
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Pixels that are judged together, and what is shown of them."""

    title: str
    note: str
    """How far these pixels are from what the networks were trained on."""
    figures: tuple[Figure, ...]
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task of the product."""

    task: str
    text: str
    """What is given, what is made, by which packages, and what it is put beside."""
    places: tuple[Place, ...]
    reports: tuple[str, ...]
    """Report pages of the jobs that made it, relative to the demo's page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRow:
    """A task that could not be shown; the demo has failed then."""

    task: str
    reason: str
