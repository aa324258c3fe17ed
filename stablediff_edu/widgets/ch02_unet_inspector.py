"""The panel of chapter 2: point at a stage of the U-Net, and see its shape, receptive field and feature maps.

It also replays the training, and shows what the same network computes without skip connections.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from PIL import Image

from stablediff_edu.data.segmentation_folder import SegmentationDataset
from stablediff_edu.models.unet import UNet
from stablediff_edu.plotting.ch02_segmentation import colorize_logits
from stablediff_edu.plotting.core import figure_to_image
from stablediff_edu.plotting.diagrams import diagram_unet
from stablediff_edu.plotting.grids import tile_images, to_uint8
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Diagram, Select, Slider

SKIPS = {"on": 0, "off": 1}
MAX_THUMBNAILS, THUMBNAIL, COLUMNS = 48, 48, 16
FRAME = (255, 140, 0)  # of the receptive field


def colorize_feature_map(values: torch.Tensor) -> np.ndarray:
    """Return one channel (H, W) from dark blue (its smallest value) to yellow (its largest), uint8 (H, W, 3)."""
    low, high = values.min(), values.max()
    share = (values - low) / (high - low).clamp(min=1e-8)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


class UNetInspector(Panel):
    """Controls: image, skip connections, stage, channel, training snapshot.

    Images: receptive field, the image with a frame around it; feature map, output, predicted mask, channels.

    Args:
        model: a trained U-Net.
        data: images to choose from, with their masks.
        without_skips: the same network without skip connections, for the switch.
        snapshots: (step, raw outputs for all of `data`) pairs from the training of `model`.
    """

    side = 192

    def __init__(
        self,
        model: UNet,
        data: SegmentationDataset,
        without_skips: UNet,
        snapshots: Sequence[tuple[int, torch.Tensor]],
    ) -> None:
        self.models, self.data, self.snapshots = (model, without_skips), data, snapshots
        last = len(snapshots) + 1  # the trained network
        self.fields, self.told = model.receptive_fields(), ""
        parts = {name: f"{name}, receptive field {field} pixels" for name, field in self.fields.items()}
        super().__init__(
            "U-Net inspector",
            Select("image", {f"{n + 1}: {name}": n for n, name in enumerate(data.names)}),
            Select("skip connections", SKIPS),
            Diagram("stage", "middle", svg=_svg(model, data.images.shape[-1]), parts=parts),
            Slider("channel", 0, 1, 0),
            Slider("training snapshot", 1, last, last),
        )
        self.lay_out(
            ["image", "skip connections"],
            "stage",
            self.note,
            "channel",
            ["receptive field", "feature map", "output", "predicted mask"],
            "channels",
            "training snapshot",
        )
        self._compute()
        self.follow(self._compute, "image", "skip connections")
        self.follow(self._choose_stage, "stage")
        self.follow(self._show_channel, "channel")
        self.follow(self._show_output, "training snapshot")

    def _compute(self) -> None:
        """Run the chosen network on the chosen image, and keep the output of every stage."""
        model, image = self.models[self["skip connections"]], self.data.images[self["image"]]
        with torch.no_grad(), model.record_activations() as maps:
            model(image[None].to(model.conv_out.weight.device))
        self.maps = {name: tensor[0].cpu() for name, tensor in maps.items()}  # (1, C, H, W) -> (C, H, W)
        # the snapshots are of the network with skip connections
        self.controls["training snapshot"].disabled = self["skip connections"] == SKIPS["off"]
        self._choose_stage()

    def _choose_stage(self) -> None:
        stage, image = self["stage"], self.data.images[self["image"]]
        maps, field = self.maps[stage], round(self.fields[stage])
        framed = to_uint8(image).copy()  # (S, S, 3)
        first = max(0, (len(framed) - field) // 2)
        box = framed[first : len(framed) - first, first : len(framed) - first]
        box[[0, -1]] = box[:, [0, -1]] = FRAME
        beyond = ", more than the image" if field > len(framed) else ""
        title = f"receptive field of {stage}: {field}×{field}"
        self.show("receptive field", framed, f"{self.data.names[self['image']]} with the {title} pixels{beyond}", title)
        shape = "×".join(map(str, maps.shape))
        self.told = f"<b>{stage}</b>: tensor {shape}; one value depends on {field}×{field} pixels{beyond}"
        self.controls["channel"].set_max(len(maps) - 1)
        self._show_channel()
        count = min(len(maps), MAX_THUMBNAILS)
        tiles = [colorize_feature_map(maps[n]) for n in torch.linspace(0, len(maps) - 1, count).round().long()]
        sheet = tile_images([tiles[n : n + COLUMNS] for n in range(0, count, COLUMNS)], THUMBNAIL, 3)
        title = f"{count} of {len(maps)} channels of {stage}, {maps.shape[1]}×{maps.shape[2]} values each"
        self.show("channels", sheet, title, title)
        self._show_output()

    def _show_channel(self) -> None:
        stage, channel = self["stage"], self["channel"]
        title = f"channel {channel} of {stage}"
        self.show("feature map", colorize_feature_map(self.maps[stage][channel]), f"feature map: {title}", title)

    def _show_output(self) -> None:
        number, snapshot = self["image"], self["training snapshot"]
        replayed = self["skip connections"] == SKIPS["on"] and snapshot <= len(self.snapshots)
        step, outputs = self.snapshots[snapshot - 1] if replayed else (0, None)
        output = self.maps["output"] if outputs is None else outputs[number].cpu()  # (1, H, W)
        weights = f"after training step {step}" if replayed else "of the trained network"
        self.show("output", colorize_logits(output), f"output {weights}")
        self.show("predicted mask", to_uint8(output.clamp(0, 1), "unit"), f"predicted mask {weights}")
        predicted, true = output[0] > 0.5, self.data.masks[number, 0].cpu() > 0.5
        iou = (predicted & true).sum() / (predicted | true).sum().clamp(min=1)
        self.say(
            f"{self.told} · output {weights}: {output.min():.2f} to {output.max():.2f}; above 0.5 counts as fish · "
            f"IoU {iou:.2f}"
        )

    def tiles(self) -> list[tuple[str, Image.Image]]:
        diagram = diagram_unet(self.models[0], self.data.images.shape[-1], self["stage"])
        diagram.set_facecolor("white")
        return [("", figure_to_image(diagram)), *super().tiles()]


def _svg(model: UNet, size: int) -> str:
    """Return the diagram of a U-Net as SVG, in which every stage is a group with its name as id."""
    data = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        diagram_unet(model, size).savefig(data, format="svg")
    return data.getvalue()[data.getvalue().index("<svg") :]
