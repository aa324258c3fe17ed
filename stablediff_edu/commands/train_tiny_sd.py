"""`train scene-vae` and `train scene-judge`: a part of the tiny Stable Diffusion, and the judge of what it draws."""

import argparse
from dataclasses import replace

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    pass  # what all trainings share is enough


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import scene_judge, scene_vae
    from stablediff_edu.training.vae_training import load_vae
    from stablediff_edu.weights import checkpoints

    name, recipe, load, score, make = {
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
    shipped = recipe
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    own = name if recipe == shipped else f"{arguments.name}_own.safetensors"
    out, progress = places(arguments, checkpoints.path_of(own))
    print(f"drawing scenes to learn from; weights go to {out}", flush=True)
    _, training, line, out = make(recipe, out, command_line(arguments), progress)
    print_end(training, out)
    print(line)
    return 0
