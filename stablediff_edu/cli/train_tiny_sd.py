"""`train tiny-sd`: the course's own Stable Diffusion; `train scene-vae`: its autoencoder."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stablediff_edu.cli.training_options import command_line, output_paths, print_metadata, print_next, print_summary

NUM_EVALUATION_SCENES = 500  # of both kinds, on which --evaluate scores the classifier itself


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "tiny-sd":
        parser.add_argument(
            "--preset",
            choices=["quick", "full"],
            help="quick: the notebook's training, less than a minute on two cores, of four things; "
            "full: 128×128 images, a U-Net of 43 million parameters, for a GPU (default: 4 million, 8 hours of a core)",
        )
        parser.add_argument("--quick", dest="preset", action="store_const", const="quick", help="--preset quick")

    if name == "scene-vae":
        parser.add_argument("--size", type=int, choices=[64, 128], help="side of the images (default: 64)")
    if name in ("tiny-sd", "scene-vae"):
        parser.add_argument("--init", type=Path, metavar="FILE", help="begin from these weights, not from random ones")


def run(arguments: argparse.Namespace) -> int:
    return _run_tiny_sd(arguments) if arguments.name == "tiny-sd" else _run_part(arguments)


def _run_tiny_sd(arguments: argparse.Namespace) -> int:
    from stablediff_edu.data.scenes.scene import OBJECTS
    from stablediff_edu.tasks import text_to_image_evaluation, tiny_sd
    from stablediff_edu.training import distributed

    if arguments.evaluate:
        pipe, metadata = tiny_sd.load_tiny_sd(arguments.out or arguments.name)
        print_metadata(metadata)
        prompts = text_to_image_evaluation.evaluation_prompts(
            object_classes=metadata.get("things", "; ".join(OBJECTS)).split("; ")
        )
        print(text_to_image_evaluation.evaluate_prompts(pipe, prompts, scenes=NUM_EVALUATION_SCENES))
        return 0
    shipped = tiny_sd.TINY_SD
    config, out, progress = _plan(arguments, tiny_sd.TINY_SD_PRESETS.get(arguments.preset, shipped), shipped, "tiny-sd")
    missing = [] if arguments.init else tiny_sd.batch_sizes_of_missing_parts(config.size)
    distributed.check_batch(config.batch_size, *missing)
    with distributed.distributed():
        _, training, line, out = tiny_sd.make_tiny_sd(config, out, command_line(arguments), progress, arguments.init)
        if distributed.is_main_process():
            print_summary(training, out)
            print(line)
            print_next(arguments.name, out)
    return 0


def _run_part(arguments: argparse.Namespace) -> int:
    from stablediff_edu.tasks import scene_vae
    from stablediff_edu.tasks.vae import load_vae
    from stablediff_edu.training import distributed

    parts: dict[str, tuple[str, Any, Callable, Callable, Callable]] = {
        "scene-vae": (
            "scene-vae",
            scene_vae.SCENE_VAE,
            load_vae,
            scene_vae.score_scene_vae,
            scene_vae.make_scene_vae,
        ),
    }
    name, shipped, load, score, make = parts[arguments.name]
    if arguments.evaluate:
        model, metadata = load(arguments.out or name)
        print_metadata(metadata)
        print(score(model))
        return 0
    wanted = scene_vae.SCENE_VAE_128 if getattr(arguments, "size", None) == 128 else shipped
    config, out, progress = _plan(arguments, wanted, shipped, name)
    if getattr(arguments, "init", None):
        make = partial(make, init=arguments.init)
    distributed.check_batch(config.batch_size)
    with distributed.distributed():
        if distributed.is_main_process():
            print(f"rendering scenes to train on; weights go to {out}", flush=True)
        _, training, line, out = make(config, out, command_line(arguments), progress)
        if distributed.is_main_process():
            print_summary(training, out)
            print(line)
            print_next(arguments.name, out)
    return 0


def _plan(arguments: argparse.Namespace, config, shipped, name: str):
    """Return the config as it is wished, and where weights and progress go: to the pretrained ones' place only
    theirs."""
    from stablediff_edu.io import checkpoint

    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    config = replace(config, **{key: value for key, value in wanted.items() if value is not None})
    own = name if config == shipped else f"{arguments.name}_own.safetensors"
    return config, *output_paths(arguments, checkpoint.checkpoint_path(own))
