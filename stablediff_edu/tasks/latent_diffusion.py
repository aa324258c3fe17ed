"""Latent diffusion on digits: an autoencoder like Stable Diffusion's, and noise predictors on its latents (chapter 5).

First the autoencoder learns to give back images through latents; then a U-Net learns to find noise in the latents of
the same images, with the very training of chapters 3 and 4 (Rombach et al., 2022, "High-resolution image synthesis
with latent diffusion models", section 3).
"""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from stablediff_edu.config import seed_everything
from stablediff_edu.data.digits.dataset import DigitDataset
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.tasks.ddpm import DiffusionTrainConfig, train_diffusion
from stablediff_edu.tasks.vae import VAETrainConfig, map_batches, train_vae
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import save_trained

DIGIT_LATENTS = VAEConfig(in_channels=1, widths=(8, 16, 32, 32), blocks=1, latent=4, groups=8, scaling=1.0)
DIGITS, UNSEEN = 20_000, 1_000  # that the pretrained weights learned from, and that they are scored on
PADDING = 2  # black pixels put around a digit, so that 28 becomes 32, which can be halved three times


DIGIT_VAE = VAETrainConfig(DIGIT_LATENTS)
# The same kind of U-Net for both, a level less where the image is already small.
LATENT_DIGITS = DiffusionTrainConfig(
    channels=(96, 192),
    time=96,
    patch=1,
    attention=2,
    steps=10_000,
    batch_size=64,
    learning_rate=2e-3,
    flip=False,
    logit_normal=True,
)
LATENT_DIGITS_QUICK = replace(LATENT_DIGITS, channels=(64, 128), time=64, steps=300)
LATENT_PRESETS = {
    "quick": LATENT_DIGITS_QUICK,
    "full": LATENT_DIGITS,
    "test": replace(LATENT_DIGITS_QUICK, steps=20, batch_size=2),
}
PIXEL_DIGITS = replace(LATENT_DIGITS, channels=(32, 64, 128), time=64, attention=1, batch_size=32)


def pad_digits(digits: torch.Tensor) -> torch.Tensor:
    """Put black pixels around: (B, 1, 28, 28) -> (B, 1, 32, 32)."""
    return F.pad(digits, (PADDING,) * 4, value=-1.0)


def crop_digits(images: torch.Tensor) -> torch.Tensor:
    """Take the frame away again: (B, 1, 32, 32) -> (B, 1, 28, 28)."""
    return images[..., PADDING:-PADDING, PADDING:-PADDING]


def make_vae(
    config: VAETrainConfig,
    out: Path,
    command: str,
    digits: DigitDataset,
    unseen: DigitDataset,
    checkpoint: Path | None = None,
) -> tuple[AutoencoderKL, TrainResult, str, Path]:
    """Train on digits, score on unseen ones and save with metadata: the network, the record, the score, the file."""
    seed_everything(config.seed)
    model, training = train_vae(config, pad_digits(digits.images), checkpoint=checkpoint)
    score = score_vae(model, unseen)
    metadata = dict(command=command, seed=config.seed, data=_what(digits), licence=_licence(digits), result=score)
    return model, training, score, save_trained(out, model, training, checkpoint, **metadata)


def score_vae(model: AutoencoderKL, unseen: DigitDataset) -> str:
    """Return one line on how well digits that it has not learned from come back."""
    x = pad_digits(unseen.images)
    error = squared_error(map_batches(model, lambda part: model.decode(model.encode(part)), x), x).item()
    return f"squared error per pixel {error:.5f} on {len(unseen):,} unseen {unseen.source}"


def encode_digits(vae: AutoencoderKL, digits: torch.Tensor) -> torch.Tensor:
    """Return the scaled latents of digits: (N, 1, 28, 28) -> (N, latent, 4, 4)."""
    return map_batches(vae, vae.encode, pad_digits(digits))


def decode_digits(vae: AutoencoderKL, z: torch.Tensor) -> torch.Tensor:
    """Return the digits of scaled latents: (N, latent, 4, 4) -> (N, 1, 28, 28) in [-1, 1]."""
    return crop_digits(map_batches(vae, vae.decode, z)).clamp(-1, 1)


def make_latent_digits(
    config: DiffusionTrainConfig,
    out: Path,
    command: str,
    digits: DigitDataset,
    vae: tuple[AutoencoderKL, dict[str, str]],
    checkpoint: Path | None = None,
) -> tuple[torch.nn.Module, TrainResult, Path]:
    """Train a noise predictor on the latents of digits and save it with metadata: the network, the record, the file."""
    seed_everything(config.seed)
    latents = encode_digits(vae[0], digits.images)
    made_of = [digits.images, *vae[0].state_dict().values()]
    model, training = train_diffusion(config, latents, checkpoint=checkpoint, made_of=made_of)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"latents of {_what(digits)}, encoded by what was trained with: {vae[1]['command']}",
        licence=_licence(digits),
        size=latents.shape[-1],
        schedule=config.schedule,
        prediction=config.prediction,
        result=f"loss {training.loss:.5f}",
    )
    return model, training, save_trained(out, model, training, checkpoint, **metadata)


def _what(digits: DigitDataset) -> str:
    return f"{len(digits):,} {digits.source}"


def _licence(digits: DigitDataset) -> str:
    drawn = digits.source.startswith("synthetic")
    return "generated by this package (MIT)" if drawn else "MNIST: usually given as CC BY-SA 3.0"
