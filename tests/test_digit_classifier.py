"""The reader of digits: it learns from synthetic ones, is judged on real ones, and its pretrained weights read both."""

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.data.digits.dataset import DigitDataset, load_digits, render_digits
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks import digit_classifier
from stablediff_edu.tasks.digit_classifier import DigitClassifier, DigitClassifierTrainConfig, accuracy, predict_proba

TINY = DigitClassifierTrainConfig((4, 8), steps=4, batch_size=8)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A tiny config, few digits, no MNIST, and pretrained weights in a folder of the test's own."""
    monkeypatch.setattr(digit_classifier, "DIGIT_CLASSIFIER", TINY)
    monkeypatch.setattr(digit_classifier, "DIGITS", 40)
    monkeypatch.setattr(digit_classifier, "NUM_TEST_DIGITS", 20)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")


def test_it_learns_and_resumes_with_equal_weights(tmp_path, monkeypatch):
    config = DigitClassifierTrainConfig((16,), steps=80, batch_size=16, learning_rate=0.01)
    digits = render_digits(40)
    zeros_and_ones = digits.take(torch.nonzero(digits.labels < 2).squeeze(1))

    def run(checkpoint=None):
        torch.manual_seed(0)
        return digit_classifier.train_classifier(config, zeros_and_ones, checkpoint=checkpoint)

    model, whole = run()
    assert accuracy(model, zeros_and_ones) == 1
    right, calls = digit_classifier.loss, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(digit_classifier, "loss", stop)
    assert run(tmp_path / "progress")[1].steps == 10
    resumed_model, resumed = run(tmp_path / "progress")
    assert resumed.losses == whole.losses
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed_model.parameters(), strict=True))


@pytest.fixture
def bars():
    """Ten images, each of a bar that stands further right the higher its label is."""
    images = torch.full((10, 1, 28, 28), -1.0)
    for number in range(10):
        images[number, 0, 8:20, 4 + 2 * number : 6 + 2 * number] = 1
    return DigitDataset(images, torch.arange(10), "bars")


def bar_places(images):
    """Where the bar of each image begins: (B, 1, 28, 28) -> (B,)."""
    columns = images[:, 0, 12:16].mean(dim=1)  # (B, 28)
    return (columns[:, :-1] + columns[:, 1:]).argmax(dim=1)


def test_batches_keep_answers_with_pictures_and_shift_them_by_up_to_two_pixels(bars):
    torch.manual_seed(0)
    batches, shifts = digit_classifier.batches(bars, 64), set()
    for _ in range(30):
        images, answers = next(batches)
        assert images.shape == (64, 1, 28, 28) and answers.shape == (64, 10)
        assert torch.allclose(answers.sum(dim=1), torch.ones(64))
        whole = answers.amax(dim=1) == 1
        assert 59 <= whole.sum() <= 62  # of four mixed ones some may be mixed with their like
        shift = bar_places(images[5:]) - 4 - 2 * answers[5:].argmax(dim=1)
        assert len(shift.unique()) == 1  # the batch alike, or an image would have another's answer
        shifts.add(shift[0].item())
        assert images[4].max() < 0 and torch.allclose(answers[4], torch.tensor(0.1))  # empty paper, but for noise
    assert shifts == {-2, -1, 0, 1, 2}


def test_a_mixture_shows_both_digits_and_both_are_half_right(bars):
    torch.manual_seed(0)
    both, answers = digit_classifier.mixup(bars.images, torch.eye(10))
    for number in range(10):
        pair = {number, (number - 1) % 10}
        assert set(answers[number].nonzero().flatten().tolist()) == pair and answers[number].max() == 0.5
        outside = [other for other in range(10) if other not in pair]
        assert all(both[number, 0, :, 4 + 2 * other].max() == -1 for other in outside)
    over = [(both[n] == torch.maximum(bars.images[n], bars.images[n - 1])).all().item() for n in range(10)]
    assert 1 <= sum(over) <= 9


