"""Images per second of each training, with the numbers of the shipped weights, on the device that the course picks.

    python tests/benchmarks/training.py [--tasks ships tiny-sd] [--steps 40]

What they learn from is random or little, which changes no time. "full" are those of the larger preset, for a GPU.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch

from stablediff_edu.datasets.captioned_folder import CaptionedImages
from stablediff_edu.datasets.digits import draw_digits
from stablediff_edu.datasets.fish import load_fish
from stablediff_edu.datasets.scene_set import load_scenes
from stablediff_edu.device import pick_device
from stablediff_edu.models.clip import TextEncoder
from stablediff_edu.stable_diffusion import TINY
from stablediff_edu.training import (
    clip_training,
    digit_classifier,
    latent_recipes,
    recipes,
    scene_judge,
    ship_classifier,
)
from stablediff_edu.training import diffusion_recipes as diffusion
from stablediff_edu.training.loop import Nobody, Training
from stablediff_edu.training.own_text_to_image import PRESETS, Planned
from stablediff_edu.training.scene_vae import SCENE_VAE
from stablediff_edu.training.sharpening import sharpen
from stablediff_edu.training.text_to_picture import Lesson, train_text_to_picture
from stablediff_edu.training.tiny_sd import TINY_SD, TINY_SD_BUDGETS
from stablediff_edu.training.vae_training import train_vae

COUNT = 64  # images to learn from


def images(channels: int, size: int) -> torch.Tensor:
    return torch.rand(COUNT, channels, size, size) * 2 - 1


def pixels(size: int) -> torch.Tensor:
    return torch.randint(256, (COUNT, 3, size, size), dtype=torch.uint8)


def lesson(size: int) -> Lesson:
    return Lesson(
        torch.randn(COUNT, 4, size, size).half(), torch.randint(80, (COUNT, 1, 28)), torch.zeros(1, 28).long()
    )


def own(recipe) -> Training:
    plan = Planned(
        replace(PRESETS["quick"], unet=recipe), CaptionedImages(pixels(64), [("a duck",)] * COUNT, [""] * COUNT)
    )
    return plan.train_unet(plan.lesson(), snapshot=None, observer=Nobody())


def tiny(recipe) -> Training:
    text = TextEncoder(replace(TINY.text, width=recipe.config.context))
    return train_text_to_picture(recipe, lesson(recipe.size // 8), text, Nobody())[1]


def sharpened(recipe) -> Training:
    return sharpen(recipe.model().to(pick_device()), replace(recipe, sharpening=recipe.steps), pixels(64), Nobody())


# name -> the recipe, and what trains with it and returns the record
TASKS: dict[str, tuple[object, Callable[[object], Training]]] = {
    "fish": (recipes.SHIPPED, lambda r: recipes.train_fish(r, load_fish(COUNT, r.size, "drawn"), Nobody())[1]),
    "one-fish": (diffusion.ONE_FISH, lambda r: diffusion.train_diffusion(r, images(3, 64), Nobody())[1]),
    "ships": (diffusion.SHIPS, lambda r: diffusion.train_diffusion(r, images(3, 32), Nobody())[1]),
    "ships, full": (
        diffusion.SHIPS_BUDGETS["full"],
        lambda r: diffusion.train_diffusion(r, images(3, 32), Nobody())[1],
    ),
    "ship-classifier": (
        ship_classifier.SHIP_CLASSIFIER,
        lambda r: ship_classifier.train_classifier(r, images(3, 32), images(3, 32), Nobody())[1],
    ),
    "digit-classifier": (
        digit_classifier.DIGIT_CLASSIFIER,
        lambda r: digit_classifier.train_classifier(r, draw_digits(COUNT), Nobody())[1],
    ),
    "digit-vae": (latent_recipes.DIGIT_VAE, lambda r: train_vae(r, images(1, 32), Nobody())[1]),
    "latent-digits": (latent_recipes.LATENT_DIGITS, lambda r: diffusion.train_diffusion(r, images(4, 4), Nobody())[1]),
    "clip-scenes": (clip_training.CLIP_SCENES, lambda r: clip_training.train_clip(r, load_scenes(COUNT), Nobody())[1]),
    "scene-vae": (SCENE_VAE, lambda r: train_vae(r, pixels(64), Nobody())[1]),
    "scene-vae, sharpening": (SCENE_VAE, sharpened),
    "scene-judge": (
        scene_judge.SCENE_JUDGE,
        lambda r: scene_judge.train_judge(
            r, pixels(64), scene_judge.right_answers(load_scenes(COUNT).scenes), Nobody()
        )[1],
    ),
    "tiny-sd": (TINY_SD, tiny),
    "tiny-sd, full": (TINY_SD_BUDGETS["full"], tiny),
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
        recipe, run = TASKS[task]
        run(replace(recipe, steps=3))  # to warm up
        training = run(replace(recipe, steps=arguments.steps))
        step = training.seconds / training.steps
        count = recipe.batch_size
        print(f"{task:22} {1000 * step:8.1f} ms a step of {count:3} {count / step:10.1f} images/s", flush=True)


if __name__ == "__main__":
    main()
