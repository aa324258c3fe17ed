"""The classifier of chapter 8: it learns all fields of the scenes' exact truth, and is scored on other scenes."""

from dataclasses import replace

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks import scene_classifier
from stablediff_edu.tasks.scene_classifier import (
    FIELDS,
    SCENE_CLASSIFIER,
    batches,
    load_scene_classifier,
    make_targets,
    predict_attributes,
    score_scene_classifier,
    train_scene_classifier,
)

SMALL = replace(SCENE_CLASSIFIER, channels=(8, 8, 8, 8), steps=3, batch_size=4)


def test_the_right_answers_are_the_truth():
    scenes = make_scenes(30, 16)
    right = make_targets(scenes.scenes)
    for number, scene in enumerate(scenes.scenes):
        assert FIELDS["thing"][right["thing"][number]] == scene.thing
        assert FIELDS["colour"][right["colour"][number]] == scene.colour
        assert FIELDS["sky"][right["sky"][number]] == scene.sky
        assert FIELDS["water"][right["water"][number]] == ("under" if scene.under_water else scene.sea)
    assert all((numbers >= 0).float().mean() > 0.9 for numbers in right.values())


def test_a_batch_is_a_little_softer_and_noisier_than_its_scenes_but_stays_them():
    scenes = make_scenes(5, 64)
    torch.manual_seed(0)
    images, answers = next(batches(scenes.pixels, make_targets(scenes.scenes), 16))
    distances = torch.cdist(images.flatten(1), scenes.images.flatten(1))
    nearest = distances.argmin(dim=1)
    assert torch.equal(answers["thing"], make_targets(scenes.scenes)["thing"][nearest])
    assert (distances.min(dim=1).values > 0).all()


def test_it_learns_to_name_a_few_scenes():
    scenes = make_scenes(6, 64)
    config = replace(SMALL, channels=(8, 16, 16, 32), steps=120, batch_size=8, learning_rate=4e-3)
    model, training = train_scene_classifier(config, scenes.pixels, make_targets(scenes.scenes))
    found = predict_attributes(model, scenes.images)
    right = [a == scene.thing for a, scene in zip(found["thing"], scenes.scenes, strict=True)]
    assert sum(right) >= 5 and training.loss < 0.5 * training.losses[0]


def test_the_score_counts_every_field_and_both_kinds_of_scenes():
    torch.manual_seed(0)
    model = SMALL.model().eval()
    for field, head in model.heads.items():  # says always the first name
        torch.nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.bias.copy_(-torch.arange(len(FIELDS[field])))
    line = score_scene_classifier(model, 50)
    share = sum(scene.thing == FIELDS["thing"][0] for scene in make_scenes(50, 16, seed=1).scenes) / 50
    assert line.startswith(f"thing {share:.1%}, colour ") and line.count("thing ") == 2
    assert all(line.count(f"{field} ") == 2 for field in FIELDS)


def test_the_command_trains_a_judge_and_scores_it(monkeypatch, tmp_path, capsys):
    for name, value in dict(SCENE_CLASSIFIER=SMALL, SCENES=8, SCENES_HELD_OUT=2, NUM_TEST=3).items():
        monkeypatch.setattr(scene_classifier, name, value)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path)
    assert main(["train", "scene-judge"]) == 0
    _, metadata = load_scene_classifier()
    assert metadata["data"].startswith("10 synthetic scenes") and "of 3 other scenes" in metadata["result"]
    capsys.readouterr()
    assert main(["train", "scene-judge", "--evaluate"]) == 0
    assert "combinations held out" in capsys.readouterr().out


def test_other_weights_are_refused():
    with pytest.raises(UserError, match="no weights of a classifier of scenes"):
        load_scene_classifier("fish")
