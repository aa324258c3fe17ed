"""The measures of synthetic digits: what the classifier is sure of, new or copied, varied or not."""

import pytest
import torch
from torch import nn

from stablediff_edu.data.digits.dataset import render_digits
from stablediff_edu.errors import UserError
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks import latent_diffusion_evaluation
from stablediff_edu.tasks.ddpm_evaluation import sample_images
from stablediff_edu.tasks.latent_diffusion import decode_digits
from stablediff_edu.tasks.latent_diffusion_evaluation import (
    ClassifierReport,
    classify_digits,
    compare_digits,
    evaluate_digits,
    sample_digits,
)

CARD = dict(schedule="cosine", prediction="v_prediction", size="4")


class Reader(nn.Module):
    """A classifier who takes the first pixel, from 0 to 1, for its sureness of the digit that the second pixel
    gives."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        sure = x[:, 0, 0, 0]
        chances = ((1 - sure) / 9)[:, None].repeat(1, 10)  # (B, 10)
        chances[torch.arange(len(x)), (10 * x[:, 0, 0, 1]).round().long()] = sure
        return {"digit": self.weight * chances.log()}


class Undecided(nn.Module):
    """A classifier who is sure of nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"digit": self.weight.repeat(len(x), 1)}


def tagged(sure: list[float], digits: list[int]) -> torch.Tensor:
    """Images that say how sure the reader shall be of which digit."""
    images = torch.full((len(sure), 1, 28, 28), -1.0)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.tensor(sure), torch.tensor(digits) / 10
    return images


@pytest.fixture
def small() -> tuple[UNet, AutoencoderKL]:
    """An untrained noise predictor for latents, and an untrained autoencoder."""
    torch.manual_seed(0)
    config = VAEConfig(
        in_channels=1,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
    return UNet(4, 4, (8, 8), time=8).eval(), AutoencoderKL(config).eval()


def test_only_what_the_judge_is_sure_of_counts():
    judgement = classify_digits(tagged([0.95, 0.89, 0.91, 0.5, 0.99], [3, 3, 3, 7, 0]), Reader())
    assert (judgement.count, judgement.sure) == (5, 0.6)
    assert judgement.counts == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0] and judgement.missing == [1, 2, 4, 5, 6, 7, 8, 9]


def test_a_judgement_names_the_digits_that_are_missing():
    some = ClassifierReport(500, 0.852, [50, 40, 0, 60, 46, 50, 60, 0, 60, 60])
    assert str(some).startswith("sure (> 0.9) of 85.2% of 500; none is a 2, 7 (0:50 1:40 2:0 ")
    assert "; all ten digits appear (0:1 " in str(ClassifierReport(10, 1.0, [1] * 10))


def test_the_shipped_judge_reads_drawn_digits_but_not_halves_put_together():
    digits = render_digits(200, train=False).images
    whole = classify_digits(digits)
    assert whole.sure > 0.9 and whole.missing == [] and min(whole.counts) >= 15
    mixed = torch.cat([digits[:, :, :14], digits.roll(1, dims=0)[:, :, 14:]], dim=2)
    assert classify_digits(mixed).sure < 0.6


def test_copies_are_not_new_and_unseen_digits_are():
    known, unseen = render_digits(300), render_digits(40, train=False)
    copies = compare_digits(known.images[:30], known, unseen, classifier=Undecided())
    assert copies.nearest == 0 and copies.novelty == 0 and copies.unseen_nearest > 3
    others = compare_digits(render_digits(40, seed=1, train=False).images, known, unseen, classifier=Undecided())
    assert 0.8 < others.novelty < 1.25 and 0.8 < others.relative_diversity < 1.25


def test_a_mirrored_digit_is_new():
    known = render_digits(50)
    unseen = render_digits(10, train=False)
    flipped = compare_digits(known.images[:20].flip(3), known, unseen, classifier=Undecided())
    assert flipped.nearest > 3


def test_the_same_digit_again_and_again_is_not_varied():
    known, unseen = render_digits(50), render_digits(10, train=False)
    same = render_digits(1, seed=9).images.repeat(5, 1, 1, 1)
    assert compare_digits(same, known, unseen, classifier=Undecided()).relative_diversity == 0


def test_one_sample_cannot_be_compared():
    known = render_digits(10)
    with pytest.raises(UserError, match="1 samples cannot be compared with other digits; draw at least 2"):
        compare_digits(known.images[:1], known, known, classifier=Undecided())


def test_digits_are_drawn_as_latents_without_bounds_and_decoded(small: tuple[UNet, AutoencoderKL]):
    model, vae = small
    digits = sample_digits(model, CARD, vae, count=4, seed=2, steps=2)
    z = sample_images(model, CARD, 4, 2, **latent_diffusion_evaluation.DEFAULT_SAMPLING | dict(steps=2))
    assert z.shape == (4, 4, 4, 4) and z.abs().max() > 1
    assert torch.equal(digits, decode_digits(vae, z))
    assert digits.shape == (4, 1, 28, 28) and digits.abs().max() <= 1


def test_a_digit_is_the_same_however_many_are_drawn_with_it(small: tuple[UNet, AutoencoderKL]):
    many = sample_digits(small[0], CARD, small[1], count=6, seed=4, steps=2)
    assert torch.allclose(sample_digits(small[0], CARD, small[1], 2, 4, steps=2), many[:2], atol=1e-4)
    assert not torch.allclose(sample_digits(small[0], CARD, small[1], 2, 5, steps=2), many[:2], atol=1e-3)


def test_quality_is_measured_on_samples_beside_unseen_digits(small: tuple[UNet, AutoencoderKL], monkeypatch):
    known, unseen = render_digits(30), render_digits(12, train=False)
    asked = []

    def right(model, metadata, vae, count, seed, **options):
        asked.append((count, seed))
        return decode_digits(vae, sample_images(model, metadata, count, seed, clip=False, **options))

    monkeypatch.setattr(latent_diffusion_evaluation, "sample_digits", right)
    quality = evaluate_digits(small[0], CARD, small[1], known, unseen, count=5, classifier=Undecided(), steps=2)
    assert asked == [(1, 1), (5, 1)] and quality.samples.count == 5 and quality.unseen.count == 12
    assert quality.seconds > 0 and quality.nearest > 0
    lines = str(quality).splitlines()
    for line, start in zip(
        lines, ["samples: ", "unseen digits: ", "new, not", "variety: ", "5 digits in"], strict=True
    ):
        assert line.startswith(start)
