"""How fast convolution written out is against PyTorch's.

python tests/benchmarks/kernels.py
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from stablediff_edu.layers.convolution import convolve


def milliseconds(work: Callable[[int], object], times: int = 30) -> float:
    """Return the median time of one call, after two calls that do not count."""
    took = []
    for turn in range(times + 2):
        start = time.perf_counter()
        work(turn)
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took[2:])


def main() -> None:
    for shape, kernel in (
        ((1, 1, 256, 256), (1, 1, 3, 3)),
        ((1, 1, 256, 256), (1, 1, 5, 5)),
        ((4, 16, 64, 64), (32, 16, 3, 3)),
    ):
        picture, numbers = torch.randn(shape), torch.randn(kernel)
        ours = milliseconds(lambda _, picture=picture, numbers=numbers: convolve(picture, numbers, padding=1))
        theirs = milliseconds(lambda _, picture=picture, numbers=numbers: F.conv2d(picture, numbers, padding=1))
        print(f"convolve {shape} * {kernel}: {ours:.2f} ms, F.conv2d {theirs:.2f} ms, ratio {ours / theirs:.1f}")


if __name__ == "__main__":
    main()
