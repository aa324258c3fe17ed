"""Fine-tuning a decoder with an adversarial loss, for sharper images: the second half of `train scene-vae`.

Where a latent does not say exactly where an edge is, the decoder that is least wrong draws a blurred one. Stable
Diffusion's own autoencoder therefore learned against a critic too, a network that tells drawn patches from decoded ones
(Esser et al., 2021, "Taming transformers for high-resolution image synthesis", section 3.1; the hinge losses of Lim and
Ye, 2017, "Geometric GAN"). The encoder stays as it is, and with it the latents that the U-Net learns.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from stablediff_edu.config import device_of
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.tasks.vae import VAETask, batches
from stablediff_edu.training.amp import autocast_half, to_fast_layout
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint


def make_discriminator(channels: int = 32) -> nn.Sequential:
    """Return a network that says for each patch how much it looks like drawn: (B, 3, H, W) -> (B, 1, H / 4, W / 4)."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
        nn.GroupNorm(8, 2 * channels),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
        nn.GroupNorm(8, 2 * channels),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * channels, 1, 3, padding=1),
    )


class DecoderGAN(nn.Module):
    """The half of an autoencoder that learns on, and its critic: one network for the training loop."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder
        self.critic = make_discriminator()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return images (B, 3, H, W) of latents (B, latent, h, w) that are not scaled."""
        return self.decoder(self.post_quant_conv(z))


def gan_loss(
    model: DecoderGAN, pair: tuple[torch.Tensor, torch.Tensor], error: Callable, weight: float, bfloat16: bool = False
) -> torch.Tensor:
    """Return the decoder's loss plus the critic's, each with gradients for itself alone.

    Args:
        pair: latents, and the images that they come from.
        weight: how much the decoder minds what the critic says, beside its error.
    """
    z, x = pair
    with autocast_half(bfloat16, x.device):
        found = model(z)
        fixed = {name: parameter.detach() for name, parameter in model.critic.named_parameters()}
        fake_logits = functional_call(model.critic, fixed, found).to(x.dtype).mean()
        real, made = model.critic(x).to(x.dtype), model.critic(found.detach()).to(x.dtype)
    critic_loss = (F.relu(1 - real).mean() + F.relu(1 + made).mean()) / 2
    return error(found.to(x.dtype), x) - weight * fake_logits + critic_loss


def latent_image_pairs(
    vae: AutoencoderKL, task: VAETask, images: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give latents and their images for ever."""
    for x in batches(images, task.batch_size, device_of(vae), task.flip, task.crop):
        with torch.no_grad():
            z = vae.moments(x)[0]
        yield z, x


def finetune_decoder_gan(
    vae: AutoencoderKL,
    task: VAETask,
    images: torch.Tensor,
    callback: Callback | None = None,
    progress: Path | None = None,
) -> TrainResult:
    """Let the decoder of a trained autoencoder learn on, in place; return the record."""
    torch.manual_seed(task.seed)
    device, before = device_of(vae), [weight.clone() for weight in vae.state_dict().values()]
    contest, error = DecoderGAN(vae), task.make_error()
    to_fast_layout(contest, device, cpu=False)

    def loss(model: DecoderGAN, pair: tuple) -> torch.Tensor:
        return gan_loss(model, pair, error, task.gan_weight, task.bfloat16)

    training = train(
        contest,
        latent_image_pairs(vae, task, images),
        loss,
        steps=task.gan_steps,
        **task.loop_options(),
        callback=callback,
        checkpoint=progress,
        about=fingerprint(task, images, *before, "sharpening"),
    )
    vae.eval()
    return training
