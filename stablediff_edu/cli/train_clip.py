"""`train clip-scenes`: a small CLIP on the captioned scenes (notebook 07); the tiny Stable Diffusion reads with it."""

import argparse
from dataclasses import replace

from stablediff_edu.cli.training_options import command_line, output_paths, print_metadata, print_next, print_summary

NUM_TEST = 2000  # scenes that --evaluate scores on


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--quick", action="store_true", help="the small numbers of the notebook: less than a minute")


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.io import checkpoint
    from stablediff_edu.tasks import clip as clip_task

    if arguments.evaluate:
        return _evaluate(arguments)
    shipped = clip_task.CLIP_PRESETS["quick" if arguments.quick else "full"]
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    config = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    # only the config of the pretrained weights goes to their place
    name = arguments.name if config == clip_task.CLIP_SCENES else f"{arguments.name}_own.safetensors"
    out, progress = output_paths(arguments, checkpoint.checkpoint_path(name))
    print(f"rendering {config.scenes:,} scenes to train on; weights go to {out}")
    _, training, score, out = clip_task.make_clip(config, out, command_line(arguments), progress)
    print_summary(training, out)
    print(score)
    print_next(arguments.name, out)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from stablediff_edu.data.scenes.dataset import make_scenes
    from stablediff_edu.tasks.clip import load_clip
    from stablediff_edu.tasks.clip_evaluation import evaluate_clip

    model, tokenizer, metadata = load_clip(arguments.out or arguments.name)
    print_metadata(metadata)
    print(evaluate_clip(model, tokenizer, make_scenes(NUM_TEST, model.image.config.size, seed=1, train=False)))
    return 0
