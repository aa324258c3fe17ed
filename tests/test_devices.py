"""The package on a pretended accelerator: nothing is mixed, nothing is float64, and the CPU hardly ever waits."""

from collections import Counter

import pytest
import tiny_tasks
import torch
from accelerator import DEVICE, Accelerator, Generator, use
from test_resume import StopAt, equal
from tiny_tasks import STEPS, TASKS, make_pipe

from stablediff_edu.diffusion.samplers import SAMPLERS, sample, sample_final
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.errors import UserError
from stablediff_edu.metrics import images as metrics
from stablediff_edu.models.autoencoder import PCA, Autoencoder
from stablediff_edu.models.probing import channel_correlations
from stablediff_edu.models.unet import UNet
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel
from stablediff_edu.tasks import autoencoder as autoencoder_task
from stablediff_edu.tasks import (
    clip_evaluation,
    ddpm_evaluation,
    digit_classifier,
    latent_diffusion,
    scene_classifier,
    segmentation,
    sentiment,
    ship_classifier,
)
from stablediff_edu.training import benchmark, loop, losses  # fmt: skip


@pytest.fixture(params=["cuda", "mps"])
def accelerator(request, monkeypatch):
    """The strict variants; `cuda` has float64, `mps` has none."""
    use(monkeypatch.setattr)
    with Accelerator(mps=request.param == "mps") as mode:
        yield mode


@pytest.fixture
def on_mps(monkeypatch):
    use(monkeypatch.setattr)
    with Accelerator(mps=True) as mode:
        yield mode


def test_the_accelerator_refuses_what_a_gpu_refuses(accelerator):
    there, here = torch.ones(2, device=DEVICE), torch.ones(2)
    with pytest.raises(RuntimeError, match="at least two devices"):
        there + here
    with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
        torch.randn(2, device=DEVICE, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="'cpu' device type for generator"):
        torch.randn(2, generator=Generator())
    if accelerator.mps:
        for wrong in (there.double, lambda: there.to("cpu", torch.float64)):
            with pytest.raises(TypeError, match="float64"):
                wrong()
    with accelerator.counted() as waits:
        there.sum().item(), there.cpu(), here.to(DEVICE), there[there > 0], torch.tensor([1.0], device=DEVICE)
        assert sum(waits.values()) == 5
        there[0].sqrt() * 2 + torch.zeros(2, device=DEVICE), here.to(DEVICE, non_blocking=True)
        assert sum(waits.values()) == 5


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_waits_for_nothing_stops_and_goes_on_there(name: str, on_mps, tmp_path, monkeypatch):
    """Synchronizations are counted from step to step, after the third: before, caches are filled, a snapshot taken."""
    counts, right = [], torch.nn.utils.clip_grad_norm_

    def counted(*arguments, **options):
        counts.append(sum(on_mps.counter.values()))
        return right(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", counted)
        model, whole = TASKS[name](loop.NullCallback(), None)
    assert len(counts) == STEPS and counts[-1] == counts[2], f"{counts}: {on_mps.counter}"
    assert next(model.parameters()).device == DEVICE and len(whole.losses) == STEPS
    monkeypatch.setattr(loop, "READ_EVERY", 2)  # where a request to stop comes from the observer
    _, first = TASKS[name](StopAt(2), tmp_path / "progress")
    resumed, second = TASKS[name](loop.NullCallback(), tmp_path / "progress")
    assert first.steps == 2 and second.losses == whole.losses and equal(model.cpu(), resumed.cpu())


def test_an_exercise_takes_an_answer_from_the_device(accelerator, capsys):
    from stablediff_edu.notebook.checks import check_exercise

    check_exercise("1.1", torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]], device=DEVICE))
    assert "right" in capsys.readouterr().out


def test_times_are_taken_when_the_device_has_done_its_work(on_mps, monkeypatch):
    from stablediff_edu.widgets import base
    from stablediff_edu.widgets.ch03_denoising import DenoisingPanel

    waited = []
    for module in (benchmark, base):
        monkeypatch.setattr(module, "synchronize", waited.append)
    assert benchmark.benchmark_train_step(16, 1, repeats=1) > 0 and waited == [DEVICE] * 4
    unet = UNet(3, 3, (8, 16), time=16).to(DEVICE).eval()
    DenoisingPanel(unet, NoiseSchedule.cosine(), torch.zeros(1, 3, 8, 8))
    assert waited[4:] == [DEVICE]
    own, images = tiny_tasks.OWN, tiny_tasks.own_images()
    networks = own.parts(images, tiny_tasks.make_pipe())
    seconds = own.seconds(images, own.vae_task(False), networks[0], own.unet_task(images), networks[1])
    assert seconds > 1e-3 * own.vae_steps, "the losses of all steps are read at once there"


