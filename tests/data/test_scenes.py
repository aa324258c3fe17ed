"""Synthetic scenes: the image shows what the scene says, the caption tells it, and both follow from it alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stablediff_edu.data.scenes import dataset as scene_dataset
from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.conditions import SEAS, SKIES
from stablediff_edu.data.scenes.dataset import render_scenes, scene_at
from stablediff_edu.data.scenes.scene import OBJECTS, Scene, canonical_caption, parse_scene, render_scene, sample_scene
from stablediff_edu.errors import UserError


def scenes(count: int, seed: int = 0) -> list[Scene]:
    return [sample_scene(np.random.default_rng([seed, number])) for number in range(count)]


def changed(one: Scene, other: Scene, size: int = 32) -> torch.Tensor:
    """Which pixels (H, W) differ clearly between two scenes."""
    return (render_scene(one, size) - render_scene(other, size)).abs().amax(dim=0) > 0.25


@pytest.mark.parametrize("size", [8, 50, 64])
def test_one_scene_is_one_image(size: int):
    for scene in scenes(3):
        image = render_scene(scene, size)
        assert image.shape == (3, size, size) and image.dtype == torch.float32
        assert image.min() >= -1 and image.max() <= 1 and image.std() > 0.1
        assert render_scene(scene, size).equal(image)
        assert not render_scene(replace(scene, details=scene.details + 1), size).equal(image)


def test_a_small_picture_is_the_large_one_made_smaller():
    for scene in scenes(12):
        large = torch.nn.functional.avg_pool2d(render_scene(scene, 64)[None], 2)[0]
        assert (large - render_scene(scene, 32)).abs().mean() < 0.06


@pytest.mark.parametrize("object_class", OBJECTS)
def test_every_object_can_be_seen_under_every_sky(object_class: str):
    for sky in SKIES:
        scene = Scene(object_class, color="white", accent_color="red", sky=sky)
        assert changed(scene, replace(scene, color="black")).float().mean() > 0.02
        assert changed(scene, replace(scene, accent_color="blue")).float().mean() > 0.002


@pytest.mark.parametrize("color", COLORS)
def test_the_color_is_the_one_that_is_named(color: str):
    """Of the pixels that depend on it, most are closer to the named color than to any other."""
    scene = Scene("duck", color=color, accent_color="white" if color != "white" else "brown", size=0.95)
    hull = changed(scene, replace(scene, color="black" if color != "black" else "yellow"), 64)
    seen = (render_scene(scene, 64)[:, hull].T + 1) / 2  # (pixels, 3)
    nearest = torch.cdist(seen, torch.tensor(list(COLORS.values()))).argmin(dim=1)
    assert list(COLORS)[nearest.mode().values] == color


def test_a_object_lies_where_the_scene_says():
    scene = Scene("steamer", size=0.5, color="white")
    places = []
    for x in (0.3, 0.5, 0.7):
        there = changed(replace(scene, x=x), replace(scene, x=x, color="black"), 64).nonzero()[:, 1]
        places.append(((there.min() + there.max() + 1) / 128).item())
    assert places == pytest.approx([0.3, 0.5, 0.7], abs=0.05)


def test_heading_left_is_the_mirror_of_heading_right():
    right = Scene("sailing boat", heading="right")
    masks = [
        changed(scene, replace(scene, color="black", accent_color="black"), 64).float()
        for scene in (right, replace(right, heading="left"))
    ]
    same, flipped = ((masks[0] - other).abs().mean() for other in (masks[1], masks[1].flip(-1)))
    assert flipped < 0.35 * same


def test_night_is_dark_and_noon_is_bright():
    light = {sky: render_scene(Scene("buoy", sky=sky), 32).mean().item() for sky in SKIES}
    assert light["night"] == min(light.values()) and light["night"] < light["clear"] - 0.6


def test_lamps_shine_at_night_only():
    lit = {sky: render_scene(Scene("cruise ship", "blue", "blue", sky=sky, size=0.9), 64) for sky in ("night", "storm")}
    yellow = {sky: ((p[0] > 0.5) & (p[2] < p[0] - 0.3)).sum().item() for sky, p in lit.items()}
    assert yellow["night"] > 20 and yellow["storm"] == 0


def test_only_the_object_depends_on_its_colour():
    """The sky above it stays as it is, pixel for pixel."""
    for object_class in OBJECTS:
        scene = Scene(object_class, size=0.4)
        difference = render_scene(scene, 32) - render_scene(replace(scene, color="green", accent_color="pink"), 32)
        assert difference[:, :2].abs().max() == 0


def test_random_scenes_show_everything_and_lie_within_the_picture():
    drawn = scenes(1500)
    rng = np.random.default_rng(0)
    assert {sample_scene(rng, ["fish", "buoy"]).object_class for _ in range(40)} == {"fish", "buoy"}
    assert {scene.object_class for scene in drawn} == set(OBJECTS)
    assert {scene.color for scene in drawn} == {scene.accent_color for scene in drawn} == set(COLORS)
    assert {scene.sky for scene in drawn} == set(SKIES) and {scene.sea for scene in drawn} == set(SEAS)
    assert {scene.heading for scene in drawn} == {"left", "right"}
    assert Counter(scene.object_class for scene in drawn).most_common()[-1][1] > 60
    assert all(scene.color != scene.accent_color for scene in drawn)
    assert any(scene.under_water for scene in drawn)
    for scene in drawn[:120]:
        there = changed(
            replace(scene, color="white", accent_color="white"), replace(scene, color="black", accent_color="black")
        )
        border = torch.cat([there[0], there[:, 0], there[:, -1]])
        assert border.float().mean() < 0.25, scene


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
    assert canonical_caption(scene) == sentence


def test_every_object_color_sky_and_sea_can_be_imagined():
    rng = np.random.default_rng(2)
    told = [*scenes(200), *(Scene(object_class) for object_class in OBJECTS)]
    told += [Scene(color=color, accent_color=accent_color) for color in COLORS for accent_color in COLORS]
    told += [Scene(sky=sky, sea=sea) for sky in SKIES for sea in SEAS]
    told += [
        Scene(object_class, sky=sky, under_water=True)
        for object_class in OBJECTS
        if OBJECTS[object_class].under_water
        for sky in SKIES
    ]
    for scene in told:
        assert canonical_caption(parse_scene(canonical_caption(scene), rng)) == canonical_caption(scene)


def test_what_a_caption_does_not_say_is_decided_by_chance_alone():
    sentence, rng = canonical_caption(Scene()), np.random.default_rng(3)
    imagined = [parse_scene(sentence, rng) for _ in range(20)]
    assert len({scene.x for scene in imagined}) == len({scene.details for scene in imagined}) == 20
    assert {scene.heading for scene in imagined} == {"left", "right"}
    again = np.random.default_rng(3)
    assert [parse_scene(sentence, again) for _ in range(20)] == imagined
    assert not render_scene(imagined[0], 32).equal(render_scene(Scene(), 32))  # good enough, but not the same


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "A ship.",
        "A red sailing boat with white sails on calm water under a blue sky",  # no full stop
        "A red car with white sails on calm water under a blue sky.",
        "A red sailing boat with white sails on lava under a blue sky.",
        "A red sailing boat with white sails on calm water on the moon.",
        "A beige sailing boat with white sails on calm water under a blue sky.",
        "A red sailing boat with white wings on calm water under a blue sky.",
        "A red sailing boat with white sails on calm water at night under a blue sky.",
        "A red fish with white fins under water on calm water at night.",
        "Look: a red sailing boat with white sails on calm water under a blue sky.",
        "A red steamer with a white funnel under water at night.",
    ],
)
def test_a_sentence_that_is_no_caption_is_refused_with_an_example(sentence: str):
    with pytest.raises(UserError, match=r"does not describe a scene .*; write it like: A red .* under a blue sky\."):
        parse_scene(sentence, np.random.default_rng(0))


def test_rendered_scenes_are_kept_in_a_file_and_read_from_it(tmp_path, monkeypatch):
    scenes, cache = [scene_at(number) for number in range(3)], tmp_path / "kept.npy"
    rendered = render_scenes(scenes, 16, cache)
    monkeypatch.setattr(scene_dataset, "render_scene_uint8", lambda *_, **__: pytest.fail("rendered again"))
    kept = render_scenes(scenes, 16, cache)
    assert torch.equal(kept, rendered) and [file.name for file in tmp_path.iterdir()] == ["kept.npy"]
    kept.zero_()
    assert torch.equal(render_scenes(scenes, 16, cache), rendered), "what is changed in memory stays out of the file"
    with pytest.raises(pytest.fail.Exception):
        render_scenes(scenes[:2], 16, cache)


def test_processes_render_the_same_images_in_the_same_order(monkeypatch):
    monkeypatch.setattr(scene_dataset, "ENOUGH_FOR_PROCESSES", 1)
    scenes = [scene_at(number) for number in range(70)]  # more than one chunk
    assert torch.equal(render_scenes(scenes, 8, workers=2), render_scenes(scenes, 8))
