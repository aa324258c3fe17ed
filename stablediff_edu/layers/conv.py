"""Convolution written out, named kernels, and receptive fields.

What deep learning calls a convolution lays the kernel on the image as it stands (mathematicians would turn it by
180° first and call this one a cross-correlation). ``torch.nn.functional.conv2d`` does the same, only faster.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stablediff_edu.errors import UserError


def conv2d(image: Tensor, kernel: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Compute a 2-D convolution: at every position, the sum of the surrounding pixels times the kernel's values.

    Instead of walking over the pixels, it walks over the kernel: the whole image, shifted by one offset, is
    multiplied by the number that the kernel has there and added to the result.

    Args:
        image: (B, C, H, W), any type of numbers.
        kernel: (O, C, k, l): for each of the O output channels a grid of k × l numbers as deep as the image.
        bias: (O,), one number added to each output channel.
        stride: how many pixels the kernel moves on between two outputs.
        padding: how many rows and columns of zeros are put around the image first.

    Returns:
        (B, O, H', W') with H' = (H + 2 padding - k) // stride + 1, and W' likewise.

    Raises:
        UserError: the depths differ, or the kernel is larger than the padded image.
    """
    if image.ndim != 4 or kernel.ndim != 4 or image.shape[1] != kernel.shape[1]:
        raise UserError(
            f"An image of shape {tuple(image.shape)} does not go with a kernel of shape {tuple(kernel.shape)}; "
            "make them (B, C, H, W) and (O, C, k, k) with the same C."
        )
    padded = nn.functional.pad(image, (padding, padding, padding, padding))  # (B, C, H + 2p, W + 2p)
    rows = (padded.shape[2] - kernel.shape[2]) // stride + 1
    columns = (padded.shape[3] - kernel.shape[3]) // stride + 1
    if rows < 1 or columns < 1:
        raise UserError(
            f"A kernel of {kernel.shape[2]}×{kernel.shape[3]} does not fit into an image of "
            f"{padded.shape[2]}×{padded.shape[3]} pixels; take a smaller kernel or more padding."
        )
    output = image.new_zeros(image.shape[0], kernel.shape[0], rows, columns)
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
_CENTER_5 = torch.zeros(5, 5, dtype=torch.int64).index_put((torch.tensor(2), torch.tensor(2)), torch.tensor(1))
KERNEL_TABLE: dict[str, dict[int, tuple[list[list[int]], int]]] = {
    "identity": {
        3: ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1),
        5: (_CENTER_5.tolist(), 1),
    },
    "vertical edges": {  # Sobel: positive where the image becomes brighter from left to right
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
    "sharpen": {  # twice the image minus its blurred self
        3: ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1),
        5: ((512 * _CENTER_5 - _GAUSSIAN_5).tolist(), 256),
    },
    "emboss": {  # the image plus what its top left has more than its bottom right: light from the top left
        3: ([[1, 1, 0], [1, 1, -1], [0, -1, -1]], 1),
        5: ([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, -1, 0], [0, 0, 0, 0, -1]], 1),
    },
}
# name -> size -> (k, k) float32, ready to use: KERNELS["box blur"][5]
KERNELS: dict[str, dict[int, Tensor]] = {
    name: {size: torch.tensor(rows, dtype=torch.float32) / divisor for size, (rows, divisor) in sizes.items()}
    for name, sizes in KERNEL_TABLE.items()
}


class ReceptiveField(NamedTuple):
    """Receptive field of one output: a square of ``size`` input pixels; those of neighbors lie ``jump`` pixels
    apart."""

    size: int
    jump: int


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[ReceptiveField]:
    """Return the receptive field after each layer, by formula.

    A kernel of k numbers a side adds (k - 1) steps, and a step is as long as all strides before it multiplied.

    Args:
        layers: (kernel size, stride) of each layer in order; a 2×2 pooling counts as (2, 2).
    """
    fields, size, jump = [], 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
        fields.append(ReceptiveField(size, jump))
    return fields


_NORMALIZATIONS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def effective_receptive_field(
    network: nn.Module,
    shape: tuple[int, int, int, int],
    *,
    row: int | None = None,
    column: int | None = None,
    forward_fn: Callable[[nn.Module, Tensor], Tensor] | None = None,
    num_samples: int = 3,
) -> Tensor:
    """Measure which input pixels one output position depends on: those where its gradient is not zero.

    Normalization layers are replaced by nothing, on a copy: their mean and variance look at the whole image, so with
    them every output would depend on every pixel, if only a little. What is measured is the receptive field of the
    convolutions. The network itself is left as it was.

    Args:
        network: any network from (B, C, H, W) to (B, O, h, w).
        shape: of the input, (1, C, H, W).
        row, column: of the output position; the middle by default.
        forward_fn: how to get the tensor in question from (network, image), for instance from a level in between;
            ``network(image)`` by default.
        num_samples: images of random numbers to try; a switched-off ReLU or a max pooling hides pixels in a single one.

    Returns:
        (H, W) float64: the largest gradient magnitude per pixel, over samples and input channels. Its non-zero
        pixels are the footprint; :func:`receptive_field_size` gives their extent.
    """
    plain = copy.deepcopy(network).cpu().double().eval().requires_grad_(False)
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _NORMALIZATIONS):
                setattr(parent, name, nn.Identity())
    rng = torch.Generator().manual_seed(0)
    largest = torch.zeros(shape[-2:], dtype=torch.float64)
    for _ in range(num_samples):
        image = torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()
        output = forward_fn(plain, image) if forward_fn else plain(image)  # (1, O, h, w)
        middle_row, middle_column = output.shape[2] // 2, output.shape[3] // 2
        there = output[0, :, middle_row if row is None else row, middle_column if column is None else column]  # (O,)
        # each channel by its own random weight, so that gradients cannot cancel
        weights = torch.randn(there.shape, generator=rng, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((there * weights).sum(), image)  # (1, C, H, W)
        largest = torch.maximum(largest, gradient[0].abs().amax(0))
    return largest


def receptive_field_size(footprint: Tensor) -> tuple[int, int]:
    """Return height and width of the box around a footprint's non-zero pixels; (0, 0) if there are none."""
    rows, columns = footprint.nonzero(as_tuple=True)
    if len(rows) == 0:
        return 0, 0
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
