"""The measures of `ships`: nearest neighbors, variety, the share called ships; and the classifier that calls them
so."""

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.data.ships.cifar10 import CLASSES
from stablediff_edu.errors import UserError
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks.ddpm_evaluation import (
    evaluate_ships,
    sample_images,
)

CARD = dict(schedule="cosine", prediction="v_prediction", size="32")


@pytest.fixture
def small():
    """An untrained noise predictor."""
    torch.manual_seed(0)
    return UNet(3, 3, (8, 8), time=8, patch=4).eval()


@pytest.fixture
def little_cifar(tmp_path, monkeypatch):
    """A folder like the JPEG copies of CIFAR-10, with six images a class: ships are blue, all else is not."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CLASSES:
            folder = tmp_path / "cifar10" / part / name
            folder.mkdir(parents=True)
            for number in range(6):
                noise = rng.integers(0, 120, (32, 32, 3))
                noise[..., 2 if name == "ship" else 0] += 120
                Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path))
    return tmp_path / "cifar10"


class Blue(torch.nn.Module):
    """A classifier to whom blue images are ships."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return {"ship": self.weight * (x[:, 2].mean(dim=(1, 2)) - x[:, 0].mean(dim=(1, 2)))[:, None]}


def test_a_picture_is_the_same_however_many_are_drawn_with_it(small):
    many = sample_images(small, CARD, 7, seed=4, batch_size=3, steps=2)
    assert many.shape == (7, 3, 32, 32) and many.abs().max() <= 1
    assert torch.allclose(sample_images(small, CARD, 2, seed=4, steps=2), many[:2], atol=1e-5)
    assert not torch.allclose(sample_images(small, CARD, 2, seed=5, steps=2), many[:2], atol=0.1)


def test_quality_compares_samples_with_real_ships(small, little_cifar):
    quality = evaluate_ships(small, CARD, count=6, classifier=Blue(), steps=2)
    assert (quality.count, quality.real_ships, quality.other_classes) == (6, 1.0, 0.0)
    assert 0 <= quality.ships <= 1 and quality.seconds > 0
    assert quality.novelty == quality.nearest / quality.real_nearest
    text = str(quality)
    assert "called ship" in text and "new, not copies" in text and "variety" in text and "wanted: at least 85%" in text


def test_copies_of_training_ships_are_found_out(small, little_cifar, monkeypatch):
    from stablediff_edu.data.ships.cifar10 import load_cifar10

    ships = load_cifar10(["ship"])[0].images
    monkeypatch.setattr(
        "stablediff_edu.tasks.ddpm_evaluation.sample_images", lambda *_, **__: ships[[0, 1, 2, 0]].flip(3)
    )
    quality = evaluate_ships(small, CARD, count=4, classifier=Blue())
    assert quality.novelty == 0 and quality.ships == 1 and 0.5 < quality.relative_diversity < 1


def test_pictures_of_another_size_are_scaled_for_the_judge(small, little_cifar):
    assert evaluate_ships(small, CARD | dict(size="64"), count=2, classifier=Blue(), steps=1).diversity > 0


def test_without_photographs_and_with_too_few_samples_it_says_one_sentence(small, tmp_path, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"CIFAR-10 is not in .* fetch cifar10"):
        evaluate_ships(small, CARD, count=4, classifier=Blue())
    with pytest.raises(UserError, match="at least 2"):
        evaluate_ships(small, CARD, count=1, classifier=Blue())