def test_probabilities_sum_to_one_and_accuracy_counts_the_highest():
    torch.manual_seed(0)
    model, digits = DigitClassifier((4, 8)).eval(), render_digits(30)
    answers = predict_proba(model, digits.images, batch_size=7)
    assert answers.shape == (30, 10) and torch.allclose(answers.sum(dim=1), torch.ones(30))
    assert torch.allclose(answers, model(digits.images).softmax(dim=1), atol=1e-6)
    right = sum(int(row.argmax()) == int(label) for row, label in zip(answers, digits.labels, strict=True))
    assert accuracy(model, digits) == pytest.approx(right / 30)


def test_the_command_makes_the_shipped_weights_and_scores_them(tiny, capsys):
    assert main(["train", "digit-classifier"]) == 0
    printed = capsys.readouterr().out
    assert "of 20 other synthetic digits, and MNIST is not here to test on (get it with: python -m" in printed
    metadata = checkpoint.read_metadata("digit_classifier")
    assert (metadata["command"], metadata["data"]) == (
        "python -m stablediff_edu train digit-classifier",
        "40 synthetic digits",
    )
    assert metadata["result"] in printed and "MIT" in metadata["licence"] and metadata["steps"] == "4"
    assert main(["train", "digit-classifier", "--evaluate"]) == 0
    assert metadata["result"] in capsys.readouterr().out


def test_other_settings_do_not_replace_the_shipped_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digit-classifier", "--steps", "2", "--seed", "3"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["digit_classifier_own.safetensors"]
    assert checkpoint.read_metadata("digit_classifier_own.safetensors")["seed"] == "3"


def test_weights_that_are_not_there_are_one_sentence(tiny, capsys):
    assert main(["train", "digit-classifier", "--evaluate"]) == 2
    assert "no weights at digit_classifier.safetensors" in capsys.readouterr().err


class TestShippedReader:
    """data/checkpoints/digit_classifier.safetensors: small, with its card, and able to read MNIST."""

    def test_card_and_size(self):
        _, metadata = digit_classifier.load_classifier()
        assert metadata["command"] == "python -m stablediff_edu train digit-classifier"
        assert metadata["data"].startswith("40000") and "of MNIST, of which it has seen none" in metadata["result"]
        assert int(metadata["steps"]) == digit_classifier.DIGIT_CLASSIFIER.steps
        assert checkpoint.checkpoint_path("digit_classifier").stat().st_size < 0.5e6

    def test_it_reads_drawn_digits_never_seen(self):
        model, _ = digit_classifier.load_classifier()
        assert accuracy(model, render_digits(1000, seed=5, train=False)) >= 0.98

    def test_it_reads_real_digits_of_every_kind(self, real_data, monkeypatch):
        monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
        model, _ = digit_classifier.load_classifier()
        real = load_digits(10_000, "mnist", train=False)
        right = predict_proba(model, real.images).argmax(dim=1) == real.labels
        assert right.float().mean() >= 0.95
        assert all(right[real.labels == digit].float().mean() >= 0.9 for digit in range(10))

    def test_it_is_not_sure_of_what_is_no_digit(self):
        """A classifier that is sure of everything would praise every generator."""
        model, _ = digit_classifier.load_classifier()
        torch.manual_seed(0)
        digits = render_digits(300, seed=6, train=False).images
        others = digits.roll(3, dims=0)
        no_digits = {
            "noise": torch.randn(200, 1, 28, 28).clamp(-1, 1),
            "clouds": torch.nn.functional.interpolate(torch.randn(200, 1, 5, 5), size=28, mode="bicubic").clamp(-1, 1),
            "paper": torch.full((1, 1, 28, 28), -1.0),
            "means of two": (digits + others) / 2,
            "two over each other": torch.maximum(digits, others),
            "halves of two": torch.cat([digits[..., :14], others[..., 14:]], dim=3),
        }
        for kind, images in no_digits.items():
            sure = (predict_proba(model, images).amax(dim=1) > 0.9).float().mean()
            assert sure <= 0.3, kind
        assert (predict_proba(model, digits).amax(dim=1) > 0.9).float().mean() > 0.9
