"""Autoencoders: images to a latent vector of few dimensions, and back (chapter 5).

Both halves are stacks of fully connected layers: 28×28 pixels are few enough for them. The variational kind is that of
Kingma and Welling (2013), "Auto-Encoding Variational Bayes"; the linear one, without any training, is PCA.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from stablediff_edu.errors import UserError


class Autoencoder(nn.Module):
    """Encode images into latent vectors, and decode: (B, 1, S, S) -> (B, latent) -> (B, 1, S, S).

    Args:
        latent: how many numbers an image becomes.
        widths: of the layers in between, from the image to the latent; the decoder has them in reverse.
        variational: the encoder predicts mean and log variance of each latent dimension (`moments`), and the training
            loss decodes a sample; `encode` and the call itself use the mean.
        size: side of the images in pixels.

    Raises:
        UserError: `latent` is less than 1, or images of another size are encoded.
    """

    def __init__(
        self, latent: int = 2, widths: Sequence[int] = (256, 128), variational: bool = False, size: int = 28
    ) -> None:
        super().__init__()
        _check(latent, size * size)
        self.config = dict(latent=latent, widths=list(widths), variational=variational, size=size)
        self.latent, self.variational = latent, variational
        down = [size * size, *widths]
        self.encoder = nn.Sequential(
            nn.Flatten(),  # (B, 1, S, S) -> (B, S·S)
            *(part for a, b in pairwise(down) for part in (nn.Linear(a, b), nn.SiLU())),
            nn.Linear(down[-1], 2 * latent if variational else latent),  # -> (B, latent), or mean and logvar
        )
        up = [latent, *reversed(widths)]
        self.decoder = nn.Sequential(
            *(part for a, b in pairwise(up) for part in (nn.Linear(a, b), nn.SiLU())),
            nn.Linear(up[-1], size * size),
            nn.Tanh(),  # between -1, black, and 1, white
            nn.Unflatten(1, (1, size, size)),  # (B, S·S) -> (B, 1, S, S)
        )

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log variance, (B, latent) both (variational only)."""
        if not self.variational:
            raise ValueError("a plain autoencoder has no moments; make it with variational=True")
        mean, logvar = self._encoded(x).chunk(2, dim=1)  # (B, 2·latent) -> twice (B, latent)
        return mean, logvar.clamp(-30, 20)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the latent vectors of images, (B, 1, S, S) -> (B, latent); if variational, their means."""
        return self.moments(x)[0] if self.variational else self._encoded(x)

    def _encoded(self, x: torch.Tensor) -> torch.Tensor:
        size = self.config["size"]
        if x.shape[1:] != (1, size, size):
            raise UserError(
                f"This autoencoder was made for images (B, 1, {size}, {size}), not {tuple(x.shape)}; "
                "resize them, or make one with another size."
            )
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Decode latent vectors into images: (B, latent) -> (B, 1, S, S) in [-1, 1]."""
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


class PCA:
    """The linear autoencoder with the least squared error, found without training: principal component analysis.

    The latent values are an image's coordinates along the `latent` principal components, relative to the mean image;
    decoding adds these components up again (Pearson, 1901). It computes on the CPU.

    Args:
        images: (N, 1, S, S) to find the directions in.
        latent: how many numbers an image becomes.
    """

    def __init__(self, images: torch.Tensor, latent: int = 2) -> None:
        rows = images.cpu().flatten(1).double()  # (N, 1, S, S) -> (N, D)
        _check(latent, rows.shape[1])
        self.latent, self.shape, self.mean = latent, images.shape[1:], rows.mean(0)
        rows = rows - self.mean
        _, vectors = torch.linalg.eigh(rows.T @ rows)  # of the covariance, the largest last
        directions = vectors[:, -latent:].flip(1)  # (D, latent)
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))  # (1, latent)
        self.directions = directions * largest.sign()  # either sign would do: the same one on every machine

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, S, S) -> (B, latent)."""
        return ((x.cpu().flatten(1).double() - self.mean) @ self.directions).float()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """(B, latent) -> (B, 1, S, S)."""
        return (z.cpu().double() @ self.directions.T + self.mean).float().unflatten(1, self.shape)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


def _check(latent: int, most: int) -> None:
    if not 1 <= latent <= most:
        raise UserError(f"An image of {most} pixels cannot become {latent} numbers; choose 1 to {most}.")
