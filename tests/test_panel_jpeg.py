"""The JPEG panel of chapter 5: real bytes, fewer for a lower quality, and a picture that suffers from it."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.datasets.photo import load_photo
from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.jpeg import BEST, jpeg, jpeg_panel
from stablediff_edu.training.denoising import psnr

PHOTO = load_photo(256)


def eight_bits(picture: torch.Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) in 0 … 255, to the nearest."""
    return ((picture.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()


@pytest.fixture(scope="module")
def panel():
    return jpeg_panel(PHOTO)


def pixels(panel, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.images[name].value)))


@pytest.mark.parametrize("quality", [1, 20, 95])
def test_the_bytes_are_those_of_the_file(quality: int):
    file = io.BytesIO()
    Image.fromarray(eight_bits(PHOTO)).save(file, "JPEG", quality=quality)
    decoded, size = jpeg(PHOTO, quality)
    assert size == len(file.getvalue())
    assert decoded.shape == PHOTO.shape and decoded.dtype == torch.float32
    assert np.array_equal(eight_bits(decoded), np.asarray(Image.open(file)))


def test_more_bytes_come_nearer_to_the_original():
    sizes, nearness = [], []
    for quality in (1, 5, 20, 50, 80, 95):
        decoded, size = jpeg(PHOTO, quality)
        sizes.append(size)
        nearness.append(psnr(decoded, PHOTO))
    assert sizes == sorted(set(sizes))
    assert nearness == sorted(set(nearness))
    assert nearness[-1] > 33  # measured: 37


def test_a_picture_that_is_not_square_keeps_its_shape():
    assert jpeg(PHOTO[:, :100, :60], 50)[0].shape == (3, 100, 60)


def test_the_quality_moves_over_its_whole_range(panel):
    control = panel.controls["quality"]
    assert (control.min, control.max) == (1, BEST)
    said = []
    for quality in range(1, BEST + 1):
        panel.controls["quality number"].value = quality
        assert control.value == quality
        said.append(int(re.search(r"<b>([\d,]+) bytes", panel.note.value)[1].replace(",", "")))
        assert all(bytes(image.value).startswith(b"\x89PNG") for image in panel.images.values())
    assert said == sorted(said) and said[-1] > 10 * said[0]
    assert "nan" not in panel.note.value


def test_the_quality_changes_the_jpeg_only(panel):
    panel.controls["quality"].value = 40
    before = {name: bytes(image.value) for name, image in panel.images.items()}
    panel.controls["quality"].value = 10
    after = {name: bytes(image.value) for name, image in panel.images.items()}
    assert {name for name in before if before[name] != after[name]} == {"JPEG", "JPEG closer"}


def test_the_pictures_shown_are_the_photograph_and_what_came_back(panel):
    panel.controls["quality"].value = 15
    decoded, size = jpeg(PHOTO, 15)
    assert np.array_equal(pixels(panel, "original"), to_bytes(PHOTO))
    assert np.array_equal(pixels(panel, "JPEG"), to_bytes(decoded))
    assert f"<b>{size:,} bytes</b> instead of 196,608: {196_608 / size:.1f} times fewer" in panel.note.value


def test_the_detail_is_a_part_of_the_picture_four_times_as_large(panel):
    for name in ("original", "JPEG"):
        small, whole = pixels(panel, f"{name} closer")[::4, ::4], pixels(panel, name)
        side = len(small)
        places = [
            (top, left)
            for top in range(256 - side)
            for left in range(256 - side)
            if np.array_equal(whole[top, left : left + side], small[0])
            and np.array_equal(whole[top : top + side, left : left + side], small)
        ]
        assert len(places) == 1
