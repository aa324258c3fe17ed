"""`train ship-classifier` and `train digit-classifier`: the judges of what the course's generators draw."""

import argparse
from dataclasses import replace
from importlib import import_module

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end, print_next


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    pass  # what all trainings share is enough


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.weights import checkpoints

    name = arguments.name.replace("-", "_")  # of the module and of the shipped weights; in capitals, of the recipe
    room = import_module(f"stablediff_edu.training.{name}")
    if arguments.evaluate:
        model, card = room.load_classifier(arguments.out or name)
        print_card(card)
        print(room.score_on_test_pictures(model))
        return 0
    shipped = getattr(room, name.upper())
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    own = checkpoints.path_of(name if recipe == shipped else f"{name}_own.safetensors")
    data = room.load_data()
    out, progress = places(arguments, own)
    out, training, scores = room.make_classifier(recipe, out, command_line(arguments), data, progress)
    print_end(training, out)
    print(scores)
    print_next(arguments.name, out)
    return 0
