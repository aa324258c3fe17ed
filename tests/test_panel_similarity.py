"""The panel of pictures against sentences: a sentence finds pictures, groups are shown, and mistakes are told."""

import io

import pytest
import torch
from PIL import Image

from stablediff_edu.datasets.scene_set import CaptionedScenes, load_scenes
from stablediff_edu.display.panels.similarity import BEST, BEST_HEIGHT, GROUP, HEIGHT, WIDTH, similarity_panel
from stablediff_edu.errors import CourseError
from stablediff_edu.models.clip import CLIP, ImageConfig
from stablediff_edu.training.clip_quality import similarities
from stablediff_edu.training.clip_training import SMALL_TEXT, tokenizer_of


@pytest.fixture(scope="module")
def clip() -> CLIP:
    torch.manual_seed(0)
    return CLIP(SMALL_TEXT, ImageConfig(size=32, channels=(8, 16))).eval()


@pytest.fixture(scope="module")
def scenes() -> CaptionedScenes:
    return load_scenes(20, 32)


@pytest.fixture
def panel(clip, scenes):
    return similarity_panel(clip, tokenizer_of(SMALL_TEXT), scenes)


def picture(panel, name: str) -> bytes:
    return bytes(panel.images[name].value)


def test_the_best_pictures_are_those_of_the_largest_cosines(panel, clip, scenes):
    panel.controls["sentence"].value = "A large whale, at night."
    cosines = similarities(clip, tokenizer_of(SMALL_TEXT), scenes.pixels, ["A large whale, at night."])[:, 0]
    assert panel.best == cosines.argsort(descending=True)[:BEST].tolist()
    assert scenes.captions[panel.best[0]] in panel.note.value


def test_a_sentence_changes_both_pictures(panel):
    before = {name: picture(panel, name) for name in panel.images}
    panel.controls["sentence"].value = "a small yellow duck"
    assert all(picture(panel, name) != old for name, old in before.items())
    sizes = {name: Image.open(io.BytesIO(picture(panel, name))).size for name in panel.images}
    assert sizes == {"similarities": (WIDTH, HEIGHT), "best": (WIDTH, BEST_HEIGHT)}


def test_every_group_has_its_own_picture(panel, scenes):
    group, seen = panel.controls["group"], set()
    assert group.max == len(scenes) // GROUP == 3
    for number in range(group.min, group.max + 1):
        panel.controls["group number"].value = number
        assert group.value == number
        seen.add(picture(panel, "similarities"))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("typed", "said"), [("", "There is no sentence"), ("a red submarine", "submarine"), ("red " * 40, "40 words")]
)
def test_a_sentence_that_cannot_be_read_is_told_and_the_pictures_stay(panel, typed: str, said: str):
    before = {name: picture(panel, name) for name in panel.images}
    panel.controls["sentence"].value = typed
    assert said in panel.note.value and "still the last sentence" in panel.note.value
    assert {name: picture(panel, name) for name in panel.images} == before
    panel.controls["sentence"].value = "a red boat"
    assert "still the last" not in panel.note.value


def test_what_is_typed_is_never_taken_for_html(panel):
    panel.controls["sentence"].value = "<img src=x> a boat"
    assert "<img" not in panel.note.value


def test_a_first_sentence_with_an_unknown_word_and_too_few_scenes_are_refused(clip, scenes):
    with pytest.raises(CourseError, match="zebra"):
        similarity_panel(clip, tokenizer_of(SMALL_TEXT), scenes, "a zebra")
    with pytest.raises(CourseError, match="5 scenes are too few"):
        similarity_panel(clip, tokenizer_of(SMALL_TEXT), scenes.first(5))
