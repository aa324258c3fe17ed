"""Masks of every kind that people have: the area is right, or one sentence says what decides it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from stablediff_edu.data.masks import decide
from stablediff_edu.data.segmentation_folder import read_pair
from stablediff_edu.errors import UserError

SIZE = HEIGHT, WIDTH = 80, 96
LOSSY = ("JPEG", "WebP", "soft")
SOFT = 0.01  # of the pixels that a blurred or lossy file may give to the other side


def shape(rng: np.random.Generator) -> np.ndarray:
    """A disc, a box, a thin line or a blob, (HEIGHT, WIDTH) bool; it covers less than half of the image."""
    image = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    x, y = rng.integers(20, HEIGHT - 20, 2).tolist()
    r = int(rng.integers(8, 19))
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
    elif kind == 1:
        draw.rectangle([x - r, y - r // 2, x + r, y + r // 2], fill=255)
    elif kind == 2:
        draw.line([4, y, WIDTH - 5, x], fill=255, width=int(rng.integers(3, 6)))
    else:
        for dx in (0, r, -r):
            draw.ellipse([x + dx - r, y - r // 2, x + dx + r, y + r], fill=255)
    return np.asarray(image) > 0


def gray(mask: np.ndarray, low: float = 0, high: float = 255, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(np.where(mask, high, low).astype(dtype))


def colored(mask: np.ndarray, inside: tuple, outside: tuple = (0, 0, 0)) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], inside, outside).astype(np.uint8))


def with_alpha(mask: np.ndarray, color: int, mode: str = "RGBA") -> Image.Image:
    image = Image.new(mode[:-1], (WIDTH, HEIGHT), color=(color,) * (len(mode) - 1))
    image.putalpha(gray(mask))
    return image


def cut_out(mask: np.ndarray) -> Image.Image:
    """A photograph, as good as noise, with the mask as its alpha."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8))
    image.putalpha(gray(mask))
    return image


def palette(index: np.ndarray, colors: list[int]) -> Image.Image:
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(colors)
    return image


def blurred(mask: np.ndarray, radius: float = 0.8) -> Image.Image:
    return gray(mask).filter(ImageFilter.GaussianBlur(radius))


def rim(mask: np.ndarray) -> np.ndarray:
    return (np.asarray(gray(mask).filter(ImageFilter.MaxFilter(3))) > 0) & ~mask


