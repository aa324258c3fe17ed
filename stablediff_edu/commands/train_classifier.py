"""`train ship-classifier`: the judge of drawn ships, trained on CIFAR-10."""

import argparse
from dataclasses import replace

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    pass  # what all trainings share is enough


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import ship_classifier
    from stablediff_edu.weights import checkpoints

    if arguments.evaluate:
        model, card = ship_classifier.load_classifier(arguments.out or "ship_classifier")
        print_card(card)
        print(ship_classifier.score_on_test_pictures(model))
        return 0
    wanted = {name: getattr(arguments, name) for name in ("steps", "seed")}
    recipe = replace(
        ship_classifier.SHIP_CLASSIFIER, **{name: value for name, value in wanted.items() if value is not None}
    )
    shipped = recipe == ship_classifier.SHIP_CLASSIFIER
    own = checkpoints.path_of("ship_classifier" if shipped else "ship_classifier_own.safetensors")
    data = ship_classifier.load_data()
    out, progress = places(arguments, own)
    out, training, scores = ship_classifier.make_classifier(recipe, out, command_line(arguments), data, progress)
    print_end(training, out)
    print(scores)
    return 0
