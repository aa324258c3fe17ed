"""Cross-attention maps of a sample, one per token and step, and prompts with weighted tokens."""

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F

from stablediff_edu.diffusion.samplers import make_noise_fn
from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tokenizers.words import split_words

NUM_BOS = 1  # tokens before the first word: the start


class SampleWithAttention(NamedTuple):
    """A sample, and the attention weight of every token at each position in every step.

    Attributes:
        words: N words, or the pieces that the tokenizer cuts the prompt into.
        looks: (steps, N, h, w), the attention weight of a token at a position of the latent, mean over all heads and
            all cross-attentions. What is left to 1 goes to the start and the end of the prompt.
        latents: (steps, 4, h, w), the predicted clean latent of each step; the last is the result.
        decode: latents to images.
    """

    words: list[str]
    looks: torch.Tensor
    latents: torch.Tensor
    decode: Callable[[torch.Tensor], torch.Tensor]

    def image(self, number: int = 0) -> torch.Tensor:
        """Return the predicted clean image of this step, from 1 on, (3, H, W); without a number the result."""
        return self.decode(self.latents[[number - 1]])[0]

    def most(self) -> list[float]:
        """Return the largest attention weight of each token: the scale of its map."""
        return self.looks.amax(dim=(0, 2, 3)).tolist()  # (steps, N, h, w) -> N


def prompt_tokens(pipe: StableDiffusion, prompt: str) -> list[str]:
    """Return the tokens of a prompt as text, as many as the network reads."""
    cut = getattr(pipe.tokenizer, "pieces", split_words)
    return [word.removesuffix("</w>") for word in cut(prompt)[: pipe.config.text_encoder.max_position_embeddings - 2]]


def reweight_tokens(pipe: StableDiffusion, prompt: str, weights: Mapping[int, float]) -> torch.Tensor:
    """Return what `pipe.encode_prompt` makes of a prompt, (1, N, width), with the vectors of some words made longer
    or shorter.

    A longer vector is a larger value, and its key finds more of those that ask for it; with weight 0 it adds nothing.

    Args:
        pipe: its text encoder reads the prompt.
        prompt: to read.
        weights: number of the word, from 0 on -> what its vector is multiplied by.

    Raises:
        UserError: there is no such word.
    """
    context, count = pipe.encode_prompt(prompt).clone(), len(prompt_tokens(pipe, prompt))
    for number, weight in weights.items():
        if not 0 <= number < count:
            raise UserError(f"The prompt has no word number {number}; count from 0 to {count - 1}.")
        context[:, NUM_BOS + number] *= weight
    return context


def sample_with_attention(pipe: StableDiffusion, prompt: str, negative: str = "", **options) -> SampleWithAttention:
    """Sample as `stream_with_attention` does, all steps at once."""
    steps = stream_with_attention(pipe, prompt, negative, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def stream_with_attention(
    pipe: StableDiffusion,
    prompt: str,
    negative: str = "",
    *,
    weights: Mapping[int, float] | None = None,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
) -> Generator[None, None, SampleWithAttention]:
    """Sample with "ddim", as `pipe` does, and keep the cross-attention maps of every step; yield after each.

    Args:
        pipe, prompt, negative, steps, guidance, seed: as for `StableDiffusion.stream`.
        weights: as for `reweight_tokens`.

    Raises:
        UserError: the prompt cannot be read or has no tokens.
    """
    words = prompt_tokens(pipe, prompt)
    if not words:
        raise UserError("The prompt has no tokens to visualize; write one, such as: a red boat.")
    with torch.no_grad():
        context, nothing = reweight_tokens(pipe, prompt, weights or {}), pipe.encode_prompt(negative)
    side = pipe.config.size // pipe.config.vae.shrink
    noise = make_noise_fn(seed, torch.empty(1, pipe.config.vae.latent_channels, side, side, device=context.device))()
    looks, latents = [], []
    for step in pipe.denoise(noise, context, nothing, guidance, steps, "ddim"):
        with torch.no_grad():
            seen = pipe.cross_attention_maps(step.xt, torch.full((1,), step.t, device=context.device), context)
        looks.append(_joined(seen, (side, side))[NUM_BOS : NUM_BOS + len(words)].cpu())
        latents.append(step.x0)
        yield
    latents[-1] = step.next  # the result
    return SampleWithAttention(words, torch.stack(looks), torch.cat(latents), pipe.decode)


def _joined(seen: dict[str, torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Return the mean over all heads and layers: name -> (1, heads, h', w', N) to (N, h, w)."""
    maps = [weights[0].mean(dim=0).permute(2, 0, 1)[None].float() for weights in seen.values()]  # (1, N, h', w') each
    return torch.stack([F.interpolate(one, size) for one in maps]).mean(dim=0)[0]
