"""The kernel editor of chapter 1: change a number and see the picture follow at once."""

import io
import itertools

import ipywidgets as widgets
import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stablediff_edu.datasets.drawn_fish import draw_fish
from stablediff_edu.datasets.photo import load_photo
from stablediff_edu.display.figures import SIGNED_MAP
from stablediff_edu.layers.convolution import KERNEL_NUMBERS

SIZES = (3, 5)
OWN = "your own"
SIGNED, CLIPPED = "signed: orange +, purple −", "as a picture, clipped to −1 … 1"
# A picture on screen is numbers 0 … 254 that look up a colour, and 255 for the frame: quick to make and small to send.
_BLUE = [[0, 110, 255]]
_SIGNED_COLOURS = (matplotlib.colormaps[SIGNED_MAP](np.linspace(0, 1, 255))[:, :3] * 255).astype(int).tolist()
_GREYS = [[level, level, level] for level in range(255)]
# The number boxes are labelled for screen readers; for the eye their place says what they are.
_STYLE = """<style>
.sd-kernel .widget-label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.sd-kernel input { text-align: center; }
.sd-sum table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0; }
.sd-sum td { width: 46px; height: 26px; padding: 0; text-align: center; border: 1px solid #bbb; font-size: 12px; }
.sd-sum .parts { display: flex; flex-wrap: wrap; align-items: center; gap: 10px 14px; }
.sd-sum .part p { margin: 0 0 4px 0; font-size: 12px; }
.sd-sum .sign { font-size: 22px; }
.sd-sum .total { font-size: 15px; }
</style>"""


