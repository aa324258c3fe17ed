"""Every panel with small untrained networks: what tests, screenshots and benchmarks of panels share."""

from collections.abc import Callable

import torch

import stablediff_edu as sd

MAKERS: dict[str, Callable] = {}


def panel(make: Callable) -> Callable:
    """Register a maker under its name."""
    MAKERS[make.__name__] = make
    return make


def make(name: str):
    """Return a new panel; every call returns the same one."""
    torch.manual_seed(0)
    return MAKERS[name]()


@panel
def denoising():
    from stablediff_edu.diffusion.schedule import Schedule
    from stablediff_edu.widgets.ch03_denoising import denoising_panel

    model = sd.UNet(3, 3, (8, 16), time=16).eval()
    images = sd.load_fish(2, 64, "drawn", seed=3).pictures
    return denoising_panel(model, Schedule.cosine(), images, "velocity", steps=(1, 2, 5))
