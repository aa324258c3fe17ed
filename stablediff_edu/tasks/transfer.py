"""Transfer learning: a training on your own images begins with the weights of the pretrained tiny model."""

import torch

from stablediff_edu.io import checkpoint
from stablediff_edu.models.clip import CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tasks.tiny_sd import load_tiny_sd
from stablediff_edu.tokenizers.words import WordTokenizer


@torch.no_grad()
def init_from_pretrained(
    unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: WordTokenizer, pretrained: StableDiffusion
) -> None:
    """Copy the weights of a pretrained model where the shapes are the same, and the embeddings of words it knows."""
    for own, theirs in ((unet, pretrained.unet), (text_encoder, pretrained.text_encoder)):
        weights = theirs.state_dict()
        fitting = {key: weights[key] for key, value in own.state_dict().items() if same_shape(value, weights.get(key))}
        own.load_state_dict(fitting, strict=False)
    (tokens, positions), (their_tokens, their_positions) = (
        [model.get_parameter(f"embeddings.{name}_embedding.weight") for name in ("token", "position")]
        for model in (text_encoder, pretrained.text_encoder)
    )
    if tokens.shape[1] != their_tokens.shape[1]:
        return
    length = min(len(positions), len(their_positions))
    positions[:length] = their_positions[:length]
    tokens[-2:] = their_tokens[-2:]  # start and end
    for word, number in tokenizer.numbers.items():
        if word in pretrained.tokenizer.numbers:
            tokens[number] = their_tokens[pretrained.tokenizer.numbers[word]]


def same_shape(own: torch.Tensor, other: torch.Tensor | None) -> bool:
    """Return True if there is another tensor, of the same shape."""
    return other is not None and own.shape == other.shape


def load_pretrained() -> StableDiffusion | None:
    """Return the pretrained tiny model; None where there is none."""
    return load_tiny_sd()[0] if checkpoint.checkpoint_path("tiny-sd").exists() else None
