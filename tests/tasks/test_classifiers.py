"""The classifiers of digits, ships and scenes: batches, training, command, pretrained weights."""

import pytest
import torch
from torch.nn.functional import interpolate

from stablediff_edu.__main__ import main
from stablediff_edu.data.digits.dataset import DigitDataset, load_digits, render_digits
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.classifier import predict_logits
from stablediff_edu.tasks import digit_classifier, scene_classifier, ship_classifier
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask, accuracy, load_digit_classifier, predict_proba
from stablediff_edu.tasks.scene_classifier import (
    FIELDS,
    LabeledScenes,
    SceneClassifierTask,
    load_scene_classifier,
    make_targets,
    predict_attributes,
)
from stablediff_edu.tasks.ship_classifier import (
    ShipClassifierTask,
    ShipsAndOthers,
    load_ship_classifier,
    load_ships_and_others,
    positive_rate,
)

TINY_SCENES = SceneClassifierTask(channels=(8, 8, 8, 8), steps=3, batch_size=4, scenes=8, scenes_held_out=2, num_test=3)
TINY = {
    DigitClassifierTask: DigitClassifierTask(channels=(4, 8), steps=4, batch_size=8, num_images=40, num_test=20),
    SceneClassifierTask: TINY_SCENES,
}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Tiny hyperparameters, no MNIST, and pretrained weights in a folder of the test's own."""
    for kind, task in TINY.items():
        monkeypatch.setitem(kind.presets, "pretrained", task)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.chdir(tmp_path)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bars():
    """Ten images, each of a bar that stands further right the higher its label is."""
    images = torch.full((10, 1, 28, 28), -1.0)
    for number in range(10):
        images[number, 0, 8:20, 4 + 2 * number : 6 + 2 * number] = 1
    return DigitDataset(images, torch.arange(10), "bars")


def bar_positions(images):
    """Where the bar of each image begins: (B, 1, 28, 28) -> (B,)."""
    columns = images[:, 0, 12:16].mean(dim=1)  # (B, 28)
    return (columns[:, :-1] + columns[:, 1:]).argmax(dim=1)


def test_batches_of_digits_keep_targets_with_images_and_shift_them_by_up_to_two_pixels(bars):
    torch.manual_seed(0)
    batches, shifts = digit_classifier.batches(bars, 64), set()
    for _ in range(30):
        images, targets = next(batches)
        assert images.shape == (64, 1, 28, 28) and targets.shape == (64, 10)
        assert torch.allclose(targets.sum(dim=1), torch.ones(64))
        whole = targets.amax(dim=1) == 1
        assert 59 <= whole.sum() <= 62  # of four mixed ones some may be mixed with their like
        shift = bar_positions(images[5:]) - 4 - 2 * targets[5:].argmax(dim=1)
        assert len(shift.unique()) == 1  # the batch alike, or an image would have another's target
        shifts.add(shift[0].item())
        assert images[4].max() < 0 and torch.allclose(targets[4], torch.tensor(0.1))  # empty paper, but for noise
    assert shifts == {-2, -1, 0, 1, 2}


def test_a_mixture_shows_both_digits_and_both_are_half_right(bars):
    torch.manual_seed(0)
    both, targets = digit_classifier.mixup(bars.images, torch.eye(10))
    for number in range(10):
        pair = {number, (number - 1) % 10}
        assert set(targets[number].nonzero().flatten().tolist()) == pair and targets[number].max() == 0.5
        outside = [other for other in range(10) if other not in pair]
        assert all(both[number, 0, :, 4 + 2 * other].max() == -1 for other in outside)
    over = [(both[n] == torch.maximum(bars.images[n], bars.images[n - 1])).all().item() for n in range(10)]
    assert 1 <= sum(over) <= 9


def test_batches_of_ships_are_half_ships():
    data = ShipsAndOthers(torch.full((3, 3, 32, 32), 0.5), torch.full((5, 3, 32, 32), -0.5))
    torch.manual_seed(0)
    images, labels = next(ship_classifier.batches(data, 10))
    assert images.shape == (10, 3, 32, 32) and labels.sum() == 5
    assert torch.equal(images.mean(dim=(1, 2, 3)) > 0, labels == 1)


