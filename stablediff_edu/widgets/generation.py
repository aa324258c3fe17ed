"""What the panels of chapter 8 share: prompts, a seed, and a generation with all its steps, shown while it runs."""

from collections.abc import Generator, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import torch

from stablediff_edu.config import device_of
from stablediff_edu.pipelines.stable_diffusion import PipelineStep, StableDiffusion
from stablediff_edu.widgets.base import Job, Panel, collect
from stablediff_edu.widgets.controls import Button, Check, Control, Number
from stablediff_edu.widgets.prompt_input import PromptInput

MAX_LIVE_SIZE = 128  # pixels: larger images take too long to be generated while one types
FIRST_PREVIEW = 0.3  # seconds: a shorter generation needs no previews
PREVIEW_SHARE = 0.25  # of the time after that may be spent on previews


class Generation(NamedTuple):
    """A generated image: the settings, every sampling step, and the seconds that it took."""

    settings: dict[str, Any]
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
    """Controls: the prompts, seed, update live, generate, and more. It generates at every change, or when its button is
    pressed. `.generation` is the `Generation`. Subclasses implement `_generate`.

    An image larger than 128×128 is generated only when the button is pressed.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompts: name -> prompt at the start.
        options: for `StableDiffusion.stream`: steps, guidance; and the seed at the start.
        more: further controls.
    """

    generation: Generation
    stale = False

    def __init__(
        self, title: str, pipe: StableDiffusion, prompts: Mapping[str, str], options: dict[str, Any], *more: Control
    ) -> None:
        self.pipe, self.options = pipe, dict(steps=20, guidance=4.0) | options
        super().__init__(
            title,
            *(PromptInput(name, pipe.tokenizer, prompt) for name, prompt in prompts.items()),
            Number("seed", 0, 9999, self.options.pop("seed", 0)),
            Check("update live", pipe.config.size <= MAX_LIVE_SIZE),
            Button("generate", "generate with these settings"),
            *more,
        )
        self.prompts = [*prompts]

    def begin(self, *controls: Any) -> None:
        """Generate the first image, all steps at once; then follow prompts, seed, and these controls."""
        for _ in self._generate():
            pass
        self.follow(self._changed, *self.prompts, "seed", *controls)
        self.follow(self._generate, "generate")
        self.follow(self._toggled, "update live")

    def prompt(self, name: str = "prompt") -> str:
        """Return the part of a prompt that the network can read."""
        return self.controls[name].parsed

    def generate(self, name: str, title: str | None = None, **settings: Any) -> Generator[None, None, Generation]:
        """Generate an image, and meanwhile show the predicted one as often as time allows."""
        settings, previews = self.options | settings, 0.0

        def preview(step: PipelineStep, seconds: float) -> None:
            nonlocal previews
            if step.number < step.of and previews <= PREVIEW_SHARE * (seconds - FIRST_PREVIEW):
                began, at = perf_counter(), f"predicted image after step {step.number} of {step.of}"
                self.show(name, step.preview()[0], at, title)
                previews += perf_counter() - began

        made = Generation(settings, *(yield from collect(self.pipe.stream(**settings), device_of(self.pipe), preview)))
        self.stale = False
        self.show(name, made.image(), f"generated image for “{settings['prompt']}”", title)
        return made

    def _generate(self) -> Job:
        raise NotImplementedError

    def _changed(self) -> Job | None:
        self.stale = True
        if self["update live"]:
            return self._generate()
        self.say("Settings changed; press generate.")
        return None

    def _toggled(self) -> Job | None:
        return self._generate() if self["update live"] and self.stale else None
