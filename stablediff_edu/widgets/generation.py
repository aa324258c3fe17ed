"""What the panels of chapter 8 share: prompts, a seed, and a generation with all its steps, shown while it runs."""

import time
from collections.abc import Generator, Mapping
from typing import NamedTuple

import torch

from stablediff_edu.config import device_of, synchronize
from stablediff_edu.pipelines.stable_diffusion import PipelineStep, StableDiffusion
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Button, Check, Control, ImageView, seed_box
from stablediff_edu.widgets.prompt_input import PromptInput

SIDE = 256  # of an image on the screen, about
MAX_LIVE_SIZE = 128  # pixels: larger images take too long to be generated while one types
PREVIEW_SHARE = 0.25  # of the time may be spent on previews


class Generation(NamedTuple):
    """A generated image: the settings, every sampling step, and the seconds that it took."""

    settings: dict[str, object]
    steps: list[PipelineStep]
    seconds: float

    def image(self, step: int = 0) -> torch.Tensor:
        """Return the predicted image after so many steps, (3, H, W); at the end, or without a step, the result."""
        chosen = self.steps[step - 1]
        return (chosen.image() if chosen.number == chosen.of else chosen.preview())[0]

    def summary(self) -> str:
        """Return the settings in a line."""
        chosen = self.settings
        negative = f", negative prompt “{chosen['negative']}”" if chosen["negative"] else ""
        values = f"guidance scale {chosen['guidance']:g} · seed {chosen['seed']} · {chosen['steps']} steps"
        return f"“{chosen['prompt']}”{negative} · {values} · {chosen['sampler']}"


class GenerationPanel(Panel):
    """Controls: the prompts, seed, update live, generate. It generates at every change, or when its button is pressed.

    `.generation` is the `Generation`. Subclasses implement `_generate`. An image larger than 128×128 is generated only
    when the button is pressed.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompts: name -> prompt at the start.
        seed: at the start; steps, guidance: as for `StableDiffusion.stream`.
    """

    def __init__(
        self,
        title: str,
        pipe: StableDiffusion,
        prompts: Mapping[str, str],
        *,
        steps: int = 20,
        guidance: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__(title)
        self.pipe, self.options = pipe, dict(steps=steps, guidance=guidance)
        self.generation, self.stale = None, False
        self.controls |= {name: PromptInput(name, pipe.tokenizer, prompt) for name, prompt in prompts.items()}
        self.controls |= {
            "seed": seed_box(seed),
            "update live": Check("update live", pipe.config.size <= MAX_LIVE_SIZE),
            "generate": Button("generate", "generate with these settings"),
        }
        self.changed_by = [*prompts, "seed"]

    def begin(self, *controls: Control | str) -> None:
        """Generate the first image, all steps at once; then follow prompts, seed, and these controls."""
        for _ in self._generate():
            pass
        self.follow(self._changed, *self.changed_by, *controls)
        self.follow(self._generate, "generate")
        self.follow(self._toggled, "update live")

    def generated_image(self, name: str, title: str | None = None) -> ImageView:
        """Add an image of the model's size."""
        return self.image(name, nearest_multiple(self.pipe.config.size, SIDE), title=title)

    def generate(self, name: str, **settings: object) -> Generator[None, None, None]:
        """Generate the panel's image."""
        self.generation = yield from self.draw(name, **settings)
        self.stale = False

    def draw(self, name: str, **settings: object) -> Generator[None, None, Generation]:
        """Generate an image, and meanwhile show the predicted one as often as time allows."""
        steps, previews, seconds, began = [], 0.0, 0.0, time.perf_counter()
        settings = self.options | settings
        for step in self.pipe.stream(**settings):
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
        if self.value("update live"):
            return self._generate()
        self.say("Settings changed; press generate.")
        return None

    def _toggled(self) -> Generator | None:
        return self._generate() if self.value("update live") and self.stale else None
