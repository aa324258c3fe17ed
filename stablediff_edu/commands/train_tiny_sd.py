"""`train scene-vae`: the autoencoder of the tiny Stable Diffusion, on the captioned scenes (notebook 08)."""

import argparse
from dataclasses import replace

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    pass  # what all trainings share is enough


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.datasets.scene_set import load_scenes
    from stablediff_edu.training import scene_vae
    from stablediff_edu.training.vae_training import load_vae
    from stablediff_edu.weights import checkpoints

    if arguments.evaluate:
        model, card = load_vae(arguments.out or arguments.name)
        print_card(card)
        print(scene_vae.score_scene_vae(model))
        return 0
    shipped = scene_vae.SCENE_VAE
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    name = arguments.name if recipe == shipped else f"{arguments.name}_own.safetensors"
    out, progress = places(arguments, checkpoints.path_of(name))
    print(f"drawing {scene_vae.SCENES:,} scenes to learn from; weights go to {out}", flush=True)
    scenes = load_scenes(scene_vae.SCENES, scene_vae.SIZE)
    _, training, score, out = scene_vae.make_scene_vae(recipe, out, command_line(arguments), scenes, progress)
    print_end(training, out)
    print(score)
    return 0
