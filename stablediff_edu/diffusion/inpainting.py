"""Image-to-image and inpainting: start from an image instead of noise, and change all or a part of it.

Image-to-image makes the image as noisy as it would be after some steps, and goes on from there (Meng et al., 2021,
"SDEdit"). Inpainting puts what is to stay back after every step, as noisy as the rest is then, so that what is new fits
to it (Lugmayr et al., 2022, "RePaint", equation 8).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from stablediff_edu.diffusion.check_inputs import expand_to_batch
from stablediff_edu.diffusion.samplers import NoiseLevel


class InpaintingCondition:
    """The initial image, and the mask of what is kept, for every image of a batch.

    Args:
        image: (3, H, W) in [-1, 1], or one for each prompt.
        mask: (H, W), 1 where the image is generated again and 0 where it stays, or one for each prompt; None: all is
            new.
        batch, count: how many images are generated, and how many of them for each prompt.
        encode: images (B, 3, H, W) to latents (B, 4, h, w).

    Attributes:
        z0: the latents, (batch, 4, h, w).
        new: where they are new, (batch, 1, h, w): in every position that has a pixel to be generated again.

    Latents are on the device of the networks, the image and the mask on the CPU.
    """

    def __init__(
        self, image: torch.Tensor, mask: torch.Tensor | None, batch: int, count: int, encode: Callable
    ) -> None:
        images = image.reshape(-1, 3, *image.shape[-2:])
        self.z0 = expand_to_batch(encode(images), batch, count)
        self.image, self.mask = expand_to_batch(images, batch, count).cpu(), None
        if mask is not None:
            masks = mask.reshape(-1, 1, *mask.shape[-2:]).cpu().float()
            self.mask = expand_to_batch(masks, batch, count) > 0
            new = expand_to_batch(F.adaptive_max_pool2d(masks, self.z0.shape[2:]), batch, count) > 0
            self.new = new.to(self.z0.device)

    def add_noise(self, level: NoiseLevel, eps: torch.Tensor) -> torch.Tensor:
        """Return the latent with as much noise as there is at this level; at the end none is left."""
        return self.z0 if level.t is None else level.signal * self.z0 + level.noise * eps

    def blend_known_region(self, z: torch.Tensor, level: NoiseLevel, eps: torch.Tensor) -> None:
        """Write the initial image's latent into z, where it is kept."""
        if self.mask is not None:
            z.copy_(torch.where(self.new, z, self.add_noise(level, eps)))

    def composite(self, images: torch.Tensor) -> torch.Tensor:
        """Return the generated images with the original pixels where they are kept: decoding blurs a little."""
        return images if self.mask is None else torch.where(self.mask, images, self.image)
