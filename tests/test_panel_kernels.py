"""The kernel editor, without a screen: every control over its range, and the picture follows."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.display.panels.kernels import kernel_editor
from stablediff_edu.layers.convolution import KERNEL_NUMBERS

SIZE = 48


@pytest.fixture(scope="module")
def editor():
    return kernel_editor(SIZE)


def _after(editor):
    return editor.images["after"].value


def _pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("name", ["picture", "preset", "size", "display"])
def test_every_choice_draws(editor, name):
    control = editor.controls[name]
    start, seen = control.value, set()
    for _, value in control._options_full:
        control.value = value
        assert _pixels(_after(editor)).shape == (SIZE, SIZE, 3)
        seen.add(_after(editor))
    control.value = start
    least = len(control._options_full) - (name == "preset")  # "your own" keeps the numbers of the preset before
    assert len(seen) == least


@pytest.mark.parametrize("size", [3, 5])
def test_every_number_changes_the_picture(editor, size):
    editor.controls["size"].value = size
    editor.controls["preset"].value = "identity"
    for row in range(1, size + 1):
        for column in range(1, size + 1):
            box = editor.controls[f"{size}×{size} row {row} column {column}"]
            for value in (-3.0, 0.5, 2.0):
                old = _after(editor)
                box.value = value
                assert _after(editor) != old
            assert editor.controls["preset"].value == "your own"
    editor.controls["preset"].value = "box blur"
    assert editor.controls["divisor"].value == size**2


def test_the_frame_moves_over_the_whole_picture(editor):
    editor.controls["preset"].value = "Gaussian blur"
    for name in ("row", "column"):
        slider, number = editor.controls[name], editor.controls[f"{name} number"]
        seen = set()
        for value in range(slider.min, slider.max + 1):
            slider.value = value
            assert number.value == value
            seen.add(editor.images["before"].value)
        assert len(seen) >= SIZE - 3  # at the rim the frame is cut off
        number.value = SIZE // 2
        assert slider.value == SIZE // 2


def test_divisor_and_sum_to_one(editor):
    editor.controls["size"].value = 3
    editor.controls["display"].value = editor.controls["display"].options[1]
    editor.controls["preset"].value = "box blur"
    blurred = _after(editor)
    editor.controls["divisor"].value = 2.0
    assert _after(editor) != blurred
    editor.controls["sum to one"].click()
    assert editor.controls["divisor"].value == 9
    assert _after(editor) == blurred
    editor.controls["divisor"].value = 0.0  # nothing can be divided by it: taken as 1
    editor.controls["preset"].value = "vertical edges"
    editor.controls["sum to one"].click()  # these add up to 0: there is nothing to divide by
    assert editor.controls["divisor"].value == KERNEL_NUMBERS["vertical edges"][3][1]
    editor.controls["display"].value = editor.controls["display"].options[0]


def test_the_sum_is_the_pixel(editor):
    editor.controls["size"].value = 3
    editor.controls["picture"].value = "one white pixel"
    editor.controls["preset"].value = "identity"
    for name in ("row", "column"):
        editor.controls[name].value = SIZE // 2
    text = editor.sum.value
    assert text.count("<td") == 27
    assert "all 9 products added up: <b>1</b>" in text
    editor.controls["picture"].value = "photograph"


def test_the_picture_is_the_convolution():
    panel = kernel_editor(32)
    panel.controls["picture"].value = "chessboard"
    panel.controls["display"].value = panel.controls["display"].options[1]
    panel.controls["preset"].value = "identity"
    shown = torch.from_numpy(_pixels(_after(panel))[..., 0].copy())
    assert {int(value) for value in shown.unique()} <= {0, 25, 229, 110, *range(23, 28), *range(227, 231)}
