"""The still image that a panel leaves where no kernel runs: title, settings, images and note on a white sheet."""

import io
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, GAP, LINE = 900, 12, 14, 18
LETTERS = 125  # that fit into a line
INK, MUTED = "#1c2733", "#55616d"
FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
HINT = "A still image of this panel: run the cell to use it."


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of stills and figures, `size` in pixels."""
    return ImageFont.truetype(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)


def compose(title: str, settings: str, tiles: Sequence[tuple[str, Image.Image]], note: str) -> bytes:
    """Return the still image as PNG: the images in rows of at most 900 pixels, each under its title."""
    sheet = Image.new("RGB", (WIDTH, 4000), "white")
    pen = ImageDraw.Draw(sheet)

    def write(lines: Sequence[str], top: int, letters: ImageFont.FreeTypeFont, color: str = INK) -> int:
        for line in lines:
            pen.text((MARGIN, top), line, color, letters)
            top += LINE
        return top

    small, bold = font(12), font(12, bold=True)
    bottom = write([title], MARGIN, font(15, bold=True)) + 6
    bottom = write(textwrap.wrap(settings, LETTERS), bottom, small) + 8
    x, y = MARGIN, bottom
    for name, image in tiles:
        image.thumbnail((WIDTH - 2 * MARGIN, 2000))
        width = max(image.width, round(bold.getlength(name)))
        if x > MARGIN and x + width > WIDTH - MARGIN:
            x, y = MARGIN, bottom + GAP
        pen.text((x, y), name, INK, bold)
        sheet.paste(image, (x, y + LINE * bool(name)))
        x, bottom = x + width + GAP, max(bottom, y + image.height + LINE * bool(name))
    bottom = write(textwrap.wrap(note, LETTERS), bottom + 10, small)
    bottom = write([HINT], bottom, small, MUTED) + MARGIN // 2
    pen.rectangle((0, 0, WIDTH - 1, bottom - 1), outline="#c3ccd4")
    data = io.BytesIO()
    sheet.crop((0, 0, WIDTH, bottom)).quantize(256).save(data, "PNG", optimize=True)
    return data.getvalue()