def test_the_loss_is_read_every_20th_step(on_mps, monkeypatch):
    model = torch.nn.Linear(2, 1).to(DEVICE)
    batches = iter(lambda: torch.ones(3, 2, device=DEVICE), None)
    with on_mps.counted() as waits:
        training = loop.train(model, batches, lambda m, x: m(x).square().mean(), steps=60, callback=loop.NullCallback())
    assert len(training.losses) == 60 and sum(waits.values()) == 3
    with pytest.raises(UserError, match="The loss is nan at step 0"):
        loop.train(model, batches, lambda m, x: m(x).mean() * torch.nan, steps=60, callback=loop.NullCallback())


def test_evaluations_and_helpers_take_the_device_from_the_model(accelerator):
    unet, schedule = UNet(3, 3, (8, 16), time=16, patch=2).to(DEVICE).eval(), NoiseSchedule.cosine()
    x, there = tiny_tasks.ships(), tiny_tasks.ships().to(DEVICE)
    metadata = dict(size="32", schedule="cosine", prediction="v_prediction")
    assert ddpm_evaluation.sample_images(unet, metadata, 3, steps=2).device.type == "cpu"
    assert ddpm_evaluation.mean_loss(unet, metadata, x) > 0
    assert metrics.psnr(there, x) > 100 and metrics.mean_abs_gradient(there) > 0
    assert losses.mse_by_timestep(unet, there[:1], schedule, [5, 500], count=2)
    assert metrics.nearest_neighbors(there, x)[0].device.type == "cpu" and metrics.mean_pairwise_distance(there) > 0
    assert benchmark.benchmark_train_step(16, 1, repeats=1) > 0
    assert "middle" in UNet(3, 1, (8, 16)).to(DEVICE).summary(16)
    fish = tiny_tasks.fish()
    assert segmentation.evaluate_segmentation(UNet(3, 1, (8, 16)).to(DEVICE), fish).iou.device.type == "cpu"
    assert channel_correlations(there, there[:, :1]).device.type == "cpu"
    digits = tiny_tasks.digits()
    pca = PCA(digits.images.to(DEVICE))
    assert autoencoder_task.reconstruction_error(pca, digits.images) > 0
    assert autoencoder_task.reconstruction_error(Autoencoder().to(DEVICE), digits.images) > 0
    assert (
        0 <= digit_classifier.accuracy(tiny_tasks.DigitClassifierTask(channels=(8, 16)).model().to(DEVICE), digits) <= 1
    )
    assert (
        0 <= ship_classifier.positive_rate(tiny_tasks.ShipClassifierTask(channels=(8, 16)).model().to(DEVICE), x) <= 1
    )
    vae = tiny_tasks.vae().to(DEVICE)
    z = latent_diffusion.map_batches(vae, vae.encode, tiny_tasks.scenes().images)
    assert z.device.type == "cpu" and vae.encode(tiny_tasks.scenes().images.to(DEVICE), sample=True).device == DEVICE
    tokenizer = tiny_tasks.parts().tokenizer
    scenes = tiny_tasks.scenes(16)
    assert clip_evaluation.similarities(tiny_tasks.clip().to(DEVICE), tokenizer, scenes.pixels, ["a duck"]).shape == (
        6,
        1,
    )
    classifier = tiny_tasks.SceneClassifierTask(channels=(8, 16, 16, 16)).model().to(DEVICE)
    assert len(scene_classifier.predict_attributes(classifier, tiny_tasks.scenes().images)["sky"]) == 6


def test_sentences_train_and_are_scored_there(on_mps):
    config = sentiment.SentimentTrainConfig(sentences=50, steps=3)
    sentences = sentiment.generate_sentences(50, 0)
    model, _ = sentiment.train_sentiment(config, loop.NullCallback())
    assert 0 <= sentiment.accuracy(model.to(DEVICE), sentences) <= 1


