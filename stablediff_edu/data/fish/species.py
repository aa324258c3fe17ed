"""The nine kinds of synthetic fish: their shapes, colors and patterns, after the species of the Kaggle fish set."""

from dataclasses import dataclass

Color = tuple[float, float, float]  # red, green, blue in [0, 1]


@dataclass(frozen=True)
class Species:
    """One kind of fish: the shape in body lengths, the colors as seen under warm light."""

    name: str
    depth: float  # largest half-depth of the body
    shape: tuple[float, ...]  # half-depth at STATIONS as a share of `depth`
    belly: float  # how much deeper the lower half is than the upper one
    tail: float  # half-spread of the tail fin
    fork: float  # how deeply the tail is forked
    back: Color
    flank: Color
    under: Color
    fins: Color
    pattern: str  # "plain", "lines", "bars", "spots", "blotches" or "rings"
    dorsal: float = 0.02  # height of the fin on the back
    whiskers: int = 0
    legs: int = 0


PROFILE_X = (0.0, 0.012, 0.04, 0.09, 0.16, 0.28, 0.42, 0.56, 0.70, 0.80, 0.86)
_SLIM = (0.0, 0.17, 0.35, 0.58, 0.79, 0.97, 1.00, 0.88, 0.62, 0.38, 0.30)
_DEEP = (0.0, 0.22, 0.41, 0.65, 0.85, 1.00, 0.97, 0.78, 0.48, 0.25, 0.19)
_BLUNT = (0.0, 0.26, 0.47, 0.71, 0.89, 1.00, 0.96, 0.80, 0.56, 0.34, 0.27)
_TAPER = (0.0, 0.20, 0.40, 0.72, 0.94, 1.00, 0.92, 0.82, 0.70, 0.56, 0.46)

SILVER, BONE, IVORY = (0.62, 0.58, 0.50), (0.78, 0.71, 0.58), (0.90, 0.84, 0.70)
# fmt: off
SPECIES = (
    Species("Black Sea Sprat", 0.085, _SLIM, 1.1, 0.075, 0.10,
            (0.20, 0.18, 0.14), SILVER, IVORY, (0.45, 0.33, 0.15), "plain", 0.01),
    Species("Gilt-Head Bream", 0.165, _DEEP, 0.95, 0.13, 0.09,
            (0.45, 0.38, 0.26), BONE, IVORY, (0.45, 0.38, 0.28), "lines"),
    Species("Horse Mackerel", 0.110, _SLIM, 1.05, 0.10, 0.12,
            (0.36, 0.32, 0.16), (0.68, 0.56, 0.30), BONE, (0.55, 0.42, 0.15), "bars", 0.012),
    Species("Red Mullet", 0.095, _BLUNT, 1.05, 0.085, 0.09,
            (0.62, 0.26, 0.12), (0.80, 0.42, 0.24), (0.92, 0.70, 0.52), (0.70, 0.33, 0.16), "blotches", 0.015, 2),
    Species("Red Sea Bream", 0.175, _DEEP, 0.9, 0.13, 0.08,
            (0.48, 0.36, 0.26), (0.76, 0.62, 0.48), IVORY, (0.55, 0.36, 0.22), "lines", 0.03),
    Species("Sea Bass", 0.098, _SLIM, 1.0, 0.085, 0.06,
            (0.30, 0.27, 0.20), (0.60, 0.52, 0.38), IVORY, (0.36, 0.30, 0.18), "plain", 0.025),
    Species("Shrimp", 0.075, _TAPER, 1.0, 0.07, 0.02,
            (0.72, 0.44, 0.18), (0.84, 0.56, 0.26), (0.90, 0.68, 0.40), (0.70, 0.36, 0.14), "rings", 0.0, 0, 9),
    Species("Striped Red Mullet", 0.105, _BLUNT, 1.05, 0.09, 0.09,
            (0.66, 0.36, 0.16), (0.86, 0.62, 0.36), IVORY, (0.74, 0.46, 0.20), "lines", 0.015, 2),
    Species("Trout", 0.125, _BLUNT, 1.0, 0.095, 0.04,
            (0.28, 0.24, 0.14), (0.66, 0.56, 0.40), IVORY, (0.40, 0.24, 0.12), "spots", 0.02),
)
# fmt: on
