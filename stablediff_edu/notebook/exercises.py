"""The exercises of all chapters: right answers, well-known mistakes, and two hints; the notebooks ask the questions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F


class Exercise(NamedTuple):
    """What an answer is compared with.

    Attributes:
        expected: a number or nested lists of numbers, or a function, if the answer is one.
        hints: where to look, and, for a second wrong answer, how to go on.
        mistakes: pairs of a well-known wrong answer and the sentence that says how one comes to it.
        tolerance: the largest difference that still counts as right, in every number.
        examples: arguments that a function is tried on.
    """

    expected: Any
    hints: tuple[str, str]
    mistakes: Sequence[tuple[Any, str]] = ()
    tolerance: float = 1e-6
    examples: Sequence[tuple] = ((),)


def _random(*shapes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=rng) for shape in shapes)


def _function(
    expected: Callable, examples: Sequence[tuple], hints: tuple[str, str], mistakes: Sequence[tuple[Callable, str]] = ()
) -> Exercise:
    return Exercise(expected, hints, mistakes, 1e-4, examples)


def _one_pixel(image: torch.Tensor, kernel: torch.Tensor, row: int, column: int) -> torch.Tensor:
    return F.conv2d(image[None, None], kernel[None, None])[0, 0, row, column]


def _iou(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (found * true).sum() / ((found + true) > 0).sum()


def _ddim_step(xt: torch.Tensor, eps: torch.Tensor, a: float, b: float) -> torch.Tensor:
    return b**0.5 * (xt - (1 - a) ** 0.5 * eps) / a**0.5 + (1 - b) ** 0.5 * eps


def _solve(directions: torch.Tensor, a: int, b: int, c: int) -> torch.Tensor:
    scores = directions @ (directions[a] - directions[b] + directions[c])
    scores[[a, b, c]] = -torch.inf
    return scores.argmax()


Pair = tuple[float, float]


def _clean_latent(zt: float, velocity: float, here: Pair, there: Pair) -> float:
    return here[0] * zt - here[1] * velocity


def _noise(zt: float, velocity: float, here: Pair, there: Pair) -> float:
    return here[1] * zt + here[0] * velocity


def _sampling_step(zt: float, velocity: float, here: Pair, there: Pair) -> float:
    return there[0] * _clean_latent(zt, velocity, here, there) + there[1] * _noise(zt, velocity, here, there)


_noisy, _eps = _random((2, 3), (2, 3))
_masks = [(values > limit).float() for values, limit in zip(_random(*[(8, 8)] * 4), (-0.5, 0, 0.5, -0.2), strict=True)]
_words = F.normalize(_random((60, 8))[0])

EXERCISES = {
    "1.1": Exercise(
        [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
        (
            "the kernel says from which pixel a new pixel takes its value; try it in the editor with one white pixel.",
            "a single weight is 1, all others are 0; the value comes from the left neighbor.",
        ),
        [([[0, 0, 0], [0, 0, 1], [0, 0, 0]], "this one moves the image to the left.")],
    ),
    "1.2": Exercise(
        64 * (3 * 5 * 5 + 1),
        (
            "the section on color: how deep is a kernel?",
            "count the weights of one kernel, 5 × 5 for each color channel, and add its bias; there are 64 of them.",
        ),
        [
            (64 * 3 * 25, "the biases are missing."),
            (64 * 26, "that is for gray images."),
            (64 * 25, "that is for gray images, and without biases."),
        ],
    ),
    "1.3": _function(
        _one_pixel,
        [(*_random((6, 7), (3, 3)), 0, 2), (*_random((6, 7), (5, 5)), 1, 2)],
        (
            "the two loops above; and the kernel is not always 3 × 3.",
            "cut the patch of the kernel's size out of the image, from row and column on, multiply, and sum up.",
        ),
    ),
    "2.1": Exercise(
        256 * 512 * 9,
        (
            "the cell about the layer 64 → 128.",
            "there are as many kernels as output channels, and each is as deep as there are input channels.",
        ),
        [(512 * 9, "each kernel is 256 channels deep, not one."), (256 * 512, "each kernel has 3×3 positions.")],
    ),
    "2.2": Exercise(
        [432, 576],
        (
            "the list below the table of the network.",
            "both sides must be multiples of 16; divide by 16, round down, and multiply by 16.",
        ),
        [
            ([576, 432], "that is [width, height]."),
            ([444, 588], "it halves four times: 2 · 2 · 2 · 2 = 16."),
        ],
    ),
    "2.3": _function(
        _iou,
        [tuple(_masks[:2]), tuple(_masks[2:])],
        (
            "the formula above `sd.iou_dice`.",
            "the product of the two masks is 1 where both are 1; their sum is above 0 where at least one is 1.",
        ),
    ),
    "3.1": Exercise(
        (1 - 0.394) ** 0.5,
        ("the formula under 'The noise level'.", "the factor of the noise is √(1 − ᾱ)."),
        [(0.394**0.5, "that is the factor of the image."), (1 - 0.394, "a square root is missing.")],
        tolerance=0.002,
    ),
    "3.2": _function(
        lambda xt, eps, alpha_bar: (xt - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5,
        [(_noisy, _eps, 0.5), (_noisy[0], _eps[0], 0.04)],
        (
            "solve xt = √ᾱ · x0 + √(1 − ᾱ) · eps for x0.",
            "subtract the noise times its factor, then divide by the factor of the image.",
        ),
    ),
    "3.3": _function(
        _ddim_step,
        [(_noisy, _eps, 0.3, 0.5), (_noisy[0], _eps[0], 0.04, 0.2)],
        (
            "exercise 2 gives x0; add the noise eps to it again, at the next noise level.",
            "x0 uses ᾱ of timestep t; the result is √ᾱ · x0 + √(1 − ᾱ) · eps with ᾱ of timestep s.",
        ),
    ),
    "4.1": Exercise(
        256,
        (
            "'What pixels cost': twice the side, four times the pixels.",
            "the side is 512 / 32 times as long; the number of pixels grows with its square.",
        ),
        [(16, "that is how many times longer the side is; pixels fill an area.")],
    ),
    "4.2": _function(
        lambda xt, velocity, alpha_bar: alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * velocity,
        [(_noisy, _eps, 0.5), (_noisy[0], _eps[0], 0.04)],
        (
            "the formulas under 'Training from scratch', and the factors as powers of ᾱ and 1 − ᾱ.",
            "the sum of xt times √ᾱ and the velocity times −√(1 − ᾱ): the noise cancels.",
        ),
    ),
    "5.1": Exercise(
        12.25,
        (
            "'Diffusion in latent space' prints both shapes.",
            "multiply the three numbers of each shape, the image without its added border, and divide.",
        ),
        [(16, "that counts the added black pixels, 32×32, too."), (48, "that is Stable Diffusion's.")],
        tolerance=0.01,
    ),
    "5.2": _function(
        lambda a, b, share: (1 - share) * a + share * b,
        [(*_random((2,), (2,)), 0.25), (*_random((2,), (2,)), 1.0)],
        ("at share 0 it is a, at share 1 it is b.", "a weighted mean: the two weights add up to 1."),
    ),
    "5.3": Exercise(
        0.0,
        (
            "put these values into the formula of KL; it measures the difference to the standard normal distribution.",
            "each dimension adds ½ (mean² + variance − 1 − ln variance).",
        ),
        [
            (1.0, "that would be a distribution with another mean."),
            (2.0, "there are two dimensions, but each adds 0."),
        ],
    ),
    "6.1": Exercise(
        -0.62,
        (
            "'Two matrices, and one step by hand': the dot product first, then the sigmoid, then − 1.",
            "the dot product is 0.6 · 0.5 + 0.8 · (−1), and sigmoid(x) = 1 / (1 + e⁻ˣ).",
        ),
        [
            (0.38, "that is the probability itself; subtract the target 1."),
            (0.62, "the sign: probability minus 1."),
        ],
        tolerance=0.006,
    ),
    "6.2": _function(
        lambda a, b: F.cosine_similarity(a, b, dim=0),
        [(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])), _random((50,), (50,))],
        (
            "the length of a vector is `a.norm()`; equal directions give 1.",
            "divide the dot product `a @ b` by both lengths.",
        ),
    ),
    "6.3": _function(
        _solve,
        [(_words, 1, 2, 3), (_words, 10, 20, 30), (_words, 5, 6, 6)],
        (
            "set the scores of a, b and c to minus infinity before you take the largest.",
            "the scores of all words are `directions @ target`, with the target vector a − b + c.",
        ),
    ),
    "7.1": Exercise(
        0.75,
        (
            "'The simplest attention': e to the power of each score, divided by their sum.",
            "e to the power of 0 is 1, and e to the power of 1.0986 is 3.",
        ),
        [(0.25, "that is the weight of the first."), (3, "divide by the sum of both.")],
        tolerance=0.001,
    ),
    "7.2": _function(
        F.scaled_dot_product_attention,
        [_random((3, 4), (3, 4), (3, 4)), _random((2, 8), (5, 8), (5, 8))],
        (
            "scores, divided by the square root of F; softmax along the keys; times the values.",
            "the scores are `queries @ keys.T`, (N, M); each row is a query, so the softmax is over dim=1.",
        ),
    ),
    "7.3": Exercise(
        64 * 64 * 77,
        ("'Cross-attention': the shape of the weights.", "one weight for each pair of a position and a token."),
        [
            (64 * 77, "64×64 positions, not 64."),
            (64**4, "that would be self-attention: positions attend to *tokens*."),
        ],
    ),
    "8.1": Exercise(
        1.4,
        (
            "the formula of classifier-free guidance.",
            "the prediction without the prompt, plus 4 times the difference of the two.",
        ),
        [
            (2.0, "that is 4 · 0.5; only the difference is multiplied by 4."),
            (1.2, "add it to the prediction without the prompt."),
            (1.7, "start from the prediction without the prompt."),
        ],
    ),
    "8.2": Exercise(
        40,
        ("the loop of part 6.", "each sampling step needs a prediction with the prompt and one without it."),
        [(20, "each sampling step needs two."), (80, "the 4 multiplies the difference only.")],
    ),
    "8.3": _function(
        _sampling_step,
        [(1.0, 0.5, (0.6, 0.8), (0.8, 0.6)), (-0.5, 1.0, (0.28, 0.96), (0.6, 0.8))],
        (
            "the last three lines of the loop of part 6.",
            "z0 = signal · zt − noise · velocity and eps = noise · zt + signal · velocity, with the factors of `here`; "
            "then add them up with the factors of `there`.",
        ),
        [
            (_clean_latent, "that is the clean latent; add the noise."),
            (_noise, "that is the noise; add both."),
        ],
    ),
}
