"""The shipped tiny Stable Diffusion: small enough, told by its card, and it draws what a sentence says."""

import pytest
import torch

from stablediff_edu.models.unet import count_parameters
from stablediff_edu.stable_diffusion import TINY, StableDiffusion
from stablediff_edu.training.scene_judge import load_judge, read_pictures
from stablediff_edu.training.scene_quality import draw_prompts, quality_prompts
from stablediff_edu.training.tiny_sd import load_tiny_sd
from stablediff_edu.training.vae_training import load_vae
from stablediff_edu.weights import checkpoints


@pytest.fixture(scope="module")
def shipped() -> tuple[StableDiffusion, dict[str, str]]:
    return load_tiny_sd()


def test_it_is_small_and_says_how_it_was_made(shipped):
    pipe, card = shipped
    assert checkpoints.path_of("tiny-sd").stat().st_size < 24e6
    assert card["command"].startswith("python -m stablediff_edu train tiny-sd") and int(card["images_seen"]) >= 800_000
    assert "train scene-vae" in card["parts"] and "train clip-scenes" in card["parts"]
    assert pipe.config.unet == TINY.unet and pipe.config.size == TINY.size
    assert count_parameters(pipe) < 9e6


def test_its_autoencoder_is_the_one_that_is_shipped_by_itself(shipped):
    alone, _ = load_vae("scene-vae")
    own = shipped[0].vae
    assert alone.config == own.config
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), own.parameters(), strict=True))


def test_it_draws_what_a_sentence_says(shipped):
    """40 prompts, half of them of combinations never seen; the benchmark measures more of them."""
    prompts, (judge, _) = quality_prompts(40, seed=7), load_judge()
    read = read_pictures(judge, draw_prompts(shipped[0], prompts, seed=100))
    for field, least in (("thing", 0.9), ("colour", 0.85), ("sky", 0.9)):
        right = [found == getattr(wish, field) for found, wish in zip(read[field], prompts, strict=True)]
        assert sum(right) >= least * len(prompts), field