def test_batches_of_scenes_are_a_little_softer_and_noisier_and_keep_their_targets():
    scenes = make_scenes(5, 64)
    torch.manual_seed(0)
    images, targets = next(scene_classifier.batches(LabeledScenes(scenes.pixels, make_targets(scenes.scenes)), 16))
    distances = torch.cdist(images.flatten(1), scenes.images.flatten(1))
    assert torch.equal(targets["object_class"], make_targets(scenes.scenes)["object_class"][distances.argmin(dim=1)])
    assert (distances.min(dim=1).values > 0).all()


def test_targets_of_scenes_are_their_labels():
    scenes = make_scenes(30, 16)
    targets = make_targets(scenes.scenes)
    for number, scene in enumerate(scenes.scenes):
        assert FIELDS["object_class"][targets["object_class"][number]] == scene.object_class
        assert FIELDS["color"][targets["color"][number]] == scene.color
        assert FIELDS["sky"][targets["sky"][number]] == scene.sky
        assert FIELDS["water"][targets["water"][number]] == ("under" if scene.under_water else scene.sea)
    assert all((indices >= 0).float().mean() > 0.9 for indices in targets.values())


# --- training and scores (that a stopped training resumes with equal weights: test_resume) ----------------------------


def test_each_learns_a_few_images():
    digits = render_digits(40)
    digits = digits.take(torch.nonzero(digits.labels < 2).squeeze(1))
    model, _ = DigitClassifierTask(channels=(16,), steps=80, batch_size=16, learning_rate=0.01).train(digits)
    assert accuracy(model, digits) == 1
    noise = torch.rand(12, 3, 8, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    stripes = noise.repeat_interleave(4, dim=2).expand(-1, -1, -1, 32)  # horizontal; as others vertical
    task = ShipClassifierTask(channels=(4, 8), steps=40, batch_size=16, learning_rate=0.03)
    model, _ = task.train(ShipsAndOthers(stripes, stripes.mT))
    assert positive_rate(model, stripes) == 1 and positive_rate(model, stripes.mT) == 0
    scenes = make_scenes(6, 64)
    task = SceneClassifierTask(channels=(8, 16, 16, 32), steps=120, batch_size=8, learning_rate=4e-3)
    model, training = task.train(LabeledScenes(scenes.pixels, make_targets(scenes.scenes)))
    found = predict_attributes(model, scenes.images)["object_class"]
    assert sum(a == scene.object_class for a, scene in zip(found, scenes.scenes, strict=True)) >= 5
    assert training.loss < 0.5 * training.losses[0]


def test_probabilities_sum_to_one_and_accuracy_counts_the_highest():
    model, digits = DigitClassifierTask(channels=(4, 8)).model().eval(), render_digits(30)
    probabilities = predict_proba(model, digits.images)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(30))
    logits = predict_logits(model, digits.images, batch_size=7)["digit"]
    assert torch.allclose(probabilities, logits.softmax(dim=1), atol=1e-6)
    right = sum(int(row.argmax()) == int(label) for row, label in zip(probabilities, digits.labels, strict=True))
    assert accuracy(model, digits) == pytest.approx(right / 30)


def test_the_score_of_scenes_counts_every_field_and_both_kinds():
    task = SceneClassifierTask(channels=(8, 8, 8, 8), num_test=50)
    model = task.model().eval()
    for field, head in model.heads.items():  # always predicts the first name
        torch.nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.bias.copy_(-torch.arange(len(FIELDS[field])))
    line = task.evaluate(model)
    share = sum(scene.object_class == FIELDS["object_class"][0] for scene in make_scenes(50, 16, seed=1).scenes) / 50
    assert line.startswith(f"object {share:.1%}, color ")
    assert all(line.count(f"{field.removesuffix('_class')} ") == 2 for field in FIELDS)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "score"),
    [
        ("digit", "40 synthetic digits", "of 20 other synthetic digits, and MNIST is not here"),
        ("scene", "10 synthetic scenes of 64×64, of all combinations", "of 3 other scenes"),
    ],
)
def test_the_command_trains_and_scores_the_pretrained_weights(tiny, capsys, name, data, score):
    assert main(["train", f"{name}-classifier"]) == 0
    assert score in capsys.readouterr().out
    metadata = checkpoint.read_metadata(f"{name}_classifier")
    assert metadata["command"] == f"python -m stablediff_edu train {name}-classifier"
    assert metadata["data"] == data and "MIT" in metadata["licence"] and score in metadata["result"]
    assert main(["train", f"{name}-classifier", "--evaluate"]) == 0
    assert metadata["result"].partition("; loss")[0] in capsys.readouterr().out


