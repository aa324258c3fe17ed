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
from stablediff_edu.models.clip import CLIPTextModel
from stablediff_edu.pipelines.stable_diffusion import TINY
from stablediff_edu.tasks import ddpm, latent_diffusion
from stablediff_edu.tasks.clip import CLIP_PRESETS
from stablediff_edu.tasks.custom_text_to_image import OwnImagesTask
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask
from stablediff_edu.tasks.fish import FISH_PRESETS
from stablediff_edu.tasks.scene_classifier import LabeledScenes, SceneClassifierTask, make_targets
from stablediff_edu.tasks.scene_vae import SceneVAETask
from stablediff_edu.tasks.ship_classifier import ShipClassifierTask, ShipsAndOthers
from stablediff_edu.tasks.text_to_image import CaptionedLatents, FrozenParts, TextToImageTask
from stablediff_edu.tasks.tiny_sd import TINY_SD_PRESETS
from stablediff_edu.tasks.vae_gan import finetune_decoder_gan
from stablediff_edu.training.loop import NullCallback, TrainResult

COUNT = 64  # images to learn from


def images(channels: int, size: int) -> torch.Tensor:
    return torch.rand(COUNT, channels, size, size) * 2 - 1


def pixels(size: int) -> torch.Tensor:
    return torch.randint(256, (COUNT, 3, size, size), dtype=torch.uint8)


def latents(task) -> CaptionedLatents:
    parts = FrozenParts(
        CLIPTextModel(replace(TINY.text_encoder, hidden_size=task.unet.cross_attention_dim)), None, None, ""
    )
    noise = torch.randn(COUNT, 4, task.size // 8, task.size // 8).half()
    return CaptionedLatents(noise, torch.randint(80, (COUNT, 1, 28)), torch.zeros(1, 28).long(), parts)


def own(task) -> TrainResult:
    data = CaptionedImages(pixels(64), [("a duck",)] * COUNT, [""] * COUNT)
    vae, networks = task.parts(data, None)
    second = replace(task.unet_task(data), prompts=())
    return second.train(task.latents(data, vae, networks), NullCallback(), model=networks)[1]


def tiny(task) -> TrainResult:
    return TextToImageTask.train(task, latents(task), NullCallback(), snapshot=lambda unet: torch.zeros(1))[1]


def sharpened(task) -> TrainResult:
    model = task.model().to(pick_device())
    return finetune_decoder_gan(model, replace(task, gan_steps=task.steps), pixels(64), NullCallback())


def runs(data: Callable[[], object]) -> Callable[[object], TrainResult]:
    """Return what trains a task on such data."""
    return lambda task: task.train(data(), NullCallback())[1]


# name -> the task, and what trains it and returns the record
TASKS: dict[str, tuple[object, Callable[[object], TrainResult]]] = {
    "fish": (FISH_PRESETS["pretrained"], runs(lambda: load_fish(COUNT, 128, "synthetic"))),
    "one-fish": (ddpm.ONE_FISH_PRESETS["pretrained"], runs(lambda: images(3, 64))),
    "ships": (ddpm.SHIPS_PRESETS["pretrained"], runs(lambda: images(3, 32))),
    "ships, full": (ddpm.SHIPS_PRESETS["full"], runs(lambda: images(3, 32))),
    "ship-classifier": (ShipClassifierTask(), runs(lambda: ShipsAndOthers(images(3, 32), images(3, 32)))),
    "digit-classifier": (DigitClassifierTask(), runs(lambda: render_digits(COUNT))),
    "digit-vae": (latent_diffusion.DigitVAETask(), runs(lambda: images(1, 32))),
    "latent-digits": (latent_diffusion.LatentDigitsTask(), runs(lambda: images(4, 4))),
    "clip-scenes": (CLIP_PRESETS["pretrained"], runs(lambda: make_scenes(COUNT))),
    "scene-vae": (replace(SceneVAETask(), gan_steps=0), runs(lambda: pixels(64))),
    "scene-vae, sharpening": (SceneVAETask(), sharpened),
    "scene-classifier": (
        SceneClassifierTask(),
        runs(lambda: LabeledScenes(pixels(64), make_targets(make_scenes(COUNT).scenes))),
    ),
    "tiny-sd": (TINY_SD_PRESETS["pretrained"], tiny),
    "tiny-sd, full": (TINY_SD_PRESETS["full"], tiny),
    "text-to-image": (OwnImagesTask.presets["quick"], own),
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
