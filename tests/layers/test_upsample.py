"""Twice the size and a convolution in one: the fast way finds what the plain way does, and is taken where it should."""

from functools import partial

import pytest
import torch
from diffusers.models.downsampling import Downsample2D as Theirs
from parity import randomised

from stablediff_edu.layers import upsample
from stablediff_edu.layers.upsample import Downsample2D, Upsample2D, upsample2x_conv3x3

TOLERANCE = 1e-13  # measured: 4e-15


def image(height: int = 5, width: int = 7, channels: int = 6) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, channels, height, width, generator=rng, dtype=torch.float64)


def plainly(model: Upsample2D, x: torch.Tensor) -> torch.Tensor:
    """What the two layers find, one after the other."""
    return model.conv(torch.nn.functional.interpolate(x, scale_factor=2))


@pytest.fixture
def fast_calls(monkeypatch: pytest.MonkeyPatch) -> list:
    """One entry for each time that the fast way is taken."""
    calls = []
    monkeypatch.setattr(
        upsample, "upsample2x_conv3x3", lambda *given: calls.append(given) or upsample2x_conv3x3(*given)
    )
    return calls


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("size", [(5, 7), (6, 1), (8, 8)], ids=str)
def test_both_ways_find_the_same(size: tuple[int, int], layout: torch.memory_format, fast_calls: list):
    model, x = randomised(Upsample2D(6)), image(*size).to(memory_format=layout)
    plain = plainly(model, x)
    assert plain.shape == (2, 6, 2 * size[0], 2 * size[1])
    with torch.no_grad():
        fast = model(x)
    assert len(fast_calls) == 1 and (fast - plain).abs().max() < TOLERANCE
    assert fast.is_contiguous(memory_format=layout)


def test_both_ways_learn_the_same(fast_calls: list):
    model, x = randomised(Upsample2D(6)).requires_grad_(), image().requires_grad_()
    gradients = [
        torch.autograd.grad(way(x).square().sum(), [x, *model.parameters()]) for way in (model, partial(plainly, model))
    ]
    assert len(fast_calls) == 1
    assert all(torch.allclose(fast, plain, rtol=1e-11, atol=1e-11) for fast, plain in zip(*gradients, strict=True))


@pytest.mark.parametrize("size", [(9, 13), (9, 14), (10, 13)], ids=str)
def test_an_odd_size_is_what_the_enlarged_picture_is_cut_to_before_the_convolution(size: tuple, fast_calls: list):
    model, x = randomised(Upsample2D(6)), image()
    with torch.no_grad():
        found = model(x, size)
        want = model.conv(torch.nn.functional.interpolate(x, size))
    assert torch.equal(found, want) and not fast_calls
    assert torch.equal(model(x, (10, 14)), model(x))


def test_few_places_of_many_channels_go_the_plain_way(fast_calls: list):
    with torch.no_grad():
        randomised(Upsample2D(40))(image(channels=40))
    assert not fast_calls  # 35 places
    with torch.no_grad():
        randomised(Upsample2D(30))(image(channels=30))
    assert fast_calls


@pytest.mark.parametrize("padding", [0, 1])
def test_half_the_size_is_that_of_diffusers(padding: int):
    ours, theirs = randomised(Downsample2D(6, padding)), Theirs(6, use_conv=True, padding=padding, name="op").double()
    theirs.load_state_dict(ours.state_dict())
    assert torch.allclose(ours(image(6, 8)), theirs(image(6, 8)), rtol=0, atol=TOLERANCE)
