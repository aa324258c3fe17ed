"""Generate with any weights that `train` makes: the metadata of the file say which network they belong to."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stablediff_edu.errors import CourseError, enough_memory
from stablediff_edu.stable_diffusion import DrawnStep, StableDiffusion
from stablediff_edu.training.diffusion_recipes import load_diffusion
from stablediff_edu.training.digit_quality import BEST as BEST_DIGITS
from stablediff_edu.training.latent_recipes import decode_digits
from stablediff_edu.training.sample_quality import BEST, draw_steps
from stablediff_edu.training.tiny_sd import load_tiny_sd
from stablediff_edu.training.vae_training import load_vae
from stablediff_edu.weights import checkpoints


@dataclass(frozen=True)
class Unconditional:
    """A diffusion model without text input, its card, what decodes its latents, and its best settings of `sample`."""

    model: nn.Module
    card: dict[str, str]
    decode: Callable[[torch.Tensor], torch.Tensor]
    best: dict[str, object]

    def draw(self, count: int = 1, seed: int = 0, **options) -> Iterator[DrawnStep]:
        """Generate `count` images and give every sampling step; `options` are those of `sample`."""
        options = self.best | {name: value for name, value in options.items() if value is not None}
        with enough_memory("; generate fewer images at once."):
            for step in draw_steps(self.model, self.card, count, seed, **options):
                yield DrawnStep(step.number, options["steps"], step.t, step.next, step.x0, self.decode)


def load_own(source: str | Path, vae: str | Path | None = None) -> StableDiffusion | Unconditional | None:
    """Return the model of weights that `train` has made; None if these are others.

    Args:
        source: a .safetensors file, or the name of included weights, such as "ships".
        vae: the autoencoder of latents, if it is not the included one.

    Raises:
        CourseError: the network generates no images, or `vae` is not the autoencoder that it was trained with.
    """
    path = Path(source).expanduser()
    path = path if path.exists() or len(path.parts) > 1 else checkpoints.path_of(path)
    card = checkpoints.read_card(path) if path.suffix == ".safetensors" and path.is_file() else {}
    if "command" not in card:
        return None
    try:
        sizes = json.loads(card["config"])
        channels = sizes.get("in_channels", 0) if sizes.get("time") else 0
    except (KeyError, ValueError, AttributeError) as error:
        raise CourseError(f"The metadata of {path.name} are broken; train it again.") from error
    if "unet" in sizes:
        return load_tiny_sd(path)[0]
    if not channels:
        raise CourseError(
            f"{path.name} was made by {card['command']!r}; that network does not generate images: give the weights of "
            "ships, one-fish, cifar10-all, latent-digits, tiny-sd or text-to-image."
        )
    model, card = load_diffusion(path, channels)
    if channels == 3:
        return Unconditional(model, card, lambda x: x.clamp(-1, 1).cpu(), BEST)
    autoencoder = load_latent_vae(card, vae)
    return Unconditional(model, card, lambda z: decode_digits(autoencoder, z).cpu(), BEST | BEST_DIGITS)


def load_latent_vae(card: dict[str, str], vae: str | Path | None = None) -> nn.Module:
    """Return the autoencoder of the latents that a network generates, by default the included one of digits.

    Raises:
        CourseError: it is another one than the network was trained with.
    """
    found, vae_card = load_vae(vae or "digit-vae")
    if not card.get("data", "").endswith(f": {vae_card.get('command')}"):
        raise CourseError(
            f"These weights draw latents of another autoencoder than {vae or 'digit-vae'} ({vae_card.get('command')}); "
            "name theirs with --vae FILE."
        )
    return found
