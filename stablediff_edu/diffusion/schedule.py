"""Noise schedules, and the conversions between clean image, noise and noisy image.

One formula holds it together (Ho, Jain and Abbeel, 2020, "Denoising diffusion probabilistic models", equation 4):

    xt = √ᾱ[t] · x0 + √(1 - ᾱ[t]) · eps

`x0` is the clean image, `eps` the noise, `xt` the noisy image at step t; ᾱ (`alpha_bar`) falls from nearly 1 to
nearly 0. Whoever knows two of x0, eps and xt knows the third.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch

from stablediff_edu.config import to_device
from stablediff_edu.errors import UserError

EXACT: dict[str, Any] = dict(dtype=torch.float64, device="cpu")  # whatever torch's default device is
PREDICTIONS = ("epsilon", "sample", "v_prediction")  # what a network may predict; the video: epsilon


@dataclass(frozen=True, eq=False)  # two tensors cannot be compared by ==
class NoiseSchedule:
    """ᾱ, (T,) float64: the share of the image in xt's variance, from the first timestep to the last; T is usually
    1000."""

    alpha_bar: torch.Tensor
    _tables: dict = field(default_factory=dict, init=False, repr=False, compare=False)  # copies on other devices

    @classmethod
    def from_betas(cls, betas: torch.Tensor) -> "NoiseSchedule":
        """Return the schedule whose step t adds the share β[t] of fresh noise: ᾱ[t] = (1-β[0]) (1-β[1]) … (1-β[t])."""
        return cls((1 - betas.cpu().double()).cumprod(0))

    @classmethod
    def linear(cls, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> "NoiseSchedule":
        """β grows in a straight line (Ho et al., 2020, section 4)."""
        return cls.from_betas(torch.linspace(first, last, check_num_steps(steps), **EXACT))

    @classmethod
    def scaled_linear(cls, steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> "NoiseSchedule":
        """√β grows in a straight line: Stable Diffusion's (Rombach et al., 2022)."""
        return cls.from_betas(torch.linspace(first**0.5, last**0.5, check_num_steps(steps), **EXACT) ** 2)

    @classmethod
    def scaled_linear_zero_snr(cls) -> "NoiseSchedule":
        """Stable Diffusion's, stretched so that the last step is noise alone: some v-prediction models have it."""
        return cls.scaled_linear().zero_terminal_snr()

    @classmethod
    def cosine(cls, steps: int = 1000, offset: float = 0.008, most: float = 0.999) -> "NoiseSchedule":
        """ᾱ falls like a squared cosine (Nichol and Dhariwal, 2021, equation 17); no β above `most`."""
        edges = torch.arange(check_num_steps(steps) + 1, **EXACT) / steps
        share = torch.cos((edges + offset) / (1 + offset) * torch.pi / 2) ** 2
        return cls.from_betas((1 - share[1:] / share[:-1]).clamp(max=most))

    def zero_terminal_snr(self) -> "NoiseSchedule":
        """Return the schedule stretched so that the last step is noise alone (Lin et al., 2024, algorithm 1)."""
        root = self.alpha_bar.sqrt()
        return NoiseSchedule(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2)

    def __len__(self) -> int:
        return len(self.alpha_bar)

    @property
    def sigmas(self) -> torch.Tensor:
        """(T,) σ = √((1-ᾱ)/ᾱ): how many times stronger than the image the noise is."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    def at(self, t: torch.Tensor | float) -> torch.Tensor:
        """Return ᾱ[t], float64; between two steps σ runs in a straight line (Euler's samplers stop there)."""
        t = torch.as_tensor(t, device="cpu").double()  # in this order: MPS has no float64
        if not ((t >= 0) & (t <= len(self) - 1)).all():
            raise UserError(f"Step {t.tolist()} is not there: this schedule's steps are 0 to {len(self) - 1}.")
        below, above, sigmas = t.floor().long(), t.ceil().long(), self.sigmas
        sigma = torch.lerp(sigmas[below], sigmas[above], t - below)
        return torch.where(below == above, self.alpha_bar[below], 1 / (1 + sigma**2))

    def coefficients(self, t: torch.Tensor | float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (√ᾱ[t], √(1-ᾱ[t])), each shaped (B, 1, 1, 1) so that it multiplies images like `like`."""
        if isinstance(t, torch.Tensor) and t.device.type != "cpu" and not t.is_floating_point():
            shares = self._table(t.device)[t.reshape(-1)].to(like).T  # (B, 2) -> (2, B), looked up on the device
        else:
            alpha_bar = self.at(t).reshape(-1)
            shares = torch.stack([alpha_bar.sqrt(), (1 - alpha_bar).sqrt()])
            shares = to_device(shares.to(like.dtype), like.device)
        return tuple(shares.reshape(2, -1, *[1] * (like.dim() - 1)))

    def _table(self, device: torch.device) -> torch.Tensor:
        """Return (T, 2) float32 on a device, √ᾱ and √(1-ᾱ): looking a step up there makes the CPU wait for nothing."""
        if device not in self._tables:
            shares = torch.stack([self.alpha_bar.sqrt(), (1 - self.alpha_bar).sqrt()], dim=1)
            self._tables[device] = shares.float().to(device)
        return self._tables[device]

    def add_noise(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor | int) -> torch.Tensor:
        """Return xt, the noisy image at step t: a number, or one for every image."""
        signal, noise = self.coefficients(t, x0)
        return signal * x0 + noise * eps

    def predict_x0(self, xt: torch.Tensor, eps: torch.Tensor, t: torch.Tensor | int) -> torch.Tensor:
        """Return the image that is left when the noise eps is taken away from xt."""
        signal, noise = self.coefficients(t, xt)
        return (xt - noise * eps) / signal

    def target(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor | int, prediction: str) -> torch.Tensor:
        """Return the training target; velocity is √ᾱ·eps - √(1-ᾱ)·x0 (Salimans and Ho, 2022, appendix D)."""
        signal, noise = self.coefficients(t, x0)
        targets = {"epsilon": eps, "sample": x0, "v_prediction": signal * eps - noise * x0}
        return targets[check_choice(prediction, PREDICTIONS, "prediction")]

    def to_noise(self, answer: torch.Tensor, xt: torch.Tensor, t: torch.Tensor | int, prediction: str) -> torch.Tensor:
        """Return the noise of a prediction: each of the three follows from any other and xt."""
        return to_x0_eps(answer, xt, *self.coefficients(t, xt), prediction)[1]


def to_x0_eps(
    answer: torch.Tensor, xt: torch.Tensor, signal: torch.Tensor | float, noise: torch.Tensor | float, prediction: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (x0, eps) of a prediction, where xt = signal · x0 + noise · eps."""
    if check_choice(prediction, PREDICTIONS, "prediction") == "epsilon":
        return (xt - noise * answer) / signal, answer
    if prediction == "sample":
        return answer, (xt - signal * answer) / noise
    return signal * xt - noise * answer, noise * xt + signal * answer  # divides by nothing: good at both ends


def check_choice(name: str, names: Collection[str], kind: str) -> str:
    """Return `name` if it is one of `names`, else raise UserError with the names that there are."""
    if name not in names:
        raise UserError(f"There is no {kind} {name!r}; choose one of: {', '.join(names)}.")
    return name


def check_num_steps(steps: int, most: int = 100_000) -> int:
    """Return `steps` if it is a whole number from 1 to `most`, else raise UserError."""
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= most:
        raise UserError(f"{steps!r} is no number of steps; give a whole number from 1 to {most}.")
    return steps
