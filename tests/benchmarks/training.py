"""Images per second of each training, with the numbers of the pretrained weights, on the device that the course picks.

    python tests/benchmarks/training.py [--tasks ships tiny-sd] [--steps 40]

What they learn from is random or little, which changes no time. "full" are those of the larger preset, for a GPU.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch

from stablediff_edu.config import pick_device
from stablediff_edu.data.captioned_folder import CaptionedImages
from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.models.clip import TextEncoder
from stablediff_edu.pipelines.stable_diffusion import TINY
from stablediff_edu.tasks import clip as clip_task
from stablediff_edu.tasks import ddpm as diffusion
from stablediff_edu.tasks import fish as fish_task
from stablediff_edu.tasks import latent_diffusion
from stablediff_edu.tasks.custom_text_to_image import PRESETS, TrainingPlan
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask
from stablediff_edu.tasks.scene_classifier import LabeledScenes, SceneClassifierTask, make_targets
from stablediff_edu.tasks.scene_vae import SCENE_VAE
from stablediff_edu.tasks.ship_classifier import ShipClassifierTask, ShipsAndOthers
from stablediff_edu.tasks.text_to_image import CaptionedLatents, train_text_to_image
from stablediff_edu.tasks.tiny_sd import TINY_SD, TINY_SD_PRESETS
from stablediff_edu.tasks.vae import train_vae
from stablediff_edu.tasks.vae_gan import finetune_decoder_gan
from stablediff_edu.training.loop import NullCallback, TrainResult

COUNT = 64  # images to learn from


def images(channels: int, size: int) -> torch.Tensor:
    return torch.rand(COUNT, channels, size, size) * 2 - 1


def pixels(size: int) -> torch.Tensor:
    return torch.randint(256, (COUNT, 3, size, size), dtype=torch.uint8)


def dataset(size: int) -> CaptionedLatents:
    return CaptionedLatents(
        torch.randn(COUNT, 4, size, size).half(), torch.randint(80, (COUNT, 1, 28)), torch.zeros(1, 28).long()
    )


def own(config) -> TrainResult:
    plan = TrainingPlan(
        replace(PRESETS["quick"], unet=config), CaptionedImages(pixels(64), [("a duck",)] * COUNT, [""] * COUNT)
    )
    return plan.train_unet(plan.cache_latents(), snapshot=None, callback=NullCallback())


def tiny(config) -> TrainResult:
    text = TextEncoder(replace(TINY.text, width=config.config.context))
    return train_text_to_image(config, dataset(config.size // 8), text, NullCallback())[1]


def sharpened(config) -> TrainResult:
    return finetune_decoder_gan(
        config.model().to(pick_device()), replace(config, gan_steps=config.steps), pixels(64), NullCallback()
    )


# name -> the config, and what trains with it and returns the record
TASKS: dict[str, tuple[object, Callable[[object], TrainResult]]] = {
    "fish": (
        fish_task.FISH_PRESETS["pretrained"],
        lambda r: r.train(load_fish(COUNT, r.size, "synthetic"), NullCallback())[1],
    ),
    "one-fish": (diffusion.ONE_FISH, lambda r: diffusion.train_diffusion(r, images(3, 64), NullCallback())[1]),
    "ships": (diffusion.SHIPS, lambda r: diffusion.train_diffusion(r, images(3, 32), NullCallback())[1]),
    "ships, full": (
        diffusion.SHIPS_PRESETS["full"],
        lambda r: diffusion.train_diffusion(r, images(3, 32), NullCallback())[1],
    ),
    "ship-classifier": (
        ShipClassifierTask(),
        lambda r: r.train(ShipsAndOthers(images(3, 32), images(3, 32)), NullCallback())[1],
    ),
    "digit-classifier": (
        DigitClassifierTask(),
        lambda r: r.train(render_digits(COUNT), NullCallback())[1],
    ),
    "digit-vae": (latent_diffusion.DIGIT_VAE, lambda r: train_vae(r, images(1, 32), NullCallback())[1]),
    "latent-digits": (
        latent_diffusion.LATENT_DIGITS,
        lambda r: diffusion.train_diffusion(r, images(4, 4), NullCallback())[1],
    ),
    "clip-scenes": (clip_task.CLIP_SCENES, lambda r: clip_task.train_clip(r, make_scenes(COUNT), NullCallback())[1]),
    "scene-vae": (SCENE_VAE, lambda r: train_vae(r, pixels(64), NullCallback())[1]),
    "scene-vae, sharpening": (SCENE_VAE, sharpened),
    "scene-classifier": (
        SceneClassifierTask(),
        lambda r: r.train(LabeledScenes(pixels(64), make_targets(make_scenes(COUNT).scenes)), NullCallback())[1],
    ),
    "tiny-sd": (TINY_SD, tiny),
    "tiny-sd, full": (TINY_SD_PRESETS["full"], tiny),
    "text-to-image": (PRESETS["quick"].unet, own),
}


def main(words: list[str] | None = None) -> None:
    cpu = pick_device().type == "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument(
        "--steps", type=int, default=10 if cpu else 100, help="steps that are timed (default: %(default)s)"
    )
    arguments = parser.parse_args(words)
    name = "" if cpu else f" ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else ""
    print(f"on {pick_device()}{name}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}")
    for task in arguments.tasks or [name for name in TASKS if not (cpu and name.endswith("full"))]:
        config, run = TASKS[task]
        run(replace(config, steps=3))  # to warm up
        training = run(replace(config, steps=arguments.steps))
        step = training.seconds / training.steps
        count = config.batch_size
        print(f"{task:22} {1000 * step:8.1f} ms a step of {count:3} {count / step:10.1f} images/s", flush=True)


if __name__ == "__main__":
    main()
