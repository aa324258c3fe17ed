"""The still image that a panel leaves where no kernel runs: title, settings, images and note on a white sheet."""

import io
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, GAP, LINE = 900, 12, 14, 18
LARGE = 90_000  # bytes: above, 256 colors are enough
INK, MUTED = "#1c2733", "#55616d"
FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
HINT = "A still image of this panel: run the cell to use it."


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of stills and figures, `size` in pixels."""
    return ImageFont.truetype(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)


def compose(title: str, settings: str, tiles: Sequence[tuple[str, Image.Image]], note: str) -> bytes:
    """Return the still image as PNG: the images in rows of at most 900 pixels, each under its title."""
    small, letters = font(12), 125  # letters that fit into a line
    places, (x, y, bottom) = [], (MARGIN, 0, 0)
    for name, image in tiles:
        image.thumbnail((WIDTH - 2 * MARGIN, 2000))
        width = max(image.width, round(small.getlength(name)))
        if x > MARGIN and x + width > WIDTH - MARGIN:
            x, y = MARGIN, bottom + GAP
        places.append((x, y, name, image))
        x, bottom = x + width + GAP, max(bottom, y + image.height + (LINE if name else 0))
    above = textwrap.wrap(settings, letters)
    below = textwrap.wrap(note, letters)
    top = MARGIN + 24 + LINE * len(above) + 8
    height = top + bottom + 10 + LINE * (len(below) + 1) + MARGIN
    sheet = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, WIDTH - 1, height - 1), outline="#c3ccd4")
    draw.text((MARGIN, MARGIN), title, INK, font(15, bold=True))
    for n, line in enumerate(above):
        draw.text((MARGIN, MARGIN + 24 + n * LINE), line, INK, small)
    for x, y, name, image in places:
        draw.text((x, top + y), name, INK, font(12, bold=True))
        sheet.paste(image, (x, top + y + (LINE if name else 0)))
    for n, line in enumerate(below):
        draw.text((MARGIN, top + bottom + 10 + n * LINE), line, INK, small)
    draw.text((MARGIN, height - MARGIN - LINE + 2), HINT, MUTED, small)
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    if data.tell() > LARGE:
        data = io.BytesIO()
        sheet.quantize(256).save(data, "PNG", optimize=True)
    return data.getvalue()
