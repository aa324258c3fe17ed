"""The autoencoder of the tiny Stable Diffusion: what it learns from, its loss, its card, its command."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.tasks import runner, vae_gan
from stablediff_edu.tasks.scene_vae import SceneVAETask, reconstruct
from stablediff_edu.tasks.vae import as_float_images, batches, l1_gradient_loss, load_vae

SMALL = SceneVAETask(
    sizes=VAEConfig(3, (4, 4, 4, 8), 1, norm_num_groups=4, scaling_factor=1.0), steps=3, batch_size=2, scenes=12,
    held_out=4, gan_steps=2, error="edges",
)  # fmt: skip


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A tiny config, few scenes, and pretrained weights in the test's own folder."""
    monkeypatch.setitem(SceneVAETask.presets, "pretrained", SMALL)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)


def test_the_latents_hold_48_times_fewer_numbers_than_the_pictures():
    model = SceneVAETask().model()
    z = model.encode(torch.zeros(1, 3, 64, 64))
    assert z.shape == (1, 4, 8, 8) and 48 * z.numel() == 3 * 64 * 64


def test_the_edge_error_minds_a_blurred_edge_more_than_the_squared_error_does():
    true = torch.ones(1, 1, 8, 16)
    true[..., 8:] = -1
    misplaced, blurred = true.clone(), true.clone()
    misplaced[..., 8] = 1
    blurred[..., 6:10] = torch.tensor([0.6, 0.2, -0.2, -0.6])
    assert l1_gradient_loss(true, true) == 0
    by_edges = l1_gradient_loss(blurred, true) / l1_gradient_loss(misplaced, true)
    assert by_edges > squared_error(blurred, true) / squared_error(misplaced, true)
    # both directions count
    assert l1_gradient_loss(blurred, true) == pytest.approx(l1_gradient_loss(blurred.mT, true.mT))


def test_bytes_and_pictures_give_the_same_batches_half_of_them_mirrored():
    scenes = make_scenes(6, 16)
    torch.manual_seed(3)
    of_bytes = next(batches(scenes.pixels, 40, flip=True))
    torch.manual_seed(3)
    of_pictures = next(batches(scenes.images, 40, flip=True))
    assert torch.equal(of_bytes, of_pictures)
    straight = sum(any(torch.equal(image, known) for known in scenes.images) for image in of_bytes)
    flipped = sum(any(torch.equal(image, known.flip(2)) for known in scenes.images) for image in of_bytes)
    assert straight + flipped == 40 and 8 < straight < 32


def test_crops_are_squares_of_the_images_at_random_places():
    image = torch.arange(8 * 8).float().view(1, 1, 8, 8)
    torch.manual_seed(0)
    crops = next(batches(image, 200, crop=5))
    corners = {(int(crop[0, 0, 0]) // 8, int(crop[0, 0, 0]) % 8) for crop in crops}
    assert corners == {(top, left) for top in range(4) for left in range(4)}
    for crop in crops:
        top, left = divmod(int(crop[0, 0, 0]), 8)
        assert torch.equal(crop[0], image[0, 0, top : top + 5, left : left + 5])


def test_the_command_begins_from_given_weights(small, tmp_path):
    assert main(["train", "scene-vae", "--out", "first.safetensors"]) == 0
    first = load_vae("first.safetensors")[0]
    assert (
        main(["train", "scene-vae", "--init", "first.safetensors", "--steps", "1", "--out", "second.safetensors"]) == 0
    )
    second, metadata = load_vae("second.safetensors")
    near, far = (
        sum((a - b).square().sum() for a, b in zip(second.parameters(), other.parameters(), strict=True))
        for other in (first, replace(SMALL, seed=1).model())
    )
    assert near < far / 4 and "train scene-vae" in metadata["init"]
    assert "--init first.safetensors" in metadata["command"]


def test_the_scaling_makes_latents_of_bytes_the_size_of_the_noise():
    scenes = make_scenes(20, 64)
    model, _ = replace(SMALL, gan_steps=0).train(scenes.pixels)
    with torch.no_grad():
        assert model.encode(as_float_images(scenes.pixels)).std().item() == pytest.approx(1, abs=1e-3)


def test_the_command_trains_and_says_how_well_unseen_scenes_come_back(small, capsys):
    assert main(["train", "scene-vae", "--seed", "1"]) == 0
    assert Path("scene-vae_own.safetensors").exists(), "another seed is not the pretrained config"
    assert not checkpoint.checkpoint_path("scene-vae").exists()
    assert main(["train", "scene-vae"]) == 0
    out = capsys.readouterr().out
    assert "training on 12 images" in out and " dB on 1,000 scenes of combinations never seen" not in out
    model, metadata = load_vae("scene-vae")
    assert metadata["command"] == "python -m stablediff_edu train scene-vae" and " dB on " in metadata["result"]
    assert metadata["steps"] == "5"
    assert not list(checkpoint.PRETRAINED.glob("*.sharpening")) and not list(checkpoint.PRETRAINED.glob("*.progress"))
    assert reconstruct(model, make_scenes(3, 64).images).shape == (3, 3, 64, 64)
    assert main(["train", "scene-vae", "--evaluate"]) == 0
    assert " dB on 4 scenes" in capsys.readouterr().out


def test_the_score_is_worse_for_a_network_that_gives_back_less(small):
    torch.manual_seed(0)
    model = SMALL.model().eval()
    before = float(SMALL.evaluate(model, None).split()[0])
    with torch.no_grad():
        model.decoder.conv_out.weight.zero_()
        model.decoder.conv_out.bias.fill_(5.0)
    assert float(SMALL.evaluate(model, None).split()[0]) < before


def test_stopped_while_it_sharpens_it_goes_on_there(small, tmp_path, monkeypatch):
    def make(name: str):
        return runner.run(SMALL, tmp_path / f"{name}.safetensors", "x")

    whole = load_vae(make("whole")[0])[0]
    real, calls = vae_gan.gan_loss, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(vae_gan, "gan_loss", stopping)
    _, training = make("stopped")
    assert training.interrupted and training.steps == 4 and (tmp_path / "stopped.sharpening").exists()
    out, training = make("stopped")
    assert not training.interrupted and training.steps == 5 and not (tmp_path / "stopped.sharpening").exists()
    for ours, theirs in zip(load_vae(out)[0].parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