# --- sampling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gives_the_pictures_of_the_cpu_and_waits_for_nothing(sampler: str, accelerator):
    torch.manual_seed(0)
    model, schedule = UNet(3, 3, (8, 16), time=16, patch=2).eval(), NoiseSchedule.cosine()
    how = dict(shape=(2, 3, 16, 16), steps=4, sampler=sampler, prediction="v_prediction", seed=7)
    expected = sample_final(model, schedule, **how)
    model.to(DEVICE)
    assert torch.allclose(sample_final(model, schedule, **how), expected, atol=1e-5)
    with accelerator.counted() as waits:
        steps = list(sample(model, schedule, **how, clip=True))
    assert steps[-1].next.device == DEVICE and not waits
    for generator in (Generator(), torch.Generator()):
        drawn = [sample_final(model, schedule, **how | dict(seed=generator.manual_seed(3))) for _ in range(2)]
        assert drawn[0].device.type == "cpu" and torch.equal(*drawn)


IMAGE = torch.linspace(-1, 1, 3 * 64 * 64).view(3, 64, 64)
MASK = torch.zeros(64, 64)
MASK[4:20, 8:24] = 1
OPTIONS = {
    "guidance 0": dict(guidance=0),
    "guidance 1": dict(guidance=1),
    "guidance 4": dict(guidance=4),
    "count": dict(count=2, negative="a duck"),
    "batch": dict(prompt=["a red duck", "a blue boat"], count=2),
    "a generator of the CPU": dict(seed=torch.Generator()),
    "a generator of the device": dict(seed=Generator()),
    "image to image": dict(image=IMAGE, strength=0.5),
    "inpainting": dict(image=IMAGE, mask=MASK, sampler="ddpm"),
    "image and mask on the device": dict(image=IMAGE, mask=MASK),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_pipeline_draws_with_every_option(name: str, dtype: torch.dtype, on_mps):
    pipe, options = make_pipe().to(DEVICE, dtype), dict(prompt="a red duck", steps=3) | OPTIONS[name]
    if name == "image and mask on the device":
        options |= dict(image=IMAGE.to(DEVICE), mask=MASK.to(DEVICE))
    image = pipe(**options)
    assert image.device.type == "cpu" and image.dtype == torch.float32 and image.isfinite().all()
    assert pipe.vae.quant_conv.weight.dtype == torch.float32 and pipe.unet.conv_out.weight.dtype == dtype
    if "mask" in options:
        assert torch.equal(image[0][:, MASK == 0], IMAGE[:, MASK == 0])


def test_the_seed_draws_the_picture_of_the_cpu_and_a_step_waits_for_nothing(accelerator):
    pipe = make_pipe().to(DEVICE)
    drawn = pipe("a red duck", steps=3, seed=4)
    way = pipe.stream("a red duck", steps=5, guidance=4)
    first = next(way)
    with accelerator.counted() as waits:
        last = [first, *way][-1]
    assert waits == Counter() and last.preview().device.type == last.image().device.type == "cpu"
    with accelerator.counted() as waits:
        list(pipe.stream("a red duck", steps=3, sampler="ddpm", image=IMAGE, mask=MASK))
        begun = sum(waits.values())
        list(pipe.stream("a red duck", steps=6, sampler="ddpm", image=IMAGE, mask=MASK))
        assert sum(waits.values()) == 2 * begun, "three more steps, not one more synchronization"
    assert torch.allclose(make_pipe()("a red duck", steps=3, seed=4), drawn, atol=1e-4)


def test_attention_maps_and_weighted_prompts(accelerator):
    from stablediff_edu.pipelines.attention_maps import reweight_tokens, sample_with_attention

    pipe = make_pipe().to(DEVICE)
    watched = sample_with_attention(pipe, "a red duck", steps=2, weights={1: 2.0})
    assert watched.looks.device.type == watched.image().device.type == "cpu"
    assert pipe(reweight_tokens(pipe, "a red duck", {1: 0.5}), steps=2).isfinite().all()


def test_values_that_are_not_numbers_are_reported(accelerator):
    pipe = make_pipe().to(DEVICE, torch.float16)
    pipe.unet.conv_out.weight.data.fill_(torch.inf)
    with pytest.raises(UserError, match="The weights of unet hold values that are not numbers"):
        pipe("a red duck", steps=2)


# --- half precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_both_unets_compute_in_the_precision_of_their_weights(dtype: torch.dtype):
    unet, x, t = (
        UNet(3, 3, (8, 16), time=16, attention=1).to(dtype),
        torch.randn(1, 3, 8, 8, dtype=dtype),
        torch.ones(1),
    )
    assert unet(x, t).dtype == dtype
    conditional = UNet2DConditionModel(tiny_tasks.UNET).to(dtype)
    assert conditional(torch.randn(1, 4, 4, 4, dtype=dtype), t, torch.randn(1, 3, 16, dtype=dtype)).dtype == dtype
