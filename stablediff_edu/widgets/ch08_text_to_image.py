"""The panel of chapter 8: type a prompt, and the model generates an image while one types."""

import html
from typing import Any

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.base import Job
from stablediff_edu.widgets.controls import Button, Select, Slider
from stablediff_edu.widgets.generation import Generation, GenerationPanel

MAX_STEPS = 50
MAX_GUIDANCE = 15


class TextToImagePanel(GenerationPanel):
    """Controls: prompt, negative prompt, guidance scale, sampling steps, seed, next seed, sampler, pin for comparison,
    update live, generate, sampling step (which one is shown). Images: generated; pinned, to compare with.

    `.generation` is the `Generation`, `.pinned` the pinned one or None.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt: at the start.
        options: steps, guidance, seed at the start, as for `StableDiffusion.stream`.
    """

    pinned: Generation | None = None

    def __init__(self, pipe: StableDiffusion, prompt: str, **options: Any) -> None:
        steps = options.get("steps", 20)
        super().__init__(
            "Text to image",
            pipe,
            {"prompt": prompt, "negative prompt": ""},
            options,
            Slider("guidance scale", 0, MAX_GUIDANCE, options.get("guidance", 4), 0.5),
            Slider("sampling steps", 1, MAX_STEPS, steps),
            Select("sampler", list(SAMPLERS), "dpmpp_2m"),
            Button("next seed"),
            Button("pin for comparison", "compare the next images with this one"),
            Slider("sampling step", 1, steps, steps),
        )
        self.lay_out(
            *self.prompts,
            ["guidance scale", "sampling steps"],
            ["seed", "next seed", "sampler", "pin for comparison", "update live", "generate"],
            ["pinned", "generated"],
            "sampling step",
            self.note,
        )
        self.begin("guidance scale", "sampling steps", "sampler")
        self.follow(self._show, "sampling step")
        self.follow(self._next_seed, "next seed")
        self.follow(self._pin, "pin for comparison")

    def _next_seed(self) -> Job:
        self.set("seed", (self["seed"] + 1) % 10_000)
        return self._generate()

    def _generate(self) -> Job:
        steps = self["sampling steps"]
        self.generation = yield from self.generate(
            "generated",
            self.images["generated"].title,
            prompt=self.prompt(),
            negative=self.prompt("negative prompt"),
            guidance=self["guidance scale"],
            steps=steps,
            seed=self["seed"],
            sampler=self["sampler"],
        )
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _show(self) -> None:
        """Show the chosen sampling step, and of the pinned image the one with the same share of its steps."""
        step, steps = self["sampling step"], len(self.generation.steps)
        at = "the result" if step == steps else f"predicted image after step {step} of {steps}"
        for name, letter, generation in (("generated", "B", self.generation), ("pinned", "A", self.pinned)):
            if generation:
                number = max(1, round(step / steps * len(generation.steps)))
                summary = generation.summary()
                title = f"{letter}: {summary}" if self.pinned else ""
                self.show(name, generation.image(number), f"{at} for {summary}", title)
        self.say(html.escape(f"{at} · {self.generation.summary()} · {self.generation.seconds:.2f} s"))

    def _pin(self) -> None:
        self.pinned = self.generation
        self._show()
