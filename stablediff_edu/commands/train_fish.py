"""`train fish`: the U-Net of notebook 02, on fish or on the learner's own pictures with masks."""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from stablediff_edu.commands.training_options import (
    command_line,
    places,
    print_card,
    print_end,
    print_left_out,
    print_next,
    whole_number,
)
from stablediff_edu.errors import CourseError

OWN_STEPS = 800


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--images", type=Path, metavar="DIR", help="your own pictures")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="a mask for each picture, of the same name")
    parser.add_argument(
        "--foreground", type=_values, metavar="1,2", help="the mask values that are foreground, or nonzero"
    )
    parser.add_argument("--invert", action="store_true", help="the masks mark the background")
    parser.add_argument("--source", choices=["drawn", "kaggle"], help="which fish (default: drawn)")
    parser.add_argument("--pictures", type=whole_number, help="how many pictures to learn from")
    parser.add_argument("--size", type=whole_number, help="side of the pictures in pixels")
    parser.add_argument("--quick", action="store_true", help="the quick numbers of notebook 02")
    parser.add_argument("--no-skips", action="store_true", help="a U-Net without its copies")


def _values(text: str) -> tuple[int, ...] | str:
    """Read mask values such as 1,2, or nonzero."""
    if text == "nonzero":
        return text
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text} is not a list of mask values such as 1,2, nor nonzero")
    return tuple(map(int, text.split(",")))


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import recipes
    from stablediff_edu.weights import checkpoints

    if bool(arguments.images) != bool(arguments.masks):
        raise CourseError("Pictures and masks go together: give both --images DIR and --masks DIR.")
    recipe = _recipe(arguments)
    if arguments.evaluate:
        return _evaluate(arguments, recipe)
    data, licence = _data(arguments, recipe)
    out = checkpoints.path_of("fish" if recipe == recipes.SHIPPED else Path("fish_own.safetensors"))
    out, progress = places(arguments, out)
    print(f"learning from {len(data[0])} pictures ({data[0].source}), {len(data[1])} held out; weights go to {out}")
    model, training, scores, out = recipes.make_fish(recipe, out, command_line(arguments), data, licence, progress)
    print_end(training, out)
    print(f"held out: {scores}")
    _evaluate_photographs(model, recipe.size)
    print_next(arguments.name, out)
    return 0


def _recipe(arguments: argparse.Namespace):
    from stablediff_edu.training import recipes

    recipe = recipes.QUICK if arguments.quick else recipes.SHIPPED
    if arguments.images:
        recipe = replace(recipe, steps=OWN_STEPS)
    wanted = {name: getattr(arguments, name) for name in ("steps", "pictures", "size", "seed")}
    recipe = replace(recipe, **{name: value for name, value in wanted.items() if value is not None})
    shrink = 2 ** (len(recipe.channels) - 1)
    if recipe.size % shrink:
        raise CourseError(f"--size must be a multiple of {shrink}, such as {max(1, recipe.size // shrink) * shrink}.")
    return replace(recipe, skips=not arguments.no_skips)


def _data(arguments: argparse.Namespace, recipe):
    from stablediff_edu.datasets.folder import load_masked_folder

    if not arguments.images:
        licence = "the Kaggle set's own terms" if arguments.source == "kaggle" else "drawn by this package (MIT)"
        return recipe.data(arguments.source or "drawn"), licence
    data = load_masked_folder(
        arguments.images, arguments.masks, recipe.size, arguments.foreground or (), arguments.invert
    )
    print_left_out(data.left_out)
    if arguments.pictures:
        data = data.first(arguments.pictures)
    return data.split(0.2, recipe.seed), "your own pictures"


def _evaluate(arguments: argparse.Namespace, recipe) -> int:
    from stablediff_edu.datasets.fish import load_fish
    from stablediff_edu.training import recipes, segmentation

    model, card = recipes.load_fish_unet(arguments.out or "fish")
    print_card(card)
    if arguments.images:
        from stablediff_edu.datasets.folder import load_masked_folder

        data = load_masked_folder(
            arguments.images, arguments.masks, recipe.size, arguments.foreground or (), arguments.invert
        )
    else:
        data = load_fish(recipe.held_out, recipe.size, "drawn", recipe.seed + 1)  # another seed: fish never seen
    print(f"{data.source}: {segmentation.examine(model, data)}")
    _evaluate_photographs(model, recipe.size)
    return 0


def _evaluate_photographs(model, size: int) -> None:
    """Print the score on real photographs, picture by picture, if there are any."""
    from stablediff_edu.datasets.fish import count_photographs, load_fish
    from stablediff_edu.training import segmentation

    there = count_photographs()
    if not there:
        print("real photographs: none here; python -m stablediff_edu fetch fish gets them")
        return
    real = load_fish(min(there, 500), size, source="kaggle")
    scores = segmentation.examine(model, real)
    if len(real) <= 20:
        for name, iou, dice in zip(real.names, scores.iou, scores.dice, strict=True):
            print(f"  {name:<32} IoU {iou:.3f}  Dice {dice:.3f}")
    print(f"real photographs: {scores}")
