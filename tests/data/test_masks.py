"""Masks of every kind that people have: the area is right, or one sentence says what decides it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from stablediff_edu.datasets.masks import decide
from stablediff_edu.errors import CourseError

SIDE = 96


def shape(rng: np.random.Generator) -> np.ndarray:
    """A disc, a box, a thin line or a blob, (SIDE, SIDE) bool; it covers less than half of the image."""
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    x, y = rng.integers(20, SIDE - 20, 2).tolist()
    r = int(rng.integers(8, 19))
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
    elif kind == 1:
        draw.rectangle([x - r, y - r // 2, x + r, y + r // 2], fill=255)
    elif kind == 2:
        draw.line([4, y, SIDE - 5, x], fill=255, width=int(rng.integers(2, 5)))
    else:
        for dx in (0, r, -r):
            draw.ellipse([x + dx - r, y - r // 2, x + dx + r, y + r], fill=255)
    return np.asarray(image) > 0


def gray(mask: np.ndarray, low: int = 0, high: int = 255, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(np.where(mask, high, low).astype(dtype))


def rgba(mask: np.ndarray, color: int) -> Image.Image:
    pixels = np.full((*mask.shape, 4), color, np.uint8)
    pixels[..., 3] = np.where(mask, 255, 0)
    return Image.fromarray(pixels, "RGBA")


def palette(index: np.ndarray, colors: list[int]) -> Image.Image:
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(colors)
    return image


READ = {  # kind -> (ending, save options, mask -> image)
    "1 bit": ("png", {}, lambda m: Image.fromarray(m)),
    "0/255": ("png", {}, gray),
    "0/1": ("bmp", {}, lambda m: gray(m, 0, 1)),
    "1/2": ("png", {}, lambda m: gray(m, 1, 2)),
    "16 bit": ("tif", {}, lambda m: gray(m, 0, 65535, np.uint16)),
    "16 bit 0/1": ("png", {}, lambda m: gray(m, 0, 1, np.uint16)),
    "RGB": ("png", {}, lambda m: gray(m).convert("RGB")),
    "red on black": ("png", {}, lambda m: Image.fromarray(np.stack([m * 200, m * 0, m * 0], -1).astype(np.uint8))),
    "LA": ("png", {}, lambda m: gray(m).convert("LA")),
    "opaque RGBA": ("png", {}, lambda m: gray(m).convert("RGBA")),
    "alpha, black": ("png", {}, lambda m: rgba(m, 0)),
    "alpha, white": ("webp", {"lossless": True, "exact": True}, lambda m: rgba(m, 255)),
    "palette": ("png", {}, lambda m: palette(m, [0, 0, 0, 255, 255, 255])),
    "palette, white first": ("png", {}, lambda m: palette(~m, [255, 255, 255, 0, 0, 0])),
    "VOC palette, one class": ("png", {}, lambda m: palette(m * 15, [0, 0, 0] * 15 + [192, 128, 128])),
    "GIF": ("gif", {}, gray),
    "JPEG 95": ("jpg", {"quality": 95}, gray),
    "JPEG 75": ("jpg", {"quality": 75}, gray),
    "WebP": ("webp", {"quality": 80}, gray),
    "soft edge": ("png", {}, lambda m: gray(m).filter(ImageFilter.GaussianBlur(0.8))),
}
REFUSED = {
    "labels 1, 2, 3": ("png", lambda m: Image.fromarray((1 + m + (np.arange(SIDE) > 60)[None] * m).astype(np.uint8))),
    "labels 0, 5, 255": ("png", lambda m: Image.fromarray(np.where(m, 5, 0).astype(np.uint8) | _rim(m))),
    "many labels": (
        "png",
        lambda m: Image.fromarray(((np.arange(SIDE)[None] // 5) * np.ones((SIDE, 1)) * m).astype(np.uint8)),
    ),
    "inverted": ("png", lambda m: gray(~m)),
}


def _rim(mask: np.ndarray) -> np.ndarray:
    grown = np.asarray(gray(mask).filter(ImageFilter.MaxFilter(3))) > 0
    return np.where(grown & ~mask, 255, 0).astype(np.uint8)


def write(folder: Path, make, ending: str, options: dict, rng: np.random.Generator, count: int = 4):
    masks = [shape(rng) for _ in range(count)]
    paths = [folder / f"{number}.{ending}" for number in range(count)]
    for mask, path in zip(masks, paths, strict=True):
        make(mask).save(path, **options)
    return masks, paths


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("seed", range(3))
def test_the_foreground_has_the_right_area(kind: str, seed: int, tmp_path: Path):
    ending, options, make = READ[kind]
    masks, paths = write(tmp_path, make, ending, options, np.random.default_rng(seed))
    rule = decide(paths)
    for mask, path in zip(masks, paths, strict=True):
        found = np.asarray(rule.read(path)) > 0
        assert (found != mask).sum() <= 0.01 * mask.size and abs(found.sum() - mask.sum()) <= max(4, 0.1 * mask.sum())
    assert abs(rule.area - np.mean(masks)) < 0.01


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_values_do_not_decide_is_refused_with_the_option_that_decides_it(kind: str, tmp_path: Path):
    ending, make = REFUSED[kind]
    masks, paths = write(tmp_path, make, ending, {}, np.random.default_rng(0))
    with pytest.raises(CourseError, match="--foreground"):
        decide(paths)
    if kind == "inverted":
        assert abs(decide(paths, invert=True).area - np.mean(masks)) < 1e-6
    elif kind == "labels 1, 2, 3":
        assert abs(decide(paths, foreground=[2, 3]).area - np.mean(masks)) < 1e-6
    elif kind == "labels 0, 5, 255":
        assert abs(decide(paths, foreground=[5]).area - np.mean(masks)) < 0.06


@pytest.mark.parametrize("value", [0, 255])
def test_masks_that_mark_nothing_are_refused(value: int, tmp_path: Path):
    for name in "ab":
        Image.new("L", (8, 8), value).save(tmp_path / f"{name}.png")
    with pytest.raises(CourseError, match="same value"):
        decide(sorted(tmp_path.iterdir()))


def test_some_empty_masks_among_others_are_read(tmp_path: Path):
    Image.new("L", (SIDE, SIDE)).save(tmp_path / "a.png")
    gray(shape(np.random.default_rng(0))).save(tmp_path / "b.png")
    rule = decide(sorted(tmp_path.iterdir()))
    assert not np.asarray(rule.read(tmp_path / "a.png")).any()


def test_files_with_0_and_1_go_with_files_with_0_and_255(tmp_path: Path):
    mask = shape(np.random.default_rng(0))
    gray(mask).save(tmp_path / "a.png")
    gray(mask, 0, 1).save(tmp_path / "b.png")
    assert abs(decide(sorted(tmp_path.iterdir())).area - mask.mean()) < 1e-6


def test_a_mask_of_the_stored_pixels_is_turned_as_its_image_is(tmp_path: Path):
    mask = np.zeros((6, 9), bool)
    mask[:2, :3] = True
    gray(mask).save(tmp_path / "a.png")
    rule = decide([tmp_path / "a.png"])
    for orientation, wanted in ((1, mask), (3, mask[::-1, ::-1]), (6, np.rot90(mask, -1))):
        image = Image.new("RGB", (9, 6))
        image.info["orientation"] = orientation
        assert np.array_equal(np.asarray(rule.read(tmp_path / "a.png", image)) > 0, wanted)
    image = Image.new("RGB", (6, 9))  # stored upright in another size: the mask was made from what a viewer shows
    image.info["orientation"] = 6
    assert rule.read(tmp_path / "a.png", image).size == (9, 6)
