"""Latent diffusion on digits: the frame, the autoencoder's training and its scaling, the noise predictor's latents."""

from dataclasses import replace

import pytest
import torch

from stablediff_edu.data.digits.dataset import DigitDataset, render_digits
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig, kl_divergence
from stablediff_edu.tasks import latent_diffusion
from stablediff_edu.tasks.ddpm import DiffusionTrainConfig, load_diffusion
from stablediff_edu.tasks.latent_diffusion import (
    DIGIT_LATENTS,
    LATENT_DIGITS,
    LATENT_DIGITS_QUICK,
    PIXEL_DIGITS,
    crop_digits,
    decode_digits,
    encode_digits,
    make_latent_digits,
    make_vae,
    pad_digits,
    score_vae,
)
from stablediff_edu.tasks.vae import VAETrainConfig, load_vae, train_vae, vae_loss
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
TINY = VAETrainConfig(CONFIG, steps=4, batch_size=4)
TINY_LATENTS = DiffusionTrainConfig(channels=(8, 8), time=8, patch=1, attention=1, steps=3, batch_size=4, flip=False)


@pytest.fixture(scope="module")
def digits() -> DigitDataset:
    return render_digits(60)


@pytest.fixture(scope="module")
def trained(digits: DigitDataset) -> AutoencoderKL:
    """A small autoencoder that has learned enough to tell digits apart."""
    torch.manual_seed(0)
    config = VAETrainConfig(CONFIG, steps=60, batch_size=8, learning_rate=1e-2)
    return train_vae(config, pad_digits(digits.images))[0]


# --- images and latents ---------------------------------------------------------------------------------------------


def test_the_frame_is_black_two_pixels_wide_and_comes_off_again(digits: DigitDataset):
    framed = pad_digits(digits.images)
    assert framed.shape == (60, 1, 32, 32) and torch.equal(crop_digits(framed), digits.images)
    inner = torch.zeros(32, 32, dtype=torch.bool)
    inner[2:30, 2:30] = True
    assert (framed[..., ~inner] == -1).all() and torch.equal(framed[..., inner].unflatten(2, (28, 28)), digits.images)


def test_working_in_parts_changes_nothing_and_keeps_the_order():
    rows = torch.arange(7.0).view(7, 1)
    seen = []

    def double(part: torch.Tensor) -> torch.Tensor:
        seen.append(len(part))
        return 2 * part

    assert torch.equal(latent_diffusion.map_batches(None, double, rows, batch_size=3), 2 * rows) and seen == [3, 3, 1]


def test_the_shipped_sizes_fit_one_another(digits: DigitDataset):
    vae = AutoencoderKL(DIGIT_LATENTS).eval()
    z = encode_digits(vae, digits.images[:2])
    assert z.shape == (2, 4, 4, 4) and decode_digits(vae, z).shape == (2, 1, 28, 28)
    for config in (LATENT_DIGITS, LATENT_DIGITS_QUICK):
        assert config.model(4, 4)(z, torch.zeros(2)).shape == z.shape
    x = digits.images[:1]
    assert PIXEL_DIGITS.model(1, 1)(x, torch.zeros(1)).shape == x.shape
    assert not LATENT_DIGITS.flip and not PIXEL_DIGITS.flip  # a mirrored digit is none


def test_a_learned_autoencoder_gives_digits_back(trained: AutoencoderKL, digits: DigitDataset):
    again = decode_digits(trained, encode_digits(trained, digits.images))
    assert again.shape == digits.images.shape and again.abs().max() <= 1
    mean_picture = digits.images.mean(0, keepdim=True).expand_as(digits.images)
    assert squared_error(again, digits.images) < 0.5 * squared_error(mean_picture, digits.images)


def test_encoding_repeats_itself_and_learns_nothing(trained: AutoencoderKL, digits: DigitDataset):
    z = encode_digits(trained, digits.images)
    assert torch.equal(encode_digits(trained, digits.images), z) and not z.requires_grad
    assert torch.equal(decode_digits(trained, z), decode_digits(trained, z))


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


def test_the_scaling_does_not_change_what_comes_back(trained: AutoencoderKL, digits: DigitDataset):
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
        model, training = train_vae(replace(TINY, seed=seed), pad_digits(digits.images))
        assert not model.training and training.steps == 4
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_the_autoencoder_comes_back_with_its_measured_scaling(tmp_path, digits: DigitDataset):
    out = tmp_path / "mine.safetensors"
    unseen = render_digits(20, train=False)
    model, _, score, file = make_vae(TINY, out, "train digit-vae --steps 4", digits, unseen)
    again, metadata = load_vae(file)
    assert again.config == model.config and again.config.scaling_factor != CONFIG.scaling_factor and not again.training
    close = encode_digits(model, unseen.images)
    assert torch.allclose(encode_digits(again, unseen.images), close, atol=0.02)  # stored in half precision
    assert metadata["result"] == score == score_vae(model, unseen)
    assert score.startswith("squared error per pixel 0.") and score.endswith("on 20 unseen synthetic digits")
    assert (metadata["data"], metadata["steps"], metadata["seed"]) == (
        "60 synthetic digits",
        "4",
        "0",
    ) and "MIT" in metadata["licence"]


def test_the_noise_predictor_comes_back_and_finds_noise_in_latents_only(tmp_path, digits: DigitDataset, trained):
    out = tmp_path / "latents.safetensors"
    vae_metadata = dict(command="train digit-vae --steps 60")
    model, training, file = make_latent_digits(
        TINY_LATENTS, out, "train latent-digits", digits, (trained, vae_metadata)
    )
    again, metadata = load_diffusion(file, channels=4)
    assert training.steps == 3 and again.config == model.config and again.config["in_channels"] == 4
    assert (metadata["size"], metadata["schedule"], metadata["prediction"]) == ("16", "cosine", "v_prediction")
    assert (
        metadata["data"]
        == "latents of 60 synthetic digits, encoded by what was trained with: train digit-vae --steps 60"
    )
    with pytest.raises(UserError, match=r"latents\.safetensors is a U-Net, but none that finds noise in 3 channels"):
        load_diffusion(file)


def test_the_card_of_what_learned_from_mnist_names_its_licence(tmp_path, digits: DigitDataset):
    real = replace(digits, source="MNIST")
    _, _, _, file = make_vae(TINY, tmp_path / "real.safetensors", "a test", real, real)
    metadata = checkpoint.read_metadata(file)
    assert metadata["data"] == "60 MNIST" and "CC BY-SA" in metadata["licence"]


def save(path, model):
    return save_trained(
        path, model, TrainResult(), command="a test", seed=0, data="none", licence="none", result="none"
    )


def test_weights_of_something_else_are_refused_in_one_sentence(tmp_path):
    file = save(tmp_path / "unet.safetensors", TINY_LATENTS.model(4, 4))
    with pytest.raises(UserError, match=r"unet\.safetensors holds no weights of an autoencoder with latents; name"):
        load_vae(file)
    file = save(tmp_path / "vae.safetensors", AutoencoderKL(CONFIG))
    with pytest.raises(UserError, match=r"vae\.safetensors holds no weights of a network that finds noise"):
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
