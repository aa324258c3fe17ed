"""Autoencoders: their two halves, the two losses, PCA beside them, and that a short training learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder import PCA, Autoencoder
from stablediff_edu.tasks.autoencoder import (
    AUTOENCODER_PRESETS,
    AutoencoderTask,
    reconstruction_error,
    reconstruction_loss,
    squared_error,
)
from stablediff_edu.training.trained_models import load_trained

TINY = AutoencoderTask(widths=(16, 8), steps=5, batch_size=4)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return render_digits(400).images


def small(variational: bool = False, latent: int = 3, size: int = 6) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(latent, (16, 8), variational, size)


def images(count: int = 5, size: int = 6) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize(("latent", "size"), [(1, 28), (2, 28), (32, 28), (5, 12)])
def test_pictures_become_so_many_numbers_and_pictures_again(latent: int, size: int, variational: bool):
    model, x = Autoencoder(latent, (16, 8), variational, size), images(3, size)
    z = model.encode(x)
    assert z.shape == (3, latent) and model.decode(z).shape == x.shape
    assert torch.equal(model(x), model.decode(z))


def test_what_is_decoded_stays_between_black_and_white():
    assert small().decode(1000 * torch.randn(20, 3)).abs().max() <= 1


def test_each_half_is_a_network_of_its_own():
    """The encoder decides the numbers alone, the decoder the images alone."""
    model, x, z = small(), images(), torch.randn(2, 3)
    numbers, drawn = model.encode(x), model.decode(z)
    with torch.no_grad():
        model.decoder[0].weight.zero_()
    assert torch.equal(model.encode(x), numbers) and not torch.equal(model.decode(z), drawn)
    model = small()
    with torch.no_grad():
        model.encoder[1].weight.zero_()
    assert torch.equal(model.decode(z), drawn) and not torch.equal(model.encode(x), numbers)


def test_the_variational_kind_encodes_to_the_mean_and_repeats_itself():
    model, x = small(variational=True), images()
    mean, logvar = model.moments(x)
    assert mean.shape == logvar.shape == (5, 3)
    assert torch.equal(model.encode(x), mean) and torch.equal(model(x), model(x))
    last = model.encoder[-1]
    assert torch.equal(torch.cat([mean, logvar], dim=1), model.encoder(x)) and last.out_features == 6


def test_a_variance_stays_finite_whatever_the_encoder_answers():
    model = small(variational=True)
    for bias, end in ((1e6, 20), (-1e6, -30)):
        torch.nn.init.constant_(model.encoder[-1].bias, bias)
        assert (model.moments(images())[1] == end).all()


def test_a_plain_one_has_no_moments():
    with pytest.raises(ValueError, match="variational=True"):
        small().moments(images())


@pytest.mark.parametrize("latent", [0, -1, 37])
@pytest.mark.parametrize("make", [lambda n: Autoencoder(n, size=6), lambda n: PCA(images(), n)])
def test_too_few_or_too_many_numbers_are_refused_in_one_sentence(latent: int, make):
    with pytest.raises(UserError, match=rf"36 pixels cannot become {latent} numbers; choose 1 to 36\."):
        make(latent)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 6, 6), (1, 6, 6)])
def test_pictures_of_another_shape_are_refused_in_one_sentence(shape: tuple[int, ...]):
    with pytest.raises(UserError, match=r"made for images \(B, 1, 6, 6\), not .*; resize them"):
        small().encode(torch.zeros(shape))


@pytest.mark.parametrize("variational", [False, True])
def test_weights_come_back_with_the_sizes_on_their_card(tmp_path, variational: bool):
    model = small(variational)
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "a test")
    file = checkpoint.save_checkpoint(tmp_path / "mine.safetensors", model, metadata, half=False)
    again, _ = load_trained(Autoencoder, file, "an autoencoder")
    assert again.config == model.config and torch.equal(again(images()), model(images()))


# --- PCA --------------------------------------------------------------------------------------------------------------


def test_pca_is_the_singular_value_decomposition(digits: torch.Tensor):
    """Against numpy, in float64, another way to the same: no covariance, no eigenvalues."""
    rows = digits.flatten(1).double().numpy()
    _, _, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    pca = PCA(digits, 8)
    assert np.allclose(pca.mean.numpy(), rows.mean(0), atol=1e-12)
    for direction, vector in zip(pca.directions.T.numpy(), vectors[:8], strict=True):
        assert abs(direction @ vector) == pytest.approx(1, abs=1e-9)
    projected = (rows - rows.mean(0)) @ vectors[:8].T @ vectors[:8] + rows.mean(0)
    assert np.allclose(pca(digits).flatten(1).numpy(), projected, atol=1e-6)


def test_pca_gives_back_what_it_decodes_and_is_exact_with_all_numbers():
    x = images(60)
    z = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    pca = PCA(x, 4)
    assert torch.allclose(pca.encode(pca.decode(z)), z, atol=1e-5)
    assert torch.allclose(PCA(x, 36)(x), x, atol=1e-5)
    assert pca.encode(x).dtype == pca(x).dtype == torch.float32 and pca(x).shape == x.shape


def test_the_largest_entry_of_every_direction_is_positive():
    x = images(60)
    for turned in (x, -x, x.flip(0)):
        directions = PCA(turned, 5).directions
        assert (directions.gather(0, directions.abs().argmax(0, keepdim=True)) > 0).all()
    assert torch.allclose(PCA(x, 5).directions, PCA(-x, 5).directions, atol=1e-9)


def test_the_first_numbers_of_pca_tell_most(digits: torch.Tensor):
    assert torch.allclose(PCA(digits, 5).directions[:, :2], PCA(digits, 2).directions)
    spread = PCA(digits, 5).encode(digits).std(0)
    assert (spread.diff() < 0).all()
    errors = [reconstruction_error(PCA(digits, latent), digits) for latent in (1, 2, 5, 20)]
    assert errors == sorted(errors, reverse=True)


# --- losses -----------------------------------------------------------------------------------------------------------


def test_the_error_is_per_pixel_as_if_pictures_were_between_0_and_1():
    found, true = images(3), images(3).flip(0)
    in_0_to_1 = ((found + 1) / 2 - (true + 1) / 2).square().sum() / (3 * 36)
    assert squared_error(found, true).item() == pytest.approx(in_0_to_1.item(), rel=1e-5)
    assert squared_error(torch.ones(2, 1, 6, 6), -torch.ones(2, 1, 6, 6)) == 1  # white for black


def test_the_plain_loss_is_a_quarter_of_the_squared_error():
    model, x = small(), images()
    assert reconstruction_loss(model, x).item() == pytest.approx((model(x) - x).square().mean().item() / 4, rel=1e-6)
    assert (
        reconstruction_loss(model, x, kl_weight=5.0).item() == reconstruction_loss(model, x).item()
    )  # there is no cloud to pull at


def test_the_variational_loss_decodes_a_sample_and_adds_the_divergence():
    model, x = small(variational=True), images()
    mean, logvar = model.moments(x)
    torch.manual_seed(3)
    z = mean + (logvar / 2).exp() * torch.randn(mean.shape)
    divergence = (0.5 * (mean**2 + logvar.exp() - 1 - logvar)).sum(1).mean()
    want = (model.decode(z) - x).square().mean() / 4 + 0.7 * divergence
    torch.manual_seed(3)
    assert reconstruction_loss(model, x, 0.7).item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("variational", [False, True])
def test_the_loss_reaches_every_parameter(variational: bool):
    model = small(variational)
    reconstruction_loss(model, images(), 0.1).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_reconstruction_error_measures_networks_and_pca_alike():
    x = images(50)
    for kind in (small(), PCA(x, 3)):
        assert reconstruction_error(kind, x) == pytest.approx(squared_error(kind(x), x).item())


# --- training ---------------------------------------------------------------------------------------------------------


def test_batches_are_drawn_by_lot():
    x = torch.arange(100.0).view(100, 1, 1, 1)
    torch.manual_seed(0)
    drawn = torch.cat([next(AutoencoderTask(batch_size=30).batches(x, torch.device("cpu"))) for _ in range(20)])
    assert drawn.shape == (600, 1, 1, 1) and len(drawn.unique()) > 95 and drawn[:30].unique().numel() > 15


@pytest.mark.parametrize("divergence", [0.0, 1e-3])
def test_one_seed_is_one_training(digits: torch.Tensor, divergence: float):
    config = replace(TINY, kl_weight=divergence)

    def trained(seed: int) -> torch.Tensor:
        torch.manual_seed(5)
        return replace(config, seed=seed).train(digits)[0].encode(digits[:3])

    assert torch.equal(trained(0), trained(0)) and not torch.equal(trained(0), trained(1))


def test_the_recipe_decides_the_kind():
    assert not TINY.model().variational and replace(TINY, kl_weight=0.1).model().variational
    assert replace(TINY, latent=7, size=12).model().config == dict(latent=7, widths=[16, 8], variational=False, size=12)
    assert AUTOENCODER_PRESETS["full"].latent == AUTOENCODER_PRESETS["quick"].latent == 2


def test_a_short_training_beats_pca_on_digits_never_seen():
    """With the quick config, but few of its steps."""
    torch.manual_seed(0)
    learned, unseen = render_digits(2000).images, render_digits(200, train=False).images
    model, training = replace(AUTOENCODER_PRESETS["quick"], steps=350).train(learned)
    assert not model.training and training.steps == 350
    assert reconstruction_error(model, unseen) < 0.95 * reconstruction_error(PCA(learned, 2), unseen)


def test_the_pull_of_the_divergence_makes_a_cloud_of_size_one(digits: torch.Tensor):
    torch.manual_seed(0)
    config = AutoencoderTask(widths=(32,), steps=150, kl_weight=0.3)  # so strong that nothing else counts
    mean, logvar = config.train(digits)[0].moments(digits)
    assert mean.abs().mean() < 0.2 and logvar.abs().mean() < 0.3


def test_snapshots_are_kept_and_another_network_can_be_trained(digits: torch.Tensor):
    own = small(size=28)
    model, training = TINY.train(digits, snapshot=lambda model: model.encode(digits[:4]), model=own)
    assert model is own and training.snapshots[-1][0] == TINY.steps
    assert all(image.shape == (4, 3) for _, image in training.snapshots)
