"""Every training of the course with the smallest numbers: name -> call(observer, checkpoint) -> (network, record)."""

from dataclasses import replace
from functools import cache
from unittest.mock import patch

import torch
import torch.nn.functional as F

from stablediff_edu.data.captioned_folder import CaptionedImages
from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import clip as clip_task
from stablediff_edu.tasks import (
    custom_text_to_image,
    text_to_image_evaluation,
    tiny_sd,
)
from stablediff_edu.tasks import vae as vae_task
from stablediff_edu.tasks.ddpm import DiffusionTask
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask
from stablediff_edu.tasks.fish import FishTask
from stablediff_edu.tasks.latent_diffusion import pad_digits
from stablediff_edu.tasks.scene_classifier import LabeledScenes, SceneClassifierTask, make_targets
from stablediff_edu.tasks.ship_classifier import ShipClassifierTask, ShipsAndOthers
from stablediff_edu.tasks.text_to_image import FrozenParts
from stablediff_edu.tasks.vae import VAETask
from stablediff_edu.tasks.vae_gan import finetune_decoder_gan
from stablediff_edu.training.perceptual_loss import add_perceptual_loss

STEPS = 6
SHORT = dict(steps=STEPS, batch_size=4)
TEXT = CLIPTextConfig(
    vocab_size=len(VOCABULARY) + 2,
    max_position_embeddings=28,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
)
IMAGE = ImageConfig(size=16, patch=2, channels=(16, 16), heads=2)
LATENTS = VAEConfig(block_out_channels=(8, 8, 8, 16), layers_per_block=1, norm_num_groups=4, scaling_factor=1.0)
UNET = UNetConfig(
    block_out_channels=(16, 32),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=2,
    cross_attention_dim=16,
    norm_num_groups=4,
)
DIFFUSION = DiffusionTask(channels=(8, 16), time=16, patch=2, attention=1, **SHORT)
SCENE_VAE = VAETask(sizes=LATENTS, error="edges", optimizer="muon", bfloat16=True, flip=True, gan_weight=0.1,
                      steps=STEPS, batch_size=2)  # fmt: skip
TINY_SD = tiny_sd.TinySDTask(
    unet=UNET, scenes=6, prompts=("a red duck",), num_snapshots=2, captions_per_image=2, **SHORT
)
OWN = custom_text_to_image.OwnImagesTask(unet=UNET, vae_steps=STEPS, vae_batch=2, size=32, text_layers=1, **SHORT)


@cache
def fish():
    return load_fish(10, size=16, source="synthetic")


@cache
def digits():
    return render_digits(40)


@cache
def scenes(size: int = 64):
    return make_scenes(6, size)


@cache
def ships():
    return torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1


def latents():
    return torch.randn(9, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(LATENTS).eval()


def clip() -> CLIP:
    torch.manual_seed(0)
    return CLIP(TEXT, IMAGE, 16).eval()


def parts() -> FrozenParts:
    return FrozenParts(clip().text_model, vae(), clip_task.tokenizer_of(TEXT), "for a test")


def make_pipe() -> StableDiffusion:
    """A whole Stable Diffusion that has learned nothing."""
    torch.manual_seed(0)
    config = StableDiffusionConfig(TEXT, UNET, LATENTS, "v_prediction", 64, "scaled_linear")
    return StableDiffusion(config, parts().tokenizer).eval()


class PerceptualVAETask(VAETask):
    """The autoencoder of the scenes, with an untrained CLIP instead of the pretrained one."""

    def make_error(self):
        return add_perceptual_loss(vae_task.mse_l1_gradient_loss, clip().to(vae_task.pick_device()), self.bfloat16)


def train_sharper(callback, progress):
    model = vae().to(vae_task.pick_device())
    return model, finetune_decoder_gan(model, replace(SCENE_VAE, gan_steps=STEPS), scenes().pixels, callback, progress)


def train_tiny_sd(callback, progress):
    data = tiny_sd.cache_latents(TINY_SD, on_device(parts()))
    with patch.dict(text_to_image_evaluation.DEFAULT_SAMPLING, steps=2):
        pipe, training = TINY_SD.train(data, callback, progress=progress)
    return pipe.unet, training


def own_images() -> CaptionedImages:
    pixels = ((ships() + 1) * 127.5).byte()
    return CaptionedImages(pixels, [("a red duck", "duck")] * len(pixels), [str(n) for n in range(len(pixels))])


def train_own_vae(callback, progress):
    model, _ = OWN.parts(own_images(), make_pipe())
    return replace(OWN.vae_task(False), num_snapshots=2).train(
        own_images().pixels, callback, progress=progress, model=model
    )


def train_own_unet(callback, progress):
    autoencoder, model = OWN.parts(own_images(), make_pipe())
    task = replace(OWN.unet_task(own_images()), num_snapshots=2)
    with patch.dict(custom_text_to_image.DEFAULT_SAMPLING, steps=2):
        return task.train(OWN.latents(own_images(), autoencoder, model), callback, progress=progress, model=model)


def on_device(made: FrozenParts) -> FrozenParts:
    made.vae.to(vae_task.pick_device())
    return made


def labeled_scenes() -> LabeledScenes:
    return LabeledScenes(scenes().pixels, make_targets(scenes().scenes))


def runs(task, data):
    """Return the training of a task as a function."""
    return lambda callback, progress: task.train(data(), callback, progress=progress)


TASKS = {
    "fish": runs(FishTask(channels=(8, 16), size=16, low_res_steps=2, dice_weight=0.3, **SHORT), fish),
    "one-fish": runs(replace(DIFFUSION, attention=0), lambda: ships()[:1]),
    "ships": runs(DIFFUSION, ships),
    "cifar10-all": runs(DIFFUSION, ships),
    "ship-classifier": runs(
        ShipClassifierTask(channels=(8, 16), **SHORT), lambda: ShipsAndOthers(ships()[:6], ships()[6:])
    ),
    "digit-classifier": runs(DigitClassifierTask(channels=(8, 16), steps=STEPS), digits),
    "digit-vae": runs(VAETask(sizes=replace(LATENTS, in_channels=1), **SHORT), lambda: pad_digits(digits().images)),
    "latent-digits": runs(replace(DIFFUSION, image_channels=4, patch=1, logit_normal=True, flip=False), latents),
    "clip-scenes": runs(clip_task.CLIPTask(text=TEXT, image=IMAGE, captions_per_image=2, **SHORT), lambda: scenes(16)),
    "scene-vae": runs(PerceptualVAETask(**vars(SCENE_VAE)), lambda: F.avg_pool2d(scenes().images, 4)),
    "sharpening": train_sharper,
    "scene-classifier": runs(SceneClassifierTask(channels=(8, 16, 16, 16), **SHORT), labeled_scenes),
    "tiny-sd": train_tiny_sd,
    "text-to-image": train_own_unet,
    "text-to-image, autoencoder": train_own_vae,
}
