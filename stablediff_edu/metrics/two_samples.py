"""Do two sets of images come from the same distribution? Measures that see shapes, not only attributes.

A classifier two-sample test (Lopez-Paz and Oquab, 2017, "Revisiting classifier two-sample tests") trains a small
network to tell the sets apart: on images held out from its training, an accuracy of 0.5 means that it cannot, 1 that it
always can. The kernel distance compares two sets of features (Bińkowski et al., 2018, "Demystifying MMD GANs").
"""

import torch
import torch.nn.functional as F
from torch import nn


def small_classifier() -> nn.Sequential:
    """Return an untrained network of about 62,000 parameters: (B, 3, H, W) -> (B,) logits."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(24, 48, 3, stride=2, padding=1),
        nn.GroupNorm(8, 48),
        nn.SiLU(),
        nn.Conv2d(48, 64, 3, stride=2, padding=1),
        nn.GroupNorm(8, 64),
        nn.SiLU(),
        nn.Conv2d(64, 40, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(40, 1),
        nn.Flatten(0),
    )


def two_sample_accuracy(
    images: torch.Tensor, references: torch.Tensor, steps: int = 400, batch_size: int = 64, seed: int = 0
) -> float:
    """Train a small network to tell images from references; return its accuracy on those it did not learn from.

    One half of both sets is for training, the other for the test. Images and references of the same index may show the
    same caption: they then lie in the same half.

    Args:
        images, references: (N, 3, H, W) in [-1, 1], the same number of both.
    """
    if images.shape != references.shape:
        raise ValueError(f"images {tuple(images.shape)} and references {tuple(references.shape)} must match")
    half = len(images) // 2
    train, test = ([part[rows] for part in (images, references)] for rows in (slice(half), slice(half, None)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = small_classifier()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        labels = torch.cat([torch.ones(batch_size // 2), torch.zeros(batch_size // 2)])
        for _ in range(steps):
            batch = torch.cat([part[torch.randint(len(part), (batch_size // 2,))] for part in train])
            loss = F.binary_cross_entropy_with_logits(model(batch), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        right = [((model(part) > 0) == wanted).float() for part, wanted in zip(test, (True, False), strict=True)]
    return torch.cat(right).mean().item()


def kernel_distance(features: torch.Tensor, references: torch.Tensor) -> float:
    """Return the unbiased squared MMD with the kernel (x·y / d + 1)³, as in the kernel inception distance (KID).

    0 for two samples of one distribution, up to noise: it may be slightly negative. No sum counts a pair of the same
    index (Gretton et al., 2012, "A Kernel Two-Sample Test", equation 3): there both images may show the same caption.

    Args:
        features, references: (N, d) both.
    """
    if features.shape != references.shape:
        raise ValueError(f"features {tuple(features.shape)} and references {tuple(references.shape)} must match")
    x, y = features.double(), references.double()
    kernels = [(a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    xx, yy, xy = ((k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in kernels)
    return (xx + yy - 2 * xy).item()
