"""`train NAME`: the training behind a pretrained checkpoint, or the same network on one's own images."""

import argparse
from importlib import import_module

from stablediff_edu.cli.parser import ConciseParser
from stablediff_edu.cli.training_options import add_common
from stablediff_edu.errors import UserError

# name -> the module of cli/ that trains it (add_arguments(parser, name) and run(arguments)), and what it is
NAMES = {
    "one-fish": ("train_diffusion", "the network of notebook 03, which can generate one fish only"),
    "ships": ("train_diffusion", "a diffusion model of ships, or of what your images show (notebook 04)"),
    "cifar10-all": ("train_diffusion", "the same network, trained short on all ten classes of CIFAR-10 (notebook 04)"),
    "digit-vae": ("train_latent", "the autoencoder that turns digits into latents (notebook 05)"),
    "latent-digits": ("train_latent", "a diffusion model of latents of digits (notebook 05)"),
    "clip-scenes": ("train_clip", "a small CLIP: sentences and images of scenes that agree (notebook 07)"),
    "scene-vae": ("train_tiny_sd", "the autoencoder of the tiny Stable Diffusion, on captioned scenes (notebook 08)"),
    "tiny-sd": ("train_tiny_sd", "the course's own Stable Diffusion, with its parts that are missing (notebook 08)"),
    "text-to-image": ("train_text_to_image", "a Stable Diffusion of your own captioned images (notebook 08)"),
    "words": ("train_words", "word vectors, from the synthetic corpus or your own text (notebook 06)"),
}

SHARED = ("tiny-sd", "scene-vae")  # several processes may share out the batches of these


def run_old(arguments: argparse.Namespace) -> int:
    parser = ConciseParser(prog=f"python -m stablediff_edu train {arguments.name}")
    _module(arguments.name).add_arguments(parser, arguments.name)
    add_common(parser)
    given = parser.parse_args(arguments.options)
    given.name = arguments.name
    return run(given)


def run(arguments: argparse.Namespace) -> int:
    if arguments.name == "text-to-image":
        if arguments.out and arguments.out.suffix:
            raise UserError(f"The model is saved as a folder: name it without an ending, {arguments.out.stem}.")
    elif arguments.out and arguments.out.suffix != ".safetensors":
        raise UserError(f"The weights are saved as safetensors: name the file {arguments.out.stem}.safetensors.")
    if not arguments.evaluate:
        from stablediff_edu.training import distributed

        if arguments.name not in SHARED:
            distributed.require_single_process(arguments.name)
    return _module(arguments.name).run(arguments)


def _module(name: str):
    return import_module(f"stablediff_edu.cli.{NAMES[name][0]}")
