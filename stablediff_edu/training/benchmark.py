"""What a training step costs, measured."""

import statistics
import time

import torch
import torch.nn.functional as F

from stablediff_edu.config import pick_device, synchronize
from stablediff_edu.models.unet import UNet
from stablediff_edu.training.amp import memory_format, to_fast_layout


def benchmark_train_step(size: int, batch: int = 4, repeats: int = 3, channels: int = 3, patch: int = 2) -> float:
    """Return how long one training step of a small noise predictor takes, for `batch` images of size × size.

    The network has no attention, whose cost grows faster than the number of pixels. The median of `repeats` steps,
    after one to warm up. `channels` is 3 for images, 4 for latents; `patch` is the U-Net's.
    """
    device = pick_device()
    layout = memory_format(device)
    model = UNet(channels, channels, (32, 64, 128), time=64, patch=patch)
    to_fast_layout(model, device)
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.randn(batch, channels, size, size, device=device).contiguous(memory_format=layout)
    t = torch.zeros(batch, device=device)
    seconds = []
    for _ in range(repeats + 1):
        synchronize(device)
        started = time.perf_counter()
        optimizer.zero_grad()
        F.mse_loss(model(x, t), x).backward()
        optimizer.step()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
