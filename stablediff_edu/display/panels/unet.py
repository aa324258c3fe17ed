"""The panel of chapter 2: look inside a U-Net, with and without its skip connections, and replay how it learned."""

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib import colormaps

from stablediff_edu.datasets.folder import MaskedPictures
from stablediff_edu.display.live import png, raw_colours, strip, to_bytes
from stablediff_edu.models.unet import UNet

WITH, WITHOUT = "on", "off"
MOST_THUMBNAILS = 48
SIDE = 192


def feature_colours(values: torch.Tensor) -> np.ndarray:
    """Return one channel (H, W) from dark blue (its smallest value) to yellow (its largest), uint8 (H, W, 3)."""
    low, high = values.min(), values.max()
    share = (values - low) / (high - low).clamp(min=1e-8)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


def inside_unet(
    model: UNet,
    data: MaskedPictures,
    without_skips: UNet | None = None,
    snapshots: Sequence[tuple[int, torch.Tensor]] = (),
) -> widgets.VBox:
    """Return the panel. `.controls`: picture, level, channel, channel number, skips, and replay if there are snapshots.

    Args:
        model: a trained U-Net.
        data: pictures to choose from, with their masks.
        without_skips: the same network without its copies, for the switch.
        snapshots: (step, raw outputs for all of `data`) pairs from the training of `model`.
    """
    return _InsideUNet(model, data, without_skips, snapshots).panel


class _InsideUNet:
    def __init__(self, model, data, without_skips, snapshots) -> None:
        self.models = {WITH: model} | ({WITHOUT: without_skips} if without_skips is not None else {})
        self.data, self.snapshots = data, list(snapshots)
        self.maps: dict[str, torch.Tensor] = {}
        wide = dict(style={"description_width": "110px"}, layout=widgets.Layout(width="380px"))
        self.picture = widgets.Dropdown(
            options=[(f"{number + 1}: {name}", number) for number, name in enumerate(data.names)],
            description="picture", **wide,
        )  # fmt: skip
        self.level = widgets.Dropdown(options=list(model.stages()), value="middle", description="level", **wide)
        self.channel = widgets.IntSlider(min=0, max=1, description="channel", readout=False, **wide)
        self.number = widgets.BoundedIntText(
            min=0, max=1, description="channel number", style={"description_width": "0px"}, layout={"width": "70px"}
        )
        self.skips = widgets.ToggleButtons(
            options=list(self.models), description="skips", style={"description_width": "110px", "button_width": "80px"}
        )
        steps = [(f"step {step}", number) for number, (step, _) in enumerate(self.snapshots)]
        self.replay = widgets.SelectionSlider(
            options=[*steps, ("trained", -1)], value=-1, description="replay", continuous_update=True, **wide
        )
        self.images = {name: _image(name) for name in ("picture", "channel", "raw output", "mask")}
        self.sheet = widgets.Image(format="png", layout={"max_width": "100%"})
        self.sheet_title, self.note = widgets.HTML(), widgets.HTML()

        widgets.link((self.channel, "value"), (self.number, "value"))
        for control in (self.picture, self.skips):
            control.observe(self._run, "value")
        self.level.observe(self._choose_level, "value")
        self.channel.observe(self._draw_channel, "value")
        self.replay.observe(self._draw_output, "value")
        self.panel = self._layout()
        self._run()

    def _layout(self) -> widgets.VBox:
        controls = dict(picture=self.picture, level=self.level, channel=self.channel, skips=self.skips)
        controls |= {"channel number": self.number} | ({"replay": self.replay} if self.snapshots else {})
        left = [self.picture, self.level, widgets.HBox([self.channel, self.number])]
        right = [self.skips, *([self.replay] if self.snapshots else []), self.note]
        shown = [
            widgets.VBox([widgets.HTML(f"<b>{name}</b>"), image], layout={"margin": "0 10px 0 0"})
            for name, image in self.images.items()
        ]
        panel = widgets.VBox(
            [
                widgets.HBox([widgets.VBox(left), widgets.VBox(right)], layout={"flex_flow": "row wrap"}),
                widgets.HBox(shown, layout={"flex_flow": "row wrap"}),
                self.sheet_title,
                self.sheet,
            ]
        )
        panel.controls = controls
        panel.images = self.images | {"sheet": self.sheet}
        return panel

    @property
    def _model(self) -> UNet:
        return self.models[self.skips.value]

    def _run(self, _change=None) -> None:
        """Send the chosen picture through the chosen network, and keep every stage's output."""
        number = self.picture.value
        device = self._model.last.weight.device
        with torch.no_grad(), self._model.watch() as maps:
            self._model(self.data.pictures[number : number + 1].to(device))
        self.maps = {name: tensor[0].cpu() for name, tensor in maps.items()}  # (1, C, H, W) -> (C, H, W)
        self.images["picture"].value = png(strip([[to_bytes(self.data.pictures[number])]], SIDE))
        self.replay.disabled = self.skips.value == WITHOUT  # the snapshots are of the network with skips
        self._choose_level()
        self._draw_output()

    def _choose_level(self, _change=None) -> None:
        count = len(self.maps[self.level.value])
        for control in (self.channel, self.number):
            control.max = count - 1  # a value beyond it is moved to it
        self._draw_sheet()
        self._draw_channel()

    def _draw_sheet(self) -> None:
        maps = self.maps[self.level.value]
        count = min(len(maps), MOST_THUMBNAILS)
        chosen = torch.linspace(0, len(maps) - 1, count).round().long()
        tiles = [feature_colours(maps[channel]) for channel in chosen]
        self.sheet.value = png(strip([tiles[first : first + 16] for first in range(0, count, 16)], 48, 3))
        height, width = maps.shape[1:]
        which = "all" if count == len(maps) else f"{count} of the"
        self.sheet_title.value = f"<b>{which} {len(maps)} channels of “{self.level.value}”</b>, each {height}×{width}"

    def _draw_channel(self, _change=None) -> None:
        channel = self.maps[self.level.value][min(self.channel.value, self.channel.max)]
        self.images["channel"].value = png(strip([[feature_colours(channel)]], SIDE))

    def _draw_output(self, _change=None) -> None:
        number = self.picture.value
        replayed = self.snapshots and self.replay.value >= 0 and not self.replay.disabled
        raw = self.snapshots[self.replay.value][1][number] if replayed else self.maps["output"]  # (1, H, W)
        self.images["raw output"].value = png(strip([[raw_colours(raw)]], SIDE))
        self.images["mask"].value = png(strip([[to_bytes(raw.clamp(0, 1), "unit")]], SIDE))
        found, true = raw[0] > 0.5, self.data.masks[number, 0] > 0.5
        union = (found | true).sum().clamp(min=1)
        self.note.value = (
            f"raw output from {raw.min():.2f} to {raw.max():.2f} · clamped it is the mask · "
            f"IoU {(found & true).sum() / union:.2f}"
        ).replace("-", "−")


def _image(name: str) -> widgets.Image:
    image = widgets.Image(format="png", width=SIDE, height=SIDE)
    image.add_class(f"sd-{name.replace(' ', '-')}")
    return image
