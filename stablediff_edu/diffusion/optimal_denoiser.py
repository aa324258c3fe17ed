"""The optimal denoiser: the best possible prediction when the clean image is one of a few known ones.

Nothing is learned here. Each known image gets the weight that Bayes' rule gives it, and the prediction is the
weighted mean (Karras et al., 2022, appendix B.3, "Denoising score matching"). A network that has seen only these
images can at best do the same: so it bounds what networks can reach, and a sampler that uses it must end at one of
the images.
"""

from collections.abc import Callable

import torch

from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule, check_choice
from stablediff_edu.errors import UserError


def optimal_denoiser(
    images: torch.Tensor, schedule: NoiseSchedule, prediction: str = "epsilon"
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the optimal prediction as a function, to be used like a network: (xt, t) -> prediction.

    Args:
        images: (N, 3, H, W) in [-1, 1], each as likely as the others. A single one is always the prediction.
        schedule: how the images were mixed with noise.
        prediction: what to predict: "epsilon", "sample" or "v_prediction".

    Raises:
        UserError: there is no image, the noisy images are of another size, or the prediction has an unknown name.
    """
    check_choice(prediction, PREDICTIONS, "prediction")
    if images.ndim != 4 or len(images) == 0:
        raise UserError(f"The ideal denoiser needs images (N, 3, H, W), at least one, not {tuple(images.shape)}.")

    def answer(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x0 = posterior_mean(xt, t, images, schedule)
        signal, noise = schedule.coefficients(t, xt)
        return schedule.target(x0, (xt - signal * x0) / noise, t, prediction)

    return answer


def posterior_mean(xt: torch.Tensor, t: torch.Tensor, images: torch.Tensor, schedule: NoiseSchedule) -> torch.Tensor:
    """Return Σ wᵢ·xᵢ, the mean of the known images xᵢ weighted by how well each explains xt: (B, 3, H, W).

    xt = √ᾱ·xᵢ + √(1-ᾱ)·eps has the probability exp(-|xt - √ᾱ·xᵢ|² / (2 (1-ᾱ))) but for a factor that all share.
    """
    if xt.shape[1:] != images.shape[1:]:
        raise UserError(
            f"These noisy images are {tuple(xt.shape[1:])}, the known ones {tuple(images.shape[1:])}; "
            "give them one size."
        )
    # in float64, hence on the CPU: MPS has none
    mixed, dataset = xt.cpu().double().flatten(1), images.cpu().double().flatten(1)  # (B, D) and (N, D)
    signal, noise = schedule.coefficients(torch.as_tensor(t).cpu(), mixed)  # (B, 1) each, or (1, 1)
    # |xt - √ᾱ·xᵢ|² multiplied out; |xt|² is left out, as it is the same for every image
    sq_dist = signal**2 * dataset.square().sum(1) - 2 * signal * mixed @ dataset.T  # (B, N)
    weights = torch.softmax(-sq_dist / (2 * noise**2), dim=1)  # (B, N)
    return (weights @ dataset).reshape(xt.shape).to(xt.dtype).to(xt.device)
