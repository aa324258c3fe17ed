"""The film of a noise predictor's training, the cost of a step, and ships that were not learned from."""

import torch

from stablediff_edu.datasets.pictures import Pictures
from stablediff_edu.datasets.ships import load_ships, unseen_ships
from stablediff_edu.diffusion.ideal import ideal_denoiser
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.live import live_pictures
from stablediff_edu.display.noise_film import NoiseFilm
from stablediff_edu.training.cost import seconds_per_step

X0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Knows(torch.nn.Module):
    """A network that knows the picture."""

    def __init__(self, schedule: Schedule):
        super().__init__()
        self.answer, self.weight = ideal_denoiser(X0, schedule), torch.nn.Parameter(torch.zeros(1))

    def forward(self, xt, t):
        return self.answer(xt, t)


def test_whoever_knows_the_picture_finds_picture_and_noise():
    schedule = Schedule.linear()
    film = NoiseFilm(X0, schedule, ts=(10, 300, 900))
    pictures, noise = film.snapshot(Knows(schedule))
    assert torch.allclose(pictures, X0.expand(3, -1, -1, -1), atol=1e-3)
    assert torch.allclose(noise, film.eps, atol=1e-3)
    assert torch.equal(film.xt[1:2], schedule.add_noise(X0, film.eps[1:2], 300))


def test_a_snapshot_takes_no_chance_from_the_training():
    film = NoiseFilm(X0, Schedule.linear(), ts=(10, 300))
    before = torch.get_rng_state()
    film.snapshot(Knows(Schedule.linear()))
    assert torch.equal(before, torch.get_rng_state())


def test_the_film_has_four_rows_and_a_column_for_each_level():
    schedule = Schedule.linear()
    film = NoiseFilm(X0, schedule, ts=(10, 300, 900))
    image = film.draw(0, film.snapshot(Knows(schedule)))
    assert image.size == (3 * 112 + 2 * 4, 4 * 112 + 3 * 4)


def test_live_pictures_stand_in_rows():
    assert live_pictures(4)(0, torch.zeros(6, 3, 8, 8)).size == (4 * 96 + 3 * 4, 2 * 96 + 4)


def test_a_larger_picture_costs_more():
    assert 0 < seconds_per_step(16, batch=1, repeats=1) < seconds_per_step(128, batch=1, repeats=1)


def test_unseen_drawn_ships_are_other_ships():
    learned = load_ships(20, 16, "drawn")
    unseen = unseen_ships(20, learned)
    assert unseen.pictures.shape == learned.pictures.shape
    assert torch.cdist(unseen.pictures.flatten(1), learned.pictures.flatten(1)).min() > 0.5


def test_unseen_photographs_are_the_test_ones(monkeypatch):
    asked = {}

    def load(classes, train=True, most=None):
        asked.update(classes=classes, train=train, most=most)
        return Pictures(torch.zeros(most, 3, 32, 32), "CIFAR-10"), None

    monkeypatch.setattr("stablediff_edu.datasets.ships.load_cifar10", load)
    unseen_ships(5, Pictures(torch.zeros(9, 3, 32, 32), "CIFAR-10 (JPEG copies)"))
    assert asked == dict(classes=["ship"], train=False, most=5)
