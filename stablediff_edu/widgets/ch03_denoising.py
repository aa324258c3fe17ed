"""The panel of chapter 3: remove noise in one step, or in many small steps from pure noise."""

from collections.abc import Sequence

import torch

from stablediff_edu.config import device_of
from stablediff_edu.diffusion.schedule import NoiseSchedule, to_x0_eps
from stablediff_edu.metrics.images import psnr
from stablediff_edu.widgets.base import nearest_multiple
from stablediff_edu.widgets.controls import Note, Select, Slider
from stablediff_edu.widgets.trajectory import Model, TrajectoryPanel

STEPS = (1, 2, 5, 10, 20, 50, 100)
NOISE_SCALE = 3  # noise exceeds [-1, 1]: a third of it is shown
SIDE = 192
TITLES = {  # of the images
    "noisy image": "noisy image xₜ",
    "added noise": "added noise ε",
    "predicted noise": "predicted noise ε̂",
    "denoised image": "denoised image x̂₀",
    "x_t": "xₜ",
    "predicted clean image": "predicted clean image x̂₀",
    "original": "original x₀",
}


@torch.no_grad()
def predict_once(
    model: Model, schedule: NoiseSchedule, x0: torch.Tensor, eps: torch.Tensor, t: int, prediction: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Add noise to images (B, 3, H, W) and predict once: (x_t, predicted clean image, predicted noise) on the CPU."""
    xt = schedule.add_noise(x0, eps, t)
    device = device_of(model)
    output = model(xt.to(device), torch.full((len(xt),), t, device=device)).cpu()
    return xt, *to_x0_eps(output, xt, *schedule.coefficients(t, xt), prediction)


class DenoisingPanel(TrajectoryPanel):
    """Controls: timestep, sampling steps, sampling step, seed, and image if there are several.

    Images: noisy image, added noise, predicted noise, denoised image; x_t, predicted clean image, original.
    `.prediction_note` and `.note` say in words what the two rows show.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        x0: clean images, (N, 3, H, W) in [-1, 1].
        prediction: what the model predicts: "noise", "clean" or "velocity".
        sampler, clip: of the sampling trajectory, as for `sample`.
        steps: numbers of sampling steps to choose from.
    """

    def __init__(
        self,
        model: Model,
        schedule: NoiseSchedule,
        x0: torch.Tensor,
        prediction: str = "noise",
        *,
        sampler: str = "ddim",
        clip: bool = True,
        steps: Sequence[int] = STEPS,
    ) -> None:
        chosen = Select("sampling steps", steps, steps[len(steps) * 3 // 4])
        shape, options = (1, *x0.shape[1:]), dict(prediction=prediction, clip=clip)
        super().__init__("Denoising", model, schedule, shape, sampler, chosen, **options)
        self.clean, self.prediction, self.prediction_note = x0.cpu(), prediction, Note()
        last, side = len(schedule) - 1, nearest_multiple(x0.shape[-1], SIDE)
        self.controls["timestep"] = Slider("timestep t", 0, last, last * 2 // 5)
        if len(x0) > 1:
            self.controls["image"] = Select("image", {f"image {n + 1}": n for n in range(len(x0))})
        images = [self.image(name, side, title=title) for name, title in TITLES.items()]
        self.lay_out(
            ["image", "seed"],
            "One-step denoising at timestep t",
            ["timestep"],
            self.prediction_note,
            images[:4],
            "Sampling from pure noise",
            ["sampling steps", "sampling step"],
            images[4:],
            self.note,
        )
        self._predict()
        self.follow(self._predict, "timestep", "seed", "image")  # first what is quick
        self.begin()
        self.follow(self._show, "image")

    @property
    def _x0(self) -> torch.Tensor:
        return self.clean[self.value("image") if "image" in self.controls else 0]

    def _predict(self) -> None:
        t, x0 = self.value("timestep"), self._x0
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(self.value("seed")))
        xt, x0_pred, eps_pred = predict_once(self.model, self.schedule, x0[None], eps[None], t, self.prediction)
        self.show("noisy image", xt[0], f"noisy image at timestep {t}")
        self.show("added noise", eps / NOISE_SCALE, "the added noise")
        self.show("predicted noise", eps_pred[0] / NOISE_SCALE, f"noise predicted at timestep {t}")
        self.show("denoised image", x0_pred[0], f"image denoised in one step from timestep {t}")
        signal, noise = (float(share) for share in self.schedule.coefficients(t, x0[None]))
        self.prediction_note.value = (
            f"xₜ = {signal:.2f} · x₀ + {noise:.2f} · ε; denoised in one step: PSNR {psnr(x0_pred[0], x0):.1f} dB"
        )

    def _show(self) -> None:
        (step, at), shown = self.step_shown(), self.shown
        self.show("x_t", shown.xt[step, 0], f"noisy image, {at}")
        self.show("predicted clean image", shown.x0[step, 0], f"predicted clean image, {at}")
        self.show("original", self._x0, "the original image")
        quality = psnr(shown.x0[step, 0], self._x0)
        self.say(f"{at} · PSNR of the predicted clean image {quality:.1f} dB · sampling took {shown.seconds:.1f} s")
