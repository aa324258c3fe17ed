"""What CLIP sees in a decoded image: distances, gradients, and an error of the pixels with them."""

import pytest
import torch
import torch.nn.functional as F

from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig
from stablediff_edu.tasks.scene_vae import SceneVAETask
from stablediff_edu.tasks.vae import mse_l1_gradient_loss
from stablediff_edu.training.perceptual_loss import (
    EMBEDDING_WEIGHT,
    FEATURE_WEIGHT,
    add_perceptual_loss,
    perceptual_distances,
)


@pytest.fixture
def clip() -> CLIP:
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=9, max_position_embeddings=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    return CLIP(text, ImageConfig(size=16, patch=2, channels=(8, 16), heads=2), 8).eval().requires_grad_(False)


def images(seed: int, **options) -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(seed), **options) * 2 - 1


def test_the_same_pictures_are_not_apart_and_others_are(clip):
    x = images(0)
    assert [distance.item() for distance in perceptual_distances(clip, x, x)] == pytest.approx([0, 0], abs=1e-6)
    near, far = perceptual_distances(clip, x + 0.02 * images(1), x), perceptual_distances(clip, images(1), x)
    assert 0 < near[0] < far[0] and 0 < near[1] < far[1]


def test_the_features_are_those_of_every_level_each_place_of_length_one(clip):
    found, true = images(1), images(0)
    features, meaning = perceptual_distances(clip, found, true)
    levels = [zip(*(clip.image_model.forward_features(x)[0] for x in (found, true)), strict=True)][0]
    expected = sum(2 * (1 - F.cosine_similarity(a, b, dim=1)).mean() for a, b in levels)  # |a - b|² of unit vectors
    assert features.item() == pytest.approx(expected.item(), rel=1e-5)
    embeddings = [F.normalize(clip.image_projection(clip.image_model(x)), dim=1) for x in (found, true)]
    assert meaning.item() == pytest.approx(1 - (embeddings[0] * embeddings[1]).sum(1).mean().item(), rel=1e-5)


def test_looking_finds_what_forward_gives(clip):
    levels, vector = clip.image_model.forward_features(images(0))
    assert torch.equal(vector, clip.image_model(images(0)))
    assert [tuple(level.shape) for level in levels] == [(3, 8, 8, 8), (3, 16, 4, 4)]


def test_only_the_found_pictures_learn(clip):
    found, true = images(1).requires_grad_(), images(0).requires_grad_()
    error = add_perceptual_loss(squared_error, clip.requires_grad_(True))
    error(found, true).backward()
    assert found.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in clip.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_error_is_the_pixels_and_both_distances(clip, bfloat16: bool):
    found, true = images(1), images(0)
    features, meaning = perceptual_distances(clip, found, true)
    expected = squared_error(found, true) + FEATURE_WEIGHT * features + EMBEDDING_WEIGHT * meaning
    error = add_perceptual_loss(squared_error, clip, bfloat16)(found, true)
    assert error.item() == pytest.approx(expected.item(), rel=2e-2 if bfloat16 else 1e-6)


def test_the_shipped_recipe_minds_what_the_shipped_clip_sees():
    error, x = SceneVAETask().make_error(), torch.zeros(1, 3, 64, 64)
    other = x.clone()
    other[:, 0, 20:30, 20:30] = 1
    assert error(x, x).item() == pytest.approx(0, abs=1e-3)
    assert error(other, x) > mse_l1_gradient_loss(other, x) + 1e-3
