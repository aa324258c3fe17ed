"""Ships: drawn, real or the learner's own, and which of them are taken."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.data.scenes.objects_ships import SHIPS
from stablediff_edu.data.scenes.scene import render_scene
from stablediff_edu.data.ships.dataset import describe_ships, load_ships, load_test_ships, render_ships, ship_scene
from stablediff_edu.errors import UserError


def write_photographs(folder: Path, count: int) -> Path:
    """CIFAR-10 as single files: flat ships, each a little brighter than the one before."""
    (folder / "train/ship").mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (32, 32), (10 * number, 0, 0)).save(folder / f"train/ship/{number:04}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder of the test's own."""
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_ship_is_decided_by_the_seed_and_its_number():
    ships = load_ships(7, source="synthetic", seed=3)
    assert ships.images.shape == (7, 3, 32, 32) and ships.images.dtype == torch.float32
    assert ships.images.min() >= -1 and ships.images.max() <= 1 and ships.source == "synthetic ships"
    assert render_ships(3, seed=3).images.equal(ships.images[:3])
    assert not render_ships(3, seed=4).images.equal(ships.images[:3])
    assert render_ships(6, 48, seed=2).images[5].equal(render_scene(ship_scene(5, seed=2), 48))


def test_only_ships_are_drawn_of_every_kind():
    assert {ship_scene(number).object_class for number in range(150)} == set(SHIPS)


def test_no_two_ships_are_alike():
    flat = render_ships(60).images.flatten(1)
    distances = torch.cdist(flat, flat) + 1e3 * torch.eye(60)
    assert distances.min() > 5


def test_drawn_ships_are_taken_while_there_are_too_few_photographs(data: Path):
    assert load_ships(3).source == "synthetic ships"
    assert describe_ships(3) == "synthetic ships (built in) · real ones: python -m stablediff_edu fetch cifar10"
    write_photographs(data / "cifar10", 2)
    assert load_ships(3).source == "synthetic ships" and load_ships(2).source.startswith("CIFAR-10")
    assert "real ones (only 2 there): python -m stablediff_edu fetch cifar10" in describe_ships(3)
    assert describe_ships(2) == f"CIFAR-10, 2 photographs of ships in {data / 'cifar10'}"


def test_photographs_can_be_asked_for(data: Path):
    with pytest.raises(UserError, match=r"CIFAR-10 is not in .*; get it with: python -m stablediff_edu fetch"):
        load_ships(2, source="cifar10")
    write_photographs(data / "cifar10", 4)
    ships = load_ships(3, source="cifar10")
    assert ships.images[:, 0, 0, 0].tolist() == pytest.approx([-1, 10 / 127.5 - 1, 20 / 127.5 - 1])
    assert len(load_ships(9, source="cifar10")) == 4
    scaled = load_ships(3, 48, source="cifar10")
    assert scaled.images.shape == (3, 3, 48, 48) and scaled.source.endswith("scaled to 48×48")
    assert scaled.images.min() >= -1


def test_real_ships(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    ships = load_ships(20, source="cifar10")
    assert ships.images.shape == (20, 3, 32, 32) and 0.3 < ships.images.std() < 0.8
    assert describe_ships().startswith("CIFAR-10, 5,000 photographs of ships in ")


def test_the_learners_own_folder(tmp_path: Path):
    for number, shape in enumerate([(40, 60, 3), (33, 20)]):
        Image.fromarray(np.full(shape, 90, np.uint8)).save(tmp_path / f"{number}.png")
    ships = load_ships(source=tmp_path)
    assert ships.images.shape == (2, 3, 32, 32) and ships.source.startswith("own images (2")
    assert len(load_ships(1, source=str(tmp_path))) == 1
    for wrong, match in (
        (dict(source="kaggle"), "no source of ships, and no folder, called 'kaggle'"),
        (dict(count=0), "1"),
    ):
        with pytest.raises(UserError, match=match):
            load_ships(**wrong)


def test_held_out_synthetic_ships_are_other_ships():
    training = load_ships(20, 16, "synthetic")
    held_out = load_test_ships(20, training)
    assert held_out.images.shape == training.images.shape
    assert torch.cdist(held_out.images.flatten(1), training.images.flatten(1)).min() > 0.5


def test_held_out_photographs_are_those_of_the_test_set(monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def load(classes, train=True, limit=None):
        asked.update(classes=classes, train=train, limit=limit)
        return ImageDataset(torch.zeros(limit, 3, 32, 32), "CIFAR-10"), None

    monkeypatch.setattr("stablediff_edu.data.ships.dataset.load_cifar10", load)
    load_test_ships(5, ImageDataset(torch.zeros(9, 3, 32, 32), "CIFAR-10 (JPEG copies)"))
    assert asked == dict(classes=["ship"], train=False, limit=5)
