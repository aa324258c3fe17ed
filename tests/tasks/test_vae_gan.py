"""The decoder that learns on against a critic: who moves by which loss, and what stays as it was."""

from dataclasses import replace

import torch

from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.tasks.vae import VAETask
from stablediff_edu.tasks.vae_gan import (
    DecoderGAN,
    finetune_decoder_gan,
    gan_loss,
    latent_image_pairs,
    make_discriminator,
)

CONFIG = VAEConfig(block_out_channels=(4, 4, 4, 8), layers_per_block=1, norm_num_groups=4, scaling_factor=0.5)
RECIPE = VAETask(sizes=CONFIG, error="edges", batch_size=2, flip=True, gan_steps=3, gan_weight=0.1, optimizer="muon")


def contest() -> tuple[DecoderGAN, AutoencoderKL, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    vae = AutoencoderKL(CONFIG)
    return DecoderGAN(vae), vae, next(latent_image_pairs(vae, RECIPE, make_scenes(4, 64).pixels))


def gradients(model: DecoderGAN, pair: tuple, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of the decoder's last layer and of the critic's."""
    model.zero_grad()
    gan_loss(model, pair, squared_error, weight).backward()
    return model.decoder.conv_out.weight.grad.clone(), model.critic[-1].weight.grad.clone()


def test_the_critic_looks_at_patches():
    assert make_discriminator()(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 16, 16)


def test_latents_go_through_the_contest_as_through_the_autoencoder():
    model, vae, (z, x) = contest()
    assert torch.equal(model(z), vae.decode(vae.config.scaling_factor * z)) and x.shape == (2, 3, 64, 64)
    assert not z.requires_grad


def test_each_half_learns_from_its_own_loss_alone():
    model, _, pair = contest()
    decoder, critic = gradients(model, pair, 0.0)
    moved, same = gradients(model, pair, 1.0)
    assert torch.equal(critic, same), "what the decoder wants is nothing to the critic"
    assert not torch.allclose(decoder, moved), "but the critic's word counts for the decoder"
    error = squared_error(model(pair[0]), pair[1])
    alone = torch.autograd.grad(error, model.decoder.conv_out.weight)[0]
    torch.testing.assert_close(decoder, alone, msg="the critic's own loss does not reach the decoder")


def test_the_critic_learns_to_tell_decoded_from_drawn():
    model, _, (z, x) = contest()
    optimizer = torch.optim.AdamW(model.critic.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        gan_loss(model, (z, x), squared_error, 0.0).backward()
        optimizer.step()
    assert model.critic(x).mean() > 0.5 > -0.5 > model.critic(model(z)).mean()


def test_the_encoder_and_the_latents_stay_and_the_decoder_moves():
    torch.manual_seed(0)
    vae = AutoencoderKL(CONFIG).eval()
    scenes = make_scenes(4, 64)
    x = scenes.images
    before = vae.encode(x).detach()
    image = vae.decode(before).detach()
    training = finetune_decoder_gan(vae, RECIPE, scenes.pixels)
    assert training.steps == 3 and not training.interrupted
    assert torch.equal(vae.encode(x), before) and not torch.allclose(vae.decode(before), image)
    assert vae.config == replace(CONFIG) and set(vae.state_dict()) == set(AutoencoderKL(CONFIG).state_dict())
