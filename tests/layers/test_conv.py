"""Convolution against PyTorch's, the named kernels, and the receptive field by formula and measured."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv import KERNELS, conv2d, effective_receptive_field, receptive_field, receptive_field_size


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    outputs=st.integers(1, 4),
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_convolve_is_conv2d(batch, channels, outputs, size, kernel, stride, padding, bias, seed):
    rng = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, channels, *size, generator=rng, dtype=torch.float64)
    numbers = torch.randn(outputs, channels, *kernel, generator=rng, dtype=torch.float64)
    extra = torch.randn(outputs, generator=rng, dtype=torch.float64) if bias else None
    ours = conv2d(image, numbers, extra, stride=stride, padding=padding)
    theirs = F.conv2d(image, numbers, extra, stride=stride, padding=padding)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-12


def test_convolve_works_on_whole_numbers_and_keeps_gradients():
    whole = conv2d(torch.arange(16).view(1, 1, 4, 4), torch.ones(1, 1, 3, 3, dtype=torch.int64))
    assert whole.tolist() == [[[[45, 54], [81, 90]]]]
    kernel = torch.randn(1, 1, 3, 3, requires_grad=True)
    conv2d(torch.randn(1, 1, 5, 5), kernel).sum().backward()
    assert kernel.grad is not None and kernel.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("image", "kernel", "words"),
    [
        ((1, 3, 8, 8), (1, 1, 3, 3), "same C"),
        ((8, 8), (1, 1, 3, 3), "same C"),
        ((1, 1, 4, 4), (1, 1, 5, 5), "does not fit"),
    ],
)
def test_convolve_says_what_does_not_go_together(image, kernel, words):
    with pytest.raises(UserError, match=words):
        conv2d(torch.zeros(image), torch.zeros(kernel))


def test_kernels_do_what_their_names_say():
    ramp = torch.arange(9.0).expand(9, 9)  # brighter from left to right
    for size in (3, 5):
        for name, kernel in KERNELS.items():
            assert kernel[size].shape == (size, size)
            total = 0.0 if "edges" in name else 1.0
            assert kernel[size].sum().item() == pytest.approx(total, abs=1e-6), name
        assert torch.equal(KERNELS["identity"][size], torch.eye(1).new_zeros(size, size).index_put(
            (torch.tensor(size // 2), torch.tensor(size // 2)), torch.tensor(1.0)))  # fmt: skip
        assert torch.equal(KERNELS["vertical edges"][size], KERNELS["horizontal edges"][size].T)
        assert (conv2d(ramp[None, None], KERNELS["vertical edges"][size][None, None]) > 0).all()
        assert conv2d(ramp[None, None], KERNELS["horizontal edges"][size][None, None]).abs().max() < 1e-5


LEVEL = [(3, 1), (3, 1)]


def _network(levels):
    layers, pairs, width = [], [], 1
    for level in range(levels):
        if level:
            layers.append(nn.AvgPool2d(2))
            pairs.append((2, 2))
        for _ in LEVEL:
            layers += [nn.Conv2d(width, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU()]
            width = 4
        pairs += LEVEL
    return nn.Sequential(*layers), pairs


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_field_of_view_measured_is_the_formula(levels):
    network, pairs = _network(levels)
    field = receptive_field(pairs)[-1]
    footprint = effective_receptive_field(network, (1, 1, 96, 96))
    assert receptive_field_size(footprint) == (field.size, field.size)
    assert field.jump == 2 ** (levels - 1)
    assert int((footprint > 0).sum()) == field.size**2  # no hole in it


def test_receptive_field_known_numbers():
    assert receptive_field([(3, 1), (3, 1), (2, 2), (3, 1), (3, 1)]) == [(3, 1), (5, 1), (6, 2), (10, 2), (14, 2)]
    assert receptive_field([]) == []


def test_footprint_leaves_the_network_alone_and_reads_any_tensor():
    network, _ = _network(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    corner = effective_receptive_field(network, (1, 1, 32, 32), row=0, column=0)
    first = effective_receptive_field(network, (1, 1, 32, 32), forward_fn=lambda net, image: net[0](image))
    assert network.training and any(isinstance(part, nn.GroupNorm) for part in network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert corner[0, 0] > 0 and corner[-1, -1] == 0
    assert receptive_field_size(first) == (3, 3)
    assert receptive_field_size(torch.zeros(4, 4)) == (0, 0)


def test_footprint_goes_up_again_through_transposed_convolutions():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AvgPool2d(2), nn.ConvTranspose2d(2, 1, 2, stride=2))
    assert receptive_field_size(effective_receptive_field(network, (1, 1, 16, 16))) == (4, 4)
