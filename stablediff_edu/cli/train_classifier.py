"""`train ship-classifier` and `train digit-classifier`: the classifiers that evaluate generated images."""

import argparse
from dataclasses import replace
from importlib import import_module

from stablediff_edu.cli.training_options import command_line, output_paths, print_metadata, print_next, print_summary


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    pass  # what all trainings share is enough


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.io import checkpoint

    name = arguments.name.replace("-", "_")  # of the module and of the pretrained weights; in capitals, of the config
    module = import_module(f"stablediff_edu.tasks.{name}")
    if arguments.evaluate:
        model, metadata = module.load_classifier(arguments.out or name)
        print_metadata(metadata)
        print(module.score_on_test_images(model))
        return 0
    shipped = getattr(module, name.upper())
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    config = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    own = checkpoint.checkpoint_path(name if config == shipped else f"{name}_own.safetensors")
    data = module.load_data()
    out, progress = output_paths(arguments, own)
    out, training, scores = module.make_classifier(config, out, command_line(arguments), data, progress)
    print_summary(training, out)
    print(scores)
    print_next(arguments.name, out)
    return 0
