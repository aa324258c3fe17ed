"""The panel of chapter 5 on JPEG: encode a photograph in fewer bytes, decode it again, and see what it cost."""

import io

import ipywidgets as widgets
import torch
from PIL import Image

from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.training.denoising import psnr

BEST = 95  # beyond it files grow and nothing is seen to change
WHOLE, ZOOM = 256, 4
DETAIL = (0.25, 0.42, 0.2)  # where to look closer, as shares of the side: top, left, size; the eyes of the portrait


def jpeg(picture: torch.Tensor, quality: int) -> tuple[torch.Tensor, int]:
    """Encode a picture as JPEG and decode it: (3, H, W) in [-1, 1] -> (what came back, the number of bytes between).

    Args:
        picture: (3, H, W) in [-1, 1]; JPEG is given 8 bits a value.
        quality: 1, the smallest file, to 95.
    """
    values = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte()
    file = io.BytesIO()
    Image.fromarray(values.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        decoded = torch.frombuffer(bytearray(opened.tobytes()), dtype=torch.uint8)
    decoded = decoded.view(*picture.shape[1:], 3).permute(2, 0, 1)  # (H·W·3,) -> (H, W, 3) -> (3, H, W)
    return decoded / 127.5 - 1, len(file.getvalue())


def jpeg_panel(photo: torch.Tensor, quality: int = 20) -> widgets.VBox:
    """Return the panel. `.controls`: quality and quality number. `.note`: bytes, and how far from the original.

    `.images`: original, JPEG; and a detail of both, original closer and JPEG closer.

    Args:
        photo: (3, S, S) in [-1, 1].
        quality: to begin with.
    """
    return _JpegPanel(photo.cpu(), quality).panel


class _JpegPanel:
    def __init__(self, photo: torch.Tensor, quality: int) -> None:
        self.photo = photo
        size = photo.shape[-1]
        top, left, side = (round(share * size) for share in DETAIL)
        self.detail = (slice(None), slice(top, top + side), slice(left, left + side))
        self.quality, self.number = parts.slider_and_number("quality", 1, BEST, quality, width=460)
        whole, close = parts.whole_multiple(size, WHOLE), ZOOM * side
        sides = {"original": whole, "JPEG": whole, "original closer": close, "JPEG closer": close}
        self.images = {name: parts.picture_place(name, width) for name, width in sides.items()}
        self.note = widgets.HTML()
        self.note.add_class("sd-jpeg-note")
        self.quality.observe(self._draw, "value")
        self._show("original", photo)
        self.panel = self._lay_out()
        self._draw()

    def _lay_out(self) -> widgets.VBox:
        titles = {"original": f"original, {self.photo.numel():,} bytes"}
        shown = [parts.under_title(titles.get(name, name), one) for name, one in self.images.items()]
        pictures = widgets.VBox([parts.in_line(*shown[:2]), parts.in_line(*shown[2:])])  # the closer looks below
        for row in pictures.children:
            row.layout.align_items = "flex-start"
        panel = widgets.VBox([parts.in_line(self.quality, self.number), self.note, pictures])
        panel.controls = {"quality": self.quality, "quality number": self.number}
        panel.images, panel.note = self.images, self.note
        return panel

    def _draw(self, _change=None) -> None:
        decoded, size = jpeg(self.photo, self.quality.value)
        self._show("JPEG", decoded)
        raw = self.photo.numel()  # a byte for each of red, green and blue
        self.note.value = (
            f"<b>{size:,} bytes</b> instead of {raw:,}: {raw / size:.1f} times fewer · "
            f"PSNR {psnr(decoded, self.photo):.1f} dB · "
            f"a value is {(decoded - self.photo).abs().mean() * 127.5:.1f} of 255 off on average"
        )

    def _show(self, name: str, picture: torch.Tensor) -> None:
        """Draw a whole picture, and its detail."""
        for place, shown in ((name, picture), (f"{name} closer", picture[self.detail])):
            self.images[place].value = png(strip([[to_bytes(shown)]], int(self.images[place].width)))
