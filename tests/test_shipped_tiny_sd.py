"""The pretrained tiny Stable Diffusion: small enough, told by its card, and it draws what a sentence says."""

import pytest
import torch

from stablediff_edu.io import checkpoint
from stablediff_edu.models.unet import count_parameters
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion
from stablediff_edu.tasks.scene_classifier import load_scene_classifier, predict_attributes
from stablediff_edu.tasks.text_to_image_evaluation import evaluation_prompts, sample_prompts
from stablediff_edu.tasks.tiny_sd import load_tiny_sd
from stablediff_edu.tasks.vae import load_vae


@pytest.fixture(scope="module")
def shipped() -> tuple[StableDiffusion, dict[str, str]]:
    return load_tiny_sd()


def test_it_is_small_and_says_how_it_was_made(shipped):
    pipe, metadata = shipped
    assert checkpoint.checkpoint_path("tiny-sd").stat().st_size < 24e6
    assert (
        metadata["command"].startswith("python -m stablediff_edu train tiny-sd")
        and int(metadata["images_seen"]) >= 800_000
    )
    assert "train scene-vae" in metadata["parts"] and "train clip-scenes" in metadata["parts"]
    assert pipe.config.unet == TINY.unet and pipe.config.size == TINY.size
    assert count_parameters(pipe) < 9e6


def test_its_autoencoder_is_the_one_that_is_shipped_by_itself(shipped):
    alone, _ = load_vae("scene-vae")
    own = shipped[0].vae
    assert alone.config == own.config
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), own.parameters(), strict=True))


def test_it_draws_what_a_sentence_says(shipped):
    """40 prompts, half of them of combinations never seen; the benchmark measures more of them."""
    prompts, (classifier, _) = evaluation_prompts(40, seed=7), load_scene_classifier()
    read = predict_attributes(classifier, sample_prompts(shipped[0], prompts, seed=100))
    for field, least in (("object_class", 0.9), ("color", 0.85), ("sky", 0.9)):
        right = [found == getattr(prompt, field) for found, prompt in zip(read[field], prompts, strict=True)]
        assert sum(right) >= least * len(prompts), field
