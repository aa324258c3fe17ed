"""Learning to find noise: batches, the loss, and trainings that are stopped in the worst moment and go on."""

import itertools
import os
import signal

import pytest
import torch

from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.diffusion.optimal_denoiser import optimal_denoiser
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics import images as metrics
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks import runner
from stablediff_edu.tasks.ddpm import DiffusionTask, load_diffusion
from stablediff_edu.training import losses

TINY = DiffusionTask(channels=(8, 8), time=8, patch=2, attention=1, steps=12, batch_size=4)


class Quiet:
    """An observer that says nothing, and can do something at a step."""

    def __init__(self, at=None, act=None):
        self.at, self.act = at, act

    def begin(self, steps, first):
        pass

    def step(self, step, loss):
        if step == self.at:
            self.act()

    def snapshot(self, step, image):
        pass

    def end(self, training):
        pass


@pytest.fixture
def images():
    return torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def interrupt(*_arguments, **_options):
    raise KeyboardInterrupt


# --- batches and loss -------------------------------------------------------------------------------------------------


def test_batches_hold_the_pictures_and_with_flip_also_their_mirrors(images):
    torch.manual_seed(0)
    seen = torch.cat(list(itertools.islice(losses.batches(images, 8, flip=True), 30)))
    as_they_are = (seen[:, None] == images).flatten(2).all(2)
    flipped = (seen[:, None] == images.flip(3)).flatten(2).all(2)
    assert (as_they_are | flipped).any(1).all()
    assert 80 < as_they_are.any(1).sum() < 160 and (as_they_are | flipped).any(0).all()


def test_batches_take_all_chance_from_torch(images):
    rounds = []
    for _ in range(2):
        torch.manual_seed(3)
        rounds.append(torch.stack(list(itertools.islice(losses.batches(images, 4, flip=True), 5))))
    assert torch.equal(*rounds)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_loss_of_a_network_that_knows_the_answer_is_zero(prediction):
    """All images are one and the same: then xt tells which noise is in it, and the right answer is known."""
    schedule, x0 = NoiseSchedule.cosine(), torch.full((6, 3, 8, 8), 0.3, dtype=torch.float64)

    def knows(xt, t):
        signal_share, noise_share = schedule.coefficients(t, xt)
        return schedule.target(x0, (xt - signal_share * x0) / noise_share, t, prediction)

    torch.manual_seed(0)
    assert losses.diffusion_loss(knows, x0, schedule, prediction).item() < 1e-12
    assert losses.diffusion_loss(lambda xt, t: knows(xt, t) + 0.1, x0, schedule, prediction).item() == pytest.approx(
        0.01
    )


def test_the_loss_asks_for_every_step_of_the_schedule():
    seen = []
    torch.manual_seed(0)
    losses.diffusion_loss(lambda xt, t: seen.append(t) or xt, torch.zeros(4000, 1, 1, 1), NoiseSchedule.linear(20))
    assert seen[0].unique().tolist() == list(range(20))


# --- stopped and gone on with -----------------------------------------------------------------------------------------


def snapshot(model):
    """What a notebook keeps for its replay: drawn from a generator of its own."""
    xt = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return model(xt, torch.full((2,), 500))


def run(images, checkpoint=None, callback=None):
    torch.manual_seed(0)
    options = dict(snapshot=snapshot, snapshot_at=lambda step: step % 2 == 0, callback=callback or Quiet())
    return TINY.train(images, progress=checkpoint, **options)


def noise_task(images):
    """The task with these images as its data."""

    class NoiseTask(DiffusionTask):
        def data(self, cache=None):
            return ImageDataset(images, "noise"), None

    return NoiseTask(**vars(TINY))


def stop_in_the_loss(monkeypatch):
    """After the batch and its noise have been drawn, and before the optimizer's step."""
    right, calls = losses.diffusion_loss, []

    def loss(model, x0, **options):
        calls.append(1)
        value = right(model, x0, **options)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(losses, "diffusion_loss", loss)


def stop_in_the_optimizer(monkeypatch):
    """A real Ctrl-C when the weights have been changed and the step is not yet counted: it waits until it is."""
    right, calls = torch.optim.AdamW.step, []

    def step(self, *arguments):
        calls.append(1)
        right(self, *arguments)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)


