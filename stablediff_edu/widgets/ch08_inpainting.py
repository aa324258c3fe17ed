"""A panel of chapter 8: mark a box in an image, write what to put there, and only the box is generated."""

from typing import Any

import torch

from stablediff_edu.config import device_of
from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.base import Job
from stablediff_edu.widgets.controls import Slider
from stablediff_edu.widgets.generation import GenerationPanel

EDGES = ("left", "right", "top", "bottom")


class InpaintingPanel(GenerationPanel):
    """Controls: prompt, of the original; fill prompt, for the box; left, right, top, bottom, its edges in pixels; seed;
    update live, generate. Images: original, with the box bright, and inpainted. `.generation`: the inpainted one's.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, fill_prompt: at the start.
        options: steps, guidance, seed, as for `StableDiffusion.stream`.
    """

    def __init__(self, pipe: StableDiffusion, prompt: str, fill_prompt: str, **options: Any) -> None:
        size = pipe.config.size
        starts = (size // 5, size - size // 5) * 2
        edges = [Slider(edge, 0, size, at) for edge, at in zip(EDGES, starts, strict=True)]
        super().__init__("Inpainting", pipe, {"prompt": prompt, "fill prompt": fill_prompt}, options, *edges)
        self.original = torch.empty(0)
        self.original_of: tuple[str, int] | None = None  # the prompt and the seed that it was generated from
        self.lay_out(
            *self.prompts,
            ["left", "right"],
            ["top", "bottom"],
            ["seed", "update live", "generate"],
            ["original", "inpainted"],
            self.note,
        )
        self.begin(*EDGES)

    def _generate(self) -> Job:
        left, right, top, bottom = (self[edge] for edge in EDGES)
        if left >= right or top >= bottom:
            raise UserError("The box is empty: left must be less than right, and top less than bottom.")
        mask = torch.zeros(self.pipe.config.size, self.pipe.config.size)
        mask[top:bottom, left:right] = 1
        wanted = prompt, seed = self.prompt(), self["seed"]
        if wanted != self.original_of:
            made = yield from self.generate("original", prompt=prompt, seed=seed)
            self.original, self.original_of = made.image().cpu(), wanted
        boxed = torch.where(mask > 0, self.original, 0.45 * (self.original + 1) - 1)  # darker where it stays
        title = "original (bright box = mask)"
        self.show("original", boxed, "the original; the bright box is the mask", title)
        device = device_of(self.pipe)
        given: dict[str, Any] = dict(image=self.original.to(device), mask=mask.to(device), seed=seed + 1)
        self.generation = yield from self.generate("inpainted", prompt=self.prompt("fill prompt"), **given)
        self.say(f"{mask.mean():.0%} of the pixels are inpainted, the others stay · {self.generation.seconds:.2f} s")
