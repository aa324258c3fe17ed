"""`train ships`, `train cifar10-all`, `train one-fish`: the diffusion models of notebooks 03 and 04, or one's own."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.commands.training_options import (
    command_line,
    places,
    print_card,
    print_end,
    print_left_out,
    print_try,
    whole_number,
)
from stablediff_edu.errors import CourseError

SIZE = 32
OWN_STEPS = 1500  # for own pictures: about half an hour on two cores
ONE_FISH = dict(count=1, size=64, source="drawn", seed=28)  # the fish of notebook 03
OF_EACH_CLASS = 500  # the JPEG copies have no more of the classes other than ships


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    if name != "ships":
        return
    parser.add_argument("--images", type=Path, metavar="DIR", help="your own pictures, of any size")
    parser.add_argument("--background", metavar="COLOR", help="behind transparent images (default: white)")
    parser.add_argument(
        "--source",
        choices=["drawn", "cifar10"],
        help="which ships (default: the photographs of CIFAR-10; with --quick drawn ones, where these are not here)",
    )
    parser.add_argument("--size", type=whole_number, help=f"side of the pictures in pixels (default: {SIZE})")
    parser.add_argument("--quick", action="store_true", help="the quick numbers of notebook 04: rough, in minutes")


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training.diffusion_recipes import make_diffusion

    if arguments.evaluate:
        if arguments.name == "one-fish":
            raise CourseError("--evaluate is for ships; one fish is compared with its picture in notebook 03.")
        return _evaluate(arguments)
    recipe = _recipe(arguments)
    data, licence = _data(arguments, recipe)
    out, progress = places(arguments, _default_out(arguments, recipe))
    print(f"learning from {len(data)} pictures of {data.size}×{data.size} ({data.source}); weights go to {out}")
    _, training, out = make_diffusion(recipe, out, command_line(arguments), data, licence, progress)
    print_end(training, out)
    print_try(f"--count 16 --weights {out}")
    return 0


def _recipe(arguments: argparse.Namespace):
    from stablediff_edu.training.diffusion_recipes import CIFAR10_ALL, ONE_FISH, SHIPS, SHIPS_QUICK

    if arguments.name in (fixed := {"cifar10-all": CIFAR10_ALL, "one-fish": ONE_FISH}):
        recipe = fixed[arguments.name]
    elif arguments.quick:
        recipe = SHIPS_QUICK
    else:
        recipe = replace(SHIPS, steps=OWN_STEPS) if arguments.images else SHIPS
    wanted = {name: getattr(arguments, name) for name in ("steps", "seed")}
    return replace(recipe, **{name: value for name, value in wanted.items() if value is not None})


def _data(arguments: argparse.Namespace, recipe):
    """Return the pictures and their licence, and note in `arguments` which source was chosen, for the card."""
    from stablediff_edu.datasets import cifar10, ships
    from stablediff_edu.datasets.fish import load_fish
    from stablediff_edu.datasets.pictures import Pictures, load_pictures
    from stablediff_edu.training.diffusion_recipes import LARGEST
    from stablediff_edu.training.ship_classifier import CIFAR10_LICENCE

    if arguments.name == "cifar10-all":
        return cifar10.load_cifar10(most=OF_EACH_CLASS)[0], CIFAR10_LICENCE
    if arguments.name == "one-fish":
        return Pictures(load_fish(**ONE_FISH).pictures, "one drawn fish"), "drawn by this package (MIT)"
    size = arguments.size or SIZE
    shrink = recipe.shrink
    if size % shrink or size > LARGEST:
        fitting = max(1, min(size, LARGEST) // shrink) * shrink
        raise CourseError(f"--size must be a multiple of {shrink} and at most {LARGEST}, such as {fitting}.")
    if arguments.images:
        if arguments.source:
            raise CourseError("--images DIR are your own pictures and --source names others: give one of the two.")
        pictures = load_pictures(arguments.images, size, background=arguments.background or "white")
        print_left_out(pictures.left_out)
        return pictures, "your own pictures"
    if not arguments.source:
        there = ships.count_photographs()
        if not there and not arguments.quick:
            raise CourseError(
                f"The photographs of ships are not here; get them with {cifar10.FETCH}, or learn from drawn ships: "
                "--source drawn."
            )
        arguments.source = "cifar10" if there else "drawn"
    licence = CIFAR10_LICENCE if arguments.source == "cifar10" else "drawn by this package (MIT)"
    return ships.load_ships(size=size, source=arguments.source), licence


def _default_out(arguments: argparse.Namespace, recipe) -> Path:
    """The shipped weights for the recipe that made them, else a file in the folder where the command was given."""
    from stablediff_edu.training.diffusion_recipes import CIFAR10_ALL, ONE_FISH, SHIPS
    from stablediff_edu.weights import checkpoints

    if arguments.name in (fixed := {"cifar10-all": CIFAR10_ALL, "one-fish": ONE_FISH}):
        shipped = recipe == fixed[arguments.name]
    else:
        shipped = recipe == SHIPS and arguments.source == "cifar10" and arguments.size in (None, SIZE)
    return checkpoints.path_of(arguments.name if shipped else f"{arguments.name}_own.safetensors")


def _evaluate(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training.diffusion_recipes import load_diffusion
    from stablediff_edu.training.sample_quality import evaluate_ships

    model, card = load_diffusion(arguments.out or arguments.name)
    print_card(card)
    print(evaluate_ships(model, card))
    return 0
