"""The panels of chapter 6: the cloud of words with its search, and the calculator for analogies."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.display.panels.analogies import analogy_panel
from stablediff_edu.display.panels.projector import nearest_places, projector
from stablediff_edu.errors import CourseError
from stablediff_edu.training.analogies import WordVectors, analogy

NAMES = ("king", "queen", "man", "woman", "london", "england", "tokyo", "japan", "tea", "the")


@pytest.fixture
def vectors() -> WordVectors:
    """Words made of parts, so that both sums come out: king = royal + he."""
    royal, he, she, city, british, far, *noise = torch.eye(10)
    made = [royal + he, royal + she, he, she, city + british, british, city + far, far, noise[0], noise[1]]
    untied = 0.02 * torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    return WordVectors(NAMES, torch.stack(made) + untied)


@pytest.fixture
def cloud(vectors):
    return projector(vectors, {"people": NAMES[:4], "places": NAMES[4:8]}, "king", nearest=3)


@pytest.fixture
def calculator(vectors):
    return analogy_panel(vectors)


def lit(panel) -> list[str]:
    return [panel.cloud.words[number] for number, _ in panel.cloud.near]


# -- the projector -----------------------------------------------------------------------------------------------------


def test_a_click_lights_up_the_nearest_in_all_dimensions(cloud, vectors):
    cloud.cloud.chosen = vectors.number("queen")
    truth = torch.cdist(vectors.directions, vectors.directions)[vectors.number("queen")]
    for number, distance in cloud.cloud.near:
        assert distance == pytest.approx(truth[number].item(), abs=1e-5)
    assert {number for number, _ in cloud.cloud.near} <= set(truth.topk(5, largest=False).indices.tolist())
    assert "queen" not in lit(cloud) and set(lit(cloud)[:2]) == {"king", "woman"}
    assert cloud.controls["word"].value == "queen" and "nearest to <b>queen</b>" in cloud.table.value


def test_the_search_finds_every_word_whatever_its_case(cloud):
    for word in NAMES:
        cloud.controls["word"].value = f" {word.upper()} "
        assert cloud.cloud.words[cloud.cloud.chosen] == word == cloud.controls["word"].value
        assert cloud.note.value == ""


@pytest.mark.parametrize(
    ("asked", "said"), [("quen", "nearest spelling: &#x27;queen&#x27;"), ("", "No word was given")]
)
def test_an_unknown_word_is_answered_and_the_cloud_stays(cloud, asked: str, said: str):
    cloud.controls["word"].value = asked
    assert said in cloud.note.value and "Traceback" not in cloud.note.value
    assert cloud.cloud.words[cloud.cloud.chosen] == "king"
    cloud.controls["word"].value = "tea"
    assert cloud.note.value == "" and cloud.cloud.words[cloud.cloud.chosen] == "tea"


def test_what_is_typed_is_never_taken_for_html(cloud, calculator):
    cloud.controls["word"].value = calculator.controls["a"].value = "<img src=x>"
    assert "<img" not in cloud.note.value and "<img" not in calculator.note.value


def test_every_number_of_neighbours_lights_up_as_many(cloud):
    slider = cloud.controls["nearest"]
    for count in range(slider.min, slider.max + 1):
        slider.value = count
        assert len(cloud.cloud.near) == count == cloud.controls["nearest number"].value
        assert cloud.table.value.count("<tr>") == count + 1


@pytest.mark.parametrize("name", ["turn", "tilt", "zoom"])
def test_the_view_follows_its_slider_and_its_number_over_the_whole_range(cloud, name: str):
    slider, number = cloud.controls[name], cloud.controls[f"{name} number"]
    for value in (slider.min, slider.max, (slider.min + slider.max) // 2):
        slider.value = value
        assert getattr(cloud.cloud, name) == number.value == value
    number.value = slider.min
    assert getattr(cloud.cloud, name) == slider.min
    setattr(cloud.cloud, name, slider.max)  # as the mouse does
    assert slider.value == number.value == slider.max


def test_the_cloud_is_the_shadow_with_the_largest_spread(cloud, vectors):
    places = torch.tensor(cloud.cloud.places)
    assert places.shape == (len(NAMES), 3) and places.abs().max() <= 1.0001
    centred = vectors.directions - vectors.directions.mean(0)
    wanted = torch.linalg.svdvals(centred)[:3]
    found = torch.linalg.svdvals(places - places.mean(0))
    assert torch.allclose(found / found[0], wanted / wanted[0], atol=1e-3)


def test_the_table_tells_what_the_shadow_hides(cloud, vectors):
    truly = nearest_places(vectors.directions, 0, 3)
    shadow = nearest_places(torch.tensor(cloud.cloud.places), 0, 3)
    both = len({n for n, _ in truly} & {n for n, _ in shadow})
    assert f"in both lists: {both} of 3" in cloud.table.value
    assert cloud.table.value.count("●</b>") == 2 * both


def test_groups_reach_the_browser_with_a_colour_and_a_mark_each(cloud):
    assert cloud.cloud.groups == [0] * 4 + [1] * 4 + [-1] * 2
    assert [name for name, _, _ in cloud.cloud.legend] == ["people", "places", "other words"]


def test_three_words_are_too_few_for_a_cloud(vectors):
    with pytest.raises(CourseError, match="3 words"):
        projector(vectors.most_frequent(3))
    with pytest.raises(CourseError, match="nearest spelling"):
        projector(vectors, word="kong")


# -- the calculator ----------------------------------------------------------------------------------------------------


def test_the_calculator_answers_both_famous_sums(calculator):
    assert "<b>queen</b>" in calculator.note.value
    for name, word in zip("abc", ("London", "england ", "JAPAN"), strict=True):
        calculator.controls[name].value = word
    assert "london − england + japan is nearest to: <b>tokyo</b>" in calculator.note.value


def test_every_change_of_the_calculator_changes_its_picture(calculator):
    seen = {bytes(calculator.images["answer"].value)}
    for name, word in (("a", "tokyo"), ("b", "japan"), ("c", "england")):
        calculator.controls[name].value = word
        seen.add(bytes(calculator.images["answer"].value))
    calculator.controls["exclude"].value = False
    seen.add(bytes(calculator.images["answer"].value))
    assert len(seen) == 5
    assert Image.open(io.BytesIO(calculator.images["answer"].value)).size == (620, 330)


def test_without_leaving_out_a_word_of_the_question_may_win(calculator, vectors):
    for name, word in zip("abc", ("tea", "king", "king"), strict=True):
        calculator.controls[name].value = word
    assert "<b>tea</b>" not in calculator.note.value
    calculator.controls["exclude"].value = False
    assert "<b>tea</b>" in calculator.note.value
    assert analogy(vectors, "tea", "king", "king", exclude=False)[0][0] == "tea"


def test_an_unknown_word_in_the_calculator_is_answered_with_the_nearest_spelling(calculator):
    before = bytes(calculator.images["answer"].value)
    calculator.controls["b"].value = "mann"
    assert "&#x27;mann&#x27; is not among the 10 words; nearest spelling: &#x27;man&#x27;" in calculator.note.value
    assert bytes(calculator.images["answer"].value) == before
    calculator.controls["b"].value = ""
    assert "No word was given" in calculator.note.value
    calculator.controls["b"].value = "man"
    assert "<b>queen</b>" in calculator.note.value


def test_the_boxes_offer_the_words_for_completion(calculator, cloud):
    assert tuple(calculator.controls["a"].options) == tuple(cloud.controls["word"].options) == NAMES


def test_a_first_question_with_an_unknown_word_is_refused(vectors):
    with pytest.raises(CourseError, match="'foo' is not among the 10 words"):
        analogy_panel(vectors, ("foo", "man", "woman"))


def test_nearest_places_are_those_of_brute_force():
    places = torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
    found = nearest_places(places, 7, 6)
    brute = sorted((float(np.linalg.norm(places[n] - places[7])), n) for n in range(40) if n != 7)[:6]
    assert [number for number, _ in found] == [number for _, number in brute]
    assert [distance for _, distance in found] == pytest.approx([distance for distance, _ in brute], abs=1e-5)
