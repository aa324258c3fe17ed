"""The sinusoidal encoding: equal to diffusers', bounded, different everywhere, alike nearby."""

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding

from stablediff_edu.layers.embeddings import sinusoidal_embedding

ALL_STEPS = torch.arange(1000)


@pytest.mark.parametrize("features", [4, 32, 320])
@pytest.mark.parametrize("flip_sin_to_cos", [False, True])
@pytest.mark.parametrize("shift", [0, 1])
def test_it_is_diffusers_encoding(features: int, flip_sin_to_cos: bool, shift: int):
    positions = torch.tensor([0, 1, 2, 10, 500, 946.42, 999])
    theirs = get_timestep_embedding(positions, features, flip_sin_to_cos=flip_sin_to_cos, downscale_freq_shift=shift)
    ours = sinusoidal_embedding(positions, features, flip_sin_to_cos=flip_sin_to_cos, downscale_freq_shift=shift)
    assert torch.equal(ours, theirs) or (ours - theirs).abs().max() < 1e-6


def test_it_is_the_formula_of_the_paper():
    encoding = sinusoidal_embedding(torch.tensor([7.0], dtype=torch.float64), 8)
    angles = 7 / 10_000 ** (torch.arange(4, dtype=torch.float64) / 4)
    assert torch.allclose(encoding[0], torch.cat([angles.sin(), angles.cos()]), atol=1e-12)


def test_every_number_lies_between_minus_one_and_one():
    assert sinusoidal_embedding(torch.linspace(-1e4, 1e4, 5001), 64).abs().max() <= 1


@pytest.mark.parametrize("features", [8, 32, 192])
def test_no_two_of_the_steps_are_encoded_alike(features: int):
    encoding = sinusoidal_embedding(ALL_STEPS, features).double()
    distances = torch.cdist(encoding, encoding) + 10 * torch.eye(1000)
    assert distances.min() > 1e-2


def test_nearer_positions_are_more_alike():
    encoding = sinusoidal_embedding(ALL_STEPS, 64)
    distances = (encoding[500] - encoding[501:521]).norm(dim=1)
    assert distances[0] < distances[1] < distances[2] < distances[3]
    assert distances[:5].max() < (encoding[500] - encoding[600:]).norm(dim=1).min()


def test_equal_gaps_look_alike_wherever_they_are():
    """Sine and cosine turn together: the distance of two encodings depends on the gap alone."""
    encoding = sinusoidal_embedding(ALL_STEPS.double(), 64)
    for gap in (1, 10, 100):
        distances = (encoding[gap:] - encoding[:-gap]).norm(dim=1)
        assert distances.max() - distances.min() < 1e-9


def test_an_odd_number_of_features_is_refused():
    for features in (0, 1, 7):
        with pytest.raises(ValueError, match="even"):
            sinusoidal_embedding(ALL_STEPS, features)
