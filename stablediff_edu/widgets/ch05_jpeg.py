"""The panel of chapter 5 on JPEG: encode a photograph in fewer bytes, decode it, and see the difference."""

import io

import numpy as np
import torch
from PIL import Image

from stablediff_edu.metrics.images import psnr
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Slider

MAX_QUALITY = 95  # above, files grow without a visible change
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
    decoded = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return decoded / 127.5 - 1, len(file.getvalue())


class JpegPanel(Panel):
    """Controls: quality. Images: original, JPEG, and a zoom of both.

    Args:
        photo: (3, S, S) in [-1, 1].
    """

    def __init__(self, photo: torch.Tensor) -> None:
        super().__init__("JPEG", Slider("quality", 1, MAX_QUALITY, 20))
        self.photo = photo.cpu()
        self.lay_out("quality", self.note, ["original", "JPEG"], ["original, zoom", "JPEG, zoom"])
        self._show_both("original", self.photo, "the original photograph")
        self._encode()
        self.follow(self._encode, "quality")

    def _encode(self) -> None:
        decoded, size = jpeg_roundtrip(self.photo, self["quality"])
        self._show_both("JPEG", decoded, f"the photograph as JPEG of quality {self['quality']}")
        raw = self.photo.numel()  # a byte for each of red, green and blue
        self.say(
            f"<b>{size:,} bytes</b> instead of {raw:,}: {raw / size:.1f} times fewer · PSNR "
            f"{psnr(decoded, self.photo):.1f} dB · mean error {(decoded - self.photo).abs().mean() * 127.5:.1f} of 255"
        )

    def _show_both(self, name: str, image: torch.Tensor, alt: str) -> None:
        top, left, side = (round(share * image.shape[-1]) for share in DETAIL)
        self.show(name, image, alt)
        self.show(f"{name}, zoom", image[:, top : top + side, left : left + side], f"{alt}, zoom")
