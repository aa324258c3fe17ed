"""The ideal denoiser is the exact posterior mean, and samplers that follow it arrive at images that exist."""

import pytest
import torch

from stablediff_edu.diffusion.optimal_denoiser import optimal_denoiser, posterior_mean
from stablediff_edu.diffusion.samplers import SAMPLERS, sample_final
from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule
from stablediff_edu.errors import UserError

SCHEDULE = NoiseSchedule.linear()
PICTURES = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def noisy(number: int, t: torch.Tensor) -> torch.Tensor:
    eps = torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return SCHEDULE.add_noise(PICTURES[:1].expand(number, -1, -1, -1), eps, t)


def test_it_is_the_formula_written_out_for_each_picture():
    t = torch.tensor([3, 400, 700, 999])
    xt = noisy(4, t)
    for one, step, got in zip(xt, t, posterior_mean(xt, t, PICTURES, SCHEDULE), strict=True):
        share = SCHEDULE.alpha_bar[step]
        likely = torch.stack(
            [(-(one.double() - share.sqrt() * x).square().sum() / (2 * (1 - share))).exp() for x in PICTURES]
        )
        by_hand = sum(w * x for w, x in zip(likely / likely.sum(), PICTURES, strict=True))
        assert torch.allclose(got, by_hand, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_picture_is_always_the_answer(prediction: str):
    for t in (0, 500, 999):
        t = torch.full((3,), t)
        xt = noisy(3, t).double()
        answer = optimal_denoiser(PICTURES[2:3], SCHEDULE, prediction)(xt, t)
        eps = SCHEDULE.to_noise(answer, xt, t, prediction)
        assert torch.allclose(SCHEDULE.predict_x0(xt, eps, t), PICTURES[2:3].double().expand_as(xt), atol=1e-9)


def test_little_noise_shows_the_picture_and_noise_alone_the_mean_of_all():
    some = torch.zeros(2, dtype=torch.long)
    near = posterior_mean(noisy(2, some), some, PICTURES, SCHEDULE)
    assert torch.allclose(near, PICTURES[:1].expand_as(near), atol=1e-6)
    alone = SCHEDULE.zero_terminal_snr()
    far = posterior_mean(torch.randn(2, 3, 4, 4), torch.full((2,), 999), PICTURES, alone)
    assert torch.allclose(far, PICTURES.mean(0).expand_as(far), atol=1e-6)


def test_no_other_answer_is_better_on_average():
    """Mean squared error over known truths: moving away from the ideal answer in any direction makes it larger."""
    rng = torch.Generator().manual_seed(2)
    which, t = torch.randint(5, (4000,), generator=rng), torch.full((4000,), 600)
    xt = SCHEDULE.add_noise(PICTURES[which], torch.randn(4000, 3, 4, 4, generator=rng), t)
    best = posterior_mean(xt, t, PICTURES, SCHEDULE)
    error = (best - PICTURES[which]).square().mean()
    for other in (0.9 * best, 1.1 * best, best + 0.1, 0.8 * best + 0.2 * PICTURES.mean(0)):
        assert (other - PICTURES[which]).square().mean() > error * 1.001


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_sampler_arrives_at_pictures_that_exist(sampler: str, prediction: str):
    model = optimal_denoiser(PICTURES, SCHEDULE, prediction)
    drawn = sample_final(model, SCHEDULE, (12, 3, 4, 4), 50, sampler, prediction)
    distances = (drawn[:, None] - PICTURES).abs().amax((2, 3, 4))  # (12, 5)
    assert distances.amin(1).max() < 0.02
    assert len(distances.argmin(1).unique()) >= 3  # and not always at the same one


def test_bad_input_gets_one_sentence():
    with pytest.raises(UserError, match=r"at least one, not \(0, 3, 4, 4\)"):
        optimal_denoiser(PICTURES[:0], SCHEDULE)
    with pytest.raises(UserError, match="one size"):
        optimal_denoiser(PICTURES, SCHEDULE)(torch.zeros(1, 3, 8, 8), torch.tensor([5]))
    with pytest.raises(UserError, match="no prediction 'score'"):
        optimal_denoiser(PICTURES, SCHEDULE, "score")
