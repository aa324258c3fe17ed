"""Generate with any weights that `train` makes: the metadata of the file say which network they belong to."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stablediff_edu.errors import UserError, oom_guard
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.pipelines.stable_diffusion import PipelineStep, StableDiffusion
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.ddpm_evaluation import DEFAULT_SAMPLING, draw_steps
from stablediff_edu.tasks.latent_diffusion import decode_digits
from stablediff_edu.tasks.latent_diffusion_evaluation import DEFAULT_SAMPLING as BEST_DIGITS
from stablediff_edu.tasks.tiny_sd import load_tiny_sd
from stablediff_edu.tasks.vae import load_vae


@dataclass(frozen=True)
class Unconditional:
    """A diffusion model without text input, its metadata, what decodes its latents, and its best settings of
    `sample`."""

    model: nn.Module
    card: dict[str, str]
    decode: Callable[[torch.Tensor], torch.Tensor]
    best: dict[str, Any]

    def stream(self, count: int = 1, seed: int = 0, **options) -> Iterator[PipelineStep]:
        """Generate `count` images and give every sampling step; `options` are those of `sample`."""
        options = self.best | {name: value for name, value in options.items() if value is not None}
        with oom_guard("; generate fewer images at once."):
            for step in draw_steps(self.model, self.card, count, seed, **options):
                yield PipelineStep(step.number, options["steps"], step.t, step.next, step.x0, self.decode)


def load_own(source: str | Path, vae: str | Path | None = None) -> StableDiffusion | Unconditional | None:
    """Return the model of weights that `train` has made; None if these are others.

    Args:
        source: a .safetensors file, or the name of included weights, such as "ships".
        vae: the autoencoder of latents, if it is not the included one.

    Raises:
        UserError: the network generates no images, or `vae` is not the autoencoder that it was trained with.
    """
    path = Path(source).expanduser()
    path = path if path.exists() or len(path.parts) > 1 else checkpoint.checkpoint_path(path)
    metadata = checkpoint.read_metadata(path) if path.suffix == ".safetensors" and path.is_file() else {}
    if "command" not in metadata:
        return None
    try:
        sizes = json.loads(metadata["config"])
        channels = sizes.get("in_channels", 0) if sizes.get("time") else 0
    except (KeyError, ValueError, AttributeError) as error:
        raise UserError(f"The metadata of {path.name} are broken; train it again.") from error
    if "unet" in sizes:
        return load_tiny_sd(path)[0]
    if not channels:
        raise UserError(
            f"{path.name} was made by {metadata['command']!r}; that network does not generate images: give the "
            f"weights of "
            "ships, one-fish, cifar10-all, latent-digits, tiny-sd or text-to-image."
        )
    model, metadata = load_diffusion(path, channels)
    if channels == 3:
        return Unconditional(model, metadata, lambda x: x.clamp(-1, 1).cpu(), DEFAULT_SAMPLING)
    autoencoder = load_latent_vae(metadata, vae)
    return Unconditional(model, metadata, lambda z: decode_digits(autoencoder, z).cpu(), DEFAULT_SAMPLING | BEST_DIGITS)


def load_latent_vae(metadata: dict[str, str], vae: str | Path | None = None) -> AutoencoderKL:
    """Return the autoencoder of the latents that a network generates, by default the included one of digits.

    Raises:
        UserError: it is another one than the network was trained with.
    """
    found, vae_metadata = load_vae(vae or "digit-vae")
    if not metadata.get("data", "").endswith(f": {vae_metadata.get('command')}"):
        raise UserError(
            f"These weights generate latents of another autoencoder than {vae or 'digit-vae'} "
            f"({vae_metadata.get('command')}); "
            "name theirs with --vae FILE."
        )
    return found
