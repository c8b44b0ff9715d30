"""A slice through an invented body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR = -1000.0


def draw_body(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """(side, side) in Hounsfield units. Drawn at twice that and averaged, so that edges share their pixels."""
    canvas = _Canvas(rng, 2 * side)
    half_width, half_height = rng.uniform(0.38, 0.48), rng.uniform(0.27, 0.38)
    body = canvas.ellipse(0, 0, half_width, half_height, rng.uniform(-0.1, 0.1))
    canvas.fill(body, rng.uniform(-120, -80))
    rim = rng.uniform(0.02, 0.07)
    wall = canvas.ellipse(0, 0, half_width - rim, half_height - rim, 0)
    canvas.fill(wall, rng.uniform(40, 65))
    room = canvas.ellipse(0, 0.02, half_width - rim - 0.04, half_height - rim - 0.04, 0)
    canvas.fill(room, rng.uniform(-110, 40))
    if rng.random() < 0.3:
        _lungs(canvas, rng, room, half_width)
    _organs(canvas, rng, room)
    _vessels(canvas, rng, room)
    _bones(canvas, rng, half_width - rim - 0.02, half_height - rim - 0.02)
    canvas.texture(body, rng.uniform(0, 12))
    if rng.random() < 0.5:
        _table(canvas, rng, half_height)
    return canvas.image.reshape(side, 2, side, 2).mean((1, 3)).astype(np.float32)


class _Canvas:
    """Coordinates from -0.5 to 0.5 on either axis, whatever the number of pixels."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self._rng = rng
        self.image = np.full((side, side), AIR, np.float64)
        self.y, self.x = np.meshgrid(*[(np.arange(side) + 0.5) / side - 0.5] * 2, indexing="ij")
        self._wobble = [self._smooth(side / 10) * 0.02 for _ in range(2)]

    def ellipse(self, x: float, y: float, a: float, b: float, turn: float) -> NDArray[np.bool_]:
        """One whose border wavers, as nothing in a body is an ellipse."""
        u, v = self.x + self._wobble[0] - x, self.y + self._wobble[1] - y
        along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        inside: NDArray[np.bool_] = (along / max(a, 1e-3)) ** 2 + (across / max(b, 1e-3)) ** 2 < 1
        return inside

    def fill(self, where: NDArray[np.bool_], units: float) -> None:
        self.image[where] = units

    def texture(self, where: NDArray[np.bool_], units: float) -> None:
        """Tissue is never quite even, at any size of its grain."""
        for grain in (2.0, 8.0):
            self.image[where] += (self._smooth(grain) * units)[where]

    def _smooth(self, sigma: float) -> NDArray[np.float64]:
        """Of standard deviation 1."""
        noise = ndimage.gaussian_filter(self._rng.standard_normal(self.image.shape), sigma, mode="wrap")
        smooth: NDArray[np.float64] = noise / noise.std()
        return smooth


def _lungs(canvas: _Canvas, rng: np.random.Generator, room: NDArray[np.bool_], half_width: float) -> None:
    for side in (-1, 1):
        lung = canvas.ellipse(
            side * half_width * 0.5, 0, half_width * 0.36, rng.uniform(0.12, 0.22), rng.uniform(-0.3, 0.3)
        )
        canvas.fill(lung & room, rng.uniform(-880, -750))


def _organs(canvas: _Canvas, rng: np.random.Generator, room: NDArray[np.bool_]) -> None:
    for _ in range(rng.integers(4, 14)):
        x, y = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
        a = rng.uniform(0.02, 0.16)
        organ = canvas.ellipse(x, y, a, a * rng.uniform(0.4, 1), rng.uniform(0, np.pi)) & room
        units = rng.uniform(-950, -300) if rng.random() < 0.12 else rng.uniform(-20, 130)
        canvas.fill(organ, units)
        if rng.random() < 0.4:
            inner = canvas.ellipse(x, y, a * 0.6, a * 0.4, rng.uniform(0, np.pi)) & organ
            canvas.fill(inner, units + rng.uniform(-60, 60))


def _vessels(canvas: _Canvas, rng: np.random.Generator, room: NDArray[np.bool_]) -> None:
    contrast = rng.uniform(40, 60) if rng.random() < 0.5 else rng.uniform(100, 300)
    for _ in range(rng.integers(5, 40)):
        radius = rng.uniform(0.004, 0.02)
        x, y = rng.uniform(-0.35, 0.35), rng.uniform(-0.25, 0.25)
        canvas.fill(canvas.ellipse(x, y, radius, radius * rng.uniform(0.6, 1), rng.uniform(0, np.pi)) & room, contrast)


def _bones(canvas: _Canvas, rng: np.random.Generator, a: float, b: float) -> None:
    radius, y = rng.uniform(0.04, 0.07), b * rng.uniform(0.5, 0.75) * rng.choice((-1, 1))
    canvas.fill(canvas.ellipse(0, y, radius, radius * 0.8, 0), rng.uniform(400, 900))
    canvas.fill(canvas.ellipse(0, y, radius * 0.8, radius * 0.6, 0), rng.uniform(120, 300))
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(4, 16)):
        rib = rng.uniform(0.008, 0.02)
        place = a * np.cos(angle), b * np.sin(angle)
        canvas.fill(canvas.ellipse(*place, rib * rng.uniform(1, 2.5), rib, angle + np.pi / 2), rng.uniform(300, 1200))


def _table(canvas: _Canvas, rng: np.random.Generator, half_height: float) -> None:
    bow = canvas.y - half_height - 0.03 + rng.uniform(0, 0.6) * canvas.x**2
    canvas.fill((np.abs(bow) < 0.004) & (canvas.image <= AIR), rng.uniform(-300, 100))
