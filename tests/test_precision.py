"""Training in half precision: nearly the same values, float32 weights, nothing left behind."""

import pytest
import torch

from stablediff_edu.layers.attention import Attention
from stablediff_edu.training import amp
from stablediff_edu.training.amp import autocast_half

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_processor_with_bfloat16(monkeypatch):
    monkeypatch.setattr(amp, "has_bfloat16", lambda device: True)


def answer_and_gradient(wanted: bool) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = Attention(32, heads=4)
    x = torch.randn(2, 9, 32)
    with autocast_half(wanted, CPU):
        answer = layer(x)
    answer.float().square().mean().backward()
    weight = next(layer.parameters())
    assert weight.dtype == weight.grad.dtype == torch.float32
    return answer, weight.grad


def test_answers_and_gradients_differ_by_rounding_only():
    (exact, exact_gradient), (rough, rough_gradient) = answer_and_gradient(False), answer_and_gradient(True)
    assert exact.dtype == torch.float32 and rough.dtype == torch.bfloat16
    assert 0 < (rough.float() - exact).norm() / exact.norm() < 0.02
    assert 0 < (rough_gradient - exact_gradient).norm() / exact_gradient.norm() < 0.04


def test_it_ends_with_its_block():
    with autocast_half(True, CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu") and torch.backends.cuda.flash_sdp_enabled()


def test_not_wanted_it_does_nothing():
    with autocast_half(False, CPU):
        assert not torch.is_autocast_enabled("cpu")


def test_a_processor_without_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(amp, "has_bfloat16", lambda device: False)
    exact, same = answer_and_gradient(False), answer_and_gradient(True)
    assert all(torch.equal(a, b) for a, b in zip(exact, same, strict=True))
