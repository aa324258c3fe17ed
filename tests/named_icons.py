"""A captioned set for tests: icons with transparent grounds, symbols captioned by their Unicode names."""

import colorsys
import json
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
BLOCKS = ((0x1F600, 0x1F650), (0x2600, 0x27C0), (0x1F030, 0x1F0E0), (0x25A0, 0x2600), (0x2190, 0x2300))
SIDE = 48


def write_icons(folder: Path, count: int = 1000) -> int:
    """Write RGBA icons and metadata.jsonl, and return how many there are."""
    there, font = FT2Font(str(FONT)).get_charmap(), ImageFont.truetype(str(FONT), 40)
    codes = [code for first, last in BLOCKS for code in range(first, last) if code in there]
    codes = [code for code in codes if unicodedata.name(chr(code), "")][:count]
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, code in enumerate(codes):
        color = colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.85, 0.75)
        icon = Image.new("RGBA", (SIDE, SIDE))
        place = dict(xy=(SIDE / 2, SIDE / 2), anchor="mm", fill=tuple(round(255 * part) for part in color))
        ImageDraw.Draw(icon).text(text=chr(code), font=font, **place)
        icon.save(folder / f"{code:05x}.png")
        rows.append({"file_name": f"{code:05x}.png", "text": unicodedata.name(chr(code)).lower()})
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return len(rows)
