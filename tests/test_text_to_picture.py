"""Training the U-Net on latents and sentences: its chance, its loss, stop and resume, several processes."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.models.clip import CLIPTextConfig, CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.tasks.text_to_image import (
    CaptionedLatents,
    FrozenParts,
    TextToImageTask,
    loss,
)
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import NullCallback

UNET = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=2,
    cross_attention_dim=8,
    norm_num_groups=4,
)
CPU = torch.device("cpu")
SMALL = TextToImageTask(unet=UNET, steps=6, batch_size=8, ema=0.9)


def text_encoder() -> CLIPTextModel:
    torch.manual_seed(1)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=9, max_position_embeddings=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
        )
    ).eval()


def dataset(count: int = 6) -> CaptionedLatents:
    """Latents of one value each, told by one word each."""
    values = torch.linspace(-1.5, 1.5, count).view(-1, 1, 1, 1)
    words = torch.tensor([[[7, number, 8, 8]] for number in range(count)])
    parts = FrozenParts(text_encoder(), None, None, "")
    return CaptionedLatents(values.expand(-1, 4, 4, 4).clone(), words, torch.tensor([[7, 8, 8, 8]]), parts)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cpu")


# --- a batch ----------------------------------------------------------------------------------------------------------


def test_a_batch_has_latents_with_their_own_sentences_and_now_and_then_none():
    known = dataset()
    torch.manual_seed(0)
    batch = next(replace(SMALL, batch_size=2000).batches(known, CPU))
    drop = (batch.tokens == known.null_tokens).all(dim=1)
    assert 0.07 < drop.float().mean() < 0.13
    number = batch.tokens[~drop, 1]
    assert torch.equal(batch.x0[~drop], known.latents[number])
    assert batch.eps.std().item() == pytest.approx(1, abs=0.02)


def test_every_wording_comes():
    known = dataset(1)._replace(tokens=torch.tensor([[[7, 0, 8, 8], [7, 1, 8, 8], [7, 2, 8, 8]]]))
    batch = next(replace(SMALL, batch_size=200, cond_drop_prob=0.0).batches(known, CPU))
    assert set(batch.tokens[:, 1].tolist()) == {0, 1, 2}


def test_steps_in_the_middle_come_oftener_but_the_noisiest_come_too():
    torch.manual_seed(0)
    t = next(replace(SMALL, batch_size=20_000).batches(dataset(), CPU)).t
    assert t.min() >= 0 and t.max() < 1000
    assert ((t >= 400) & (t < 600)).float().mean() > 0.21
    assert 0.005 < (t >= 950).float().mean() < 0.05


def test_each_process_takes_its_share_of_the_same_batch(monkeypatch):
    torch.manual_seed(0)
    whole = next(SMALL.batches(dataset(), CPU))
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "shard_batch", lambda rows, rank=rank: rows.chunk(2)[rank])
        torch.manual_seed(0)
        shares.append(next(SMALL.batches(dataset(), CPU)))
    for one, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(one, torch.cat(parts))


# --- the loss ---------------------------------------------------------------------------------------------------------


class Oracle(torch.nn.Module):
    """Answers what it is given, and remembers what it was asked."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, xt, t, context):
        self.asked = xt, t, context
        return self.answer


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_loss_is_zero_for_the_right_answer_and_the_question_is_mixture_step_and_words(prediction: str):
    encoder, schedule = text_encoder(), NoiseSchedule.cosine()
    batch = next(SMALL.batches(dataset(), CPU))
    model = Oracle(schedule.target(batch.x0, batch.eps, batch.t, prediction))
    assert loss(model, batch, encoder, schedule, prediction) == 0
    xt, t, context = model.asked
    assert torch.equal(xt, schedule.add_noise(batch.x0, batch.eps, batch.t)) and torch.equal(t, batch.t)
    assert torch.equal(context, encoder(batch.tokens)) and not context.requires_grad
    model.answer = model.answer + 0.5
    assert loss(model, batch, encoder, schedule, prediction).item() == pytest.approx(0.25)


# --- the training -----------------------------------------------------------------------------------------------------


def test_it_learns_which_latent_goes_with_which_word():
    encoder = text_encoder()
    before = [weight.clone() for weight in encoder.parameters()]
    config = replace(SMALL, steps=150, batch_size=16, learning_rate=1e-2)
    model, training = config.train(dataset(2)._replace(parts=FrozenParts(encoder, None, None, "")), NullCallback())
    assert training.loss < 0.5 * sum(training.losses[:5]) / 5
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True)), "the text encoder stays"
    tokens, t = dataset(2).tokens[:, 0], torch.full((2,), 900)
    noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    with torch.no_grad():
        velocity = model(noise, t, encoder(tokens))  # of hardly anything but noise: the word alone can tell
    low, high = -velocity.mean(dim=(1, 2, 3))
    assert low < -0.7 and high > 0.7, "with nearly no image left, the velocity is about -x0"


class StopAfter(NullCallback):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self, step: int, loss: float) -> None:
        if step == self.steps:
            raise KeyboardInterrupt


def test_stopped_and_resumed_it_ends_where_it_would_have_without(tmp_path):
    def run(callback=None, checkpoint=None):
        torch.manual_seed(0)
        return SMALL.train(dataset(), callback or NullCallback(), progress=checkpoint)

    whole, record = run()
    _, first = run(StopAfter(2), tmp_path / "progress")
    assert first.interrupted and first.steps == 2
    model, training = run(checkpoint=tmp_path / "progress")
    assert training.losses == record.losses and len(training.losses) == 6
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


SCRIPT = """
import json, sys
from pathlib import Path
import torch
from test_text_to_picture import SMALL, dataset
from stablediff_edu.training import distributed

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
with distributed.distributed():
    model, training = SMALL.train(dataset())
    rank = torch.distributed.get_rank() if distributed.world_size() > 1 else 0
    print(json.dumps([distributed.world_size(), training.losses]),
    file=Path(sys.argv[1]).joinpath(f"{rank}.json").open("w"))
"""


def test_two_processes_have_the_losses_of_one_with_the_double_batch(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    results = {}
    for name, start in dict(alone=[sys.executable], both=launch).items():
        (tmp_path / name).mkdir()
        subprocess.run([*start, script, tmp_path / name], check=True, capture_output=True, text=True)
        results[name] = [json.loads(path.read_text()) for path in sorted((tmp_path / name).glob("*.json"))]
    (one,), (first, second) = results["alone"], results["both"]
    assert (one[0], first[0], second[0]) == (1, 2, 2)
    assert first[1] == second[1] and first[1] == pytest.approx(one[1], rel=1e-5)
