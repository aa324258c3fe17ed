"""Plain images from a folder: whatever their size and mode, and what is said when they cannot be used."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.data.image_files import as_rgb, image_endings, open_image
from stablediff_edu.data.image_folder import ImageDataset, load_image_folder, normalize_images
from stablediff_edu.errors import UserError


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def plain(height: int = 20, width: int = 30, value: int = 200) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good images."""
    for name in ("a.png", "b.png"):
        write(tmp_path / name, plain())
    return tmp_path


def refused(folder: Path, match: str, **options: object) -> None:
    with pytest.raises(UserError, match=match) as error:
        load_image_folder(folder, **options)
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400


def test_mixed_sizes_become_squares_of_one_size(folder: Path):
    write(folder / "tall.png", plain(90, 11))
    write(folder / "tiny.png", plain(1, 1))
    write(folder / "more/wide.jpg", plain(40, 200))
    images = load_image_folder(folder, 24)
    assert images.images.shape == (5, 3, 24, 24) and images.images.dtype == torch.float32
    assert images.source == "own images (5, made square, transparent parts white)"
    assert images.size == 24 and len(images) == 5
    assert (images.images - (200 / 127.5 - 1)).abs().max() < 0.03


def test_the_middle_square_of_the_first_ones_by_name_is_taken(folder: Path):
    stripes = plain(20, 60, 0)
    stripes[:, 20:40] = 255
    write(folder / "0.png", stripes)
    assert load_image_folder(folder, 20, limit=1).images[0].mean() > 0.9
    assert len(load_image_folder(folder, 8, limit=9)) == 3


def test_folders_without_images_are_refused(tmp_path: Path):
    refused(tmp_path, "There are no images in")
    (tmp_path / "notes.txt").write_text("no image")
    refused(tmp_path, "There are no images in .* it holds 1 other files, such as notes.txt")
    refused(tmp_path / "missing", "is not there; check its name")
    write(tmp_path / "a.png", plain())
    refused(tmp_path, "holds one image that can be read")


@pytest.mark.parametrize("contents", [b"", b"no picture", "half"])
def test_a_broken_image_is_named(folder: Path, contents: bytes | str):
    whole = write(folder / "broken.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2] if contents == "half" else contents)
    (folder / "notes.txt").write_text("no image")
    images = load_image_folder(folder, 8)
    assert len(images) == 2 and images.left_out[0] == "notes.txt: not an image"
    assert "broken.png is broken or not an image" in images.left_out[1]


def test_pages_are_images(tmp_path: Path):
    pages = [Image.fromarray(plain(value=value)) for value in (0, 100, 200)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    found = load_image_folder(tmp_path, 8).images
    assert found[:, 0, 0, 0].tolist() == pytest.approx([-1, 100 / 127.5 - 1, 200 / 127.5 - 1])


def test_every_format_and_mode_that_pillow_stores_is_read(tmp_path: Path):
    slope = np.broadcast_to(np.linspace(30, 220, 32).astype(np.uint8)[:, None], (32, 32))
    seen = set()
    for ending in sorted(image_endings() - {".icns", ".im"}):  # fixed sizes; about to leave Pillow
        for mode in ("L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            image = Image.fromarray(slope).convert(mode) if mode != "I;16" else None
            try:
                (image or Image.fromarray(slope.astype(np.uint16) * 257)).save(tmp_path / f"x{ending}")
            except (OSError, KeyError, ValueError, RuntimeError):
                continue  # this format does not store this mode
            stored = open_image(tmp_path / f"x{ending}")
            if mode == "I;16" and not stored.mode.startswith("I"):
                continue  # cut off by Pillow when it was written
            found = np.asarray(as_rgb(stored), int)
            assert found.shape == (32, 32, 3) and np.abs(found - slope[..., None]).mean() < 8, (ending, mode)
            seen.add(ending)
    assert len(seen) > 20 and {".png", ".jpg", ".tif", ".gif", ".webp", ".bmp"} <= seen


def test_images_that_need_another_package_are_named_until_it_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(folder / "photo.png", plain()).rename(folder / "photo.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    named = "photo.heic: needs another package: python -m pip install pillow-heif"
    assert load_image_folder(folder, 8).left_out == [named]
    plugin = SimpleNamespace(register_heif_opener=lambda: Image.register_extension("PNG", ".heic"))
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    try:
        assert load_image_folder(folder, 8).left_out == []
    finally:
        del Image.EXTENSION[".heic"]


def test_transparent_images_are_padded_on_a_background(folder: Path):
    logo = np.zeros((20, 40, 4), np.uint8)  # a black logo on nothing
    logo[5:15, :, 3] = 255
    Image.fromarray(logo).save(folder / "0.png")
    white, red = (load_image_folder(folder, 20, background=color) for color in ("white", "#ff0000"))
    assert white.images[0, :, 0, 0].tolist() == [1, 1, 1] and white.images[0, :, 10, 1].tolist() == [-1, -1, -1]
    assert red.images[0, :, 0, 0].tolist() == red.images[0, :, 19, 5].tolist() == [1, -1, -1]
    assert "transparent parts #ff0000" in red.source
    refused(folder, "'nocolor' is not a color", background="nocolor")


def test_images_of_16_bits_are_read(folder: Path):
    write(folder / "deep.png", np.full((20, 20), 40_000, np.uint16))
    assert load_image_folder(folder, 8).images[2].mean().item() == pytest.approx(2 * 40_000 / 65_535 - 1, abs=0.01)


def test_bytes_become_values_between_minus_one_and_one():
    values = normalize_images(np.array([[[[0, 51, 255]]]], np.uint8))  # (1, 1, 1, 3)
    assert values.shape == (1, 3, 1, 1)
    assert values.flatten().tolist() == pytest.approx([-1, -0.6, 1])


def test_some_can_be_taken_in_any_order():
    images = ImageDataset(torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 2, 2), "four")
    assert images.take([3, 0]).images[:, 0, 0, 0].tolist() == [3, 0]
    assert len(images.first(3)) == 3 and len(images.first(9)) == 4 and images.first(1).source == "four"