def test_other_settings_do_not_replace_the_pretrained_weights(tiny, tmp_path):
    assert main(["train", "digit-classifier", "--steps", "2", "--seed", "3"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["digit-classifier_own.safetensors"]
    assert checkpoint.read_metadata("digit-classifier_own.safetensors")["seed"] == "3"


def test_weights_that_are_missing_or_others_are_one_sentence(tiny, capsys, monkeypatch):
    assert main(["train", "digit-classifier", "--evaluate"]) == 2
    assert "no weights at digit_classifier.safetensors" in capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(UserError, match="no weights of a classifier"):
        load_scene_classifier("fish")
    with pytest.raises(UserError, match="ship_classifier is another classifier; name weights of train scene"):
        load_scene_classifier("ship_classifier")


# --- the pretrained weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "result"),
    [
        ("digit", 0.5e6, "of MNIST, of which it has seen none"),
        ("ship", 1e6, "test ships"),
        ("scene", 2.1e6, "of combinations held out"),
    ],
)
def test_metadata_and_size(name, size, result):
    metadata = checkpoint.read_metadata(f"{name}_classifier")
    assert metadata["command"] == f"python -m stablediff_edu train {name}-classifier"
    assert result in metadata["result"] and int(metadata["seconds"]) > 0
    assert checkpoint.checkpoint_path(f"{name}_classifier").stat().st_size < size


def test_it_reads_synthetic_and_real_digits_of_every_kind(real_data, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    model, _ = load_digit_classifier()
    assert accuracy(model, render_digits(1000, seed=5, train=False)) >= 0.98
    real = load_digits(10_000, "mnist", train=False)
    right = predict_proba(model, real.images).argmax(dim=1) == real.labels
    assert right.float().mean() >= 0.95
    assert all(right[real.labels == digit].float().mean() >= 0.9 for digit in range(10))


def test_it_is_not_sure_of_what_is_no_digit():
    """A classifier that is sure of everything would praise every generator."""
    model, _ = load_digit_classifier()
    torch.manual_seed(0)
    digits = render_digits(300, seed=6, train=False).images
    others = digits.roll(3, dims=0)
    no_digits = {
        "noise": torch.randn(200, 1, 28, 28).clamp(-1, 1),
        "clouds": interpolate(torch.randn(200, 1, 5, 5), size=28, mode="bicubic").clamp(-1, 1),
        "paper": torch.full((1, 1, 28, 28), -1.0),
        "means of two": (digits + others) / 2,
        "two over each other": torch.maximum(digits, others),
        "halves of two": torch.cat([digits[..., :14], others[..., 14:]], dim=3),
    }
    for kind, images in no_digits.items():
        sure = (predict_proba(model, images).amax(dim=1) > 0.9).float().mean()
        assert sure <= 0.3, kind
    assert (predict_proba(model, digits).amax(dim=1) > 0.9).float().mean() > 0.9


def test_it_calls_real_test_ships_ships_and_other_things_not(real_data, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    model, test = load_ship_classifier()[0], load_ships_and_others(train=False)
    assert len(test.ships) == 1000 and len(test.others) == 900
    assert positive_rate(model, test.ships) >= 0.9 and positive_rate(model, test.others) <= 0.1


def test_neither_noise_nor_clouds_of_color_are_ships_to_it():
    model, _ = load_ship_classifier()
    noise = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    clouds = interpolate(noise[:, :, :4, :4], size=32, mode="bicubic")
    for images in (noise, clouds, noise[:, :, :1, :1].expand(-1, -1, 32, 32)):
        assert positive_rate(model, images.clamp(-1, 1)) < 0.4
