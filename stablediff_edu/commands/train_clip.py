"""`train clip-scenes`: a small CLIP on the captioned scenes (notebook 07); the tiny Stable Diffusion reads with it."""

import argparse
from dataclasses import replace

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end, print_next

UNSEEN = 2000  # scenes that --evaluate scores on


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--quick", action="store_true", help="the small numbers of the notebook: less than a minute")


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import clip_training
    from stablediff_edu.weights import checkpoints

    if arguments.evaluate:
        return _evaluate(arguments)
    shipped = clip_training.CLIP_BUDGETS["quick" if arguments.quick else "full"]
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    # only the recipe of the shipped weights goes to their place
    name = arguments.name if recipe == clip_training.CLIP_SCENES else f"{arguments.name}_own.safetensors"
    out, progress = places(arguments, checkpoints.path_of(name))
    print(f"drawing {recipe.scenes:,} scenes to learn from; weights go to {out}")
    _, training, score, out = clip_training.make_clip(recipe, out, command_line(arguments), progress)
    print_end(training, out)
    print(score)
    print_next(arguments.name, out)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from stablediff_edu.datasets.scene_set import load_scenes
    from stablediff_edu.training.clip_quality import evaluate_clip
    from stablediff_edu.training.clip_training import load_clip

    model, tokenizer, card = load_clip(arguments.out or arguments.name)
    print_card(card)
    print(evaluate_clip(model, tokenizer, load_scenes(UNSEEN, model.image.config.size, seed=1, train=False)))
    return 0
