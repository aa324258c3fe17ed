"""Distances between images: nearest neighbors and diversity."""

import pytest
import torch

from stablediff_edu.metrics.images import mean_pairwise_distance, nearest_neighbors


def noise_images(count, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_nearest_finds_copies_at_distance_zero_mirrored_ones_too():
    among = noise_images(30)
    copy, flipped, upside_down, changed = among[7], among[12].flip(2), among[12].flip(1), among[3] + 0.01
    distances, numbers = nearest_neighbors(torch.stack([copy, flipped, upside_down, changed]), among)
    assert numbers[[0, 1, 3]].tolist() == [7, 12, 3]
    assert distances[0] == 0 and distances[1] == 0 and distances[2] > 1
    assert distances[3].item() == pytest.approx(0.01 * (3 * 64) ** 0.5, rel=1e-3)
    assert nearest_neighbors(flipped[None], among, mirror=False)[0].item() > 1


def test_nearest_agrees_with_the_definition():
    images, among = noise_images(5, 1), noise_images(40, 2)
    both = torch.stack([among, among.flip(3)])  # (2, M, 3, S, S)
    table = (images[:, None, None] - both).square().sum(dim=(3, 4, 5)).sqrt()  # (N, 2, M)
    distances, numbers = nearest_neighbors(images, among)
    assert torch.allclose(distances, table.flatten(1).min(1).values, atol=1e-5)
    assert torch.equal(numbers, table.min(1).values.argmin(1))


def test_spread_is_the_mean_distance_of_all_pairs():
    images = torch.zeros(3, 3, 2, 2)
    images[1, 0, 0, 0], images[2, 0, 0, 0] = 3, 6
    assert mean_pairwise_distance(images) == pytest.approx((3 + 6 + 3) / 3)