def pictures_to_choose(size: int) -> dict[str, Tensor]:
    """Return the pictures one can choose from: name -> (size, size) brightness from -1 (black) to 1 (white)."""
    row = torch.arange(size).view(-1, 1)
    column = torch.arange(size).view(1, -1)
    cell = max(size // 8, 1)
    chessboard = ((row // cell + column // cell) % 2) * 1.6 - 0.8
    edges = torch.full((size, size), -0.6)
    edges[:, size // 2 :] = 0.6  # an upright edge,
    edges[size // 2 :] = -edges[size // 2 :]  # a level one,
    edges[(row - column).abs() < size // 64 + 1] = 0.9  # a slanting line
    point = torch.full((size, size), -1.0)
    point[size // 2, size // 2] = 1.0
    fish = draw_fish(seed=4, size=size).picture
    return {
        "photograph": load_photo(size, grey=True)[0],
        "drawn fish": (fish * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(
            0
        ),  # brightness as the eye weighs it
        "chessboard": chessboard.float(),
        "edges": edges,
        "one white pixel": point,
    }


def kernel_editor(size: int = 256) -> widgets.VBox:
    """Return the kernel editor: presets, every number, the picture, and the sum at one pixel.

    ``.controls`` maps names to controls: ``picture``, ``preset``, ``size``, ``divisor``, ``sum to one``, ``display``,
    ``row``, ``column``, ``row number``, ``column number``, and the kernel's numbers such as ``3×3 row 1 column 2`` or
    ``5×5 row 5 column 5``. ``.images`` holds the two pictures on screen, ``before`` and ``after``; ``.sum`` holds the
    sum under them.

    Args:
        size: of the pictures, in pixels a side.
    """
    return _KernelEditor(size).panel


class _KernelEditor:
    """The controls, what they are bound to, and the drawing: one path from a change to the picture."""

    def __init__(self, size: int) -> None:
        self.side = size
        self.pictures = pictures_to_choose(size)
        self.busy = False  # while a preset fills many boxes, draw once at the end
        self.controls = self._make_controls()
        self.boxes = {
            k: [self.controls[f"{k}×{k} row {i + 1} column {j + 1}"] for i in range(k) for j in range(k)] for k in SIZES
        }
        square = widgets.Layout(width=f"{size}px", height=f"{size}px", flex="0 0 auto")
        self.images = {name: widgets.Image(format="png", layout=square) for name in ("before", "after")}
        self.sum = widgets.HTML()
        self.grid = widgets.GridBox()
        self.panel = self._lay_out()
        self.panel.controls, self.panel.images, self.panel.sum = self.controls, self.images, self.sum
        self._bind()
        self._choose_preset()

    # -- controls ------------------------------------------------------------------------------------------------

    def _make_controls(self) -> dict[str, widgets.Widget]:
        wide = {"layout": widgets.Layout(width="270px"), "style": {"description_width": "62px"}}
        last = self.side - 1
        controls: dict[str, widgets.Widget] = {
            "picture": widgets.Dropdown(options=list(self.pictures), description="picture", **wide),
            "preset": widgets.Dropdown(
                options=[*KERNEL_NUMBERS, OWN], value="vertical edges", description="kernel", **wide
            ),
            "size": widgets.Dropdown(options=[(f"{k} × {k} numbers", k) for k in SIZES], description="size", **wide),
            "display": widgets.Dropdown(options=[SIGNED, CLIPPED], description="show", **wide),
            "divisor": widgets.FloatText(
                1.0,
                description="divide by",
                step=1,
                layout=widgets.Layout(width="150px"),
                style={"description_width": "62px"},
            ),
            "sum to one": widgets.Button(
                description="make the numbers add up to 1",
                tooltip="divide by their sum, so that the brightness stays",
                layout=widgets.Layout(width="auto"),
            ),
        }
        for name, start in (("row", self.side // 2), ("column", self.side // 2)):
            controls[name] = widgets.IntSlider(
                start, 0, last, description=name, readout=False,
                layout=widgets.Layout(width="300px"), style={"description_width": "62px"},
            )  # fmt: skip
            controls[f"{name} number"] = widgets.BoundedIntText(
                start, 0, last, description=f"{name} number", layout=widgets.Layout(width="70px")
            )
            widgets.link((controls[name], "value"), (controls[f"{name} number"], "value"))
        for k in SIZES:
            for i in range(k):
                for j in range(k):
                    controls[f"{k}×{k} row {i + 1} column {j + 1}"] = widgets.FloatText(
                        0.0, step=1, continuous_update=True, description=f"kernel row {i + 1} column {j + 1}",
                        layout=widgets.Layout(width="62px", margin="1px"),
                    )  # fmt: skip
        return controls

    def _bind(self) -> None:
        controls = self.controls
        for name in ("preset", "size"):
            controls[name].observe(lambda change: self._choose_preset(), "value")
        for name in ("picture", "display", "divisor", "row", "column"):
            controls[name].observe(lambda change: self._draw(), "value")
        controls["sum to one"].on_click(lambda button: self._sum_to_one())
        for boxes in self.boxes.values():
            for box in boxes:
                box.observe(lambda change: self._number_changed(), "value")

    def _lay_out(self) -> widgets.VBox:
        controls = self.controls
        for name in ("row number", "column number"):
            controls[name].add_class("sd-kernel")
        self.grid.add_class("sd-kernel")
        self.sum.add_class("sd-sum")
        spread = widgets.Layout(flex_flow="row wrap", grid_gap="4px 18px", align_items="center")

        def column(title: str, *parts: widgets.Widget) -> widgets.VBox:
            return widgets.VBox([widgets.HTML(f"<b>{title}</b>"), *parts], layout=widgets.Layout(align_items="center"))

        middle = column("the kernel", self.grid, controls["divisor"], controls["sum to one"])
        return widgets.VBox(
            [
                widgets.HTML(_STYLE),
                widgets.HBox([controls[name] for name in ("picture", "display", "preset", "size")], layout=spread),
                widgets.HBox(
                    [column("before", self.images["before"]), middle, column("after", self.images["after"])],
                    layout=widgets.Layout(flex_flow="row wrap", grid_gap="8px 18px", align_items="flex-start"),
                ),
                widgets.HTML("<b>slide the kernel</b> (the blue frame) and read the sum under it"),
                widgets.HBox(
                    [controls[name] for name in ("row", "row number", "column", "column number")], layout=spread
                ),
                self.sum,
            ],
            layout=widgets.Layout(padding="8px", border="1px solid #ccc", grid_gap="4px", width="100%"),
        )

    # -- what a change does ----------------------------------------------------------------------------------------

    def _choose_preset(self) -> None:
        """Fill the boxes with the chosen kernel, and show as many boxes as it has numbers."""
        k, name = self.controls["size"].value, self.controls["preset"].value
        self.busy = True
        if name != OWN:
            rows, divisor = KERNEL_NUMBERS[name][k]
            for box, number in zip(self.boxes[k], itertools.chain(*rows), strict=True):
                box.value = number
            self.controls["divisor"].value = divisor
        if len(self.grid.children) != k * k:
            self.grid.children = self.boxes[k]
            self.grid.layout = widgets.Layout(grid_template_columns=f"repeat({k}, 64px)")
        self.busy = False
        self._draw()

    def _number_changed(self) -> None:
        if self.busy:
            return
        self.busy = True
        self.controls["preset"].value = OWN
        self.busy = False
        self._draw()

    def _sum_to_one(self) -> None:
        total = sum(box.value for box in self.boxes[self.controls["size"].value])
        if total:
            self.controls["divisor"].value = total

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self.busy:
            return
        # one thread is enough for one small picture; two would wait for each other on a busy machine
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            self._convolve_and_show()
        finally:
            torch.set_num_threads(threads)

    def _convolve_and_show(self) -> None:
        k, divisor = self.controls["size"].value, self.controls["divisor"].value or 1.0
        row, column = self.controls["row"].value, self.controls["column"].value
        kernel = torch.tensor([box.value for box in self.boxes[k]]).view(k, k)
        picture = self.pictures[self.controls["picture"].value]
        after = torch.nn.functional.conv2d(picture[None, None], kernel[None, None] / divisor, padding=k // 2)[0, 0]

        if self.controls["display"].value == SIGNED:
            colours, limit = _SIGNED_COLOURS, _full_colour(after)
        else:
            colours, limit = _GREYS, 1.0
        self.images["before"].value = _png(picture, 1.0, _GREYS, row, column, k // 2)
        self.images["after"].value = _png(after, limit, colours, row, column, 0)
        around = torch.nn.functional.pad(picture, (k // 2,) * 4)[row : row + k, column : column + k]  # (k, k)
        self.sum.value = _multiply_and_add(around, kernel, divisor)


def _full_colour(values: Tensor) -> float:
    """Return the magnitude that gets the fullest colour: few pixels exceed it; the largest where most are zero."""
    sizes = values.abs().flatten()
    return float(sizes.kthvalue(sizes.numel() * 199 // 200).values) or float(sizes.max()) or 1.0


def _png(values: Tensor, limit: float, colours: list[list[int]], row: int, column: int, radius: int) -> bytes:
    """Return (H, W) values from -limit to limit as a PNG, with a blue frame around the place of the kernel."""
    pixels = ((values / limit).clamp(-1, 1) * 127 + 127).round().byte().numpy()
    bottom, right = pixels.shape[0] - 1, pixels.shape[1] - 1
    reach = radius + 3  # the frame stays clear of the pixels that it frames
    top, bottom = max(row - reach, 0), min(row + reach, bottom)
    left, right = max(column - reach, 0), min(column + reach, right)
    pixels[[top, bottom], left : right + 1] = 255
    pixels[top : bottom + 1, [left, right]] = 255
    image = Image.fromarray(pixels).convert("P")
    image.putpalette(list(itertools.chain(*colours, *_BLUE)))
    data = io.BytesIO()
    image.save(data, format="png", compress_level=1)
    return data.getvalue()


def _multiply_and_add(around: Tensor, kernel: Tensor, divisor: float) -> str:
    """Return the sum at one pixel as HTML: pixels × kernel = products, and what they add up to."""
    products = around * kernel
    total = float(products.sum())
    result = (
        f"{_number(total)}" if divisor == 1 else f"{_number(total)} ÷ {divisor:g} = <b>{_number(total / divisor)}</b>"
    )
    parts = [
        _table("pixels under the kernel", around, 1.0, grey=True),
        '<span class="sign">×</span>',
        _table("kernel", kernel, float(kernel.abs().max()) or 1.0),
        '<span class="sign">=</span>',
        _table("products", products, float(products.abs().max()) or 1.0),
    ]
    return (
        f'<div class="parts">{"".join(parts)}</div>'
        f'<p class="total">all {kernel.numel()} products added up: <b>{result}</b>: the new value of the pixel</p>'
    )


def _table(title: str, values: Tensor, limit: float, grey: bool = False) -> str:
    rows = []
    for line in values.tolist():
        cells = []
        for value in line:
            share = max(-1.0, min(1.0, value / limit))
            if grey:
                level = round((share + 1) * 127.5)
                back, fore = f"rgb({level},{level},{level})", "#fff" if level < 128 else "#000"
            else:
                red, green, blue = _SIGNED_COLOURS[round((share * 0.6 + 1) * 127)]  # pale enough to read numbers on
                back, fore = f"rgb({red},{green},{blue})", "#000"
            cells.append(f'<td style="background:{back};color:{fore}">{_number(value)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="part"><p>{title}</p><table>{"".join(rows)}</table></div>'


def _number(value: float) -> str:
    """At most two decimals, and a real minus sign."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0" if abs(value) < 0.005 else "-0").replace("-", "−")
