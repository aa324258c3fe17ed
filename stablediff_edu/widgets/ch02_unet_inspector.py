"""The panel of chapter 2: feature maps of a U-Net with and without skip connections, and its training as a replay."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps

from stablediff_edu.data.segmentation_folder import SegmentationDataset
from stablediff_edu.models.unet import UNet
from stablediff_edu.notebook.progress import colorize_logits, tile_images, to_uint8
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Select, Slider

WITH, WITHOUT = "on", "off"
MAX_THUMBNAILS, THUMBNAIL, COLUMNS = 48, 48, 16
SIDE = 192


def colorize_feature_map(values: torch.Tensor) -> np.ndarray:
    """Return one channel (H, W) from dark blue (its smallest value) to yellow (its largest), uint8 (H, W, 3)."""
    low, high = values.min(), values.max()
    share = (values - low) / (high - low).clamp(min=1e-8)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


class UNetInspector(Panel):
    """Controls: image, layer, channel, skip connections, and snapshot if there are snapshots.

    Images: image, feature map, output, predicted mask, channels.

    Args:
        model: a trained U-Net.
        data: images to choose from, with their masks.
        without_skips: the same network without skip connections, for the switch.
        snapshots: (step, raw outputs for all of `data`) pairs from the training of `model`.
    """

    def __init__(
        self,
        model: UNet,
        data: SegmentationDataset,
        without_skips: UNet | None = None,
        snapshots: Sequence[tuple[int, torch.Tensor]] = (),
    ) -> None:
        super().__init__("U-Net inspector")
        self.models = {WITH: model} | ({WITHOUT: without_skips} if without_skips is not None else {})
        self.data, self.snapshots = data, list(snapshots)
        last = len(self.snapshots) + 1  # the trained network
        self.controls |= {
            "image": Select("image", {f"{n + 1}: {name}": n for n, name in enumerate(data.names)}),
            "layer": Select("layer", list(model.stages()), "middle"),
            "channel": Slider("channel", 0, 1, 0),
            "skip connections": Select("skip connections", list(self.models)),
        }
        if self.snapshots:
            self.controls["snapshot"] = Slider("training snapshot", 1, last, last)
        shown = [self.image(name, SIDE) for name in ("image", "feature map", "output", "predicted mask")]
        width = COLUMNS * (THUMBNAIL + 3) - 3
        self.lay_out(
            ["image", "skip connections"],
            ["layer", "channel"],
            ["snapshot"],
            shown,
            self.note,
            self.image("channels", width, THUMBNAIL),
        )
        self._compute()
        self.follow(self._compute, "image", "skip connections")
        self.follow(self._choose_layer, "layer")
        self.follow(self._show_channel, "channel")
        self.follow(self._show_output, "snapshot")

    def _compute(self) -> None:
        """Run the chosen network on the chosen image, and keep the output of every layer."""
        number, skips = self.value("image"), self.value("skip connections")
        model = self.models[skips]
        image = self.data.images[number : number + 1]
        with torch.no_grad(), model.record_activations() as maps:
            model(image.to(model.last.weight.device))
        self.maps = {name: tensor[0].cpu() for name, tensor in maps.items()}  # (1, C, H, W) -> (C, H, W)
        self.show("image", image[0], f"image {self.data.names[number]}")
        if self.snapshots:
            self.controls["snapshot"].disabled = skips == WITHOUT  # they are of the network with skip connections
        self._choose_layer()
        self._show_output()

    def _choose_layer(self) -> None:
        layer = self.value("layer")
        maps = self.maps[layer]
        with self.quietly():
            self.controls["channel"].set_max(len(maps) - 1)
        count = min(len(maps), MAX_THUMBNAILS)
        tiles = [colorize_feature_map(maps[n]) for n in torch.linspace(0, len(maps) - 1, count).round().long()]
        sheet = tile_images([tiles[first : first + COLUMNS] for first in range(0, count, COLUMNS)], THUMBNAIL, 3)
        place = self.images["channels"]
        which = "all" if count == len(maps) else f"{count} of the"
        with place.hold_sync():
            place.width, place.height = sheet.size
            place.title = f"{which} {len(maps)} channels of layer “{layer}”, {maps.shape[1]}×{maps.shape[2]} each"
            self.show("channels", sheet, place.title)
        self._show_channel()

    def _show_channel(self) -> None:
        layer, channel = self.value("layer"), self.value("channel")
        self.show("feature map", colorize_feature_map(self.maps[layer][channel]), f"channel {channel} of layer {layer}")

    def _show_output(self) -> None:
        number = self.value("image")
        snapshot = self.controls.get("snapshot")
        replayed = snapshot is not None and not snapshot.disabled and snapshot.value <= len(self.snapshots)
        step, outputs = self.snapshots[snapshot.value - 1] if replayed else (None, None)
        output = outputs[number].cpu() if replayed else self.maps["output"]  # (1, H, W)
        weights = f"after training step {step}" if replayed else "of the trained network"
        self.show("output", colorize_logits(output), f"output {weights}")
        self.show("predicted mask", to_uint8(output.clamp(0, 1), "unit"), f"predicted mask {weights}")
        predicted, true = output[0] > 0.5, self.data.masks[number, 0].cpu() > 0.5
        iou = (predicted & true).sum() / (predicted | true).sum().clamp(min=1)
        text = f"output {weights}: {output.min():.2f} to {output.max():.2f}; clamped it is the mask · IoU {iou:.2f}"
        self.say(text)