def stop_in_the_snapshot(monkeypatch):
    def snapshot_that_stops(model, right=snapshot, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(model)

    monkeypatch.setitem(globals(), "snapshot", snapshot_that_stops)


def stop_in_the_batch(monkeypatch):
    def batches(*arguments, **options):
        right = batches.right(*arguments, **options)
        yield from itertools.islice(right, 5)
        next(right)  # drawn, and lost
        raise KeyboardInterrupt

    batches.right = losses.batches
    monkeypatch.setattr(losses, "batches", batches)


@pytest.mark.parametrize("stop", [stop_in_the_loss, stop_in_the_optimizer, stop_in_the_snapshot, stop_in_the_batch])
def test_a_stopped_and_resumed_training_ends_with_equal_weights_and_losses(images, tmp_path, monkeypatch, stop):
    model, whole = run(images)
    with monkeypatch.context() as patch:
        stop(patch)
        _, first = run(images, tmp_path / "progress")
    assert first.interrupted and first.steps in (5, 6)
    torch.manual_seed(99)  # the new process knows nothing of the old one's chance
    resumed_model, resumed = run(images, tmp_path / "progress")
    assert not resumed.interrupted and resumed.steps == 12
    assert resumed.losses == whole.losses
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed_model.state_dict()[name]), name
    assert [step for step, _ in resumed.snapshots] == [step for step, _ in whole.snapshots] == [0, 2, 4, 6, 8, 10, 12]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(resumed.snapshots, whole.snapshots, strict=True))


def test_the_comparison_would_notice_one_lost_draw(images):
    _, whole = run(images)
    _, other = run(images, callback=Quiet(5, lambda: torch.rand(1)))
    assert other.losses[:5] == whole.losses[:5] and other.losses[5] != whole.losses[5]


def test_progress_of_another_training_is_refused(images, tmp_path):
    def make(images):
        return runner.run(noise_task(images), tmp_path / "a.safetensors", "x")

    progress = tmp_path / "a.progress"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "diffusion_loss", interrupt)
        make(images)
    with pytest.raises(UserError, match="another training, with other data"):
        make(images.flip(3))
    assert not make(images)[1].interrupted and not progress.exists()


# --- kept and loaded --------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(images, tmp_path):
    out, _ = runner.run(noise_task(images), tmp_path / "some.safetensors", "a command")
    return TINY.train(images)[0], None, out


def test_the_card_tells_all_and_the_network_is_loaded_with_its_sizes(weights):
    model, _, out = weights
    loaded, metadata = load_diffusion(out)
    needed = "command seed steps seconds device date data licence schedule prediction size result"
    assert set(needed.split()) <= set(metadata)
    assert (metadata["schedule"], metadata["prediction"], metadata["size"]) == ("cosine", "v_prediction", "16")
    assert metadata["steps"] == "12" and metadata["data"] == "10 images of 16×16, noise"
    xt, t = torch.randn(2, 3, 16, 16), torch.tensor([10, 900])
    assert not loaded.training and torch.allclose(loaded(xt, t), model(xt, t), atol=0.02)  # half precision


def spoiled(out, model, change):
    """The same weights, with something changed in the card or in them."""
    metadata = checkpoint.read_metadata(out)
    config = metadata.pop("config")
    model.config = change(metadata, model) or eval(config, {"true": True, "false": False})
    return checkpoint.save_checkpoint(out.with_stem("spoiled"), model, metadata)


def without_numbers(metadata, model):
    with torch.no_grad():
        model.conv_out.weight[0] = torch.nan


