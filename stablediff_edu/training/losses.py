"""Training a noise predictor: batches of clean images, and the loss (Ho et al., 2020, algorithm 1)."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.training.amp import memory_format


def batches(
    images: torch.Tensor, batch_size: int, device: torch.device | str = "cpu", flip: bool = False
) -> Iterator[torch.Tensor]:
    """Give batches of clean images, sampled at random, for ever: (N, 3, S, S) -> (B, 3, S, S).

    With `flip` half of them are mirrored. All randomness comes from torch's default generator, whose state the
    training loop saves, so that an interrupted training resumes exactly.
    """
    while True:
        chosen = images[torch.randint(len(images), (batch_size,))]
        if flip:
            flipped = torch.rand(batch_size, 1, 1, 1) < 0.5
            chosen = torch.where(flipped, chosen.flip(3), chosen)
        yield to_device(chosen, device, memory_format=memory_format(torch.device(device)))


def diffusion_loss(
    model: nn.Module,
    x0: torch.Tensor,
    schedule: NoiseSchedule,
    prediction: str = "epsilon",
    fixed_timestep: int | None = None,
    middle: bool = False,
) -> torch.Tensor:
    """Return the mean squared error of the predicted noise, each image of the batch at its own timestep.

    The image, the noise and the step are known, so the right answer is: (B, 3, S, S) -> one number. All steps are
    equally likely; with `middle` those in the middle, where shapes are decided, come oftener (the logit-normal draw of
    Esser et al., 2024, section 3.1). With `fixed_timestep` all images are at that one.
    """
    count = len(schedule)
    if middle:
        t = (torch.randn(len(x0)).sigmoid() * count).long().clamp(max=count - 1)
    else:
        t = torch.randint(count, (len(x0),))
    if fixed_timestep is not None:
        t = torch.full_like(t, fixed_timestep)
    t, eps = to_device(t, x0.device), to_device(torch.randn(x0.shape), x0.device, dtype=x0.dtype)
    xt = schedule.add_noise(x0, eps, t)
    return F.mse_loss(model(xt, t), schedule.target(x0, eps, t, prediction))


@torch.no_grad()
def mse_by_timestep(
    model: nn.Module, x0: torch.Tensor, schedule: NoiseSchedule, ts: Sequence[int], count: int = 16, seed: int = 0
) -> list[float]:
    """Return the mean squared error of the predicted noise at each of the timesteps `ts`, on fresh noise.

    Args:
        model: predicts the noise.
        x0: (1, 3, S, S) the clean image.
        count: how many noise samples for each step; the same ones for every model with the same seed.
    """
    device = device_of(model)
    clean, rng = x0.cpu().expand(count, -1, -1, -1), torch.Generator().manual_seed(seed)
    errors = []
    for t in ts:
        eps = torch.randn(clean.shape, generator=rng)
        xt = to_device(schedule.add_noise(clean, eps, t), device)
        errors.append(F.mse_loss(model(xt, torch.full((count,), t, device=device)).cpu(), eps).item())
    return errors
