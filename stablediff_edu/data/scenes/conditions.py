"""The hours, the weathers and the seas that a synthetic scene can have: their words, colors and light."""

from dataclasses import dataclass

import numpy as np

from stablediff_edu.data.scenes.canvas import Color, Lighting


@dataclass(frozen=True)
class Sky:
    """One hour and weather: its words, its colors and its light.

    Attributes:
        words: how a caption says it.
        top, middle, bottom: the sky's colors from the zenith to the horizon.
        far, near: the sea's colors from the horizon to us.
        tint: the color of the light on objects.
        sun: the color of the sun or moon; None if it is hidden.
        height: where the sun stands: 0 the horizon, 1 the upper edge, from … to.
        clouds: how many, from … to.
        cloud: their lit color.
        lamps: whether it is dark enough for lamps and stars.
        lightning: how often there is a flash of lightning.
    """

    words: str
    top: Color
    middle: Color
    bottom: Color
    far: Color
    near: Color
    tint: Color
    sun: Color | None
    height: tuple[float, float]
    clouds: tuple[int, int]
    cloud: Color
    lamps: bool = False
    lightning: float = 0.0

    @property
    def light(self) -> Lighting:
        """What this sky does to the colors of an object that is not far away."""
        return Lighting(tint=self.tint, haze=self.bottom, mist=0.04, lamps=self.lamps)


SKIES = {
    "clear": Sky(
        "under a blue sky",
        top=(0.18, 0.50, 0.88), middle=(0.45, 0.74, 0.96), bottom=(0.82, 0.94, 0.99),
        far=(0.30, 0.66, 0.80), near=(0.04, 0.36, 0.62), tint=(1.0, 1.0, 1.0),
        sun=(1.0, 0.97, 0.78), height=(0.5, 0.85), clouds=(0, 3), cloud=(1.0, 1.0, 1.0),
    ),
    "cloudy": Sky(
        "under clouds",
        top=(0.52, 0.62, 0.72), middle=(0.70, 0.77, 0.83), bottom=(0.86, 0.89, 0.91),
        far=(0.50, 0.64, 0.70), near=(0.20, 0.38, 0.47), tint=(0.90, 0.92, 0.95),
        sun=None, height=(0.5, 0.8), clouds=(4, 7), cloud=(0.93, 0.94, 0.96),
    ),
    "dawn": Sky(
        "at dawn",
        top=(0.44, 0.52, 0.82), middle=(0.86, 0.70, 0.84), bottom=(1.0, 0.86, 0.72),
        far=(0.86, 0.70, 0.76), near=(0.32, 0.38, 0.64), tint=(0.96, 0.86, 0.94),
        sun=(1.0, 0.95, 0.80), height=(0.05, 0.3), clouds=(1, 4), cloud=(1.0, 0.84, 0.86),
    ),
    "sunset": Sky(
        "at sunset",
        top=(0.30, 0.18, 0.46), middle=(0.92, 0.40, 0.32), bottom=(1.0, 0.78, 0.36),
        far=(0.92, 0.52, 0.34), near=(0.30, 0.16, 0.40), tint=(0.98, 0.78, 0.70),
        sun=(1.0, 0.93, 0.60), height=(0.0, 0.25), clouds=(1, 4), cloud=(0.98, 0.52, 0.42),
    ),
    "night": Sky(
        "at night",
        top=(0.02, 0.03, 0.14), middle=(0.06, 0.10, 0.30), bottom=(0.16, 0.24, 0.48),
        far=(0.10, 0.18, 0.38), near=(0.02, 0.05, 0.17), tint=(0.60, 0.66, 0.86),
        sun=(0.98, 0.97, 0.86), height=(0.45, 0.85), clouds=(0, 2), cloud=(0.20, 0.26, 0.46), lamps=True,
    ),
    "storm": Sky(
        "in a storm",
        top=(0.17, 0.20, 0.26), middle=(0.32, 0.37, 0.42), bottom=(0.58, 0.62, 0.60),
        far=(0.30, 0.40, 0.42), near=(0.10, 0.19, 0.25), tint=(0.74, 0.78, 0.82),
        sun=None, height=(0.5, 0.8), clouds=(5, 8), cloud=(0.34, 0.38, 0.44), lightning=0.3,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sea:
    """How rough the water is: its words, the height of its waves in parts of the image, and how objects roll on it."""

    words: str
    height: float
    roll: float  # degrees


SEAS = {
    "calm": Sea("calm water", 0.0, 0.3),
    "waves": Sea("waves", 0.008, 1.5),
    "rough": Sea("a rough sea", 0.020, 4.0),
}


def gradient(colors: list[Color], stops: list[float], length: int, width: int) -> np.ndarray:
    """Return rows of color that pass through `colors` at `stops` from 0, above, to 1: (length, width, 3) float32."""
    at = (np.arange(length) + 0.5) / max(length, 1)
    column = np.stack([np.interp(at, stops, channel) for channel in zip(*colors, strict=True)], axis=1)
    return np.repeat(column.astype(np.float32)[:, None], width, axis=1)  # (length, 3) -> (length, width, 3)


def radial_gradient(colors: np.ndarray, light: Color, x: float, y: float, strength: float) -> np.ndarray:
    """Mix in the light around a lamp or sun at (x, y), in parts of the width.

    A bell over both directions is the product of two bells, so it costs little.
    """
    height, width, _ = colors.shape
    across = np.exp(-((((np.arange(width, dtype=np.float32) + 0.5) / width - x) / 0.22) ** 2))
    down = strength * np.exp(-((((np.arange(height, dtype=np.float32) + 0.5) / width - y) / 0.20) ** 2))
    share = (down[:, None] * across)[..., None]  # (H, W, 1)
    return colors + (np.array(light, np.float32) - colors) * share
