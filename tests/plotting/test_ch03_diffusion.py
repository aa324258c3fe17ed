"""The live image of a noise predictor's training."""

import torch

from stablediff_edu.diffusion.optimal_denoiser import optimal_denoiser
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.plotting.ch03_diffusion import DenoisingSnapshots

X0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


class KnowsTheImage(torch.nn.Module):
    def __init__(self, schedule: NoiseSchedule):
        super().__init__()
        self.denoiser, self.weight = optimal_denoiser(X0, schedule), torch.nn.Parameter(torch.zeros(1))

    def forward(self, xt, t):
        return self.denoiser(xt, t)


def test_a_network_that_knows_the_image_predicts_image_and_noise():
    schedule, before = NoiseSchedule.linear(), torch.get_rng_state()
    film = DenoisingSnapshots(X0, schedule, ts=(10, 300, 900))
    snapshot = film.snapshot(KnowsTheImage(schedule))
    assert torch.allclose(snapshot[0], X0.expand(3, -1, -1, -1), atol=1e-3)
    assert torch.allclose(snapshot[1], film.eps, atol=1e-3)
    assert torch.equal(film.xt[1:2], schedule.add_noise(X0, film.eps[1:2], 300))
    assert film.render(0, snapshot).size == (3 * 112 + 2 * 4, 4 * 112 + 3 * 4)
    assert torch.equal(before, torch.get_rng_state())  # the training's random numbers are untouched
