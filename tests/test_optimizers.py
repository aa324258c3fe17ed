"""Muon for the matrices inside a network, AdamW for the rest: each does what torch's own does with its part."""

from itertools import repeat

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.training import optimizers
from stablediff_edu.training.loop import train
from stablediff_edu.training.optimizers import (
    MIN_MATRIX_DIM,
    MUON_LR,
    MuonWithAdamW,
    is_hidden_matrix,
    make_optimizer,
    orthogonalize,
)


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3), nn.SiLU(), nn.Conv2d(16, 24, 3), nn.Flatten(), nn.Linear(24 * 4 * 4, 16)
    return nn.Sequential(*layers).to(memory_format=memory_format)


def loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(model(x), x.flatten(1)[:, :16].flip(1))


def batches():
    while True:
        yield torch.randn(8, 3, 8, 8)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="'sgd' is no optimizer here"):
        train(network(), batches(), loss, steps=1, optimizer="sgd")


def test_only_matrices_between_many_channels_are_muons():
    names = [name for name, parameter in network().named_parameters() if is_hidden_matrix(parameter)]
    assert names == ["2.weight", "4.weight"] and MIN_MATRIX_DIM == 16


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_weight_moves_as_torchs_own_optimizers_move_it(memory_format, monkeypatch):
    monkeypatch.setattr(optimizers, "has_bfloat16", lambda device: True)  # torch's Muon always computes in it
    ours, theirs = network(memory_format), network()
    optimizer = MuonWithAdamW(ours, 1e-3, beta2=0.95)
    matrices = [nn.Parameter(theirs[place].weight.detach().flatten(1).clone()) for place in (2, 4)]
    rest = [theirs[0].weight, theirs[0].bias, theirs[2].bias, theirs[4].bias]
    muon = torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.0)
    adamw = torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    torch.manual_seed(1)
    for _ in range(3):
        x = next(batches())
        optimizer.zero_grad()
        loss(ours, x).backward()
        gradients = {name: parameter.grad.clone() for name, parameter in ours.named_parameters()}
        for parameter, name in zip(rest, ("0.weight", "0.bias", "2.bias", "4.bias"), strict=True):
            parameter.grad = gradients[name]
        for matrix, name in zip(matrices, ("2.weight", "4.weight"), strict=True):
            matrix.grad = gradients[name].flatten(1)
        before = ours[2].weight.detach().clone()
        for each in (optimizer, muon, adamw):
            each.step()
        assert not torch.equal(before, ours[2].weight)
        for place, matrix in zip((2, 4), matrices, strict=True):
            assert torch.equal(ours[place].weight.flatten(1), matrix)
        for parameter, name in zip(rest, ("0.weight", "0.bias", "2.bias", "4.bias"), strict=True):
            torch.testing.assert_close(ours.get_parameter(name), parameter)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_decay_spares_gains_and_biases(name):
    model = network()
    optimizer = make_optimizer(name, model, 1e-2, 0.99, weight_decay=0.5)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    same = {key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])}
    assert same == {key for key in before if key.endswith("bias")}


def test_float32_gives_the_update_of_bfloat16_to_its_rounding(monkeypatch):
    torch.manual_seed(0)
    for matrix in (torch.randn(24, 100), torch.randn(100, 24)):
        found = []
        for supported in (False, True):
            monkeypatch.setattr(optimizers, "has_bfloat16", lambda device, supported=supported: supported)
            found.append(orthogonalize(matrix))
        assert found[0].shape == matrix.shape and found[0].dtype == matrix.dtype
        assert 0 < (found[0] - found[1]).abs().max() < 0.02


def test_its_step_turns_the_matrix_by_the_same_amount_in_every_direction():
    model = network()
    optimizer, before = MuonWithAdamW(model, 1e-3), model[4].weight.detach().clone()
    torch.manual_seed(1)
    loss(model, torch.randn(64, 3, 8, 8)).backward()  # more images than the matrix has directions
    stretches = torch.linalg.svdvals(model[4].weight.grad)
    optimizer.step()
    turned = torch.linalg.svdvals((model[4].weight.detach() - before) / MUON_LR)
    assert stretches.max() / stretches.min() > 4 and turned.max() / turned.min() < 2 and 0.5 < turned.min() < 1.5


def test_the_loop_lets_both_rates_rise_and_fall_and_learns():
    model, same = network(), repeat(next(batches()))
    training = train(model, same, loss, steps=60, learning_rate=3e-3, optimizer="muon", ema=0.9)
    assert training.losses[-1] < 0.1 * training.losses[0]


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    def run(stop_at: int | None, file=None) -> torch.Tensor:
        seen = 0

        def interrupted(model, x):
            nonlocal seen
            seen += 1
            if seen == stop_at:
                raise KeyboardInterrupt
            return loss(model, x)

        model = network(torch.channels_last)
        train(model, batches(), interrupted, steps=9, optimizer="muon", checkpoint=file)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    torch.manual_seed(3)
    whole = run(None)
    torch.manual_seed(3)
    run(5, tmp_path / "progress")
    torch.manual_seed(99)
    assert torch.equal(run(None, tmp_path / "progress"), whole)
