"""Latent diffusion on digits: the frame, the autoencoder's training and its scaling, the noise predictor's latents."""

from dataclasses import replace

import pytest
import torch

from stablediff_edu.data.digits.dataset import DigitDataset, render_digits
from stablediff_edu.errors import UserError
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig, kl_divergence
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.latent_diffusion import (
    DIGIT_LATENTS,
    LATENT_PRESETS,
    PIXEL_DIGITS,
    DigitVAETask,
    LatentDigitsTask,
    crop_digits,
    decode_digits,
    encode_digits,
    framed,
    pad_digits,
)
from stablediff_edu.tasks.runner import run
from stablediff_edu.tasks.vae import load_vae, map_batches, vae_loss
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import save_trained

CONFIG = VAEConfig(
    in_channels=1,
    block_out_channels=(4, 8),
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=4,
    scaling_factor=1.0,
)
TINY = DigitVAETask(sizes=CONFIG, steps=4, batch_size=4, digits=60, held_out=20)
TINY_LATENTS = LatentDigitsTask(channels=(8, 8), time=8, attention=1, steps=3, batch_size=4, digits=60)


@pytest.fixture(scope="module")
def digits() -> DigitDataset:
    return render_digits(60)


@pytest.fixture(scope="module")
def trained(digits: DigitDataset) -> AutoencoderKL:
    """A small autoencoder that has learned enough to tell digits apart."""
    torch.manual_seed(0)
    return replace(TINY, steps=60, batch_size=8, learning_rate=1e-2).train(framed(digits))[0]


# --- images and latents ---------------------------------------------------------------------------------------------


def test_the_frame_is_black_two_pixels_wide_and_comes_off_again(digits: DigitDataset):
    x = pad_digits(digits.images)
    assert x.shape == (60, 1, 32, 32) and torch.equal(crop_digits(x), digits.images)
    inner = torch.zeros(32, 32, dtype=torch.bool)
    inner[2:30, 2:30] = True
    assert (x[..., ~inner] == -1).all() and torch.equal(x[..., inner].unflatten(2, (28, 28)), digits.images)


def test_working_in_parts_changes_nothing_and_keeps_the_order():
    rows, seen = torch.arange(7.0).view(7, 1), []

    def double(part: torch.Tensor) -> torch.Tensor:
        seen.append(len(part))
        return 2 * part

    assert torch.equal(map_batches(None, double, rows, batch_size=3), 2 * rows) and seen == [3, 3, 1]


def test_the_sizes_of_the_pretrained_networks_fit_one_another(digits: DigitDataset):
    vae = AutoencoderKL(DIGIT_LATENTS).eval()
    z = encode_digits(vae, digits.images[:2])
    assert z.shape == (2, 4, 4, 4) and decode_digits(vae, z).shape == (2, 1, 28, 28)
    for task in LATENT_PRESETS.values():
        assert task.model()(z, torch.zeros(2)).shape == z.shape and not task.flip  # a mirrored digit is none
    x = digits.images[:1]
    assert PIXEL_DIGITS.model()(x, torch.zeros(1)).shape == x.shape and not PIXEL_DIGITS.flip


def test_a_trained_autoencoder_reconstructs_digits(trained: AutoencoderKL, digits: DigitDataset):
    z = encode_digits(trained, digits.images)
    assert torch.equal(encode_digits(trained, digits.images), z) and not z.requires_grad
    again = decode_digits(trained, z)
    assert again.shape == digits.images.shape and again.abs().max() <= 1
    mean = digits.images.mean(0, keepdim=True).expand_as(digits.images)
    assert squared_error(again, digits.images) < 0.5 * squared_error(mean, digits.images)


# --- the autoencoder's training ---------------------------------------------------------------------------------------


def test_the_loss_is_the_error_through_a_sample_and_the_divergence(digits: DigitDataset):
    torch.manual_seed(0)
    model, x = AutoencoderKL(CONFIG), pad_digits(digits.images[:3])
    torch.manual_seed(4)
    found, mean, logvar = model(x)
    want = (found - x).square().mean() / 4 + 0.3 * kl_divergence(mean, logvar)
    torch.manual_seed(4)
    assert vae_loss(model, x, 0.3).item() == pytest.approx(want.item(), rel=1e-5)


