"""Synthetic fish: seeded, in range, with exact masks of every fish, cut by the frame, on every ground."""

import numpy as np
import pytest
import torch

from stablediff_edu.data.fish.background import BACKGROUNDS
from stablediff_edu.data.fish.species import SPECIES
from stablediff_edu.data.fish.synthetic import render_batch, render_fish


@pytest.mark.parametrize(("size", "fish"), [(32, 1), (100, 2), (64, 3)])
def test_one_seed_is_one_image(size, fish):
    drawn, again = render_fish(3, size, fish), render_fish(3, size, fish)
    assert torch.equal(drawn.image, again.image) and torch.equal(drawn.masks, again.masks)
    assert not torch.equal(drawn.image, render_fish(4, size, fish).image)
    assert drawn.image.shape == (3, size, size) and drawn.image.dtype == torch.float32
    assert drawn.image.min() >= -1 and drawn.image.max() <= 1
    assert drawn.masks.shape == (fish, size, size) and drawn.masks.dtype == torch.bool
    assert drawn.mask.shape == (1, size, size) and set(drawn.mask.unique().tolist()) <= {0.0, 1.0}
    assert len(drawn.species) == len(drawn.boxes) == fish


def test_there_are_nine_kinds_and_all_are_drawn():
    assert len(SPECIES) == 9
    _, _, names = render_batch(120, size=16)
    assert set(names) == {species.name for species in SPECIES}


@pytest.mark.parametrize("seed", range(8))
def test_instances_do_not_share_pixels_and_boxes_fit_tightly(seed):
    drawn = render_fish(seed, 96, num_fish=3)
    assert drawn.masks.sum(dim=0).max() <= 1
    for mask, (left, top, right, bottom) in zip(drawn.masks, drawn.boxes, strict=True):
        rows, columns = np.flatnonzero(mask.any(dim=1)), np.flatnonzero(mask.any(dim=0))
        assert (left, top, right, bottom) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_masks_are_exact():
    """The pixels that change when only the fish differ are the fish's: its mask, its shadow, nothing far away.

    A plain fish on a plain ground shows it directly: where the mask ends, the color jumps.
    """
    images, masks, _ = render_batch(60, size=96, seed=4)
    inner, outer = torch.nn.MaxPool2d(3, 1, 1)(1 - masks), torch.nn.MaxPool2d(3, 1, 1)(masks)
    edge = ((inner + outer) == 2).float()  # one pixel on both sides of the outline
    brightness = images.mean(dim=1, keepdim=True)
    jump = (brightness[..., 1:, :] - brightness[..., :-1, :]).abs()
    on_edge = (jump * edge[..., 1:, :]).sum() / edge[..., 1:, :].sum()
    off_edge = (jump * (1 - edge[..., 1:, :])).sum() / (1 - edge[..., 1:, :]).sum()
    assert on_edge > 1.8 * off_edge


def test_fish_are_neither_lost_nor_everything():
    _, masks, _ = render_batch(200, size=48)
    areas = masks.mean(dim=(1, 2, 3))
    assert 0.08 < areas.mean() < 0.25
    assert (areas > 0.01).float().mean() > 0.97 and areas.max() < 0.8


def test_some_are_cut_by_the_frame_and_some_turned():
    images, masks, _ = render_batch(100, size=48)
    border = torch.cat([masks[..., 0, :], masks[..., -1, :], masks[..., 0], masks[..., -1]], dim=-1).amax(dim=(1, 2))
    assert 0.1 < border.mean() < 0.9
    black_corner = (images[:, :, 0, 0] == -1).all(dim=1).float().mean()
    assert 0.15 < black_corner < 0.75
    assert not (masks.bool() & (images == -1).all(dim=1, keepdim=True)).float().mean() > 0.001


@pytest.mark.parametrize("ground", BACKGROUNDS)
def test_every_ground_can_be_chosen(ground):
    drawn = render_fish(1, 64, background=ground)
    assert drawn.image.isfinite().all() and drawn.masks.any()
    assert render_fish(1, 32, num_fish=2, species="Trout").species == ["Trout", "Trout"]


def test_many_are_the_single_ones():
    images, masks, names = render_batch(3, size=32, seed=2)
    one = render_fish(2 * 1_000_003 + 1, 32)
    assert torch.equal(images[1], one.image) and torch.equal(masks[1], one.mask) and names[1] == one.species[0]
