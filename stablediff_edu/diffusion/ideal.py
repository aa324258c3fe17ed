"""The ideal denoiser: the best possible answer when the clean picture is one of a few that are known.

Nothing is learned here. Each known picture gets the weight that Bayes' rule gives it, and the answer is the weighted
mean (Karras et al., 2022, appendix B.3, "Denoising score matching"). A network that has seen only these pictures can at
best do the same: so it is a yardstick for networks, and samplers that are given it must arrive at one of the pictures.
"""

from collections.abc import Callable

import torch

from stablediff_edu.diffusion.schedule import PREDICTIONS, Schedule, chosen
from stablediff_edu.errors import CourseError


def ideal_denoiser(
    pictures: torch.Tensor, schedule: Schedule, prediction: str = "noise"
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the best answers to noisy pictures, to be used like a network: (xt, t) -> prediction.

    Args:
        pictures: (N, 3, H, W) in [-1, 1], each as likely as the others. One alone is always the answer.
        schedule: how the pictures were mixed with noise.
        prediction: what to answer: "noise", "clean" or "velocity".

    Raises:
        CourseError: there is no picture, the noisy pictures are of another size, or the prediction has an unknown name.
    """
    chosen(prediction, PREDICTIONS, "prediction")
    if pictures.ndim != 4 or len(pictures) == 0:
        raise CourseError(f"The ideal denoiser needs pictures (N, 3, H, W), at least one, not {tuple(pictures.shape)}.")

    def answer(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x0 = expected_picture(xt, t, pictures, schedule)
        signal, noise = schedule.signal_and_noise(t, xt)
        return schedule.target(x0, (xt - signal * x0) / noise, t, prediction)

    return answer


def expected_picture(xt: torch.Tensor, t: torch.Tensor, pictures: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """Return Σ wᵢ·xᵢ, the mean of the known pictures xᵢ weighted by how well each explains xt: (B, 3, H, W).

    xt = √ᾱ·xᵢ + √(1-ᾱ)·eps has the probability exp(-|xt - √ᾱ·xᵢ|² / (2 (1-ᾱ))) but for a factor that all share.
    """
    if xt.shape[1:] != pictures.shape[1:]:
        raise CourseError(
            f"These noisy pictures are {tuple(xt.shape[1:])}, the known ones {tuple(pictures.shape[1:])}; "
            "give them one size."
        )
    # in float64, hence on the CPU: MPS has none
    mixed, known = xt.cpu().double().flatten(1), pictures.cpu().double().flatten(1)  # (B, D) and (N, D)
    signal, noise = schedule.signal_and_noise(torch.as_tensor(t).cpu(), mixed)  # (B, 1) each, or (1, 1)
    # |xt - √ᾱ·xᵢ|² multiplied out; |xt|² is left out, as it is the same for every picture
    misfit = signal**2 * known.square().sum(1) - 2 * signal * mixed @ known.T  # (B, N)
    weights = torch.softmax(-misfit / (2 * noise**2), dim=1)  # (B, N)
    return (weights @ known).reshape(xt.shape).to(xt.dtype).to(xt.device)
