"""Captioned scenes: what they tell is true, with few words; sizes and places; combinations that are held out."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.captions import (
    SYNONYMS,
    VOCABULARY,
    caption_matches,
    full_caption_of,
    parse_caption,
    random_caption,
    template_caption,
)
from stablediff_edu.data.scenes.conditions import SKIES
from stablediff_edu.data.scenes.dataset import make_scenes, scene_at
from stablediff_edu.data.scenes.labels import (
    POSITIONS,
    SIZES,
    is_held_out,
    labels_of,
    max_size,
    position_label,
    sample_labeled_scene,
    size_label,
)
from stablediff_edu.data.scenes.scene import OBJECTS, Scene, render_scene
from stablediff_edu.errors import UserError
from stablediff_edu.tokenizers.words import WordTokenizer, split_words

EVERY = [Scene(*words[:2], sky=words[2]) for words in product(OBJECTS, COLORS, SKIES)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_labeled_scene(rng) for _ in range(1500)]


def changed(one: Scene, other: Scene) -> torch.Tensor:
    """Which pixels (64, 64) differ clearly between two scenes."""
    return (render_scene(one) - render_scene(other)).abs().amax(dim=0) > 0.25


# --- sizes and places -------------------------------------------------------------------------------------------------


def test_size_and_place_of_a_worded_scene_always_have_a_word_and_all_words_occur(scenes: list[Scene]):
    for words, of in ((SIZES, size_label), (POSITIONS, position_label)):
        counts = Counter(of(scene) for scene in scenes)
        assert counts.keys() == set(words) and min(counts.values()) > 200
    assert position_label(Scene(x=0.42)) is None and size_label(Scene("duck", size=0.78 * max_size("duck"))) is None


@pytest.mark.parametrize("object_class", OBJECTS)
def test_a_worded_thing_lies_within_the_picture_and_can_survive_an_autoencoder(object_class: str):
    rng = np.random.default_rng(1)
    for _ in range(4):
        scene = replace(sample_labeled_scene(rng, [object_class]), color="white", accent_color="white")
        there = changed(scene, replace(scene, color="black", accent_color="black"))
        assert torch.cat([there[0], there[:, 0], there[:, -1]]).float().mean() < 0.1, scene
        columns, rows = there.any(dim=0).sum().item(), there.any(dim=1).sum().item()
        assert max(columns, rows) >= 16, scene


def test_left_is_left_of_the_middle_in_the_picture():
    rng, middles = np.random.default_rng(2), {place: [] for place in POSITIONS}
    while min(map(len, middles.values())) < 3:
        scene = replace(sample_labeled_scene(rng, ["duck", "steamer"]), color="white")
        there = changed(scene, replace(scene, color="black")).nonzero()[:, 1]
        middles[position_label(scene)].append((there.min() + there.max()).item() / 2)
    assert max(middles["left"]) < min(middles["middle"]) and max(middles["middle"]) < min(middles["right"])


# --- what is held out -------------------------------------------------------------------------------------------------


def test_every_word_is_learned_in_most_of_its_combinations():
    assert 0.10 < sum(map(is_held_out, EVERY)) / len(EVERY) < 0.15
    learned = {(scene.object_class, scene.color) for scene in EVERY if not is_held_out(scene)}
    assert Counter(object_class for object_class, _ in learned) == dict.fromkeys(OBJECTS, len(COLORS) - 1)
    for field in ("object_class", "color", "sky"):
        counts = Counter(getattr(scene, field) for scene in EVERY if is_held_out(scene))
        assert max(counts.values()) / (len(EVERY) / len({getattr(s, field) for s in EVERY})) < 0.35, counts


def test_what_the_caption_does_not_combine_does_not_matter():
    for scene in EVERY[::37]:
        assert is_held_out(replace(scene, size=0.3, x=0.2, accent_color="pink", sea="rough", details=9)) == is_held_out(
            scene
        )


def test_no_held_out_combination_is_ever_learned_and_all_others_are_tested_on():
    assert not any(is_held_out(scene_at(number)) for number in range(600))
    assert all(is_held_out(scene_at(number, train=False)) for number in range(100))
    assert not any(is_held_out(scene) for scene in make_scenes(20, size=8, seed=3).scenes)


# --- the sentences ----------------------------------------------------------------------------------------------------


def test_the_full_caption_tells_everything():
    scene = Scene(size=max_size("sailing boat"), x=0.3)
    assert full_caption_of(scene) == (
        "A large red sailing boat with white sails on the left, on calm water under a blue sky."
    )
    under = Scene("fish", "orange", sky="dawn", under_water=True, size=0.6 * max_size("fish"))
    assert full_caption_of(under) == "A small orange fish with white fins in the middle, under water at dawn."


def test_the_full_caption_can_be_read_back(scenes: list[Scene]):
    for scene in scenes[:400]:
        assert parse_caption(full_caption_of(scene)) == labels_of(scene)


def test_every_wording_is_true_and_all_wordings_occur(scenes: list[Scene]):
    rng, seen = np.random.default_rng(0), Counter()
    for scene in scenes:
        sentence = random_caption(scene, rng)
        assert caption_matches(sentence, scene), (sentence, scene)
        assert parse_caption(sentence), sentence
        seen.update(
            phrase
            for names in SYNONYMS.values()
            for way in names.values()
            for phrase in way
            if f" {phrase} " in f" {' '.join(split_words(sentence))} "
        )
    assert all(seen[phrase] > 2 for names in SYNONYMS.values() for way in names.values() for phrase in way)


def test_a_sentence_about_another_scene_does_not_fit():
    scene = Scene(sky="night", x=0.3)
    for sentence in (
        "a blue sailing boat",
        "a red duck",
        "a red sailing boat at dawn",
        "a sailing boat on the right",
        "a red sailing boat with blue sails",
        "a sailing boat on waves",
        "a sailboat under water",
    ):
        assert not caption_matches(sentence, scene), sentence
    for sentence in ("a red sailing boat", "a red sailboat in the dark", "the sea at night", "sailing boat, left", ""):
        assert caption_matches(sentence, scene), sentence


def test_sentences_differ_in_length_and_are_the_same_for_one_seed(scenes: list[Scene]):
    ways = [random_caption(scenes[0], np.random.default_rng(seed)) for seed in range(200)]
    lengths = [len(split_words(sentence)) for sentence in ways]
    assert min(lengths) <= 4 and max(lengths) >= 14 and len(set(ways)) > 60
    assert ways == [random_caption(scenes[0], np.random.default_rng(seed)) for seed in range(200)]


def test_the_vocabulary_is_closed_and_small(scenes: list[Scene]):
    rng = np.random.default_rng(0)
    used = {
        word
        for scene in scenes
        for way in (full_caption_of(scene), random_caption(scene, rng))
        for word in split_words(way)
    }
    used |= set(split_words(template_caption("whale", "orange", "storm")))
    assert used <= set(VOCABULARY) and len(VOCABULARY) <= 150 and len(set(VOCABULARY) - used) < 5
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


def test_an_unknown_word_is_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"No caption uses the word 'car'; say it with: a, air, "):
        parse_caption("a red car")


def test_short_captions():
    assert template_caption("duck", "red") == "a red duck" and template_caption("duck", "orange") == "an orange duck"
    assert template_caption("duck", "red", "night") == "a red duck at night" and template_caption("whale") == "a whale"
    assert template_caption(sky="storm") == "the sea in a storm"


# --- in numbers -------------------------------------------------------------------------------------------------------


def test_a_set_of_scenes_holds_the_pictures_the_sentences_and_the_truth():
    data = make_scenes(5, size=32, seed=4)
    assert len(data) == 5 and data.pixels.dtype == torch.uint8 and data.images.shape == (5, 3, 32, 32)
    for number, scene in enumerate(data.scenes):
        assert scene == scene_at(number, 4) and data.captions[number] == full_caption_of(scene)
        assert torch.equal(data.images[number], render_scene(scene, 32))
    chosen = data.take([3, 1])
    assert chosen.scenes == [data.scenes[3], data.scenes[1]] and torch.equal(chosen.pixels, data.pixels[[3, 1]])
    assert chosen.captions == [data.captions[3], data.captions[1]] and len(data.first(9)) == 5


def test_a_scene_does_not_depend_on_how_many_are_drawn_but_on_the_seed():
    few, more = make_scenes(2, size=16), make_scenes(4, size=16)
    assert torch.equal(few.pixels, more.pixels[:2])
    assert make_scenes(2, size=16, seed=1).scenes != few.scenes != make_scenes(2, size=16, train=False).scenes


# --- words to numbers -------------------------------------------------------------------------------------------------


def test_a_row_of_tokens_is_start_words_end_and_the_end_again():
    tokenizer = WordTokenizer(["a", "duck", "red"], length=6)
    assert len(tokenizer) == 5
    assert tokenizer(["A red duck.", "duck", ""]).tolist() == [
        [3, 0, 2, 1, 4, 4],
        [3, 1, 4, 4, 4, 4],
        [3, 4, 4, 4, 4, 4],
    ]
    assert tokenizer("a, a").tolist() == [[3, 0, 0, 4, 4, 4]] and tokenizer([]).shape == (0, 6)


@pytest.mark.parametrize(
    ("sentence", "match"),
    [
        ("a rde duck", r"^'rde' is not among the 3 words that this network has learned; nearest spelling: 'red'\.$"),
        ("7 ducks", r"^'7' is not among"),
        ("赤い 🦆", r"^'赤い' is not among"),
        ("a red duck a duck", r"^The sentence has 5 words, and 4 fit; say it in fewer words\.$"),
        ("x" * 5000, r"^'x{30}' is not among"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(sentence: str, match: str):
    with pytest.raises(UserError, match=match) as error:
        WordTokenizer(["a", "duck", "red"], length=6)(sentence)
    assert "\n" not in str(error.value)
