"""Every training of the course with the smallest numbers: name -> call(observer, checkpoint) -> (network, record)."""

from dataclasses import replace
from functools import cache
from unittest.mock import patch

import torch

from stablediff_edu.data.captioned_folder import CaptionedImages
from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.clip import CLIP, ImageConfig, TextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import clip as clip_task
from stablediff_edu.tasks import (
    custom_text_to_image,
    text_to_image_evaluation,
    tiny_sd,
)
from stablediff_edu.tasks import vae as vae_task
from stablediff_edu.tasks.ddpm import DiffusionTrainConfig, train_diffusion
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask
from stablediff_edu.tasks.fish import FishTask
from stablediff_edu.tasks.latent_diffusion import pad_digits
from stablediff_edu.tasks.scene_classifier import LabeledScenes, SceneClassifierTask, make_targets
from stablediff_edu.tasks.ship_classifier import ShipClassifierTask, ShipsAndOthers
from stablediff_edu.tasks.vae import VAETrainConfig, train_vae
from stablediff_edu.tasks.vae_gan import finetune_decoder_gan
from stablediff_edu.training.perceptual_loss import add_perceptual_loss

STEPS = 6
SHORT = dict(steps=STEPS, batch_size=4)
TEXT = TextConfig(vocabulary=len(VOCABULARY) + 2, positions=28, width=16, layers=1, heads=2)
IMAGE = ImageConfig(size=16, patch=2, channels=(16, 16), heads=2)
LATENTS = VAEConfig(widths=(8, 8, 8, 16), blocks=1, groups=4, scaling=1.0)
UNET = UNetConfig(widths=(16, 32), blocks=1, attention=(False, True), heads=2, context=16, groups=4)
DIFFUSION = DiffusionTrainConfig(channels=(8, 16), time=16, patch=2, attention=1, **SHORT)
SCENE_VAE = VAETrainConfig(LATENTS, error="edges", optimizer="muon", bfloat16=True, flip=True, gan_weight=0.1,
                      gan_steps=STEPS, steps=STEPS, batch_size=2)  # fmt: skip
TINY_SD = replace(tiny_sd.TINY_SD, config=UNET, scenes=6, captions_per_image=2, **SHORT)
OWN = custom_text_to_image.OwnImagesConfig(
    replace(custom_text_to_image.PRESETS["quick"].unet, config=UNET, **SHORT), STEPS, 2, 32, 1
)


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


def parts() -> tiny_sd.FrozenParts:
    return tiny_sd.FrozenParts(clip().text, vae(), clip_task.tokenizer_of(TEXT), "for a test")


def make_pipe() -> StableDiffusion:
    """A whole Stable Diffusion that has learned nothing."""
    torch.manual_seed(0)
    config = StableDiffusionConfig(TEXT, UNET, LATENTS, "velocity", 64, "scaled_linear")
    return StableDiffusion(config, parts().tokenizer).eval()


def train_perceptual_vae(callback, checkpoint):
    """The autoencoder of the scenes, with an untrained CLIP instead of the pretrained one."""

    class Recipe(VAETrainConfig):
        def make_error(self):
            return add_perceptual_loss(vae_task.mse_l1_gradient_loss, clip().to(vae_task.pick_device()), self.bfloat16)

    config = Recipe(**vars(SCENE_VAE))
    return train_vae(config, torch.nn.functional.avg_pool2d(scenes().images, 4), callback, None, checkpoint)


def train_sharper(callback, checkpoint):
    model = vae().to(vae_task.pick_device())
    return model, finetune_decoder_gan(model, SCENE_VAE, scenes().pixels, callback, checkpoint)


def train_tiny_sd(callback, checkpoint):
    dataset = tiny_sd.cache_latents(TINY_SD, on_device(parts()))
    with patch.dict(text_to_image_evaluation.DEFAULT_SAMPLING, steps=2):
        pipe, training = tiny_sd.train_tiny_sd(
            TINY_SD, on_device(parts()), dataset, callback, checkpoint, ["a red duck"], looks=2
        )
    return pipe.unet, training


def own_plan() -> custom_text_to_image.TrainingPlan:
    pixels = ((ships() + 1) * 127.5).byte()
    images = CaptionedImages(pixels, [("a red duck", "duck")] * len(pixels), [str(n) for n in range(len(pixels))])
    return custom_text_to_image.TrainingPlan(OWN, images, make_pipe())


def train_own_vae(callback, checkpoint):
    plan = own_plan()
    with patch.object(custom_text_to_image, "NUM_SNAPSHOTS", 2):
        return plan.vae, plan.train_vae(callback=callback, checkpoint=checkpoint)


def train_own_unet(callback, checkpoint):
    plan = own_plan()
    with (
        patch.dict(custom_text_to_image.DEFAULT_SAMPLING, steps=2),
        patch.object(custom_text_to_image, "NUM_SNAPSHOTS", 2),
    ):
        return plan.model, plan.train_unet(plan.cache_latents(), callback=callback, checkpoint=checkpoint)


def on_device(made: tiny_sd.FrozenParts) -> tiny_sd.FrozenParts:
    made.vae.to(vae_task.pick_device())
    return made


def labeled_scenes() -> LabeledScenes:
    return LabeledScenes(scenes().pixels, make_targets(scenes().scenes))


TASKS = {
    "fish": lambda o, c: FishTask(channels=(8, 16), size=16, low_res_steps=2, dice_weight=0.3, **SHORT).train(
        fish(), o, checkpoint=c
    ),
    "one-fish": lambda o, c: train_diffusion(replace(DIFFUSION, attention=0), ships()[:1], o, None, None, c),
    "ships": lambda o, c: train_diffusion(DIFFUSION, ships(), o, None, None, c),
    "ship-classifier": lambda o, c: ShipClassifierTask(channels=(8, 16), **SHORT).train(
        ShipsAndOthers(ships()[:6], ships()[6:]), o, None, None, c
    ),
    "digit-classifier": lambda o, c: DigitClassifierTask(channels=(8, 16), steps=STEPS).train(
        digits(), o, None, None, c
    ),
    "digit-vae": lambda o, c: train_vae(
        VAETrainConfig(replace(LATENTS, in_channels=1), **SHORT), pad_digits(digits().images), o, None, c
    ),
    "latent-digits": lambda o, c: train_diffusion(
        replace(DIFFUSION, patch=1, logit_normal=True, flip=False), latents(), o, None, None, c
    ),
    "clip-scenes": lambda o, c: clip_task.train_clip(
        clip_task.CLIPTrainConfig(TEXT, IMAGE, captions_per_image=2, **SHORT), scenes(16), o, None, c
    ),
    "scene-vae": train_perceptual_vae,
    "sharpening": train_sharper,
    "scene-classifier": lambda o, c: SceneClassifierTask(channels=(8, 16, 16, 16), **SHORT).train(
        labeled_scenes(), o, None, None, c
    ),
    "tiny-sd": train_tiny_sd,
    "text-to-image": train_own_unet,
    "text-to-image, autoencoder": train_own_vae,
}  # fmt: skip
