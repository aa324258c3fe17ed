"""What a training step costs: measured on the network, the images or latents, that were asked for."""

import torch

from stablediff_edu.models.unet import UNet
from stablediff_edu.training import benchmark
from stablediff_edu.training.benchmark import benchmark_train_step


def test_the_step_is_that_of_the_sizes_asked_for(monkeypatch):
    made, seen = [], []

    class Watched(UNet):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            made.append((*sizes[:2], options["patch"]))

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return super().forward(x, t)

    monkeypatch.setattr(benchmark, "UNet", Watched)
    benchmark_train_step(8, batch=2, repeats=2)
    benchmark_train_step(8, batch=1, repeats=1, channels=4, patch=1)
    assert made == [(3, 3, 2), (4, 4, 1)]
    assert seen == [(2, 3, 8, 8)] * 3 + [(1, 4, 8, 8)] * 2  # one more than asked for, to warm up


def test_a_step_on_latents_costs_far_less_than_on_the_picture():
    latent = benchmark_train_step(16, 1, channels=4, patch=1)
    assert 0 < 5 * latent < benchmark_train_step(128, 1, repeats=1, channels=3, patch=1)
