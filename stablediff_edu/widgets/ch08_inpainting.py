"""A panel of chapter 8: mark a box in an image, write what to put there, and only the box is generated."""

from collections.abc import Generator

import torch

from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.base import device_of
from stablediff_edu.widgets.controls import Slider, seed_box
from stablediff_edu.widgets.generation import GenerationPanel
from stablediff_edu.widgets.prompt_input import PromptInput

EDGES = ("left", "right", "top", "bottom")


def box_mask(size: int, left: int, right: int, top: int, bottom: int) -> torch.Tensor:
    """Return (size, size), 1 within the box: columns `left` up to `right`, rows `top` up to `bottom`, both excluded.

    Raises:
        CourseError: the box is empty.
    """
    if left >= right or top >= bottom:
        raise CourseError("The box is empty: left must be less than right, and top less than bottom.")
    mask = torch.zeros(size, size)
    mask[top:bottom, left:right] = 1
    return mask


def with_box(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the image, (3, H, W), darker outside the mask, (H, W), where it stays."""
    return torch.where(mask > 0, image, 0.45 * (image + 1) - 1)


class InpaintingPanel(GenerationPanel):
    """Controls: prompt, of the original; fill prompt, for the box; left, right, top, bottom, its edges in pixels; seed;
    update live, generate. Images: original, with the box bright, and inpainted. `.generation`: the inpainted one's.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, fill_prompt: at the start.
        image: the original, (3, size, size) in [-1, 1]; without it the prompt is generated.
        steps, guidance, seed: as for `StableDiffusion.draw`.
    """

    def __init__(
        self,
        pipe: StableDiffusion,
        prompt: str = "a red sailboat on a calm sea",
        fill_prompt: str = "a yellow duck on a calm sea",
        *,
        image: torch.Tensor | None = None,
        steps: int = 20,
        guidance: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__("Inpainting", pipe)
        self.given, self.sampling_options = image, dict(steps=steps, guidance=guidance)
        self.original, self.original_of = None, None  # an image, and the prompt and seed that it was generated from
        size = pipe.config.size
        margin = size // 5
        self.controls |= {
            "prompt": PromptInput("prompt", pipe.tokenizer, prompt),
            "fill prompt": PromptInput("fill prompt", pipe.tokenizer, fill_prompt),
        }
        starts = (margin, size - margin) * 2
        self.controls |= {edge: Slider(edge, 0, size, at) for edge, at in zip(EDGES, starts, strict=True)}
        self.controls |= {"seed": seed_box(seed), "update live": self.live, "generate": self.button}
        if image is not None:
            del self.controls["prompt"]
        prompts = [self.controls[name] for name in ("prompt", "fill prompt") if name in self.controls]
        edges = [self.controls[edge] for edge in EDGES]
        self.lay_out(
            *prompts,
            edges[:2],
            edges[2:],
            [self.controls[name] for name in ("seed", "update live", "generate")],
            [self.generated_image("original", "original (bright box = mask)"), self.generated_image("inpainted")],
            self.note,
        )
        self.finish()
        self.follow(self._changed, *prompts, trait="parsed")
        self.follow(self._changed, *edges, self.controls["seed"])

    def _original(self) -> Generator[None, None, torch.Tensor]:
        """Return the original, which follows its prompt and the seed."""
        if self.given is not None:
            return self.given.cpu()
        wanted = (self.controls["prompt"].parsed, self.controls["seed"].value)
        if wanted != self.original_of:
            made = yield from self.generate("original", prompt=wanted[0], seed=wanted[1], **self.sampling_options)
            self.original, self.original_of = made.image().cpu(), wanted
        return self.original

    def _generate(self) -> Generator[None, None, None]:
        mask = box_mask(self.pipe.config.size, *(self.controls[edge].value for edge in EDGES))
        original = yield from self._original()
        self.show("original", with_box(original, mask), "the original; the bright box is the mask")
        device = device_of(self.pipe)
        settings = dict(prompt=self.controls["fill prompt"].parsed, seed=self.controls["seed"].value + 1)
        settings |= dict(image=original.to(device), mask=mask.to(device), **self.sampling_options)
        self.generation = yield from self.generate("inpainted", **settings)
        self.stale = False
        self.say(f"{mask.mean():.0%} of the pixels are inpainted, the others stay · {self.generation.seconds:.2f} s")
