"""Convolution written out, kernels with names, and how far an output can see.

What deep learning calls a convolution lays the kernel on the picture as it stands (mathematicians would turn it by
180° first and call this one a cross-correlation). ``torch.nn.functional.conv2d`` does the same, only faster.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stablediff_edu.errors import CourseError


def convolve(
    picture: Tensor, kernel: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0
) -> Tensor:
    """Multiply the surrounding pixels by the kernel's numbers and add up, at every place at once.

    Instead of walking over the pixels, it walks over the kernel: the whole picture, shifted by one offset, is
    multiplied by the number that the kernel has there and added to the result.

    Args:
        picture: (B, C, H, W), any type of numbers.
        kernel: (O, C, k, l): for each of the O output channels a grid of k × l numbers as deep as the picture.
        bias: (O,), one number added to each output channel.
        stride: how many pixels the kernel moves on between two outputs.
        padding: how many rows and columns of zeros are put around the picture first.

    Returns:
        (B, O, H', W') with H' = (H + 2 padding - k) // stride + 1, and W' likewise.

    Raises:
        CourseError: the depths differ, or the kernel is larger than the padded picture.
    """
    if picture.ndim != 4 or kernel.ndim != 4 or picture.shape[1] != kernel.shape[1]:
        raise CourseError(
            f"A picture of shape {tuple(picture.shape)} does not go with a kernel of shape {tuple(kernel.shape)}; "
            "make them (B, C, H, W) and (O, C, k, k) with the same C."
        )
    padded = nn.functional.pad(picture, (padding, padding, padding, padding))  # (B, C, H + 2p, W + 2p)
    rows = (padded.shape[2] - kernel.shape[2]) // stride + 1
    columns = (padded.shape[3] - kernel.shape[3]) // stride + 1
    if rows < 1 or columns < 1:
        raise CourseError(
            f"A kernel of {kernel.shape[2]}×{kernel.shape[3]} does not fit into a picture of "
            f"{padded.shape[2]}×{padded.shape[3]} pixels; take a smaller kernel or more padding."
        )
    output = picture.new_zeros(picture.shape[0], kernel.shape[0], rows, columns)
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            shifted = padded[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]  # (B, C, H', W')
            shifted = shifted[:, :, :rows, :columns]
            output += torch.einsum("bchw,oc->bohw", shifted, kernel[:, :, i, j])  # sums over the depth C
    return output if bias is None else output + bias.view(1, -1, 1, 1)


# Whole numbers and what to divide them by: the way in which kernels are written on paper.
_BINOMIAL = torch.tensor([1, 4, 6, 4, 1])
_STEP = torch.tensor([-1, -2, 0, 2, 1])
_GAUSSIAN_5 = torch.outer(_BINOMIAL, _BINOMIAL)
_CENTRE_5 = torch.zeros(5, 5, dtype=torch.int64).index_put((torch.tensor(2), torch.tensor(2)), torch.tensor(1))
KERNEL_NUMBERS: dict[str, dict[int, tuple[list[list[int]], int]]] = {
    "identity": {
        3: ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1),
        5: (_CENTRE_5.tolist(), 1),
    },
    "vertical edges": {  # Sobel: positive where the picture becomes brighter from left to right
        3: ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1),
        5: (torch.outer(_BINOMIAL, _STEP).tolist(), 12),
    },
    "horizontal edges": {  # positive where it becomes brighter from top to bottom
        3: ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], 1),
        5: (torch.outer(_STEP, _BINOMIAL).tolist(), 12),
    },
    "box blur": {
        3: ([[1] * 3] * 3, 9),
        5: ([[1] * 5] * 5, 25),
    },
    "Gaussian blur": {
        3: ([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16),
        5: (_GAUSSIAN_5.tolist(), 256),
    },
    "sharpen": {  # twice the picture minus its blurred self
        3: ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1),
        5: ((512 * _CENTRE_5 - _GAUSSIAN_5).tolist(), 256),
    },
    "emboss": {  # the picture plus what its top left has more than its bottom right: light from the top left
        3: ([[1, 1, 0], [1, 1, -1], [0, -1, -1]], 1),
        5: ([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, -1, 0], [0, 0, 0, 0, -1]], 1),
    },
}
# name -> size -> (k, k) float32, ready to use: KERNELS["box blur"][5]
KERNELS: dict[str, dict[int, Tensor]] = {
    name: {size: torch.tensor(rows, dtype=torch.float32) / divisor for size, (rows, divisor) in sizes.items()}
    for name, sizes in KERNEL_NUMBERS.items()
}


class Field(NamedTuple):
    """How far one output sees: a square of ``size`` input pixels; neighbours' squares lie ``jump`` pixels apart."""

    size: int
    jump: int


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[Field]:
    """Return the field of view after each layer, by formula.

    A kernel of k numbers a side adds (k - 1) steps, and a step is as long as all strides before it multiplied.

    Args:
        layers: (kernel size, stride) of each layer in order; a 2×2 pooling counts as (2, 2).
    """
    fields, size, jump = [], 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
        fields.append(Field(size, jump))
    return fields


_NORMALISATIONS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def gradient_footprint(
    network: nn.Module,
    shape: tuple[int, int, int, int],
    *,
    row: int | None = None,
    column: int | None = None,
    read: Callable[[nn.Module, Tensor], Tensor] | None = None,
    samples: int = 3,
) -> Tensor:
    """Measure which input pixels one output position depends on: those where its gradient is not zero.

    Normalisation layers are replaced by nothing, on a copy: their mean and variance look at the whole picture, so
    with them every output would depend on every pixel, if only by a breath. What is measured is the field of view
    of the convolutions. The network itself is left as it was.

    Args:
        network: any network from (B, C, H, W) to (B, O, h, w).
        shape: of the input, (1, C, H, W).
        row, column: of the output position; the middle by default.
        read: how to get the tensor in question from (network, picture), for instance from a level in between;
            ``network(picture)`` by default.
        samples: pictures of random numbers to try; a switched-off ReLU or a max pooling hides pixels in a single one.

    Returns:
        (H, W) float64: the largest gradient magnitude per pixel, over samples and input channels. Its non-zero
        pixels are the footprint; :func:`footprint_size` gives their extent.
    """
    plain = copy.deepcopy(network).cpu().double().eval().requires_grad_(False)
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _NORMALISATIONS):
                setattr(parent, name, nn.Identity())
    random = torch.Generator().manual_seed(0)
    largest = torch.zeros(shape[-2:], dtype=torch.float64)
    for _ in range(samples):
        picture = torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()
        output = read(plain, picture) if read else plain(picture)  # (1, O, h, w)
        middle_row, middle_column = output.shape[2] // 2, output.shape[3] // 2
        there = output[0, :, middle_row if row is None else row, middle_column if column is None else column]  # (O,)
        # each channel by its own random weight, so that gradients cannot cancel
        weights = torch.randn(there.shape, generator=random, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((there * weights).sum(), picture)  # (1, C, H, W)
        largest = torch.maximum(largest, gradient[0].abs().amax(0))
    return largest


def footprint_size(footprint: Tensor) -> tuple[int, int]:
    """Return height and width of the box around a footprint's non-zero pixels; (0, 0) if there are none."""
    rows, columns = footprint.nonzero(as_tuple=True)
    if len(rows) == 0:
        return 0, 0
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
