"""What a refactoring must not change: synthetic data, outputs of the pretrained models, samples of every sampler.

Each entry is a function without arguments; it returns a text, or a tensor on the CPU. The tests compare them with
stored hashes and values, tests/benchmarks/bit_identity.py with those of another commit on the same machine.
"""

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.data.fish.synthetic import render_batch, render_fish
from stablediff_edu.data.scenes.captions import random_caption
from stablediff_edu.data.scenes.dataset import make_scenes, scene_at
from stablediff_edu.data.sentences.negation import generate_sentences
from stablediff_edu.data.ships.dataset import render_ships
from stablediff_edu.data.words.synthetic import generate_corpus
from stablediff_edu.diffusion.samplers import SAMPLERS, sample_final
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.tasks.clip import load_clip
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.digit_classifier import load_digit_classifier
from stablediff_edu.tasks.fish import load_fish_unet
from stablediff_edu.tasks.scene_classifier import load_scene_classifier
from stablediff_edu.tasks.ship_classifier import load_ship_classifier
from stablediff_edu.tasks.tiny_sd import load_tiny_sd
from stablediff_edu.tasks.vae import load_vae
from stablediff_edu.tasks.word2vec import load_word2vec

PROMPTS = ["a red sailboat at sunset", "the sea at night"]
Output = torch.Tensor | str


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Return images in [-1, 1] as uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte()


def sha256(output: Output) -> str:
    data = output.encode() if isinstance(output, str) else output.contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()


# --- synthetic data ---------------------------------------------------------------------------------------------------


def fish() -> torch.Tensor:
    images, masks, _ = render_batch(6, 64, seed=1)
    several = render_fish(5, 64, num_fish=3)
    everything = (images, masks * 2 - 1, several.image[None], several.mask[None] * 2 - 1)
    return torch.cat([to_bytes(part).flatten() for part in everything])


def sentences() -> str:
    drawn = [generate_sentences(300, seed=2, unseen=unseen) for unseen in (False, True)]
    return "\n".join(f"{text} {label}" for part in drawn for text, label in zip(part.texts, part.labels, strict=True))


def captions() -> str:
    rng = np.random.default_rng(3)
    return "\n".join(
        random_caption(scene_at(number, 4, train), rng) for number in range(200) for train in (True, False)
    )


def scenes(size: int, train: bool = True) -> torch.Tensor:
    return make_scenes(8, size, seed=5, train=train).pixels


DATASETS: dict[str, Callable[[], Output]] = {
    "digits": lambda: to_bytes(render_digits(100, seed=6).images),
    "digits held out": lambda: to_bytes(render_digits(100, seed=6, train=False).images),
    "fish": fish,
    "ships": lambda: to_bytes(render_ships(8, 32, seed=7).images),
    "scenes 64": partial(scenes, 64),
    "scenes 64 held out": partial(scenes, 64, train=False),
    "scenes 128": partial(scenes, 128),
    "scene captions": lambda: "\n".join(make_scenes(40, 8, seed=8).captions),
    "captions": captions,
    "corpus": lambda: generate_corpus(20_000, seed=9),
    "sentences": sentences,
}

# --- pretrained models ------------------------------------------------------------------------------------------------


@torch.no_grad()
def denoiser(name: str, channels: int = 3) -> torch.Tensor:
    model, metadata = load_diffusion(name, channels)
    return model(noise(2, channels, *[int(metadata["size"])] * 2), torch.tensor([10, 900]))


@torch.no_grad()
def clip() -> torch.Tensor:
    model, tokenizer, _ = load_clip()
    tokens = tokenizer(PROMPTS)
    text = model.text_model(tokens).flatten()
    return torch.cat([text, model.encode_text(tokens).flatten(), model.encode_image(noise(2, 3, 64, 64)).flatten()])


@torch.no_grad()
def autoencoder(name: str, channels: int, size: int) -> torch.Tensor:
    model, _ = load_vae(name)
    latents = model.encode(noise(2, channels, size, size).clamp(-1, 1))
    return torch.cat([latents.flatten(), model.decode(latents).flatten()])


@torch.no_grad()
def classifier(load: Callable, *shape: int) -> torch.Tensor:
    return torch.cat(list(load()[0](noise(*shape)).values()), dim=1)


@torch.no_grad()
def words() -> torch.Tensor:
    model, vocabulary, _ = load_word2vec("gutenberg-words")
    assert "king" in vocabulary.numbers
    return torch.cat([model.words, model.contexts])


@torch.no_grad()
def tiny_sd() -> torch.Tensor:
    return load_tiny_sd()[0](PROMPTS, steps=4, guidance=3.0, seed=1)


@torch.no_grad()
def output_of(load: Callable, *arguments: str, shape: tuple[int, ...]) -> torch.Tensor:
    return load(*arguments)[0](noise(*shape))


# file in data/checkpoints without its ending -> its output on fixed inputs
MODELS: dict[str, Callable[[], torch.Tensor]] = {
    "cifar10-all": partial(denoiser, "cifar10-all"),
    "clip-scenes": clip,
    "digit-vae": partial(autoencoder, "digit-vae", 1, 32),
    "digit_classifier": partial(classifier, load_digit_classifier, 2, 1, 28, 28),
    "fish": partial(output_of, load_fish_unet, "fish", shape=(2, 3, 64, 64)),
    "fish_no_skips": partial(output_of, load_fish_unet, "fish_no_skips", shape=(2, 3, 64, 64)),
    "gutenberg-words": words,
    "latent-digits": partial(denoiser, "latent-digits", 4),
    "one-fish": partial(denoiser, "one-fish"),
    "scene-vae": partial(autoencoder, "scene-vae", 3, 64),
    "scene_classifier": partial(classifier, load_scene_classifier, 2, 3, 64, 64),
    "ship_classifier": partial(classifier, load_ship_classifier, 2, 3, 32, 32),
    "ships": partial(denoiser, "ships"),
    "tiny-sd": tiny_sd,
}

# --- samplers ---------------------------------------------------------------------------------------------------------


def sampler(name: str, **options: object) -> torch.Tensor:
    """Return samples of a fixed function instead of a network."""

    def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.sin(3 * xt) * (0.5 + t.to(xt).reshape(-1, 1, 1, 1) / 2000)

    return sample_final(model, NoiseSchedule.scaled_linear(), (2, 3, 8, 8), 7, name, seed=3, **options)


SAMPLES: dict[str, Callable[[], torch.Tensor]] = {name: partial(sampler, name) for name in SAMPLERS} | {
    "ddim, eta 0.5": partial(sampler, "ddim", eta=0.5),
    "dpmpp_2m of velocities": partial(sampler, "dpmpp_2m", prediction="v_prediction"),
}
