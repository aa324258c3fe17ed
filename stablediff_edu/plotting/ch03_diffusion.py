"""Figures of chapter 3: noise, schedules, positions as vectors, and what a network predicts while it learns."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from stablediff_edu.diffusion.schedule import NoiseSchedule, to_x0_eps
from stablediff_edu.plotting.core import subplots
from stablediff_edu.plotting.curves import CURVES
from stablediff_edu.plotting.grids import Tile, plot_tiles, tile_images, to_uint8
from stablediff_edu.plotting.heatmaps import plot_matrix

NOISE_DISPLAY_SCALE = 3.0  # noise goes far beyond black and white, -1 and 1: a third of it is shown


def forward_process_strip(x0: torch.Tensor, schedule: NoiseSchedule, ts: Sequence[int], eps: torch.Tensor) -> Figure:
    """Plot one image x0, (3, H, W), with the noise eps at the timesteps `ts`; below each, the factors of the two."""
    x0, eps = x0.reshape(1, *x0.shape[-3:]), eps.reshape(1, *eps.shape[-3:])
    tiles = []
    for t in ts:
        signal, noise = (factor.item() for factor in schedule.coefficients(t, x0))
        label = f"{signal:.3f} · image\n+ {noise:.3f} · noise"
        tiles.append(Tile(schedule.add_noise(x0, eps, t)[0], f"t = {t}", label=label))
    return plot_tiles([tiles], largest=2.4)


def schedule_curves(schedules: Mapping[str, NoiseSchedule]) -> Figure:
    """Plot how much of the image and how much noise xt holds at every timestep, one curve for each named schedule."""
    figure, axes = subplots(2, height=3.5, sharey=True)
    titles = ("factor of the image: √ᾱ", "factor of the noise: √(1 − ᾱ)")
    for axis, title, noise in zip(axes, titles, (False, True), strict=True):
        axis.set_prop_cycle(CURVES)
        for name, schedule in schedules.items():
            factor = (1 - schedule.alpha_bar if noise else schedule.alpha_bar).sqrt()
            axis.plot(factor.cpu(), label=name, markevery=len(schedule) // 8 or 1)
        axis.set(title=title, xlabel="timestep t")
    axes[0].set_ylabel("factor in xt")
    axes[0].legend()
    return figure


def position_encoding_heatmap(encoding: torch.Tensor, marked: Sequence[int] = (10, 11, 500)) -> Figure:
    """Plot vectors of positions, (N, features), as a heat map, and beside it the vectors of a few marked positions."""
    features = encoding.shape[1]
    figure, axes = subplots(2, len(marked), height=4.6, width_ratios=[1.25, 1])
    heat = figure.add_subplot(axes[0, 0].get_gridspec()[:, 0])
    image = plot_matrix(heat, encoding, signed=True, aspect="auto", interpolation="nearest")
    heat.axvline(features / 2 - 0.5, color="black", linewidth=0.8)
    title = f"{features // 2} sines, then {features // 2} cosines"
    heat.set(xlabel="value of the embedding", ylabel="timestep", title=title)
    figure.colorbar(image, ax=heat, ticks=[-1, 0, 1], label="value")
    colors = ("#0072B2", "#7B3294", "#8C510A", "#666666")
    for (empty, axis), position, color in zip(axes, marked, colors, strict=False):
        empty.remove()
        heat.axhline(position, color=color, linewidth=1.2)
        heat.plot(features - 0.5, position, "<", color=color, markersize=9, clip_on=False)
        axis.bar(range(features), encoding[position].tolist(), width=1.0, color=color)
        axis.set_ylim(-1.1, 1.1)
        axis.set_title(f"timestep {position}", loc="left", color=color)
        axis.label_outer()
    axis.set_xlabel("value of the embedding")
    return figure


class DenoisingSnapshots:
    """The same noisy images, and at every snapshot the predicted noise and the predicted clean image.

    Args:
        x0: (1, 3, S, S) the clean image.
        schedule: how noise is added.
        ts: the timesteps to look at, one column each.
        prediction: what the network predicts.
        seed: of the noise.

    Attributes:
        xt, eps: (N, 3, S, S) the noisy images, and the noise in them, one for each of `ts`.
    """

    def __init__(
        self, x0: torch.Tensor, schedule: NoiseSchedule, ts: tuple[int, ...], prediction: str = "epsilon", seed: int = 0
    ) -> None:
        self.schedule, self.prediction, self.t = schedule, prediction, torch.tensor(ts)
        clean = x0.expand(len(ts), -1, -1, -1)
        self.eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        self.xt = schedule.add_noise(clean, self.eps, self.t)

    def snapshot(self, model: nn.Module) -> torch.Tensor:
        """Return (2, N, 3, S, S): the predicted clean images, and the predicted noise."""
        device = next(model.parameters()).device
        output = model(self.xt.to(device), self.t.to(device)).cpu()
        factors = self.schedule.coefficients(self.t, self.xt)
        return torch.stack(to_x0_eps(output, self.xt, *factors, self.prediction))

    def render(self, step: int, snapshot: torch.Tensor) -> Image.Image:
        """Return a snapshot as an image, row by row: noisy images, their noise, the predicted noise, clean images."""
        images, noise = snapshot.cpu()
        rows = [self.xt, self.eps / NOISE_DISPLAY_SCALE, noise / NOISE_DISPLAY_SCALE, images]
        # 256 colors: noise in all its colors would fill the notebook
        return tile_images([[to_uint8(one) for one in row] for row in rows], 112).quantize(256)
