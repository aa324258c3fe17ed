"""The panel of chapter 8: type a prompt, and the model generates an image while one types."""

import html
from collections.abc import Generator

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.controls import Button, Select, Slider, seed_box
from stablediff_edu.widgets.generation import Generation, GenerationPanel
from stablediff_edu.widgets.prompt_input import PromptInput

MAX_STEPS = 50
MAX_GUIDANCE = 15


class TextToImagePanel(GenerationPanel):
    """Controls: prompt, negative prompt, guidance scale, sampling steps, seed, next seed, sampler, pin, update live,
    generate, sampling step (which one is shown). Images: generated; pinned, to compare with.

    `.generation` is the `Generation`, `.pinned` the pinned one or None. An image larger than 128×128 is generated only
    when the button is pressed.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, negative, steps, guidance, seed, sampler: as for `StableDiffusion.draw`, at the start.
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
        super().__init__("Text to image", pipe)
        self.pinned: Generation | None = None
        self.prompts = [PromptInput("prompt", pipe.tokenizer, prompt)]
        self.prompts.append(PromptInput("negative prompt", pipe.tokenizer, negative))
        self.options = {
            "guidance scale": Slider("guidance scale", 0, MAX_GUIDANCE, guidance, 0.5),
            "sampling steps": Slider("sampling steps", 1, MAX_STEPS, steps),
            "seed": seed_box(seed),
            "sampler": Select("sampler", list(SAMPLERS), sampler),
        }
        next_seed, pin = Button("next seed"), Button("pin for comparison", "compare the next images with this one")
        step = Slider("sampling step", 1, steps, steps)
        self.controls |= {one.name: one for one in self.prompts} | self.options
        self.controls |= {"next seed": next_seed, "pin": pin, "update live": self.live, "generate": self.button}
        self.controls["sampling step"] = step
        images = [self.generated_image("pinned"), self.generated_image("generated", "")]
        self.images["pinned"].shown = False
        guidance_scale, count, seeds, samplers = self.options.values()
        self.lay_out(
            *self.prompts,
            [guidance_scale, count],
            [seeds, next_seed, samplers, pin, self.live, self.button],
            images,
            [step],
            self.note,
        )
        self.finish()
        self.follow(self._changed, *self.prompts, trait="parsed")
        self.follow(self._changed, *self.options.values())
        self.follow(self._show, step)
        self.follow(self._next_seed, next_seed)
        self.follow(self._pin, pin)

    def _next_seed(self) -> Generator | None:
        seed = self.options["seed"]
        with self.quietly():
            seed.value = (seed.value + 1) % int(seed.high + 1)
        return self._generate()

    def _generate(self) -> Generator[None, None, None]:
        prompt, negative = (one.parsed for one in self.prompts)
        guidance, steps, seed, sampler = (one.value for one in self.options.values())
        settings = dict(prompt=prompt, negative=negative, guidance=guidance, steps=steps, seed=seed, sampler=sampler)
        self.generation = yield from self.generate("generated", **settings)
        self.stale = False
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _show(self) -> None:
        """Show the chosen sampling step, and of the pinned image the one with the same share of its steps."""
        step, steps = self.controls["sampling step"].value, len(self.generation.steps)
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
