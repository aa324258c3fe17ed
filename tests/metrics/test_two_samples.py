"""Two-sample measures: near chance for one distribution, far from it for two."""

import torch

from stablediff_edu.metrics.two_samples import kernel_distance, two_sample_accuracy


def images(count: int, seed: int, blur: int = 1) -> torch.Tensor:
    noise = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, blur, 1, blur // 2) * blur  # as strong, but smooth


def test_images_of_one_distribution_are_not_told_apart_and_others_are():
    assert 0.4 < two_sample_accuracy(images(200, 0), images(200, 1), steps=60) < 0.6
    assert two_sample_accuracy(images(200, 0), images(200, 1, blur=3), steps=60) > 0.95


def test_the_test_is_repeatable_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    accuracies = {two_sample_accuracy(images(40, 0), images(40, 1), steps=5) for _ in range(2)}
    assert len(accuracies) == 1 and torch.equal(before, torch.get_rng_state())


def test_kernel_distance_is_the_mean_over_pairs_of_different_indices():
    x, y = torch.randn(7, 5), torch.randn(7, 5) + 1
    k = lambda a, b: (a.double() @ b.double() / 5 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    wanted = sum(k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in pairs) / 42
    assert abs(kernel_distance(x, y) - wanted) < 1e-9


def test_kernel_distance_is_near_zero_for_one_distribution():
    torch.manual_seed(0)
    same, other = (kernel_distance(torch.randn(500, 8), torch.randn(500, 8) + shift) for shift in (0.0, 0.5))
    assert abs(same) < 0.05 < other
