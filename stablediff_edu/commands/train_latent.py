"""`train digit-vae` and `train latent-digits`: the two networks of latent diffusion, on digits (notebook 05)."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.commands.training_options import command_line, places, print_card, print_end, print_next
from stablediff_edu.errors import CourseError

VAE = Path("digit-vae")  # the shipped one


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--source", choices=["drawn", "mnist"], help="which digits (default: drawn)")
    if name == "latent-digits":
        parser.add_argument(
            "--vae", type=Path, default=VAE, metavar="FILE", help=f"the autoencoder of the latents (default: {VAE})"
        )


def run(arguments: argparse.Namespace) -> int:
    return (_run_vae if arguments.name == "digit-vae" else _run_latent_digits)(arguments)


def _run_vae(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import latent_recipes
    from stablediff_edu.training.vae_training import load_vae

    if arguments.evaluate:
        model, card = load_vae(arguments.out or VAE)
        print_card(card)
        print(latent_recipes.score_vae(model, _digits(arguments.source or _source_of(card))[1]))
        return 0
    recipe, out, progress, (known, unseen) = _prepare(arguments, latent_recipes.DIGIT_VAE)
    _, training, score, out = latent_recipes.make_vae(recipe, out, command_line(arguments), known, unseen, progress)
    print_end(training, out)
    print(score)
    print_next(arguments.name, out)
    return 0


def _run_latent_digits(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training import latent_recipes

    if arguments.evaluate:
        return _evaluate_latent_digits(arguments)
    vae = _load_vae(arguments)
    recipe, out, progress, (known, _) = _prepare(arguments, latent_recipes.LATENT_DIGITS)
    _, training, out = latent_recipes.make_latent_digits(recipe, out, command_line(arguments), known, vae, progress)
    print_end(training, out)
    print_next(arguments.name, out, f" --vae {arguments.vae}" if arguments.vae != VAE else "")
    return 0


def _evaluate_latent_digits(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training.diffusion_recipes import load_diffusion
    from stablediff_edu.training.digit_quality import evaluate_digits
    from stablediff_edu.training.own_weights import load_latent_vae

    _load_vae(arguments)
    model, card = load_diffusion(arguments.out or arguments.name, channels=4)
    print_card(card)
    vae = load_latent_vae(card, arguments.vae)
    known, unseen = _digits(arguments.source or _source_of(card))
    print(evaluate_digits(model, card, vae, known, unseen))
    return 0


def _load_vae(arguments: argparse.Namespace):
    from stablediff_edu.training.vae_training import load_vae
    from stablediff_edu.weights import checkpoints

    if not checkpoints.path_of(arguments.vae).exists():
        raise CourseError(
            f"There is no autoencoder at {arguments.vae}; train it with python -m stablediff_edu train digit-vae, or "
            "name another with --vae FILE."
        )
    return load_vae(arguments.vae)


def _prepare(arguments: argparse.Namespace, shipped):
    """Return the recipe, where weights and progress go, and the digits to learn from and others.

    Only the recipe of the shipped weights, on the digits that these learned from, goes to their place.
    """
    from stablediff_edu.weights import checkpoints

    arguments.source = arguments.source or "drawn"
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    recipe = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    as_shipped = recipe == shipped and arguments.source == "drawn" and getattr(arguments, "vae", VAE) == VAE
    name = arguments.name if as_shipped else f"{arguments.name}_own.safetensors"
    out, progress = places(arguments, checkpoints.path_of(name))
    known, unseen = _digits(arguments.source)
    print(f"learning from {len(known):,} {known.source}; weights go to {out}")
    return recipe, out, progress, (known, unseen)


def _digits(source: str):
    """Return digits to learn from, and others."""
    from stablediff_edu.datasets.digits import load_digits
    from stablediff_edu.training import latent_recipes

    return load_digits(latent_recipes.DIGITS, source), load_digits(latent_recipes.UNSEEN, source, train=False)


def _source_of(card: dict[str, str]) -> str:
    """Return which digits weights have learned from."""
    return "mnist" if "MNIST" in card["data"] else "drawn"
