"""`train tiny-sd`: the course's own Stable Diffusion; `train scene-vae`: its autoencoder; `train scene-judge`: who says
how good what it draws is."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end, print_try

SCENES_TO_JUDGE = 500  # of both kinds, on which --evaluate scores the judge itself


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "tiny-sd":
        parser.add_argument(
            "--budget",
            choices=["quick", "full"],
            help="quick: the notebook's training, less than a minute on two cores, of four things; "
            "full: 128×128 images, a U-Net of 43 million parameters, for a GPU (default: 4 million, 8 hours of a core)",
        )
        parser.add_argument("--quick", dest="budget", action="store_const", const="quick", help="--budget quick")

    if name == "scene-vae":
        parser.add_argument("--size", type=int, choices=[64, 128], help="side of the images (default: 64)")
    if name in ("tiny-sd", "scene-vae"):
        parser.add_argument("--init", type=Path, metavar="FILE", help="begin from these weights, not from random ones")


def run(arguments: argparse.Namespace) -> int:
    return _run_tiny_sd(arguments) if arguments.name == "tiny-sd" else _run_part(arguments)


def _run_tiny_sd(arguments: argparse.Namespace) -> int:
    from stablediff_edu.datasets.scenes import KINDS
    from stablediff_edu.training import distributed, scene_quality, tiny_sd

    if arguments.evaluate:
        pipe, card = tiny_sd.load_tiny_sd(arguments.out or arguments.name)
        print_card(card)
        prompts = scene_quality.quality_prompts(things=card.get("things", "; ".join(KINDS)).split("; "))
        print(scene_quality.judge_prompts(pipe, prompts, scenes=SCENES_TO_JUDGE))
        return 0
    shipped = tiny_sd.TINY_SD
    recipe, out, progress = _plan(arguments, tiny_sd.TINY_SD_BUDGETS.get(arguments.budget, shipped), shipped, "tiny-sd")
    missing = [] if arguments.init else tiny_sd.batch_sizes_of_missing_parts(recipe.size)
    distributed.check_batch(recipe.batch_size, *missing)
    with distributed.processes():
        _, training, line, out = tiny_sd.make_tiny_sd(recipe, out, command_line(arguments), progress, arguments.init)
        if distributed.is_first():
            print_end(training, out)
            print(line)
            print_try(f'"a red ship" --weights {out}')
    return 0


def _run_part(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import distributed, scene_judge, scene_vae
    from stablediff_edu.training.vae_training import load_vae

    name, shipped, load, score, make = {
        "scene-vae": (
            "scene-vae",
            scene_vae.SCENE_VAE,
            load_vae,
            scene_vae.score_scene_vae,
            scene_vae.make_scene_vae,
        ),
        "scene-judge": (
            "scene_judge",
            scene_judge.SCENE_JUDGE,
            scene_judge.load_judge,
            scene_judge.score_judge,
            scene_judge.make_judge,
        ),
    }[arguments.name]
    if arguments.evaluate:
        model, card = load(arguments.out or name)
        print_card(card)
        print(score(model))
        return 0
    wanted = scene_vae.SCENE_VAE_128 if getattr(arguments, "size", None) == 128 else shipped
    recipe, out, progress = _plan(arguments, wanted, shipped, name)
    if getattr(arguments, "init", None):
        make = partial(make, init=arguments.init)
    distributed.check_batch(recipe.batch_size)
    with distributed.processes():
        if distributed.is_first():
            print(f"drawing scenes to learn from; weights go to {out}", flush=True)
        _, training, line, out = make(recipe, out, command_line(arguments), progress)
        if distributed.is_first():
            print_end(training, out)
            print(line)
    return 0


def _plan(arguments: argparse.Namespace, recipe, shipped, name: str):
    """Return the recipe as it is wished, and where weights and progress go: to the shipped ones' place only theirs."""
    from stablediff_edu.weights import checkpoints

    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(recipe, **{key: value for key, value in wanted.items() if value is not None})
    own = name if recipe == shipped else f"{arguments.name}_own.safetensors"
    return recipe, *places(arguments, checkpoints.path_of(own))