HOSTILE = {
    "a card that asks for more memory than there is": lambda metadata, model: dict(channels=[10**7, 10**7], time=8),
    "a card with sizes that cannot be": lambda metadata, model: dict(channels=[-1, 3], time=8),
    "a card with words for sizes": lambda metadata, model: dict(channels="many"),
    "a card with arguments that are none": lambda metadata, model: dict(command="rm"),
    "a card that is a list": lambda metadata, model: [1, 2],
    "a card of other sizes": lambda metadata, model: dict(channels=[8, 16], time=8),
    "a schedule that is none": lambda metadata, model: metadata.update(schedule="__import__('os')"),
    "a prediction that is none": lambda metadata, model: metadata.update(prediction="tomorrow"),
    "a size that is enormous": lambda metadata, model: metadata.update(size=10**6),
    "a size that is none": lambda metadata, model: metadata.update(size="-8"),
    "weights that are no numbers": without_numbers,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_weights_are_one_sentence(weights, kind):
    model, _, out = weights
    with pytest.raises(UserError) as told:
        load_diffusion(spoiled(out, model, HOSTILE[kind]))
    assert "spoiled.safetensors" in str(told.value) and "\n" not in str(told.value)


def test_weights_that_are_cut_off_or_of_another_network_are_one_sentence(weights, tmp_path):
    out = weights[2]
    whole = out.read_bytes()
    for length in (0, 7, 200, len(whole) - 1):
        out.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a whole safetensors file"):
            load_diffusion(out)
    out.write_bytes((2**62).to_bytes(8, "little") + whole[8:])  # a header that says it is enormous
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_diffusion(out)
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "x")
    masks = checkpoint.save_checkpoint(tmp_path / "masks.safetensors", UNet(3, 1, (4, 8)), metadata)
    with pytest.raises(UserError, match="none that finds noise"):
        load_diffusion(masks)


def test_a_stopped_training_does_not_take_the_place_of_finished_shipped_weights(weights, tmp_path, monkeypatch, images):
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path)
    shipped = weights[2].read_bytes()
    monkeypatch.setattr(losses, "diffusion_loss", interrupt)
    out, _ = runner.run(noise_task(images), weights[2], "a command")
    assert out.name == "some_unfinished.safetensors" and load_diffusion(out)[1]["steps"] == "0"
    assert weights[2].read_bytes() == shipped and (tmp_path / "some.progress").exists()


# --- measures of notebook 03 ---------------------------------------------------------------------------------------


def test_psnr_is_ten_more_for_a_tenth_of_the_squared_error():
    true = torch.zeros(1, 3, 8, 8)
    assert metrics.psnr(true + 0.2, true) == pytest.approx(20)  # 10 · log10(4 / 0.04)
    assert metrics.psnr(true + 0.2 / 10**0.5, true) == pytest.approx(30)
    assert metrics.psnr(torch.full((4, 3, 8, 8), 7.0), true + 1) > 120  # beyond white is white


def test_edge_strength_is_the_mean_step_between_neighbours():
    stripes = torch.tensor([0.0, 1.0]).repeat(4).expand(1, 3, 8, 8)  # steps of 1 across, of 0 down
    assert metrics.mean_abs_gradient(stripes) == pytest.approx(0.5)
    blurred = torch.nn.functional.avg_pool2d(stripes, 2, stride=1)
    assert metrics.mean_abs_gradient(blurred) == pytest.approx(0)


def test_errors_by_level_are_those_of_the_noise_put_in():
    class Offset(torch.nn.Module):
        """Knows the image, and answers wrong by a tenth of the step."""

        def __init__(self):
            super().__init__()
            self.answer, self.weight = optimal_denoiser(x0, schedule), torch.nn.Parameter(torch.zeros(1))

        def forward(self, xt, t):
            return self.answer(xt, t) + 0.001 * t[:, None, None, None]

    schedule, x0 = NoiseSchedule.linear(), torch.rand(1, 3, 8, 8)
    errors = losses.mse_by_timestep(Offset(), x0, schedule, [100, 500], count=4)
    assert errors == pytest.approx([0.01, 0.25], rel=1e-3)


def test_only_step_asks_for_no_other_step(images):
    asked = []

    def model(xt, t):
        asked.append(t)
        return xt

    losses.diffusion_loss(model, images, NoiseSchedule.linear(), fixed_timestep=7)
    assert asked[0].unique().tolist() == [7]


def test_a_network_may_be_told_more_channels_than_it_answers_with():
    """Notebook 03 puts the step beside the colors, as a fourth channel."""
    network = DiffusionTask(channels=(8, 16)).model(in_channels=4)
    assert (network.config["in_channels"], network.config["out_channels"]) == (4, 3)
