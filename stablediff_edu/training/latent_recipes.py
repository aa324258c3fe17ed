"""Latent diffusion on digits: an autoencoder like Stable Diffusion's, and noise predictors on its latents (chapter 5).

First the autoencoder learns to give back pictures through latents; then a U-Net learns to find noise in the latents of
the same pictures, with the very training of chapters 3 and 4 (Rombach et al., 2022, "High-resolution image synthesis
with latent diffusion models", section 3).
"""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from stablediff_edu.datasets.digits import Digits
from stablediff_edu.device import seed_everything
from stablediff_edu.models.vae import AutoencoderKL, VAEConfig
from stablediff_edu.training.autoencoding import squared_error
from stablediff_edu.training.diffusion_recipes import DiffusionRecipe, train_diffusion
from stablediff_edu.training.keeping import keep
from stablediff_edu.training.loop import Training
from stablediff_edu.training.vae_training import VAERecipe, in_parts, train_vae

DIGIT_LATENTS = VAEConfig(in_channels=1, widths=(8, 16, 32, 32), blocks=1, latent=4, groups=8, scaling=1.0)
DIGITS, UNSEEN = 20_000, 1_000  # that the shipped weights learned from, and that they are scored on
FRAME = 2  # black pixels put around a digit, so that 28 becomes 32, which can be halved three times


DIGIT_VAE = VAERecipe(DIGIT_LATENTS)
# The same kind of U-Net for both, a level less where the picture is already small.
LATENT_DIGITS = DiffusionRecipe(
    channels=(96, 192),
    time=96,
    patch=1,
    attention=2,
    steps=10_000,
    batch_size=64,
    learning_rate=2e-3,
    flip=False,
    middle=True,
)
LATENT_DIGITS_QUICK = replace(LATENT_DIGITS, channels=(64, 128), time=64, steps=300)
LATENT_BUDGETS = {
    "quick": LATENT_DIGITS_QUICK,
    "full": LATENT_DIGITS,
    "test": replace(LATENT_DIGITS_QUICK, steps=20, batch_size=2),
}
PIXEL_DIGITS = replace(LATENT_DIGITS, channels=(32, 64, 128), time=64, attention=1, batch_size=32)


def add_frame(digits: torch.Tensor) -> torch.Tensor:
    """Put black pixels around: (B, 1, 28, 28) -> (B, 1, 32, 32)."""
    return F.pad(digits, (FRAME,) * 4, value=-1.0)


def remove_frame(pictures: torch.Tensor) -> torch.Tensor:
    """Take the frame away again: (B, 1, 32, 32) -> (B, 1, 28, 28)."""
    return pictures[..., FRAME:-FRAME, FRAME:-FRAME]


def make_vae(
    recipe: VAERecipe, out: Path, command: str, digits: Digits, unseen: Digits, checkpoint: Path | None = None
) -> tuple[AutoencoderKL, Training, str, Path]:
    """Train on digits, score on unseen ones and save with a card: the network, the record, the score, the file."""
    seed_everything(recipe.seed)
    model, training = train_vae(recipe, add_frame(digits.pictures), checkpoint=checkpoint)
    score = score_vae(model, unseen)
    card = dict(command=command, seed=recipe.seed, data=_what(digits), licence=_licence(digits), result=score)
    return model, training, score, keep(out, model, training, checkpoint, **card)


def score_vae(model: AutoencoderKL, unseen: Digits) -> str:
    """Return one line on how well digits that it has not learned from come back."""
    x = add_frame(unseen.pictures)
    error = squared_error(in_parts(model, lambda part: model.decode(model.encode(part)), x), x).item()
    return f"squared error per pixel {error:.5f} on {len(unseen):,} unseen {unseen.source}"


def encode_digits(vae: AutoencoderKL, digits: torch.Tensor) -> torch.Tensor:
    """Return the scaled latents of digits: (N, 1, 28, 28) -> (N, latent, 4, 4)."""
    return in_parts(vae, vae.encode, add_frame(digits))


def decode_digits(vae: AutoencoderKL, z: torch.Tensor) -> torch.Tensor:
    """Return the digits of scaled latents: (N, latent, 4, 4) -> (N, 1, 28, 28) in [-1, 1]."""
    return remove_frame(in_parts(vae, vae.decode, z)).clamp(-1, 1)


def make_latent_digits(
    recipe: DiffusionRecipe,
    out: Path,
    command: str,
    digits: Digits,
    vae: tuple[AutoencoderKL, dict[str, str]],
    checkpoint: Path | None = None,
) -> tuple[torch.nn.Module, Training, Path]:
    """Train a noise predictor on the latents of digits and save it with a card: the network, the record, the file."""
    seed_everything(recipe.seed)
    latents = encode_digits(vae[0], digits.pictures)
    made_of = [digits.pictures, *vae[0].state_dict().values()]
    model, training = train_diffusion(recipe, latents, checkpoint=checkpoint, made_of=made_of)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"latents of {_what(digits)}, encoded by what was trained with: {vae[1]['command']}",
        licence=_licence(digits),
        size=latents.shape[-1],
        schedule=recipe.schedule,
        prediction=recipe.prediction,
        result=f"loss {training.loss:.5f}",
    )
    return model, training, keep(out, model, training, checkpoint, **card)


def _what(digits: Digits) -> str:
    return f"{len(digits):,} {digits.source}"


def _licence(digits: Digits) -> str:
    drawn = digits.source.startswith("drawn")
    return "drawn by this package (MIT)" if drawn else "MNIST: usually given as CC BY-SA 3.0"