def test_scaled_latents_have_the_size_of_the_noise(trained: AutoencoderKL, digits: DigitDataset):
    assert encode_digits(trained, digits.images).std().item() == pytest.approx(1, abs=0.01)
    assert abs(trained.config.scaling_factor - 1) > 0.02  # or nothing was measured


def test_the_scaling_does_not_change_the_reconstruction(trained: AutoencoderKL, digits: DigitDataset):
    before, x = trained.config, digits.images[:4]
    again = decode_digits(trained, encode_digits(trained, x))
    try:
        trained.config = replace(before, scaling_factor=5 * before.scaling_factor)
        assert torch.allclose(decode_digits(trained, encode_digits(trained, x)), again, atol=1e-5)
    finally:
        trained.config = before


def test_one_seed_is_one_training(digits: DigitDataset):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(1)
        model, training = replace(TINY, seed=seed).train(framed(digits))
        assert not model.training and training.steps == 4
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_both_networks_come_back_with_scaling_and_metadata(tmp_path, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    file, _ = run(TINY, tmp_path / "mine.safetensors", "train digit-vae --steps 4")
    vae, metadata = load_vae(file)
    assert vae.config.scaling_factor != CONFIG.scaling_factor and not vae.training
    assert metadata["result"].startswith("squared error per pixel 0.") and "20 unseen synthetic" in metadata["result"]
    assert (metadata["data"], metadata["steps"], metadata["seed"]) == ("60 synthetic digits", "4", "0")

    file, training = run(replace(TINY_LATENTS, vae=file), tmp_path / "latents.safetensors", "train latent-digits")
    model, metadata = load_diffusion(file, channels=4)
    assert training.steps == 3 and model.config["in_channels"] == 4
    assert (metadata["size"], metadata["schedule"], metadata["prediction"]) == ("16", "cosine", "v_prediction")
    assert metadata["data"].startswith("latents of 60 synthetic digits, encoded by what was trained with: train digit-")
    with pytest.raises(UserError, match=r"latents\.safetensors is a U-Net, but none that"):
        load_diffusion(file)


def test_metadata_of_what_was_trained_on_mnist_name_its_license(digits: DigitDataset):
    metadata = TINY.metadata(framed(replace(digits, source="MNIST")), TrainResult())
    assert metadata["data"] == "60 MNIST" and "CC BY-SA" in str(metadata["licence"])


def save(path, model):
    return save_trained(
        path, model, TrainResult(), command="a test", seed=0, data="none", licence="none", result="none"
    )


def test_weights_of_something_else_are_refused_in_one_sentence(tmp_path):
    file = save(tmp_path / "unet.safetensors", TINY_LATENTS.model())
    with pytest.raises(UserError, match=r"unet\.safetensors holds no weights of an autoencoder with latents; name"):
        load_vae(file)
    file = save(tmp_path / "vae.safetensors", AutoencoderKL(CONFIG))
    with pytest.raises(UserError, match=r"vae\.safetensors holds no weights of a network that"):
        load_diffusion(file, channels=4)


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-100])


def with_scaling(scaling: float):
    return lambda file: save(file, AutoencoderKL(replace(CONFIG, scaling_factor=scaling)))


def with_nan(file):
    model = AutoencoderKL(CONFIG)
    torch.nn.init.constant_(model.quant_conv.bias, float("nan"))
    save(file, model)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (cut_off, "not a whole safetensors file"),
        (lambda file: file.write_bytes(b""), "not a whole safetensors file"),
        (lambda file: file.unlink(), "There are no weights at mine.safetensors"),
        (with_nan, "weights that are not numbers"),
        (with_scaling(0.0), "scal"),
        (with_scaling(float("nan")), "scal"),
        (with_scaling("big"), "scal"),
    ],
    ids=["cut off", "empty", "missing", "not numbers", "scaling 0", "scaling nan", "scaling a word"],
)
def test_damaged_weights_are_refused_in_one_sentence(tmp_path, spoil, match):
    file = save(tmp_path / "mine.safetensors", AutoencoderKL(CONFIG))
    load_vae(file)
    spoil(file)
    with pytest.raises(UserError, match=match) as error:
        load_vae(file)
    assert "\n" not in str(error.value) and "mine.safetensors" in str(error.value)
