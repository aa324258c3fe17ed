"""A panel of chapter 8: mark a box in an image, write what to put there, and only the box is generated."""

from collections.abc import Generator

import torch

from stablediff_edu.config import device_of
from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.controls import Slider
from stablediff_edu.widgets.generation import GenerationPanel

EDGES = ("left", "right", "top", "bottom")


def box_mask(size: int, left: int, right: int, top: int, bottom: int) -> torch.Tensor:
    """Return (size, size), 1 within the box: columns `left` up to `right`, rows `top` up to `bottom`, both excluded.

    Raises:
        UserError: the box is empty.
    """
    if left >= right or top >= bottom:
        raise UserError("The box is empty: left must be less than right, and top less than bottom.")
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
        sampling: steps, guidance, seed, as for `StableDiffusion.stream`.
    """

    def __init__(
        self,
        pipe: StableDiffusion,
        prompt: str = "a red sailboat on a calm sea",
        fill_prompt: str = "a yellow duck on a calm sea",
        *,
        image: torch.Tensor | None = None,
        **sampling: float,
    ) -> None:
        prompts = ({"prompt": prompt} if image is None else {}) | {"fill prompt": fill_prompt}
        super().__init__("Inpainting", pipe, prompts, **sampling)
        self.given, self.original = image, None
        self.original_of = None  # the prompt and the seed that the original was generated from
        size = pipe.config.size
        starts = (size // 5, size - size // 5) * 2
        self.controls |= {edge: Slider(edge, 0, size, at) for edge, at in zip(EDGES, starts, strict=True)}
        self.lay_out(
            *prompts,
            [*EDGES[:2]],
            [*EDGES[2:]],
            ["seed", "update live", "generate"],
            [self.generated_image("original", "original (bright box = mask)"), self.generated_image("inpainted")],
            self.note,
        )
        self.begin(*EDGES)

    def _original(self) -> Generator[None, None, torch.Tensor]:
        """Return the original, which follows its prompt and the seed."""
        if self.given is not None:
            return self.given.cpu()
        wanted = (self.controls["prompt"].parsed, self.value("seed"))
        if wanted != self.original_of:
            made = yield from self.draw("original", prompt=wanted[0], seed=wanted[1])
            self.original, self.original_of = made.image().cpu(), wanted
        return self.original

    def _generate(self) -> Generator[None, None, None]:
        mask = box_mask(self.pipe.config.size, *(self.value(edge) for edge in EDGES))
        original = yield from self._original()
        self.show("original", with_box(original, mask), "the original; the bright box is the mask")
        device = device_of(self.pipe)
        yield from self.generate(
            "inpainted",
            prompt=self.controls["fill prompt"].parsed,
            seed=self.value("seed") + 1,
            image=original.to(device),
            mask=mask.to(device),
        )
        self.say(f"{mask.mean():.0%} of the pixels are inpainted, the others stay · {self.generation.seconds:.2f} s")
