"""Which word drew which part: a drawing whose cross-attention is watched, and whose words can be given more weight."""

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F

from stablediff_edu.diffusion.samplers import noise_source
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion
from stablediff_edu.tokenizers.words import split_words

BEFORE = 1  # tokens before the first word: the start


class WatchedDrawing(NamedTuple):
    """A drawing, and how strongly its places looked at each word in every step.

    Attributes:
        words: N words, or the pieces that the tokenizer cuts the prompt into.
        looks: (steps, N, h, w), the share of its attention that a place of the latent gives a word, mean over all
            heads and all cross-attentions. What is left to 1 goes to the start and the end of the prompt.
        latents: (steps, 4, h, w), the clean latent that the network saw in each step; the last is the result.
        decode: latents to pictures.
    """

    words: list[str]
    looks: torch.Tensor
    latents: torch.Tensor
    decode: Callable[[torch.Tensor], torch.Tensor]

    def picture(self, number: int = 0) -> torch.Tensor:
        """Return what the network saw in this step, from 1 on, (3, H, W); without a number the result."""
        return self.decode(self.latents[[number - 1]])[0]

    def most(self) -> list[float]:
        """Return for each word how strongly it is looked at most: a scale of its own, or "a" leaves others dark."""
        return self.looks.amax(dim=(0, 2, 3)).tolist()  # (steps, N, h, w) -> N


def words_of(pipe: StableDiffusion, prompt: str) -> list[str]:
    """Return the words of a prompt, one a token: as many as the network reads."""
    cut = getattr(pipe.tokenizer, "pieces", split_words)
    return [word.removesuffix("</w>") for word in cut(prompt)[: pipe.config.text.positions - 2]]


def weighted(pipe: StableDiffusion, prompt: str, weights: Mapping[int, float]) -> torch.Tensor:
    """Return what `pipe.read` makes of a prompt, (1, N, width), with the vectors of some words made longer or shorter.

    A longer vector is a larger value, and its key finds more of those that ask for it; with weight 0 it adds nothing.

    Args:
        pipe: its text encoder reads the prompt.
        prompt: to read.
        weights: number of the word, from 0 on -> what its vector is multiplied by.

    Raises:
        CourseError: there is no such word.
    """
    context, count = pipe.read(prompt).clone(), len(words_of(pipe, prompt))
    for number, weight in weights.items():
        if not 0 <= number < count:
            raise CourseError(f"The prompt has no word number {number}; count from 0 to {count - 1}.")
        context[:, BEFORE + number] *= weight
    return context


def watch_drawing(pipe: StableDiffusion, prompt: str, negative: str = "", **options) -> WatchedDrawing:
    """Sample as `watch_steps` does, all steps at once."""
    steps = watch_steps(pipe, prompt, negative, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def watch_steps(
    pipe: StableDiffusion,
    prompt: str,
    negative: str = "",
    *,
    weights: Mapping[int, float] | None = None,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
) -> Generator[None, None, WatchedDrawing]:
    """Sample with "ddim", as `pipe` does, and keep the cross-attention maps of every step; yield after each.

    Args:
        pipe, prompt, negative, steps, guidance, seed: as for `StableDiffusion.draw`.
        weights: as for `weighted`.

    Raises:
        CourseError: the prompt cannot be read or has no tokens.
    """
    words = words_of(pipe, prompt)
    if not words:
        raise CourseError("The prompt has no tokens to visualize; write one, such as: a red boat.")
    with torch.no_grad():
        context, nothing = weighted(pipe, prompt, weights or {}), pipe.read(negative)
    side = pipe.config.size // pipe.config.vae.shrink
    noise = noise_source(seed, torch.empty(1, pipe.config.vae.latent, side, side, device=context.device))()
    looks, latents = [], []
    for step in pipe.denoise(noise, context, nothing, guidance, steps, "ddim"):
        with torch.no_grad():
            seen = pipe.look_at_words(step.xt, torch.full((1,), step.t, device=context.device), context)
        looks.append(_joined(seen, (side, side))[BEFORE : BEFORE + len(words)].cpu())
        latents.append(step.x0)
        yield
    latents[-1] = step.next  # the result
    return WatchedDrawing(words, torch.stack(looks), torch.cat(latents), pipe.decode)


def _joined(seen: dict[str, torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Return the mean over all heads and layers: name -> (1, heads, h', w', N) to (N, h, w)."""
    maps = [weights[0].mean(dim=0).permute(2, 0, 1)[None].float() for weights in seen.values()]  # (1, N, h', w') each
    return torch.stack([F.interpolate(one, size) for one in maps]).mean(dim=0)[0]
