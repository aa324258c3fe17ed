"""The panel of chapter 3: remove noise in one step, or in many small steps from pure noise."""

import torch

from stablediff_edu.diffusion.schedule import NoiseSchedule, to_x0_eps
from stablediff_edu.metrics.images import psnr
from stablediff_edu.widgets.base import evaluate
from stablediff_edu.widgets.controls import Note, Select, Slider, minus
from stablediff_edu.widgets.trajectory import Model, TrajectoryPanel

STEPS = (1, 2, 5, 10, 20, 50, 100)
NOISE_SCALE = 3  # noise exceeds [-1, 1]: a third of it is shown


def predict_once(
    model: Model, schedule: NoiseSchedule, x0: torch.Tensor, eps: torch.Tensor, t: int, prediction: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Add noise to images (B, 3, H, W) and predict once: (x_t, predicted clean image, predicted noise) on the CPU."""
    xt = schedule.add_noise(x0, eps, t)
    output = evaluate(model, xt, torch.full((len(xt),), t))
    return xt, *to_x0_eps(output, xt, *schedule.coefficients(t, xt), prediction)


class DenoisingPanel(TrajectoryPanel):
    """Controls: seed; timestep t; sampler, sampling steps, sampling step.

    Images: noisy image xₜ, added noise ε, predicted noise ε̂, denoised image x̂₀; xₜ, predicted clean image x̂₀,
    original x₀. `.prediction_note` and `.note` say in words what the two rows show.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        x0: a clean image, (1, 3, H, W) in [-1, 1].
        prediction: what the model predicts: "epsilon", "sample" or "v_prediction".
        sampler: at the start.
    """

    side = 192

    def __init__(
        self,
        model: Model,
        schedule: NoiseSchedule,
        x0: torch.Tensor,
        prediction: str = "epsilon",
        sampler: str = "ddim",
    ) -> None:
        steps, last = Select("sampling steps", STEPS, 50), len(schedule) - 1
        timestep = Slider("timestep t", 0, last, last * 2 // 5)
        super().__init__("Denoising", model, schedule, x0.shape, prediction, sampler, steps, timestep)
        self.x0, self.prediction_note = x0.cpu(), Note()
        self.lay_out(
            "seed",
            "# One-step denoising at timestep t",
            "timestep t",
            self.prediction_note,
            ["noisy image xₜ", "added noise ε", "predicted noise ε̂", "denoised image x̂₀"],
            "# Sampling from pure noise",
            ["sampler", "sampling steps", "sampling step"],
            ["xₜ", "predicted clean image x̂₀", "original x₀"],
            self.note,
        )
        self.show("original x₀", self.x0[0], "the original image")
        self._predict()
        self.follow(self._predict, "timestep t", "seed")  # first what is quick
        self.begin()

    def _predict(self) -> None:
        t, x0 = self["timestep t"], self.x0
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(self["seed"]))
        xt, x0_pred, eps_pred = predict_once(self.model, self.schedule, x0, eps, t, self.prediction)
        self.show("noisy image xₜ", xt[0], f"noisy image at timestep {t}")
        self.show("added noise ε", eps[0] / NOISE_SCALE, "the added noise")
        self.show("predicted noise ε̂", eps_pred[0] / NOISE_SCALE, f"noise predicted at timestep {t}")
        self.show("denoised image x̂₀", x0_pred[0], f"image denoised in one step from timestep {t}")
        signal, noise = (float(share) for share in self.schedule.coefficients(t, x0))
        self.prediction_note.value = minus(
            f"xₜ = {signal:.2f} · x₀ + {noise:.2f} · ε; denoised in one step: PSNR {psnr(x0_pred, x0):.1f} dB"
        )

    def _show(self) -> None:
        (step, at), shown = self.step_shown(), self.shown
        x0_pred = shown.images("x0", step)
        self.show("xₜ", shown.images("xt", step)[0], f"noisy image, {at}")
        self.show("predicted clean image x̂₀", x0_pred[0], f"predicted clean image, {at}")
        quality = psnr(x0_pred, self.x0)
        self.say(f"{at} · PSNR of the predicted clean image {quality:.1f} dB · sampling took {shown.seconds:.1f} s")