def labels(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def parts(mask: np.ndarray) -> np.ndarray:
    """A map of labels: 1 and 2 are the halves of the object."""
    return (mask * (1 + (np.arange(WIDTH) % 2))).astype(np.uint8)


VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0, 0, 0] * 11 + [192, 128, 128]
READ = {  # kind -> (ending, save options, mask -> image)
    "1 bit": ("png", {}, lambda m: Image.fromarray(m)),
    "1 bit TIFF": ("tif", {"compression": "group4"}, lambda m: Image.fromarray(m)),
    "0/255": ("png", {}, gray),
    "0/1": ("bmp", {}, lambda m: gray(m, 0, 1)),
    "1/2": ("png", {}, lambda m: gray(m, 1, 2)),
    "16 bit": ("tif", {}, lambda m: gray(m, 0, 65535, np.uint16)),
    "16 bit 0/1": ("png", {}, lambda m: gray(m, 0, 1, np.uint16)),
    "32 bit": ("tif", {}, lambda m: gray(m, 0, 1, np.float32)),
    "RGB": ("png", {}, lambda m: gray(m).convert("RGB")),
    "CMYK TIFF": ("tif", {}, lambda m: gray(m).convert("RGB").convert("CMYK")),
    "red on black": ("png", {}, lambda m: colored(m, (200, 0, 0))),
    "LA": ("png", {}, lambda m: gray(m).convert("LA")),
    "LA, alpha": ("png", {}, lambda m: with_alpha(m, 0, "LA")),
    "photo cut out": ("png", {}, cut_out),
    "opaque RGBA": ("png", {}, lambda m: gray(m).convert("RGBA")),
    "alpha, black": ("png", {}, lambda m: with_alpha(m, 0)),
    "alpha, white": ("webp", {"lossless": True, "exact": True}, lambda m: with_alpha(m, 255)),
    "palette": ("png", {}, lambda m: palette(m, [0, 0, 0, 255, 255, 255])),
    "palette, white first": ("png", {}, lambda m: palette(~m, [255, 255, 255, 0, 0, 0])),
    "VOC palette, one class": ("png", {}, lambda m: palette(m * 15, VOC)),
    "GIF": ("gif", {}, gray),
    "transparent GIF": ("gif", {"transparency": 0}, lambda m: palette(m, [0, 0, 0, 255, 255, 255])),
    "JPEG 95": ("jpg", {"quality": 95}, gray),
    "JPEG 75": ("jpg", {"quality": 75}, gray),
    "WebP": ("webp", {"quality": 80}, gray),
    "soft edge": ("png", {}, blurred),
    "soft alpha": ("png", {}, lambda m: Image.merge("LA", (Image.new("L", (WIDTH, HEIGHT)), blurred(m)))),
    "soft 32 bit": ("tif", {}, lambda m: Image.fromarray(np.asarray(blurred(m), np.float32) / 255)),
}
REFUSED = {  # kind -> (mask -> image, options that decide it -> which pixels are then foreground)
    "labels": (lambda m: labels(1 + parts(m)), {"foreground": [2, 3]}),
    "labels, 255 ignored": (lambda m: labels(np.where(rim(m), 255, 5 * m)), {"foreground": [5]}),
    "VOC palette": (lambda m: palette(parts(m), VOC), {"foreground": [1, 2]}),
    "16 bit labels": (lambda m: Image.fromarray(parts(m) * np.uint16(300)), {"foreground": "nonzero"}),
    "many labels, 255 ignored": (
        lambda m: labels(np.where(rim(m), 255, m * (1 + np.arange(WIDTH) // 3 % 12))),
        {"foreground": list(range(1, 13))},
    ),
    "far labels": (lambda m: labels(m * (10 + 18 * (np.arange(WIDTH) // 3 % 14))), {"foreground": "nonzero"}),
    "many labels": (lambda m: labels(m * (1 + np.arange(WIDTH) // 5)), {"foreground": "nonzero"}),
    "inverted": (lambda m: gray(~m), {"invert": True}),
    "inverted 1 bit": (lambda m: Image.fromarray(~m), {"invert": True}),
    "inverted alpha": (lambda m: with_alpha(~m, 0), {"invert": True}),
    "inverted, large object": (lambda m: gray(~m & ~frame()), {"invert": True}),
    "colors": (lambda m: Image.merge("RGB", [gray(parts(m) == 1), gray(parts(m) == 2), gray(m & False)]), {}),
    "red on white": (lambda m: colored(m, (255, 0, 0), (255, 255, 255)), {}),
    "empty": (lambda m: gray(m & False), {}),
    "full": (lambda m: gray(m | True), {}),
    "full alpha": (lambda m: with_alpha(m | True, 0), {}),
}  # fmt: skip


def frame() -> np.ndarray:
    inner = np.zeros(SIZE, bool)
    inner[8:-8, 8:-8] = True
    return inner


def wrong(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found != truth).mean())


def test_two_hundred_folders_are_read_right_or_refused_in_a_sentence(tmp_path: Path):
    kinds, refused = [*READ, *REFUSED], 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        kind = kinds[seed % len(kinds)] if seed < 2 * len(kinds) else str(rng.choice(list(READ)))
        ending, options, make = READ.get(kind) or ("png", {}, REFUSED[kind][0])
        folder = tmp_path / str(seed)
        folder.mkdir()
        truths = [shape(rng) for _ in range(3)]
        if kind in READ and rng.random() < 0.3:
            truths.append(np.zeros(SIZE, bool) | (rng.random() < 0.5))  # nothing in one of the images, or only object
        orientations = rng.choice([1, 1, 3, 6, 8], len(truths)).tolist()
        pairs = []
        for number, (truth, orientation) in enumerate(zip(truths, orientations, strict=True)):
            exif = Image.Exif()
            exif[0x0112] = orientation
            image, mask = folder / f"{number}.jpg", folder / f"{number}_mask.{ending}"
            Image.fromarray(np.where(truth, 200, 40).astype(np.uint8)).save(image, exif=exif, quality=95)
            marked = make(truth)
            turned = bool(rng.random() < 0.5) and ending in ("jpg", "png")  # the mask carries the image's turn, or none
            marked.save(mask, **options, **({"exif": exif} if turned else {}))
            pairs.append((image, mask))
        masks = [mask for _, mask in pairs]
        decided = {}
        if kind in REFUSED:
            with pytest.raises(UserError) as error:
                decide(masks)
            text, decided = str(error.value), REFUSED[kind][1]
            assert text.endswith((".", "nonzero.")) and "\n" not in text and (not decided or "--" in text), (kind, text)
            if not decided:
                continue
        lossy = any(word in kind for word in LOSSY)
        try:
            rule = decide(masks, **decided)
        except UserError:
            refused += 1
            assert refused <= 4, (seed, kind)
            assert lossy or "photo" in kind  # thin lines that a blur has left without a core; nothing cut out of one
            continue
        truths = [truth | frame() for truth in truths] if "large" in kind else truths
        limit = SOFT if lossy else 0
        for image, mask in pairs:
            colors, found = read_pair(image, [mask], rule)
            bright = np.asarray(colors.convert("L")) > 120
            if "large" not in kind:
                assert wrong(np.asarray(found) > 0, bright) <= limit + 0.005, (
                    seed,
                    kind,
                    "turned otherwise than its image",
                )
        assert abs(rule.area / np.mean(truths) - 1) <= (0.01 if limit else 1e-6), (seed, kind, rule)


def test_a_set_of_two_kinds_is_read_right_or_refused(tmp_path: Path):
    rng, kinds = np.random.default_rng(0), [kind for kind in READ if not any(word in kind for word in LOSSY)]
    masks = [shape(rng) for _ in range(2)]
    for number in range(150):
        paths, pair = [], rng.choice(kinds, 2).tolist()
        for name, kind, mask in zip("ab", pair, masks, strict=True):
            ending, options, make = READ[kind]
            paths.append(tmp_path / f"{number}{name}.{ending}")
            make(mask).save(paths[-1], **options)
        try:
            rule = decide(paths)
        except UserError as error:
            assert "--foreground" in str(error) or "alike" in str(error)
        else:
            assert abs(rule.area - np.mean(masks)) < 1e-6, (pair, rule)


def test_one_class_of_a_palette_is_found_by_its_number(tmp_path: Path):
    masks = [shape(np.random.default_rng(seed)) for seed in range(2)]
    for name, mask, label in zip("ab", masks, (15, 1), strict=True):
        palette(mask * label, VOC).save(tmp_path / f"{name}.png")
    rule = decide(sorted(tmp_path.iterdir()), foreground=[15])
    assert abs(rule.area - masks[0].mean() / 2) < 1e-6


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
