"""The panel of chapter 8: type a prompt, and the model generates an image while one types."""

import html
from collections.abc import Generator

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.controls import Button, Select, Slider
from stablediff_edu.widgets.generation import Generation, GenerationPanel

MAX_STEPS = 50
MAX_GUIDANCE = 15


class TextToImagePanel(GenerationPanel):
    """Controls: prompt, negative prompt, guidance scale, sampling steps, seed, next seed, sampler, pin, update live,
    generate, sampling step (which one is shown). Images: generated; pinned, to compare with.

    `.generation` is the `Generation`, `.pinned` the pinned one or None.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, negative, steps, guidance, seed, sampler: as for `StableDiffusion.stream`, at the start.
    """

    def __init__(
        self,
        pipe: StableDiffusion,
        prompt: str = "a red sailboat on a calm sea",
        negative: str = "",
        *,
        steps: int = 20,
        guidance: float = 4.0,
        seed: int = 0,
        sampler: str = "dpm++",
    ) -> None:
        super().__init__("Text to image", pipe, {"prompt": prompt, "negative prompt": negative}, seed=seed)
        self.pinned: Generation | None = None
        self.controls |= {
            "guidance scale": Slider("guidance scale", 0, MAX_GUIDANCE, guidance, 0.5),
            "sampling steps": Slider("sampling steps", 1, MAX_STEPS, steps),
            "sampler": Select("sampler", list(SAMPLERS), sampler),
            "next seed": Button("next seed"),
            "pin": Button("pin for comparison", "compare the next images with this one"),
            "sampling step": Slider("sampling step", 1, steps, steps),
        }
        images = [self.generated_image("pinned"), self.generated_image("generated", "")]
        self.images["pinned"].shown = False
        self.lay_out(
            "prompt",
            "negative prompt",
            ["guidance scale", "sampling steps"],
            ["seed", "next seed", "sampler", "pin", "update live", "generate"],
            images,
            ["sampling step"],
            self.note,
        )
        self.begin("guidance scale", "sampling steps", "sampler")
        self.follow(self._show, "sampling step")
        self.follow(self._next_seed, "next seed")
        self.follow(self._pin, "pin")

    def _next_seed(self) -> Generator:
        seed = self.controls["seed"]
        with self.quietly():
            seed.value = (seed.value + 1) % int(seed.high + 1)
        return self._generate()

    def _generate(self) -> Generator[None, None, None]:
        steps = self.value("sampling steps")
        yield from self.generate(
            "generated",
            prompt=self.controls["prompt"].parsed,
            negative=self.controls["negative prompt"].parsed,
            guidance=self.value("guidance scale"),
            steps=steps,
            seed=self.value("seed"),
            sampler=self.value("sampler"),
        )
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _show(self) -> None:
        """Show the chosen sampling step, and of the pinned image the one with the same share of its steps."""
        step, steps = self.value("sampling step"), len(self.generation.steps)
        at = "the result" if step == steps else f"predicted image after step {step} of {steps}"
        for name, letter, generation in (("pinned", "A", self.pinned), ("generated", "B", self.generation)):
            if generation:
                number = max(1, round(step / steps * len(generation.steps)))
                summary = generation.summary()
                self.show(name, generation.image(number), f"{at} for {summary}")
                self.images[name].title = f"{letter}: {summary}" if self.pinned else ""
        self.say(html.escape(f"{at} · {self.generation.summary()} · {self.generation.seconds:.2f} s"))

    def _pin(self) -> None:
        self.pinned, self.images["pinned"].shown = self.generation, True
        self._show()
