"""The measures of drawn digits: what the judge is sure of, new or copied, varied or not."""

import pytest
import torch
from torch import nn

from stablediff_edu.datasets.digits import draw_digits
from stablediff_edu.errors import CourseError
from stablediff_edu.models.unet import UNet
from stablediff_edu.models.vae import AutoencoderKL, VAEConfig
from stablediff_edu.training import digit_quality
from stablediff_edu.training.digit_quality import (
    Judgement,
    compare_digits,
    draw_digits_from,
    evaluate_digits,
    judge,
)
from stablediff_edu.training.latent_recipes import decode_digits
from stablediff_edu.training.sample_quality import draw

CARD = dict(schedule="cosine", prediction="velocity", size="4")


class Reader(nn.Module):
    """A judge who takes the first pixel, from 0 to 1, for its sureness of the digit that the second pixel gives."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sure = x[:, 0, 0, 0]
        chances = ((1 - sure) / 9)[:, None].repeat(1, 10)  # (B, 10)
        chances[torch.arange(len(x)), (10 * x[:, 0, 0, 1]).round().long()] = sure
        return self.weight * chances.log()


class Undecided(nn.Module):
    """A judge who is sure of nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight.repeat(len(x), 1)


def tagged(sure: list[float], digits: list[int]) -> torch.Tensor:
    """Pictures that say how sure the reader shall be of which digit."""
    pictures = torch.full((len(sure), 1, 28, 28), -1.0)
    pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = torch.tensor(sure), torch.tensor(digits) / 10
    return pictures


@pytest.fixture
def small() -> tuple[UNet, AutoencoderKL]:
    """An untrained noise predictor for latents, and an untrained autoencoder."""
    torch.manual_seed(0)
    config = VAEConfig(in_channels=1, widths=(4, 4, 4, 4), blocks=1, latent=4, groups=4, scaling=0.5)
    return UNet(4, 4, (8, 8), time=8).eval(), AutoencoderKL(config).eval()


def test_only_what_the_judge_is_sure_of_counts():
    judgement = judge(tagged([0.95, 0.89, 0.91, 0.5, 0.99], [3, 3, 3, 7, 0]), Reader())
    assert (judgement.count, judgement.sure) == (5, 0.6)
    assert judgement.counts == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0] and judgement.missing == [1, 2, 4, 5, 6, 7, 8, 9]


def test_a_judgement_names_the_digits_that_are_missing():
    some = Judgement(500, 0.852, [50, 40, 0, 60, 46, 50, 60, 0, 60, 60])
    assert str(some).startswith("sure (> 0.9) of 85.2% of 500; none is a 2, 7 (0:50 1:40 2:0 ")
    assert "; all ten digits appear (0:1 " in str(Judgement(10, 1.0, [1] * 10))


def test_the_shipped_judge_reads_drawn_digits_but_not_halves_put_together():
    digits = draw_digits(200, train=False).pictures
    whole = judge(digits)
    assert whole.sure > 0.9 and whole.missing == [] and min(whole.counts) >= 15
    mixed = torch.cat([digits[:, :, :14], digits.roll(1, dims=0)[:, :, 14:]], dim=2)
    assert judge(mixed).sure < 0.6


def test_copies_are_not_new_and_unseen_digits_are():
    known, unseen = draw_digits(300), draw_digits(40, train=False)
    copies = compare_digits(known.pictures[:30], known, unseen, classifier=Undecided())
    assert copies.nearest == 0 and copies.newness == 0 and copies.unseen_nearest > 3
    others = compare_digits(draw_digits(40, seed=1, train=False).pictures, known, unseen, classifier=Undecided())
    assert 0.8 < others.newness < 1.25 and 0.8 < others.relative_variety < 1.25


def test_a_mirrored_digit_is_new():
    known = draw_digits(50)
    unseen = draw_digits(10, train=False)
    mirrored = compare_digits(known.pictures[:20].flip(3), known, unseen, classifier=Undecided())
    assert mirrored.nearest > 3


def test_the_same_digit_again_and_again_is_not_varied():
    known, unseen = draw_digits(50), draw_digits(10, train=False)
    same = draw_digits(1, seed=9).pictures.repeat(5, 1, 1, 1)
    assert compare_digits(same, known, unseen, classifier=Undecided()).relative_variety == 0


def test_one_sample_cannot_be_compared():
    known = draw_digits(10)
    with pytest.raises(CourseError, match="1 samples cannot be compared with other digits; draw at least 2"):
        compare_digits(known.pictures[:1], known, known, classifier=Undecided())


def test_digits_are_drawn_as_latents_without_bounds_and_decoded(small: tuple[UNet, AutoencoderKL]):
    model, vae = small
    digits = draw_digits_from(model, CARD, vae, count=4, seed=2, steps=2)
    z = draw(model, CARD, 4, 2, **digit_quality.BEST | dict(steps=2))
    assert z.shape == (4, 4, 4, 4) and z.abs().max() > 1
    assert torch.equal(digits, decode_digits(vae, z))
    assert digits.shape == (4, 1, 28, 28) and digits.abs().max() <= 1


def test_a_digit_is_the_same_however_many_are_drawn_with_it(small: tuple[UNet, AutoencoderKL]):
    many = draw_digits_from(small[0], CARD, small[1], count=6, seed=4, steps=2)
    assert torch.allclose(draw_digits_from(small[0], CARD, small[1], 2, 4, steps=2), many[:2], atol=1e-4)
    assert not torch.allclose(draw_digits_from(small[0], CARD, small[1], 2, 5, steps=2), many[:2], atol=1e-3)


def test_quality_is_measured_on_samples_beside_unseen_digits(small: tuple[UNet, AutoencoderKL], monkeypatch):
    known, unseen = draw_digits(30), draw_digits(12, train=False)
    asked = []

    def right(model, card, vae, count, seed, **options):
        asked.append((count, seed))
        return decode_digits(vae, draw(model, card, count, seed, clip=False, **options))

    monkeypatch.setattr(digit_quality, "draw_digits_from", right)
    quality = evaluate_digits(small[0], CARD, small[1], known, unseen, count=5, classifier=Undecided(), steps=2)
    assert asked == [(1, 1), (5, 1)] and quality.samples.count == 5 and quality.unseen.count == 12
    assert quality.seconds > 0 and quality.nearest > 0
    lines = str(quality).splitlines()
    for line, start in zip(
        lines, ["samples: ", "unseen digits: ", "new, not", "variety: ", "5 digits in"], strict=True
    ):
        assert line.startswith(start)
