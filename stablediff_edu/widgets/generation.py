"""What the panels of chapter 8 share: a generation with all its steps, which is shown while it runs."""

import time
from collections.abc import Generator
from typing import NamedTuple

import ipywidgets
import torch

from stablediff_edu.device import device_of, synchronize
from stablediff_edu.stable_diffusion import DrawnStep, StableDiffusion
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Button, Check

SIDE = 256  # of an image on the screen, about
MAX_LIVE_SIZE = 128  # pixels: larger images take too long to be generated while one types
PREVIEW_SHARE = 0.25  # of the time may be spent on previews


class Generation(NamedTuple):
    """A generated image: the settings, every sampling step, and the seconds that it took."""

    settings: dict[str, object]
    steps: list[DrawnStep]
    seconds: float

    def image(self, step: int = 0) -> torch.Tensor:
        """Return the predicted image after so many steps, (3, H, W); at the end, or without a step, the result."""
        chosen = self.steps[step - 1]
        return (chosen.picture() if chosen.number == chosen.of else chosen.preview())[0]

    def summary(self) -> str:
        """Return the settings in a line."""
        chosen = self.settings
        negative = f", negative prompt “{chosen['negative']}”" if chosen["negative"] else ""
        values = f"guidance scale {chosen['guidance']:g} · seed {chosen['seed']} · {chosen['steps']} steps"
        return f"“{chosen['prompt']}”{negative} · {values} · {chosen['sampler']}"


class GenerationPanel(Panel):
    """A panel that generates an image at every change (`live`) or when its button is pressed.

    Subclasses implement `_generate`, a generator that yields after every sampling step.
    """

    def __init__(self, title: str, pipe: StableDiffusion) -> None:
        super().__init__(title)
        self.pipe, self.generation, self.stale = pipe, None, False
        self.live = Check("update live", pipe.config.size <= MAX_LIVE_SIZE)
        self.button = Button("generate", "generate with these settings")
        self.follow(self._generate, self.button)
        self.follow(self._toggled, self.live)

    def finish(self) -> None:
        """Generate the first image, all steps at once."""
        for _ in self._generate():
            pass

    def generated_image(self, name: str, title: str | None = None) -> ipywidgets.Widget:
        """Add an image of the model's size."""
        return self.image(name, nearest_multiple(self.pipe.config.size, SIDE), title=title)

    def generate(self, name: str, **settings: object) -> Generator[None, None, Generation]:
        """Generate, and meanwhile show the predicted image as often as time allows."""
        steps, previews, seconds, began = [], 0.0, 0.0, time.perf_counter()
        for step in self.pipe.draw(**settings):
            steps.append(step)
            now = time.perf_counter()
            if step.number < step.of and previews <= PREVIEW_SHARE * (seconds + now - began):
                self.show(name, step.preview()[0], f"predicted image after step {step.number} of {step.of}")
                previews += time.perf_counter() - now
            seconds += time.perf_counter() - began
            yield
            began = time.perf_counter()
        synchronize(device_of(self.pipe))
        generation = Generation(settings, steps, seconds + time.perf_counter() - began)
        self.show(name, generation.image(), f"generated image for “{settings['prompt']}”")
        return generation

    def _generate(self) -> Generator[None, None, None]:
        raise NotImplementedError

    def _changed(self) -> Generator | None:
        self.stale = True
        if self.live.value:
            return self._generate()
        self.say("Settings changed; press generate.")
        return None

    def _toggled(self) -> Generator | None:
        return self._generate() if self.live.value and self.stale else None
