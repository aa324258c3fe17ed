"""Batches, loss and scores of chapter 2, and what its inspection tools measure."""

import itertools

import numpy as np
import pytest
import torch

from stablediff_edu.data.segmentation_folder import SegmentationDataset
from stablediff_edu.models.probing import channel_correlations, foreground_background_masks
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks import segmentation


def some_data(count=10, size=16):
    rng = torch.Generator().manual_seed(1)
    masks = (torch.rand(count, 1, size, size, generator=rng) > 0.7).float()
    images = (masks * 1.6 - 0.8).repeat(1, 3, 1, 1)
    return SegmentationDataset(images, masks, torch.arange(count), [str(n) for n in range(count)], "noise")


def test_scores_by_hand():
    predicted, truth = torch.zeros(3, 1, 4, 4), torch.zeros(3, 1, 4, 4)
    predicted[0, 0, :2], truth[0, 0, 1:3] = 0.9, 1  # 8 found, 8 true, 4 shared
    predicted[1, 0, 0, 0] = 0.4  # below one half: nothing found, nothing there
    truth[2, 0] = 1  # everything missed
    scores = segmentation.iou_dice(predicted, truth)
    assert scores.iou.tolist() == pytest.approx([4 / 12, torch.nan, 0], nan_ok=True)
    assert scores.dice.tolist() == pytest.approx([0.5, torch.nan, 0], nan_ok=True)
    assert str(scores) == "IoU 0.167 · Dice 0.250 on 2 images, 1 with nothing to find not counted"


def test_iou_and_dice_agree():
    rng = torch.rand(20, 1, 8, 8)
    scores = segmentation.iou_dice(rng, (torch.rand(20, 1, 8, 8) > 0.5).float())
    assert torch.allclose(scores.dice, 2 * scores.iou / (1 + scores.iou), atol=1e-6)


def test_batches_turn_picture_and_mask_together():
    data = some_data()
    for images, masks in itertools.islice(segmentation.Batches(data, 4, seed=3, color_jitter=0.0), 20):
        assert images.shape == (4, 3, 16, 16) and masks.shape == (4, 1, 16, 16)
        assert torch.allclose(images[:, :1], masks * 1.6 - 0.8)


def test_batches_shift_color_but_stay_in_range():
    images, masks = next(segmentation.Batches(some_data(), 8, color_jitter=0.4))
    assert not torch.allclose(images[:, :1], masks * 1.6 - 0.8)
    assert images.abs().max() <= 1 and set(masks.unique().tolist()) == {0.0, 1.0}


def test_every_picture_comes_once_before_any_comes_again():
    data = some_data(count=12)
    data.masks = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 1, 16, 16).clone()
    seen = [
        next(batches)[1][:, 0, 0, 0] for batches in [segmentation.Batches(data, 4, color_jitter=0.0)] for _ in range(6)
    ]
    order = torch.cat(seen).int().tolist()
    assert sorted(order[:12]) == sorted(order[12:]) == list(range(12)) and order[:12] != order[12:]


def test_batches_are_the_same_for_the_same_seed():
    first, second = (next(segmentation.Batches(some_data(), 4, seed=9)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_loss_is_the_mean_squared_difference():
    model = UNet(channels=(4, 8))
    data = some_data(2)
    expected = ((model(data.images) - data.masks).detach().numpy() ** 2).mean()
    assert segmentation.loss(model, (data.images, data.masks)).item() == pytest.approx(float(expected), rel=1e-5)


def test_overlap_adds_one_minus_dice():
    model, data = UNet(channels=(4, 8)), some_data(3)
    batch = (data.images, data.masks)
    found = model(data.images).detach().clamp(0, 1)
    dice = 2 * (found * data.masks).sum((1, 2, 3)) / ((found + data.masks).sum((1, 2, 3)) + 1)
    plain, more = (segmentation.loss(model, batch, overlap).item() for overlap in (0.0, 0.5))
    assert more - plain == pytest.approx(0.5 * (1 - dice.mean().item()), rel=1e-4)


def test_the_first_batches_may_be_of_half_size_and_then_color_stay():
    data = some_data()
    seen = [next(batches) for batches in [segmentation.Batches(data, 4, low_res_steps=2)] for _ in range(4)]
    assert [images.shape[-1] for images, _ in seen] == [8, 8, 16, 16]
    assert set(seen[0][1].unique().tolist()) <= {0.0, 1.0}
    assert torch.allclose(seen[2][0][:, :1], seen[2][1] * 1.6 - 0.8)


def test_predict_is_the_network_in_batches():
    model, data = UNet(channels=(4, 8)).eval(), some_data(7)
    with torch.no_grad():
        whole = model(data.images)
    assert torch.allclose(segmentation.predict(model, data.images, batch_size=3), whole, atol=1e-6)


def test_correlations_agree_with_numpy():
    maps, region = torch.randn(5, 6, 4, 4), torch.rand(5, 1, 4, 4)
    expected = [np.corrcoef(maps[:, c].flatten(), region.flatten())[0, 1] for c in range(6)]
    assert channel_correlations(maps, region).numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_correlations_find_the_channel_that_shows_the_mask():
    masks = (torch.rand(4, 1, 16, 16) > 0.5).float()
    small = torch.nn.functional.avg_pool2d(masks, 4)
    maps = torch.cat([torch.randn(4, 2, 4, 4), 3 * small - 1, -small, torch.zeros(4, 1, 4, 4)], dim=1)
    found = channel_correlations(maps, masks)
    assert found.argmax() == 2 and found[2] == pytest.approx(1, abs=1e-5)
    assert found[3] == pytest.approx(-1, abs=1e-5) and found[4] == 0


def test_regions_cover_the_picture():
    data = some_data(3)
    regions = foreground_background_masks(torch.rand(3, 3, 16, 16) * 2 - 1, data.masks)
    assert torch.equal(regions["the body"] + regions["the background"], torch.ones(3, 1, 16, 16))
    assert torch.equal(regions["bright ground"] + regions["dark ground"], regions["the background"])
    assert regions["bright ground"].mean() == pytest.approx(regions["dark ground"].mean().item(), abs=0.02)


def test_asking_from_all_sides_undoes_every_turn():
    """A network that copies a channel answers alike from all sides; one that looks to its left must not."""

    class Copies(torch.nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift, self.weight = shift, torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x[:, :1].roll(self.shift, dims=3)

    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(segmentation.predict_tta(Copies(0), images), images[:, :1], atol=1e-6)
    around = sum(images[:, :1].roll(step, dims=d) for step in (1, -1) for d in (2, 3)) / 4  # all four neighbors
    assert torch.allclose(segmentation.predict_tta(Copies(1), images), around, atol=1e-6)
