"""The film of a noise predictor's training, the cost of a step, and ships that were not learned from."""

import torch

from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.data.ships.dataset import load_ships, load_test_ships
from stablediff_edu.diffusion.optimal_denoiser import optimal_denoiser
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.notebook.progress import live_images
from stablediff_edu.plotting.ch03_snapshots import DenoisingSnapshots
from stablediff_edu.training.benchmark import benchmark_train_step

X0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Knows(torch.nn.Module):
    """A network that knows the image."""

    def __init__(self, schedule: NoiseSchedule):
        super().__init__()
        self.answer, self.weight = optimal_denoiser(X0, schedule), torch.nn.Parameter(torch.zeros(1))

    def forward(self, xt, t):
        return self.answer(xt, t)


def test_whoever_knows_the_picture_finds_picture_and_noise():
    schedule = NoiseSchedule.linear()
    film = DenoisingSnapshots(X0, schedule, ts=(10, 300, 900))
    images, noise = film.snapshot(Knows(schedule))
    assert torch.allclose(images, X0.expand(3, -1, -1, -1), atol=1e-3)
    assert torch.allclose(noise, film.eps, atol=1e-3)
    assert torch.equal(film.xt[1:2], schedule.add_noise(X0, film.eps[1:2], 300))


def test_a_snapshot_takes_no_chance_from_the_training():
    film = DenoisingSnapshots(X0, NoiseSchedule.linear(), ts=(10, 300))
    before = torch.get_rng_state()
    film.snapshot(Knows(NoiseSchedule.linear()))
    assert torch.equal(before, torch.get_rng_state())


def test_the_film_has_four_rows_and_a_column_for_each_level():
    schedule = NoiseSchedule.linear()
    film = DenoisingSnapshots(X0, schedule, ts=(10, 300, 900))
    image = film.render(0, film.snapshot(Knows(schedule)))
    assert image.size == (3 * 112 + 2 * 4, 4 * 112 + 3 * 4)


def test_live_pictures_stand_in_rows():
    assert live_images(4)(0, torch.zeros(6, 3, 8, 8)).size == (4 * 96 + 3 * 4, 2 * 96 + 4)


def test_a_larger_picture_costs_more():
    assert 0 < benchmark_train_step(16, batch=1, repeats=1) < benchmark_train_step(128, batch=1, repeats=1)


def test_unseen_drawn_ships_are_other_ships():
    learned = load_ships(20, 16, "synthetic")
    unseen = load_test_ships(20, learned)
    assert unseen.images.shape == learned.images.shape
    assert torch.cdist(unseen.images.flatten(1), learned.images.flatten(1)).min() > 0.5


def test_unseen_photographs_are_the_test_ones(monkeypatch):
    asked = {}

    def load(classes, train=True, limit=None):
        asked.update(classes=classes, train=train, limit=limit)
        return ImageDataset(torch.zeros(limit, 3, 32, 32), "CIFAR-10"), None

    monkeypatch.setattr("stablediff_edu.data.ships.dataset.load_cifar10", load)
    load_test_ships(5, ImageDataset(torch.zeros(9, 3, 32, 32), "CIFAR-10 (JPEG copies)"))
    assert asked == dict(classes=["ship"], train=False, limit=5)
