"""The kernel editor of chapter 1: change a value of the kernel and see the image follow."""

import itertools

import ipywidgets
import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stablediff_edu.data.fish.synthetic import render_fish
from stablediff_edu.data.sample_image import sample_image
from stablediff_edu.layers.conv import KERNEL_TABLE
from stablediff_edu.plotting.core import SIGNED_MAP
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Button, Grid, Number, Select, Slider, minus

CUSTOM = "custom"
SIGNED, CLIPPED = "signed: orange +, purple −", "gray, clipped to −1 … 1"
# An image on the screen is indices 0 … 254 into a palette, and 255 for the frame: quick to make and small to send.
FRAME = 255
_BLUE = [0, 110, 255]
_SIGNED = np.vstack([matplotlib.colormaps[SIGNED_MAP](np.linspace(0, 1, FRAME))[:, :3] * 255, _BLUE]).astype(np.uint8)
_GRAY = np.vstack([np.arange(FRAME)[:, None].repeat(3, 1), _BLUE]).astype(np.uint8)  # (256, 3)


def example_images(size: int) -> dict[str, Tensor]:
    """Return the images to choose from: name -> (size, size), brightness from -1 (black) to 1 (white)."""
    row, column = torch.arange(size).view(-1, 1), torch.arange(size).view(1, -1)
    checkerboard = (row * 8 // size + column * 8 // size) % 2 * 1.6 - 0.8
    edges = torch.where((row < size // 2) == (column < size // 2), -0.6, 0.6)
    edges[(row - column).abs() < size // 64 + 1] = 0.9  # a diagonal line
    point = torch.full((size, size), -1.0)
    point[size // 2, size // 2] = 1.0
    fish = render_fish(seed=4, size=size).image  # (3, size, size)
    return {
        "photograph": sample_image(size, gray=True)[0],
        "synthetic fish": torch.einsum("chw,c->hw", fish, torch.tensor([0.299, 0.587, 0.114])),  # luminance
        "checkerboard": checkerboard,
        "edges": edges,
        "one white pixel": point,
    }


class KernelEditor(Panel):
    """Controls: image, kernel, size, display, values (row by row), divide by, normalize to sum 1, row, column.

    Images: before, after. `.sum` holds the sum at the chosen pixel as HTML.

    Args:
        size: side of the images in pixels.
    """

    def __init__(self, size: int = 256) -> None:
        self.inputs, self.side, self.sum = example_images(size), size, ipywidgets.HTML()
        super().__init__(
            "Kernel editor",
            Select("image", list(self.inputs)),
            Select("kernel", [*KERNEL_TABLE, CUSTOM], "vertical edges"),
            Select("size", {f"{k} × {k}": k for k in (3, 5)}),
            Select("display", [SIGNED, CLIPPED]),
            Grid("values"),
            Number("divide by", -1000, 1000, 1, 0.001),
            Button("normalize to sum 1", "divide by the sum of the values: the brightness stays"),
            Slider("row", 0, size - 1, size // 2),
            Slider("column", 0, size - 1, size // 2),
        )
        self.sum.add_class("sd-table")
        self.lay_out(
            ["image", "display", "kernel", "size"],
            ["before", ("# kernel", "values", "divide by", "normalize to sum 1"), "after"],
            "# Move the kernel (blue frame) and read the sum at its pixel",
            ["row", "column"],
            self.sum,
            self.note,
        )
        self._choose()
        self.follow(self._choose, "kernel", "size")
        self.follow(self._edit, "values")
        self.follow(self._draw, "image", "display", "divide by", "row", "column")
        self.follow(self._normalize, "normalize to sum 1")

    def _choose(self) -> None:
        """Fill the number boxes with the chosen kernel."""
        k, name, values = self["size"], self["kernel"], self.controls["values"]
        with self.quietly():
            if name != CUSTOM:
                rows, self.controls["divide by"].value = KERNEL_TABLE[name][k]
                values.fill(k, itertools.chain(*rows))
            elif values.columns != k:
                values.fill(k, [0.0] * k * k)
        self._draw()

    def _edit(self) -> None:
        self._draw()  # first the image, for which the learner waits
        self.set("kernel", CUSTOM)

    def _normalize(self) -> None:
        total = sum(self["values"])
        if abs(total) < 1e-9:
            self.say("The values add up to 0: no divisor makes their sum 1.")
        else:
            self.controls["divide by"].value = total

    def _draw(self) -> None:
        k, row, column, name = self["size"], self["row"], self["column"], self["image"]
        before, divisor, kernel = self.inputs[name], self["divide by"] or 1, torch.tensor(self["values"]).view(k, k)
        after = F.conv2d(before[None, None], kernel[None, None] / divisor, padding=k // 2)[0, 0]
        limit, colors = (_color_limit(after), _SIGNED) if self["display"] == SIGNED else (1.0, _GRAY)
        self.show("after", _framed(after, limit, colors, row, column, 0), f"{name} convolved with {kernel.tolist()}")
        self.show("before", _framed(before, 1.0, _GRAY, row, column, k // 2), name)
        patch = F.pad(before, (k // 2,) * 4)[row : row + k, column : column + k]  # (k, k)
        self.sum.value, result = _sum_table(patch, kernel, divisor)
        self.say(f"new value of pixel ({row}, {column}): {result}")


def _color_limit(values: Tensor) -> float:
    """Return the magnitude of the strongest color: few pixels exceed it; the largest where most are zero."""
    sizes = values.abs().flatten()
    return float(sizes.kthvalue(sizes.numel() * 199 // 200).values) or float(sizes.max()) or 1.0


def _framed(values: Tensor, limit: float, colors: np.ndarray, row: int, column: int, radius: int) -> Image.Image:
    """Return (H, W) values from -limit to limit as an image, with a blue frame around the kernel's pixels."""
    pixels = ((values / limit).clamp(-1, 1) * 127 + 127).round().byte().numpy()
    reach = radius + 3  # the frame stays clear of the pixels that it frames
    box = pixels[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    box[[0, -1]] = box[:, [0, -1]] = FRAME
    image = Image.fromarray(pixels)
    image.putpalette(colors.tobytes())
    return image


def _sum_table(patch: Tensor, kernel: Tensor, divisor: float) -> tuple[str, str]:
    """Return the sum at one pixel as HTML (pixels × kernel = products), and its result."""
    products = patch * kernel
    total = float(products.sum())
    result = _value(total) if divisor == 1 else f"{_value(total)} ÷ {divisor:g} = <b>{_value(total / divisor)}</b>"
    tables = (
        _table("pixels under the kernel", patch, 1.0, _GRAY),
        _table("kernel", kernel, float(kernel.abs().max()) or 1.0, _SIGNED),
        _table("products", products, float(products.abs().max()) or 1.0, _SIGNED),
        f"sum of the {kernel.numel()} products: <b>{result}</b>",
    )
    return '<div class="sd-sum">{}<b>×</b>{}<b>=</b>{}<span>{}</span></div>'.format(*tables), result


def _table(title: str, values: Tensor, limit: float, colors: np.ndarray) -> str:
    strongest = 0.6 if colors is _SIGNED else 1.0  # pale enough to read on
    rows = ""
    for line in values.tolist():
        shown = [colors[round((max(-1, min(1, value / limit)) * strongest + 1) * 127)].tolist() for value in line]
        cells = (
            f'<td style="background:rgb{tuple(color)};color:{"#fff" if sum(color) < 354 else "#000"}">{_value(value)}'
            for value, color in zip(line, shown, strict=True)
        )
        rows += f"<tr>{''.join(cells)}"
    return f"<div><p>{title}</p><table>{rows}</table></div>"


def _value(value: float) -> str:
    """At most two decimals, and a real minus sign."""
    return minus(f"{round(value, 2) + 0:g}")
