"""The panel of chapter 5 on JPEG: encode a photograph in fewer bytes, decode it, and see the difference."""

import io

import ipywidgets
import torch
from PIL import Image

from stablediff_edu.metrics.images import psnr
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Slider

MAX_QUALITY = 95  # above, files grow without a visible change
WHOLE, ZOOM = 256, 4
DETAIL = (0.25, 0.42, 0.2)  # top, left, size of the detail as shares of the side: the eyes of the portrait


def jpeg_roundtrip(image: torch.Tensor, quality: int) -> tuple[torch.Tensor, int]:
    """Encode an image as JPEG and decode it: (3, H, W) in [-1, 1] -> (decoded image, number of bytes).

    Args:
        image: (3, H, W) in [-1, 1]; JPEG gets 8 bits per value.
        quality: 1, the smallest file, to 95.
    """
    values = ((image.clamp(-1, 1) + 1) * 127.5).round().byte()
    file = io.BytesIO()
    Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        decoded = torch.frombuffer(bytearray(opened.tobytes()), dtype=torch.uint8)
    decoded = decoded.view(*image.shape[1:], 3).permute(2, 0, 1)  # (H·W·3,) -> (H, W, 3) -> (3, H, W)
    return decoded / 127.5 - 1, len(file.getvalue())


class JpegPanel(Panel):
    """Controls: quality. Images: original, JPEG, and a zoom of both.

    Args:
        photo: (3, S, S) in [-1, 1].
        quality: at the start.
    """

    def __init__(self, photo: torch.Tensor, quality: int = 20) -> None:
        super().__init__("JPEG")
        self.photo = photo.cpu()
        size = photo.shape[-1]
        top, left, side = (round(share * size) for share in DETAIL)
        self.detail = (slice(None), slice(top, top + side), slice(left, left + side))
        self.controls["quality"] = Slider("quality", 1, MAX_QUALITY, quality)
        whole, zoomed = nearest_multiple(size, WHOLE), ZOOM * side
        columns = [
            ipywidgets.VBox([self.image(name, whole, title=title), self.image(f"{name}, zoom", zoomed)])
            for name, title in (("original", f"original, {photo.numel():,} bytes"), ("JPEG", "JPEG"))
        ]
        self.lay_out(["quality"], self.note, columns)
        self._show_both("original", self.photo, "the original photograph")
        self._encode()
        self.follow(self._encode, "quality")

    def _encode(self) -> None:
        quality = self.value("quality")
        decoded, size = jpeg_roundtrip(self.photo, quality)
        self._show_both("JPEG", decoded, f"the photograph as JPEG of quality {quality}")
        raw = self.photo.numel()  # a byte for each of red, green and blue
        self.say(
            f"<b>{size:,} bytes</b> instead of {raw:,}: {raw / size:.1f} times fewer · PSNR "
            f"{psnr(decoded, self.photo):.1f} dB · mean error {(decoded - self.photo).abs().mean() * 127.5:.1f} of 255"
        )

    def _show_both(self, name: str, image: torch.Tensor, alt: str) -> None:
        self.show(name, image, alt)
        self.show(f"{name}, zoom", image[self.detail].contiguous(), f"{alt}, zoom")
