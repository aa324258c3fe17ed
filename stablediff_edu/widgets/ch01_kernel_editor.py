"""The kernel editor of chapter 1: change a value of the kernel and see the image follow."""

import itertools

import ipywidgets
import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stablediff_edu.data.fish.synthetic import render_fish
from stablediff_edu.data.sample_image import sample_image
from stablediff_edu.layers.conv import KERNEL_TABLE
from stablediff_edu.plotting.core import SIGNED_MAP
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Button, Grid, Number, Select, Slider, minus

SIZES = (3, 5)
CUSTOM = "custom"
SIGNED, CLIPPED = "signed: orange +, purple −", "gray, clipped to −1 … 1"
LUMINANCE = (0.299, 0.587, 0.114)
# An image on the screen is indices 0 … 254 into a palette, and 255 for the frame: quick to make and small to send.
FRAME = 255
_BLUE = [0, 110, 255]
_SIGNED = np.vstack([matplotlib.colormaps[SIGNED_MAP](np.linspace(0, 1, FRAME))[:, :3] * 255, _BLUE]).astype(np.uint8)
_GRAY = np.vstack([np.arange(FRAME)[:, None].repeat(3, 1), _BLUE]).astype(np.uint8)  # (256, 3)


def example_images(size: int) -> dict[str, Tensor]:
    """Return the images to choose from: name -> (size, size), brightness from -1 (black) to 1 (white)."""
    row = torch.arange(size).view(-1, 1)
    column = torch.arange(size).view(1, -1)
    cell = max(size // 8, 1)
    checkerboard = ((row // cell + column // cell) % 2) * 1.6 - 0.8
    edges = torch.full((size, size), -0.6)
    edges[:, size // 2 :] = 0.6  # a vertical edge,
    edges[size // 2 :] = -edges[size // 2 :]  # a horizontal edge,
    edges[(row - column).abs() < size // 64 + 1] = 0.9  # a diagonal line
    point = torch.full((size, size), -1.0)
    point[size // 2, size // 2] = 1.0
    fish = render_fish(seed=4, size=size).image  # (3, size, size)
    return {
        "photograph": sample_image(size, gray=True)[0],
        "synthetic fish": (fish * torch.tensor(LUMINANCE).view(3, 1, 1)).sum(0),
        "checkerboard": checkerboard.float(),
        "edges": edges,
        "one white pixel": point,
    }


class KernelEditor(Panel):
    """Controls: image, kernel, size, display, divide by, normalize, values (row by row), row, column.

    Images: before, after. `.sum` holds the sum at the chosen pixel as HTML.

    Args:
        size: side of the images in pixels.
    """

    def __init__(self, size: int = 256) -> None:
        super().__init__("Kernel editor")
        self.inputs = example_images(size)
        self.controls |= {
            "image": Select("image", self.inputs.keys()),
            "kernel": Select("kernel", [*KERNEL_TABLE, CUSTOM], "vertical edges"),
            "size": Select("size", {f"{k} × {k}": k for k in SIZES}),
            "display": Select("display", [SIGNED, CLIPPED]),
            "divide by": Number("divide by", 1.0),
            "normalize": Button("normalize (sum = 1)", "divide by the sum of the values: the brightness stays"),
            "values": Grid("kernel", [0.0] * 9, columns=3),
            "row": Slider("row", 0, size - 1, size // 2),
            "column": Slider("column", 0, size - 1, size // 2),
        }
        self.sum = ipywidgets.HTML()
        self.sum.add_class("sd-table")
        middle = ipywidgets.VBox(
            [ipywidgets.HTML("<b>kernel</b>"), *(self.controls[name] for name in ("values", "divide by", "normalize"))],
            layout={"margin": "0 12px 0 0"},
        )
        self.lay_out(
            ["image", "display", "kernel", "size"],
            [self.image("before", size), middle, self.image("after", size)],
            "Move the kernel (blue frame) and read the sum at its pixel",
            ["row", "column"],
            self.sum,
            self.note,
        )
        self._choose()
        self.follow(self._choose, "kernel", "size")
        self.follow(self._edit, "values")
        self.follow(self._draw, "image", "display", "divide by", "row", "column")
        self.follow(self._normalize, "normalize")

    def _choose(self) -> None:
        """Fill the number boxes with the chosen kernel."""
        k, name = self.value("size"), self.value("kernel")
        with self.quietly():
            if name != CUSTOM:
                rows, divisor = KERNEL_TABLE[name][k]
                self.controls["values"].fill(k, itertools.chain(*rows))
                self.controls["divide by"].value = divisor
            elif self.controls["values"].columns != k:
                self.controls["values"].fill(k, [0.0] * k * k)
        self._draw()

    def _edit(self) -> None:
        with self.quietly():
            self.controls["kernel"].value = CUSTOM
        self._draw()

    def _normalize(self) -> None:
        total = sum(self.value("values"))
        if abs(total) < 1e-9:
            self.say("The values add up to 0: no divisor makes their sum 1.")
        else:
            self.controls["divide by"].value = total

    def _draw(self) -> None:
        k, row, column, name = (self.value(control) for control in ("size", "row", "column", "image"))
        divisor, before = self.value("divide by") or 1.0, self.inputs[name]
        kernel = torch.tensor(self.value("values")).view(k, k)
        after = torch.nn.functional.conv2d(before[None, None], kernel[None, None] / divisor, padding=k // 2)[0, 0]
        self.show("before", _framed(before, 1.0, _GRAY, row, column, k // 2), name)
        signed = self.value("display") == SIGNED
        limit, colors = (_color_limit(after), _SIGNED) if signed else (1.0, _GRAY)
        alt = f"{name} convolved with the {self.value('kernel')} kernel"
        self.show("after", _framed(after, limit, colors, row, column, 0), alt)
        patch = torch.nn.functional.pad(before, (k // 2,) * 4)[row : row + k, column : column + k]  # (k, k)
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
    box[[0, -1]] = FRAME
    box[:, [0, -1]] = FRAME
    image = Image.fromarray(pixels)
    image.putpalette(colors.tobytes())
    return image


def _sum_table(patch: Tensor, kernel: Tensor, divisor: float) -> tuple[str, str]:
    """Return the sum at one pixel as HTML (pixels × kernel = products), and its result."""
    products = patch * kernel
    total = float(products.sum())
    result = f"{_value(total)}" if divisor == 1 else f"{_value(total)} ÷ {divisor:g} = <b>{_value(total / divisor)}</b>"
    parts = [
        _table("pixels under the kernel", patch, 1.0, _GRAY),
        '<span class="sign">×</span>',
        _table("kernel", kernel, float(kernel.abs().max()) or 1.0, _SIGNED),
        '<span class="sign">=</span>',
        _table("products", products, float(products.abs().max()) or 1.0, _SIGNED),
        f"<span>sum of the {kernel.numel()} products: <b>{result}</b></span>",
    ]
    return f'<div class="sd-sum">{"".join(parts)}</div>', result


def _table(title: str, values: Tensor, limit: float, colors: np.ndarray) -> str:
    cells = ""
    for line in values.tolist():
        cells += "<tr>"
        for value in line:
            share = max(-1.0, min(1.0, value / limit)) * (0.6 if colors is _SIGNED else 1)  # pale enough to read on
            red, green, blue = colors[round((share + 1) * 127)].tolist()
            ink = "#fff" if red + green + blue < 354 else "#000"
            cells += f'<td style="background:rgb({red},{green},{blue});color:{ink}">{_value(value)}</td>'
        cells += "</tr>"
    return f"<div><p>{title}</p><table>{cells}</table></div>"


def _value(value: float) -> str:
    """At most two decimals, and a real minus sign."""
    return minus(f"{round(value, 2) + 0:g}")
