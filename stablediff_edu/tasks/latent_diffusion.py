"""Latent diffusion on digits: an autoencoder like Stable Diffusion's, and noise predictors on its latents (chapter 5).

First the autoencoder learns to reconstruct images from latents; then a U-Net learns to predict the noise in the latents
of the same images, with the very training of chapters 3 and 4 (Rombach et al., 2022, "High-resolution image synthesis
with latent diffusion models", section 3).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from stablediff_edu.data.digits.dataset import DigitDataset, load_digits
from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks.ddpm import DiffusionTask
from stablediff_edu.tasks.task import MIT, option
from stablediff_edu.tasks.vae import VAETask, load_vae, map_batches
from stablediff_edu.training.loop import TrainResult

DIGIT_LATENTS = VAEConfig(
    in_channels=1,
    block_out_channels=(8, 16, 32, 32),
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=8,
    scaling_factor=1.0,
)
PADDING = 2  # black pixels put around a digit, so that 28 becomes 32, which can be halved three times


@dataclass(frozen=True, kw_only=True)
class DigitVAETask(VAETask):
    """The autoencoder of digits.

    Attributes:
        digits, held_out: how many digits are trained on, and held out for the score.
    """

    name = "digit-vae"
    next_command = "train latent-digits --vae {out}"

    sizes: VAEConfig = DIGIT_LATENTS
    digits: int = 20_000
    held_out: int = 1_000
    source: str = option("synthetic", "which digits (default: synthetic)", choices=["synthetic", "mnist"])

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, ImageDataset | None]:
        known, unseen = load_both(self.digits, self.held_out, self.source)
        return framed(known), framed(unseen)

    def evaluate(self, model: AutoencoderKL, held_out: ImageDataset | torch.Tensor | None) -> str:
        assert isinstance(held_out, ImageDataset)
        x = held_out.images
        error = squared_error(map_batches(model, lambda part: model.decode(model.encode(part)), x), x).item()
        return f"squared error per pixel {error:.5f} on {len(held_out):,} unseen {held_out.source}"

    def report(self, model: AutoencoderKL, metadata: dict[str, str]) -> str:
        return self.evaluate(model, replace(self, source=source_of(metadata, self.source)).data()[1])

    def metadata(self, data: ImageDataset | torch.Tensor, training: TrainResult) -> dict[str, object]:
        assert isinstance(data, ImageDataset)
        return dict(data=f"{len(data):,} {data.source}", licence=licence_of(data.source))


@dataclass(frozen=True, kw_only=True)
class LatentDigitsTask(DiffusionTask):
    """A U-Net that predicts the noise in latents of digits: a level less, where the image is already small."""

    name = "latent-digits"
    next_command = "generate --weights {out} --count 16 --vae {task.vae}"

    image_channels: int = 4
    channels: tuple[int, ...] = (96, 192)
    time: int = 96
    patch: int = 1
    steps: int = 10_000
    learning_rate: float = 2e-3
    flip: bool = False
    logit_normal: bool = True
    digits: int = 20_000
    held_out: int = 1_000
    source: str = option("synthetic", "which digits (default: synthetic)", choices=["synthetic", "mnist"])
    vae: Path = option(Path("digit-vae"), "the autoencoder of the latents (default: digit-vae)", metavar="FILE")

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, None]:
        vae, metadata = load_vae(self.vae)
        digits = load_digits(self.digits, self.source)
        made = f"encoded by what was trained with: {metadata['command']}"
        return ImageDataset(
            encode_digits(vae, digits.images), f"latents of {len(digits):,} {digits.source}, {made}"
        ), None

    def report(self, model: UNet, metadata: dict[str, str]) -> str:
        from stablediff_edu.tasks.latent_diffusion_evaluation import evaluate_digits
        from stablediff_edu.tasks.own_weights import load_latent_vae

        vae = load_latent_vae(metadata, self.vae)
        known, unseen = load_both(self.digits, self.held_out, source_of(metadata, self.source))
        return str(evaluate_digits(model, metadata, vae, known, unseen))

    def metadata(self, data: ImageDataset | torch.Tensor, training: TrainResult) -> dict[str, object]:
        assert isinstance(data, ImageDataset)
        return super().metadata(data, training) | dict(data=data.source, licence=licence_of(data.source))


DigitVAETask.presets = {"pretrained": DigitVAETask()}
LATENT_DIGITS_QUICK = LatentDigitsTask(channels=(64, 128), time=64, steps=300)
LATENT_PRESETS = LatentDigitsTask.presets = {
    "pretrained": LatentDigitsTask(),
    "quick": LATENT_DIGITS_QUICK,
    "full": LatentDigitsTask(),
    "test": replace(LATENT_DIGITS_QUICK, steps=20, batch_size=2),
}
PIXEL_DIGITS = DiffusionTask(
    image_channels=1,
    channels=(32, 64, 128),
    time=64,
    patch=1,
    attention=1,
    steps=10_000,
    batch_size=32,
    learning_rate=2e-3,
    flip=False,
    logit_normal=True,
)


def load_both(digits: int, held_out: int, source: str) -> tuple[DigitDataset, DigitDataset]:
    """Return digits to train on, and others."""
    return load_digits(digits, source), load_digits(held_out, source, train=False)


def framed(digits: DigitDataset) -> ImageDataset:
    """Return the digits with black pixels around."""
    return ImageDataset(pad_digits(digits.images), digits.source)


def source_of(metadata: dict[str, str], source: str) -> str:
    """Return "mnist" if weights were trained on MNIST, else `source`."""
    return "mnist" if "MNIST" in metadata["data"] else source


def licence_of(source: str) -> str:
    """Return the licence of digits."""
    return "MNIST: usually given as CC BY-SA 3.0" if "MNIST" in source else MIT


def pad_digits(digits: torch.Tensor) -> torch.Tensor:
    """Put black pixels around: (B, 1, 28, 28) -> (B, 1, 32, 32)."""
    return F.pad(digits, (PADDING,) * 4, value=-1.0)


def crop_digits(images: torch.Tensor) -> torch.Tensor:
    """Take the frame away again: (B, 1, 32, 32) -> (B, 1, 28, 28)."""
    return images[..., PADDING:-PADDING, PADDING:-PADDING]


def encode_digits(vae: AutoencoderKL, digits: torch.Tensor) -> torch.Tensor:
    """Return the scaled latents of digits: (N, 1, 28, 28) -> (N, latent, 4, 4)."""
    return map_batches(vae, vae.encode, pad_digits(digits))


def decode_digits(vae: AutoencoderKL, z: torch.Tensor) -> torch.Tensor:
    """Return the digits of scaled latents: (N, latent, 4, 4) -> (N, 1, 28, 28) in [-1, 1]."""
    return crop_digits(map_batches(vae, vae.decode, z)).clamp(-1, 1)
