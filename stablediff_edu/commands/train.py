"""`train NAME`: the training behind a shipped checkpoint, or the same network on one's own pictures."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.errors import CourseError

OWN_STEPS = 800


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=["fish"], help="fish: a U-Net that cuts out fish, or whatever your masks show")
    parser.add_argument("--images", type=Path, metavar="DIR", help="your own pictures")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="a mask for each picture, of the same name")
    parser.add_argument("--source", choices=["drawn", "kaggle"], default="drawn", help="which fish (default: drawn)")
    parser.add_argument("--pictures", type=_positive, help="how many pictures to learn from")
    parser.add_argument("--steps", type=_positive, help="how many training steps")
    parser.add_argument("--size", type=_positive, help="side of the pictures in pixels")
    parser.add_argument("--quick", action="store_true", help="the quick numbers of notebook 02")
    parser.add_argument("--no-skips", action="store_true", help="a U-Net without its copies")
    parser.add_argument("--seed", type=int, help="another seed gives other first weights and another order")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the weights go (.safetensors)")
    parser.add_argument("--evaluate", action="store_true", help="only score weights that are there (--out or shipped)")


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import recipes
    from stablediff_edu.weights import checkpoints

    if arguments.out and arguments.out.suffix != ".safetensors":
        raise CourseError(f"The weights are saved as safetensors: name the file {arguments.out.stem}.safetensors.")
    if bool(arguments.images) != bool(arguments.masks):
        raise CourseError("Pictures and masks go together: give both --images DIR and --masks DIR.")
    recipe = _recipe(arguments)
    if arguments.evaluate:
        return _evaluate(arguments, recipe)

    data, licence = _data(arguments, recipe)
    out = arguments.out or checkpoints.path_of("fish" if recipe == recipes.SHIPPED else Path("fish_own.safetensors"))
    checkpoints.check_writable(out)
    print(f"learning from {len(data[0])} pictures ({data[0].source}), {len(data[1])} held out; weights go to {out}")
    progress = out.with_suffix(".progress")
    model, training, scores = recipes.make_fish(recipe, out, _command(arguments), data, licence, progress)
    print(f"{training.steps} steps in {training.seconds:.0f} s, loss {training.loss:.5f}")
    print(f"held out: {scores}")
    if training.interrupted:
        print(f"stopped early: the weights so far are in {out.name}; the same command goes on where it stopped")
    _evaluate_photographs(model, recipe.size)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return number


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
        licence = "drawn by this package (MIT)" if arguments.source == "drawn" else "the Kaggle set's own terms"
        return recipe.data(arguments.source), licence
    data = load_masked_folder(arguments.images, arguments.masks, recipe.size)
    if arguments.pictures:
        data = data.first(arguments.pictures)
    return data.split(0.2, recipe.seed), "your own pictures"


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line that gives the same training again."""
    words = ["python -m stablediff_edu train", arguments.name]
    for name, value in vars(arguments).items():
        if name in ("command", "name", "evaluate", "out") or value in (None, False):
            continue
        if name == "source" and value == "drawn":
            continue
        option = "--" + name.replace("_", "-")
        words.append(option if value is True else f"{option} {value.name if isinstance(value, Path) else value}")
    return " ".join(words)


def _evaluate(arguments: argparse.Namespace, recipe) -> int:
    from stablediff_edu.datasets.fish import load_fish
    from stablediff_edu.training import recipes, segmentation

    model, card = recipes.load_fish_unet(arguments.out or "fish")
    print(
        "weights: " + " · ".join(f"{name} {card[name]}" for name in ("command", "data", "steps", "seconds", "licence"))
    )
    if arguments.images:
        from stablediff_edu.datasets.folder import load_masked_folder

        data = load_masked_folder(arguments.images, arguments.masks, recipe.size)
    else:
        data = load_fish(recipe.held_out, recipe.size, "drawn", recipe.seed + 1)  # another seed: fish never seen
    print(f"{data.source}: {segmentation.score(segmentation.predict(model, data.pictures), data.masks)}")
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
    scores = segmentation.score(segmentation.predict(model, real.pictures), real.masks)
    if len(real) <= 20:
        for name, iou, dice in zip(real.names, scores.iou, scores.dice, strict=True):
            print(f"  {name:<32} IoU {iou:.3f}  Dice {dice:.3f}")
    print(f"real photographs: {scores}")
