"""Every training of the course with the smallest numbers: name -> call(observer, checkpoint) -> (network, record)."""

from dataclasses import replace
from functools import cache
from unittest.mock import patch

import torch

from stablediff_edu.datasets.captioned_folder import CaptionedImages
from stablediff_edu.datasets.captions import VOCABULARY
from stablediff_edu.datasets.digits import draw_digits
from stablediff_edu.datasets.fish import load_fish
from stablediff_edu.datasets.scene_set import load_scenes
from stablediff_edu.models.clip import CLIP, ImageConfig, TextConfig
from stablediff_edu.models.conditional_unet import UNetConfig
from stablediff_edu.models.vae import AutoencoderKL, VAEConfig
from stablediff_edu.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.training import (
    clip_training,
    digit_classifier,
    own_text_to_image,
    scene_judge,
    scene_quality,
    ship_classifier,
    tiny_sd,
    vae_training,
)
from stablediff_edu.training.diffusion_recipes import DiffusionRecipe, train_diffusion
from stablediff_edu.training.latent_recipes import add_frame
from stablediff_edu.training.perception import with_perception
from stablediff_edu.training.recipes import FishRecipe, train_fish
from stablediff_edu.training.sharpening import sharpen
from stablediff_edu.training.vae_training import VAERecipe, train_vae

STEPS = 6
SHORT = dict(steps=STEPS, batch_size=4)
TEXT = TextConfig(vocabulary=len(VOCABULARY) + 2, positions=28, width=16, layers=1, heads=2)
IMAGE = ImageConfig(size=16, patch=2, channels=(16, 16), heads=2)
LATENTS = VAEConfig(widths=(8, 8, 8, 16), blocks=1, groups=4, scaling=1.0)
UNET = UNetConfig(widths=(16, 32), blocks=1, attention=(False, True), heads=2, context=16, groups=4)
DIFFUSION = DiffusionRecipe(channels=(8, 16), time=16, patch=2, attention=1, **SHORT)
SCENE_VAE = VAERecipe(LATENTS, error="edges", optimizer="muon", bfloat16=True, flip=True, critic=0.1,
                      sharpening=STEPS, steps=STEPS, batch_size=2)  # fmt: skip
TINY_SD = replace(tiny_sd.TINY_SD, config=UNET, scenes=6, wordings=2, **SHORT)
OWN = own_text_to_image.OwnImagesConfig(
    replace(own_text_to_image.PRESETS["quick"].unet, config=UNET, **SHORT), STEPS, 2, 32, 1
)


@cache
def fish():
    return load_fish(10, size=16, source="drawn")


@cache
def digits():
    return draw_digits(40)


@cache
def scenes(size: int = 64):
    return load_scenes(6, size)


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


def parts() -> tiny_sd.Parts:
    return tiny_sd.Parts(clip().text, vae(), clip_training.tokenizer_of(TEXT), "for a test")


def make_pipe() -> StableDiffusion:
    """A whole Stable Diffusion that has learned nothing."""
    torch.manual_seed(0)
    config = StableDiffusionConfig(TEXT, UNET, LATENTS, "velocity", 64, "scaled_linear")
    return StableDiffusion(config, parts().tokenizer).eval()


def train_perceptual_vae(observer, checkpoint):
    """The autoencoder of the scenes, with an untrained CLIP in the place of the shipped one."""

    class Recipe(VAERecipe):
        def make_error(self):
            return with_perception(vae_training.mixed_error, clip().to(vae_training.pick_device()), self.bfloat16)

    recipe = Recipe(**vars(SCENE_VAE))
    return train_vae(recipe, torch.nn.functional.avg_pool2d(scenes().pictures, 4), observer, None, checkpoint)


def train_sharper(observer, checkpoint):
    model = vae().to(vae_training.pick_device())
    return model, sharpen(model, SCENE_VAE, scenes().pixels, observer, checkpoint)


def train_tiny_sd(observer, checkpoint):
    lesson = tiny_sd.make_lesson(TINY_SD, on_device(parts()))
    with patch.dict(scene_quality.BEST, steps=2):
        pipe, training = tiny_sd.train_tiny_sd(
            TINY_SD, on_device(parts()), lesson, observer, checkpoint, ["a red duck"], looks=2
        )
    return pipe.unet, training


def own_plan() -> own_text_to_image.Planned:
    pixels = ((ships() + 1) * 127.5).byte()
    images = CaptionedImages(pixels, [("a red duck", "duck")] * len(pixels), [str(n) for n in range(len(pixels))])
    return own_text_to_image.Planned(OWN, images, make_pipe())


def train_own_vae(observer, checkpoint):
    plan = own_plan()
    with patch.object(own_text_to_image, "LOOKS", 2):
        return plan.vae, plan.train_vae(observer=observer, checkpoint=checkpoint)


def train_own_unet(observer, checkpoint):
    plan = own_plan()
    with patch.dict(own_text_to_image.BEST, steps=2), patch.object(own_text_to_image, "LOOKS", 2):
        return plan.model, plan.train_unet(plan.lesson(), observer=observer, checkpoint=checkpoint)


def on_device(made: tiny_sd.Parts) -> tiny_sd.Parts:
    made.vae.to(vae_training.pick_device())
    return made


def judge_data():
    return scenes().pixels, scene_judge.right_answers(scenes().scenes)


TASKS = {
    "fish": lambda o, c: train_fish(
        FishRecipe((8, 16), size=16, half_size=2, overlap=0.3, **SHORT), fish(), o, None, c
    ),
    "one-fish": lambda o, c: train_diffusion(replace(DIFFUSION, attention=0), ships()[:1], o, None, None, c),
    "ships": lambda o, c: train_diffusion(DIFFUSION, ships(), o, None, None, c),
    "ship-classifier": lambda o, c: ship_classifier.train_classifier(
        ship_classifier.ClassifierRecipe((8, 16), **SHORT), ships()[:6], ships()[6:], o, c
    ),
    "digit-classifier": lambda o, c: digit_classifier.train_classifier(
        digit_classifier.DigitRecipe((8, 16), steps=STEPS, batch_size=64), digits(), o, c
    ),
    "digit-vae": lambda o, c: train_vae(
        VAERecipe(replace(LATENTS, in_channels=1), **SHORT), add_frame(digits().pictures), o, None, c
    ),
    "latent-digits": lambda o, c: train_diffusion(
        replace(DIFFUSION, patch=1, middle=True, flip=False), latents(), o, None, None, c
    ),
    "clip-scenes": lambda o, c: clip_training.train_clip(
        clip_training.CLIPRecipe(TEXT, IMAGE, wordings=2, **SHORT), scenes(16), o, None, c
    ),
    "scene-vae": train_perceptual_vae,
    "sharpening": train_sharper,
    "scene-judge": lambda o, c: scene_judge.train_judge(
        scene_judge.JudgeRecipe((8, 16, 16, 16), **SHORT), *judge_data(), o, c
    ),
    "tiny-sd": train_tiny_sd,
    "text-to-image": train_own_unet,
    "text-to-image, autoencoder": train_own_vae,
}  # fmt: skip
