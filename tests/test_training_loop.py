"""The training loop: it learns, averages, snapshots, resumes, and keeps what it learned when it is interrupted."""

import itertools

import pytest
import torch
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.training.loop import TrainResult, lr_factor, sample_steps, train


class Quiet:
    """An observer that only remembers."""

    def begin(self, steps, first):
        self.first, self.seen, self.training = first, [], None

    def step(self, step, loss):
        self.seen.append(step)

    def snapshot(self, step, image):
        pass

    def end(self, training):
        self.training = training


def line_batches(seed=0):
    rng = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(16, 2, generator=rng)
        yield x, x @ torch.tensor([[2.0], [-1.0]]) + 0.5


def square(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def fresh():
    torch.manual_seed(0)
    return nn.Linear(2, 1)


def run(model, **options):
    options = dict(steps=300, learning_rate=0.05, callback=Quiet()) | options
    return train(model, options.pop("batches", line_batches()), square, **options)


def test_it_learns_the_line_and_leaves_the_averaged_weights():
    model = fresh()
    training = run(model)
    assert training.steps == 300 and len(training.losses) == 300 and not training.interrupted
    assert training.losses[0] > 1 > 0.01 > training.loss
    assert torch.allclose(model.weight, torch.tensor([[2.0, -1.0]]), atol=0.05)
    assert not model.training and model.weight.requires_grad


def test_the_same_seed_gives_the_same_weights_twice():
    weights = []
    for _ in range(2):
        model = fresh()
        run(model, steps=40)
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)


def test_average_follows_its_rule():
    """Three steps by hand: average ← average · d + weights · (1 − d), with d = min(ema, (1 + n) / (10 + n))."""
    model = fresh()
    path, weights = [], fresh().weight.detach().clone()

    def remember(inner, batch):
        path.append(inner.weight.detach().clone())
        return square(inner, batch)

    train(model, line_batches(), remember, steps=3, callback=Quiet(), ema=0.999)
    plain = fresh()
    train(plain, line_batches(), square, steps=3, callback=Quiet(), ema=None)
    path.append(plain.weight.detach())
    for n, after in enumerate(path[1:]):
        decay = (1 + n) / (10 + n)
        weights = decay * weights + (1 - decay) * after
    assert torch.allclose(model.weight, weights, atol=1e-6)


def test_snapshots_come_at_the_spread_out_steps():
    training = run(fresh(), steps=100, snapshot=lambda averaged: averaged.weight.clone())
    steps = [step for step, _ in training.snapshots]
    assert steps[0] == 0 and steps[-1] == 100 and len(steps) > 10
    assert steps == sorted(set(steps))
    assert steps[3] < 100 / 10  # close together at the beginning
    assert all(sample_steps(100)(step) for step in steps[1:])


def test_learning_rate_warms_up_and_falls_to_zero():
    shares = [lr_factor(step, 100, 10) for step in range(101)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == pytest.approx(1.0)
    assert shares[100] == pytest.approx(0.0, abs=1e-6)
    assert all(a >= b for a, b in itertools.pairwise(shares[10:]))


def interrupted_at(step):
    for number, batch in enumerate(line_batches()):
        if number == step:
            raise KeyboardInterrupt
        yield batch


def test_ctrl_c_ends_it_cleanly_with_what_was_learned():
    model, callback = fresh(), Quiet()
    start = fresh().weight.detach().clone()
    training = run(model, batches=interrupted_at(120), callback=callback)
    assert training.interrupted and training.steps == 120 and callback.training is training
    assert training.loss < training.losses[0] / 10
    assert not torch.equal(model.weight, start) and not model.training


def test_interrupted_training_resumes_from_its_checkpoint(tmp_path):
    path = tmp_path / "progress.pt"
    model = fresh()
    run(model, batches=interrupted_at(120), checkpoint=path)
    assert path.exists()
    callback = Quiet()
    training = run(fresh_model := fresh(), checkpoint=path, callback=callback)
    assert callback.first == 120 and callback.seen[0] == 121 and training.steps == 300
    assert len(training.losses) == 300
    assert torch.allclose(fresh_model.weight, torch.tensor([[2.0, -1.0]]), atol=0.05)
    again = run(last := fresh(), checkpoint=path)  # the end is kept too: nothing is trained twice
    assert again.steps == 300 and torch.equal(last.weight, fresh_model.weight)


def test_progress_is_saved_while_it_runs(tmp_path):
    path, seen = tmp_path / "progress.pt", []
    run(fresh(), checkpoint=path, checkpoint_seconds=0.0, steps=5, snapshot=lambda _: torch.tensor(path.exists()),
        snapshot_at=lambda step: seen.append(path.exists()) or False)  # fmt: skip
    assert seen[-1] is True


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_broken_checkpoint_is_one_sentence(tmp_path, content):
    path = tmp_path / "progress.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="delete it to begin again"):
        run(fresh(), checkpoint=path)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_length_is_one_sentence(tmp_path):
    path = tmp_path / "progress.pt"
    run(fresh(), batches=interrupted_at(10), checkpoint=path)
    with pytest.raises(UserError, match="with other steps 300 instead of 200"):
        run(fresh(), checkpoint=path, steps=200)


def test_a_loss_that_is_no_number_stops_with_a_sentence():
    for optimizer, advice in (("adamw", r"0\.001\.$"), ("muon", r"0\.001, or AdamW\.$")):
        with pytest.raises(UserError, match=f"lower learning rate than {advice}"):
            train(fresh(), line_batches(), lambda model, batch: square(model, batch) * torch.nan, steps=3,
                  optimizer=optimizer, callback=Quiet())  # fmt: skip


def test_gradients_are_clipped():
    model = fresh()
    with torch.no_grad():
        model.weight.fill_(0)
    seen = []
    model.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.norm().item()))
    train(model, line_batches(), lambda m, b: 1e6 * square(m, b), steps=1, callback=Quiet(), clip=1.0)
    assert seen[0] > 1e5  # before clipping
    total = sum(p.grad.square().sum() for p in model.parameters()).sqrt()
    assert total <= 1.0 + 1e-4


def test_terminal_bar_prints_loss_and_time_left(capsys):
    training = train(fresh(), line_batches(), square, steps=5)
    assert isinstance(training, TrainResult)
    out = capsys.readouterr()
    assert "5/5" in out.out and "loss" in out.out and out.err == ""
