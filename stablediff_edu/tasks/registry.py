"""All trainings of the course by name: `train NAME` and the tests are driven by this table."""

from importlib import import_module
from typing import Any

from stablediff_edu.errors import UserError
from stablediff_edu.tasks.task import Task

# name -> its class, "module:class" in this folder, imported when it is needed; and what it trains
TASKS = {
    "fish": ("fish:FishTask", "a U-Net that segments fish, or what your own masks show (notebook 02)"),
    "one-fish": ("ddpm:OneFishTask", "the network of notebook 03, which generates one fish only"),
    "ships": ("ddpm:ShipsTask", "a diffusion model of ships, or of what your images show (notebook 04)"),
    "cifar10-all": ("ddpm:Cifar10Task", "the same network, trained briefly on all classes of CIFAR-10 (notebook 04)"),
    "ship-classifier": ("ship_classifier:ShipClassifierTask", "the classifier of generated ships (notebook 04)"),
    "digit-classifier": ("digit_classifier:DigitClassifierTask", "the classifier of digits (notebook 05)"),
    "digit-vae": ("latent_diffusion:DigitVAETask", "the autoencoder from digits to latents (notebook 05)"),
    "latent-digits": ("latent_diffusion:LatentDigitsTask", "a diffusion model of latents of digits (notebook 05)"),
    "words": ("word2vec:Word2VecTask", "word vectors, from the synthetic corpus or your own text (notebook 06)"),
    "clip-scenes": ("clip:CLIPTask", "a small CLIP: captions and images of scenes that agree (notebook 07)"),
    "scene-vae": ("scene_vae:SceneVAETask", "the autoencoder of the tiny Stable Diffusion (notebook 08)"),
    "scene-classifier": ("scene_classifier:SceneClassifierTask", "the classifier of what scenes show (notebook 08)"),
    "tiny-sd": ("tiny_sd:TinySDTask", "the course's own Stable Diffusion, with its missing parts (notebook 08)"),
    "text-to-image": (
        "custom_text_to_image:OwnImagesTask",
        "a Stable Diffusion of your captioned images (notebook 08)",
    ),
}


def task_class(name: str) -> type[Task[Any, Any]]:
    """Return the class of a task."""
    if name not in TASKS:
        raise UserError(f"There is no training {name!r}; choose one of: {', '.join(TASKS)}.")
    module, _, attribute = TASKS[name][0].partition(":")
    return getattr(import_module(f"stablediff_edu.tasks.{module}"), attribute)
