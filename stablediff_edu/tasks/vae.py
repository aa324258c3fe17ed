"""Training variational autoencoders of Stable Diffusion's kind (chapters 5 and 8)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, pick_device, to_device
from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.data.scenes.dataset import to_float_images
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig, kl_divergence
from stablediff_edu.tasks.clip import load_clip
from stablediff_edu.tasks.task import Task
from stablediff_edu.training.amp import autocast_half
from stablediff_edu.training.distributed import shard_batch, sharded_noise
from stablediff_edu.training.loop import Callback, TrainResult
from stablediff_edu.training.perceptual_loss import add_perceptual_loss
from stablediff_edu.training.trained_models import load_trained


def l1_gradient_loss(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return how far pixels, and the steps between neighboring pixels, are from the true ones: (B, C, H, W) twice.

    Where a squared error likes a blurred edge best, for being nowhere far off, this one wants the edge.
    """
    steps = sum(F.l1_loss(found.diff(dim=dim), true.diff(dim=dim)) for dim in (2, 3))
    return F.l1_loss(found, true) + steps


def mse_l1_gradient_loss(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return both in one: the squared error finds large shapes and their colors soon, the other sharpens them."""
    return 4 * F.mse_loss(found, true) + 0.3 * l1_gradient_loss(found, true)


ERRORS = {"squared": squared_error, "edges": l1_gradient_loss, "mixed": mse_l1_gradient_loss}


@dataclass(frozen=True, kw_only=True)
class VAETask(Task[ImageDataset | torch.Tensor, AutoencoderKL]):
    """An autoencoder of images (N, C, H, W) in [-1, 1] or uint8; its scaling is measured after the training.

    Attributes:
        sizes: of the network.
        error: the reconstruction error: "squared", "edges" for sharp ones, "mixed", or "perceptual": mixed, and the
            features of CLIP must be close (`training.perceptual_loss`).
        kl_weight: the weight of the KL term: so small that it only keeps the latents from running away.
        crop: side of the random crop of each image that a training step takes; 0 takes whole images (Stable
            Diffusion's autoencoder learned from crops, too).
        flip: whether a mirrored image is as good as the image.
        gan_steps, gan_weight: for how many steps the decoder is fine-tuned against a discriminator, and the weight of
            the adversarial loss (`vae_gan`).
    """

    channels_last_cpu = False

    sizes: VAEConfig
    error: str = "squared"
    kl_weight: float = 1e-5
    steps: int = 1500
    learning_rate: float = 6e-3
    ema: float = 0.99
    crop: int = 0
    flip: bool = False
    gan_steps: int = 0
    gan_weight: float = 0.0

    def make_error(self) -> Callable:
        """Return the reconstruction error, a function of reconstructed and true images."""
        if self.error != "perceptual":
            return ERRORS[self.error]
        return add_perceptual_loss(mse_l1_gradient_loss, load_clip("clip-scenes")[0], self.bfloat16)

    def network(self) -> AutoencoderKL:
        return AutoencoderKL(self.sizes)

    def batches(self, data: ImageDataset | torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
        return batches(images_of(data), self.batch_size, device, self.flip, self.crop)

    def loss(self, data: ImageDataset | torch.Tensor) -> Callable:
        return partial(vae_loss, kl_weight=self.kl_weight, error=self.make_error(), bfloat16=self.bfloat16)

    def fingerprint(self, data: ImageDataset | torch.Tensor) -> list[torch.Tensor | str]:
        clip = [str(checkpoint.read_metadata("clip-scenes"))] if self.error == "perceptual" else []
        return [*super().fingerprint(data), *clip]

    def train(
        self,
        data: ImageDataset | torch.Tensor,
        callback: Callback | None = None,
        snapshot: Callable[[Any], torch.Tensor] | None = None,
        snapshot_at: Callable[[int], bool] | None = None,
        progress: Path | None = None,
        model: AutoencoderKL | None = None,
    ) -> tuple[AutoencoderKL, TrainResult]:
        """Train, measure the scaling, and fine-tune the decoder with an adversarial loss if `gan_steps` asks for it."""
        from stablediff_edu.tasks.vae_gan import finetune_decoder_gan

        model, training = super().train(data, callback, snapshot, snapshot_at, progress, model)
        measure_scaling(model, images_of(data))
        if self.gan_steps and not training.interrupted:
            second = progress and progress.with_suffix(".sharpening")
            finetuning = finetune_decoder_gan(model, self, images_of(data), callback, second)
            training = join_results(training, finetuning)
        return model, training

    def load(self, name: str | Path) -> tuple[AutoencoderKL, dict[str, str]]:
        return load_vae(name)


def images_of(data: ImageDataset | torch.Tensor) -> torch.Tensor:
    """Return the images of a dataset, or the images themselves."""
    return data if isinstance(data, torch.Tensor) else data.images


def join_results(first: TrainResult, second: TrainResult) -> TrainResult:
    """Return one record of two trainings, one after the other."""
    return replace(
        second,
        losses=first.losses + second.losses,
        steps=first.steps + second.steps,
        seconds=first.seconds + second.seconds,
        snapshots=[],
    )


def batches(
    images: torch.Tensor, batch_size: int, device: torch.device | str = "cpu", flip: bool = False, crop: int = 0
) -> Iterator[torch.Tensor]:
    """Yield batches (B, C, H, W), sampled at random from images in [-1, 1] or from uint8 (N, C, H, W).

    With `crop` every image gives a random square of that side: (B, C, crop, crop).
    """
    while True:
        rows = torch.randint(len(images), (batch_size,))
        chosen = random_crops(images, rows, crop) if crop else images[rows]
        if flip:
            flipped = torch.rand(batch_size, 1, 1, 1) < 0.5
            chosen = torch.where(flipped, chosen.flip(3), chosen)
        yield as_float_images(to_device(shard_batch(chosen), device))


def random_crops(images: torch.Tensor, rows: torch.Tensor, side: int) -> torch.Tensor:
    """Return a random square of each of these images: (N, C, H, W) -> (B, C, side, side)."""
    height, width = images.shape[-2:]
    tops = torch.randint(height - side + 1, (len(rows),)).tolist()
    lefts = torch.randint(width - side + 1, (len(rows),)).tolist()
    places = zip(rows.tolist(), tops, lefts, strict=True)
    return torch.stack([images[row, :, top : top + side, left : left + side] for row, top, left in places])


def as_float_images(rows: torch.Tensor) -> torch.Tensor:
    """Return images in [-1, 1], which may have been stored as bytes."""
    return to_float_images(rows) if rows.dtype == torch.uint8 else rows


def vae_loss(
    model: AutoencoderKL, x: torch.Tensor, kl_weight: float, error: Callable = squared_error, bfloat16: bool = False
) -> torch.Tensor:
    """Return the reconstruction error of images (B, C, H, W) through a sampled latent, plus `kl_weight` · KL."""
    with autocast_half(bfloat16, x.device):
        mean, logvar = model.moments(x)
        z = mean + torch.exp(logvar / 2) * sharded_noise(mean)
        found = model.decode(model.config.scaling_factor * z)
    found, mean, logvar = (part.to(x.dtype) for part in (found, mean, logvar))
    return error(found, x) + kl_weight * kl_divergence(mean, logvar)


def measure_scaling(model: AutoencoderKL, images: torch.Tensor) -> None:
    """Set the scaling so that latents have the standard deviation of the noise, 1."""
    model.config = replace(model.config, scaling_factor=1.0)
    deviation = map_batches(model, lambda part: model.encode(as_float_images(part)), images[:1000]).std().item()
    model.config = replace(model.config, scaling_factor=1 / deviation)


@torch.no_grad()
def map_batches(model: nn.Module, function: Callable, rows: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """Return what a function of a network says of many images or latents, a batch at a time, on the CPU: (N, …)."""
    device = device_of(model)
    return torch.cat([function(to_device(part, device)).cpu() for part in rows.split(batch_size)])


def load_vae(name: str | Path = "digit-vae") -> tuple[AutoencoderKL, dict[str, str]]:
    """Return a trained autoencoder, built with the sizes in its metadata, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such an autoencoder with its metadata.
    """
    model, metadata = load_trained(
        lambda **sizes: AutoencoderKL(VAEConfig(**sizes)), name, "an autoencoder with latents"
    )
    if not (isinstance(model.config.scaling_factor, int | float) and 0 < model.config.scaling_factor < math.inf):
        raise UserError(
            f"The card of {checkpoint.checkpoint_path(name).name} gives no scaling above 0; train it again."
        )
    return model.to(pick_device()), metadata
