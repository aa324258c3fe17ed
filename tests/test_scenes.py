"""Drawn scenes: the picture shows what the scene says, the caption tells it, and both follow from it alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stablediff_edu.datasets import scene_set
from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_set import numbered_scene, render_scenes
from stablediff_edu.datasets.scene_weather import SEAS, SKIES
from stablediff_edu.datasets.scenes import KINDS, Scene, caption, draw_scene, random_scene, scene_from
from stablediff_edu.errors import CourseError


def scenes(count: int, seed: int = 0) -> list[Scene]:
    return [random_scene(np.random.default_rng([seed, number])) for number in range(count)]


def changed(one: Scene, other: Scene, size: int = 32) -> torch.Tensor:
    """Which pixels (H, W) differ clearly between two scenes."""
    return (draw_scene(one, size) - draw_scene(other, size)).abs().amax(dim=0) > 0.25


def test_there_are_enough_words_to_hold_combinations_out():
    assert len(KINDS) >= 12 and len(COLOURS) >= 8 and len(SKIES) >= 6 and len(SEAS) >= 3


def test_one_scene_is_one_picture():
    scene = scenes(1)[0]
    assert draw_scene(scene, 32).equal(draw_scene(scene, 32))
    assert not draw_scene(scene, 32).equal(draw_scene(replace(scene, details=scene.details + 1), 32))


@pytest.mark.parametrize("size", [8, 32, 50, 64])
def test_shape_type_and_range(size: int):
    for scene in scenes(4):
        picture = draw_scene(scene, size)
        assert picture.shape == (3, size, size) and picture.dtype == torch.float32
        assert picture.min() >= -1 and picture.max() <= 1 and picture.std() > 0.1


def test_a_small_picture_is_the_large_one_made_smaller():
    for scene in scenes(12):
        large = torch.nn.functional.avg_pool2d(draw_scene(scene, 64)[None], 2)[0]
        assert (large - draw_scene(scene, 32)).abs().mean() < 0.06


@pytest.mark.parametrize("thing", KINDS)
@pytest.mark.parametrize("sky", SKIES)
def test_every_thing_can_be_seen_under_every_sky(thing: str, sky: str):
    scene = Scene(thing, colour="white", carries="red", sky=sky)
    assert changed(scene, replace(scene, colour="black")).float().mean() > 0.02
    assert changed(scene, replace(scene, carries="blue")).float().mean() > 0.002


@pytest.mark.parametrize("colour", COLOURS)
def test_the_colour_is_the_one_that_is_named(colour: str):
    """Of the pixels that depend on it, most are closer to the named colour than to any other."""
    scene = Scene("duck", colour=colour, carries="white" if colour != "white" else "brown", size=0.95)
    hull = changed(scene, replace(scene, colour="black" if colour != "black" else "yellow"), 64)
    seen = (draw_scene(scene, 64)[:, hull].T + 1) / 2  # (pixels, 3)
    nearest = torch.cdist(seen, torch.tensor(list(COLOURS.values()))).argmin(dim=1)
    assert list(COLOURS)[nearest.mode().values] == colour


def test_a_thing_lies_where_the_scene_says():
    scene = Scene("steamer", size=0.5, colour="white")
    places = []
    for x in (0.3, 0.5, 0.7):
        there = changed(replace(scene, x=x), replace(scene, x=x, colour="black"), 64).nonzero()[:, 1]
        places.append(((there.min() + there.max() + 1) / 128).item())
    assert places == pytest.approx([0.3, 0.5, 0.7], abs=0.05)


def test_a_larger_size_covers_more():
    scenes_ = [Scene("fishing boat", size=size, colour="white") for size in (0.4, 0.6, 0.8)]
    areas = [changed(scene, replace(scene, colour="black"), 64).float().mean().item() for scene in scenes_]
    assert areas[0] < 0.7 * areas[1] < 0.5 * areas[2]


def test_heading_left_is_the_mirror_of_heading_right():
    right = Scene("sailing boat", heading="right")
    masks = [
        changed(scene, replace(scene, colour="black", carries="black"), 64).float()
        for scene in (right, replace(right, heading="left"))
    ]
    same, mirrored = ((masks[0] - other).abs().mean() for other in (masks[1], masks[1].flip(-1)))
    assert mirrored < 0.35 * same


def test_night_is_dark_and_noon_is_bright():
    light = {sky: draw_scene(Scene("buoy", sky=sky), 32).mean().item() for sky in SKIES}
    assert light["night"] == min(light.values()) and light["night"] < light["clear"] - 0.6


def test_lamps_shine_at_night_only():
    lit = {sky: draw_scene(Scene("cruise ship", "blue", "blue", sky=sky, size=0.9), 64) for sky in ("night", "storm")}
    yellow = {sky: ((p[0] > 0.5) & (p[2] < p[0] - 0.3)).sum().item() for sky, p in lit.items()}
    assert yellow["night"] > 20 and yellow["storm"] == 0


def test_only_the_thing_depends_on_its_colour():
    """The sky above it stays as it is, pixel for pixel."""
    for thing in KINDS:
        scene = Scene(thing, size=0.4)
        difference = draw_scene(scene, 32) - draw_scene(replace(scene, colour="green", carries="pink"), 32)
        assert difference[:, :2].abs().max() == 0


def test_random_scenes_show_everything_and_lie_within_the_picture():
    drawn = scenes(1500)
    assert {scene.thing for scene in drawn} == set(KINDS)
    assert {scene.colour for scene in drawn} == {scene.carries for scene in drawn} == set(COLOURS)
    assert {scene.sky for scene in drawn} == set(SKIES) and {scene.sea for scene in drawn} == set(SEAS)
    assert {scene.heading for scene in drawn} == {"left", "right"}
    assert Counter(scene.thing for scene in drawn).most_common()[-1][1] > 60
    assert all(scene.colour != scene.carries for scene in drawn)
    assert any(scene.under_water for scene in drawn)
    for scene in drawn[:120]:
        there = changed(
            replace(scene, colour="white", carries="white"), replace(scene, colour="black", carries="black")
        )
        border = torch.cat([there[0], there[:, 0], there[:, -1]])
        assert border.float().mean() < 0.25, scene


def test_only_the_things_asked_for_are_drawn():
    random = np.random.default_rng(0)
    assert {random_scene(random, ["fish", "buoy"]).thing for _ in range(40)} == {"fish", "buoy"}


@pytest.mark.parametrize(
    ("scene", "sentence"),
    [
        (Scene(), "A red sailing boat with white sails on calm water under a blue sky."),
        (
            Scene("steamer", "orange", "orange", "storm", "rough"),
            "An orange steamer with an orange funnel on a rough sea in a storm.",
        ),
        (Scene("fish", sky="night", sea="waves"), "A red fish with white fins over waves at night."),
        (Scene("fish", sky="dawn", under_water=True), "A red fish with white fins under water at dawn."),
    ],
)
def test_a_caption_is_one_sentence(scene: Scene, sentence: str):
    assert caption(scene) == sentence


def test_a_caption_tells_thing_colours_sea_and_sky():
    told = [(s.thing, s.colour, s.carries, s.sky, "" if s.under_water else s.sea, s.under_water) for s in scenes(800)]
    captions = [caption(scene) for scene in scenes(800)]
    assert len(set(captions)) == len(set(told))
    assert max(len(sentence.split()) for sentence in captions) <= 16


def test_a_scene_imagined_from_a_caption_is_told_by_the_same_caption():
    random = np.random.default_rng(1)
    for scene in scenes(500):
        assert caption(scene_from(caption(scene), random)) == caption(scene)


def test_every_thing_colour_sky_and_sea_can_be_imagined():
    random = np.random.default_rng(2)
    told = [Scene(thing) for thing in KINDS]
    told += [Scene(colour=colour, carries=carries) for colour in COLOURS for carries in COLOURS]
    told += [Scene(sky=sky, sea=sea) for sky in SKIES for sea in SEAS]
    told += [Scene(thing, sky=sky, under_water=True) for thing in KINDS if KINDS[thing].under_water for sky in SKIES]
    for scene in told:
        assert caption(scene_from(caption(scene), random)) == caption(scene)


def test_what_a_caption_does_not_say_is_decided_by_chance_alone():
    sentence, random = caption(Scene()), np.random.default_rng(3)
    imagined = [scene_from(sentence, random) for _ in range(20)]
    assert len({scene.x for scene in imagined}) == len({scene.details for scene in imagined}) == 20
    assert {scene.heading for scene in imagined} == {"left", "right"}
    again = np.random.default_rng(3)
    assert [scene_from(sentence, again) for _ in range(20)] == imagined
    assert not draw_scene(imagined[0], 32).equal(draw_scene(Scene(), 32))  # good enough, but not the same


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "A ship.",
        "A red sailing boat with white sails on calm water under a blue sky",  # no full stop
        "A red car with white sails on calm water under a blue sky.",
        "A red sailing boat with white sails on lava under a blue sky.",
        "A red sailing boat with white sails on calm water on the moon.",
    ],
)
def test_a_sentence_that_is_no_caption_is_refused_with_an_example(sentence: str):
    with pytest.raises(CourseError, match=r"does not describe a scene .*; write it like: A red .* under a blue sky\."):
        scene_from(sentence, np.random.default_rng(0))


@pytest.mark.parametrize(
    "sentence",
    [
        "A beige sailing boat with white sails on calm water under a blue sky.",
        "A red sailing boat with white wings on calm water under a blue sky.",
        "A red sailing boat with white sails on calm water at night under a blue sky.",
        "A red fish with white fins under water on calm water at night.",
        "Look: a red sailing boat with white sails on calm water under a blue sky.",
    ],
)
def test_a_sentence_that_is_nearly_a_caption_is_refused_too(sentence: str):
    with pytest.raises(CourseError, match="does not describe a scene"):
        scene_from(sentence, np.random.default_rng(0))


def test_a_sentence_of_what_cannot_be_is_refused():
    with pytest.raises(CourseError, match="steamer"):
        scene_from("A red steamer with a white funnel under water at night.", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (dict(thing="car"), r"no thing called 'car'; choose from: sailing boat, "),
        (dict(colour="beige"), r"no colour called 'beige'"),
        (dict(sky="fog"), r"no sky called 'fog'"),
        (dict(heading="up"), r"no heading called 'up'; choose from: left, right\."),
        (dict(thing="steamer", under_water=True), "steamer cannot be under water"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(wrong: dict, match: str):
    with pytest.raises(CourseError, match=match):
        Scene(**wrong)


def test_too_small_a_picture_is_refused():
    with pytest.raises(CourseError, match="4×4 pixels cannot be drawn"):
        draw_scene(Scene(), 4)


def test_rendered_scenes_are_kept_in_a_file_and_read_from_it(tmp_path, monkeypatch):
    scenes, cache = [numbered_scene(number) for number in range(3)], tmp_path / "kept.npy"
    rendered = render_scenes(scenes, 16, cache)
    monkeypatch.setattr(scene_set, "draw_scene_bytes", lambda *_, **__: pytest.fail("rendered again"))
    kept = render_scenes(scenes, 16, cache)
    assert torch.equal(kept, rendered) and [file.name for file in tmp_path.iterdir()] == ["kept.npy"]
    kept.zero_()
    assert torch.equal(render_scenes(scenes, 16, cache), rendered), "what is changed in memory stays out of the file"
    with pytest.raises(pytest.fail.Exception):
        render_scenes(scenes[:2], 16, cache)


def test_processes_render_the_same_images_in_the_same_order(monkeypatch):
    monkeypatch.setattr(scene_set, "ENOUGH_FOR_PROCESSES", 1)
    scenes = [numbered_scene(number) for number in range(70)]  # more than one chunk
    assert torch.equal(render_scenes(scenes, 8, workers=2), render_scenes(scenes, 8))
