"""The panels of chapter 8 in the kernel: whatever is typed is answered kindly, and every wish changes the picture."""

import base64
import io

import pytest
import torch
from PIL import Image

from stablediff_edu.datasets.captions import VOCABULARY
from stablediff_edu.diffusion.samplers import noise_source
from stablediff_edu.display.panels.drawing import SIDE
from stablediff_edu.display.panels.inpainting import inpainting_panel
from stablediff_edu.display.panels.prompt_box import prompt_box
from stablediff_edu.display.panels.sketch import sketch_panel
from stablediff_edu.display.panels.sketches import SKETCHES
from stablediff_edu.display.panels.word_box import WordBox, followers, understood
from stablediff_edu.display.panels.words_on_picture import words_on_picture
from stablediff_edu.display.tiny_figures import drawing_steps, evenly, guidance_strip, prompt_sheet, words_and_steps
from stablediff_edu.display.word_looks import watch_drawing, weighted
from stablediff_edu.errors import CourseError
from stablediff_edu.models.clip import TextConfig
from stablediff_edu.models.conditional_unet import UNetConfig
from stablediff_edu.models.vae import VAEConfig
from stablediff_edu.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tokenizers.words import WordTokenizer

SMALLEST = StableDiffusionConfig(
    TextConfig(vocabulary=len(VOCABULARY) + 2, positions=28, width=16, layers=1, heads=2),
    UNetConfig(widths=(8, 16), blocks=1, attention=(True, True), heads=2, context=16, groups=4),
    VAEConfig(widths=(8, 8), blocks=1, groups=4),
    prediction="velocity",
    size=16,
    schedule="cosine",
)
TOKENIZER = WordTokenizer(VOCABULARY, 28)


@pytest.fixture(scope="module")
def pipe() -> StableDiffusion:
    torch.manual_seed(0)
    return StableDiffusion(SMALLEST, TOKENIZER).eval()


@pytest.fixture
def panel(pipe):
    return prompt_box(pipe, "a red boat", steps=4)


def picture(panel, name: str = "picture") -> bytes:
    return bytes(panel.images[name].value)


# -- what is typed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "read", "said"),
    [
        ("", "", ""),
        ("A red boat, at night!", "a red boat at night", ""),
        ("a red submarine", "a red", "“submarine”"),
        ("a red sailbaot at night", "a red at night", "did you mean “sailboat”?"),
        ("ein rotes Boot", "", "what it likes"),
        ("красная лодка 红船", "", "has not learned “красная”"),
        ("3 red boats 1024", "red", "“1024”"),
        ("?! 🙂", "", "no word in this"),
        ("red " * 500, " ".join(["red"] * 26), "26 words at most, and leaves out the last 474"),
        ("zebra tiger lion wolf bear ", "", "2 more words"),
    ],
)
def test_every_text_is_answered(typed: str, read: str, said: str):
    answer = understood(typed, TOKENIZER)
    assert answer.text == read and said in answer.note and bool(said) == bool(answer.note)


def test_a_word_that_is_being_typed_is_no_mistake():
    assert understood("a red sailb", TOKENIZER) == ("a red", "")
    assert understood("a red sailb ", TOKENIZER).note != ""  # the space ends it


def test_a_tokenizer_of_pieces_reads_everything_and_says_what_is_cut():
    class Pieces:
        def left_out(self, text: str) -> str:
            return text[10:]

    assert understood("submarine", Pieces()) == ("submarine", "")
    assert (
        "left out: 90" in understood("12345678 890", Pieces()).note or "left out" in understood("x" * 20, Pieces()).note
    )


def test_the_words_offered_are_those_that_follow_in_captions():
    assert followers()["fishing"] == ["boat"] and followers()["hot"] == ["air"]
    assert {"a", "the"} <= set(followers()[""])
    assert set(followers()) - {""} <= set(VOCABULARY)
    box = WordBox("prompt", TOKENIZER, "a red boat")
    assert box.words == list(VOCABULARY) and box.text == "a red boat"


# -- the panel ---------------------------------------------------------------------------------------------------------


def test_the_picture_is_the_one_that_the_pipeline_draws(panel, pipe):
    drawing = panel.drawings["picture"]
    torch.testing.assert_close(drawing.picture(4)[None], pipe("a red boat", steps=4, guidance=4.0, seed=0))
    assert Image.open(io.BytesIO(picture(panel))).size == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "a blue whale"),
        ("prompt", ""),
        ("negative", "red"),
        ("guidance", 0.0),
        ("guidance", 15.0),
        ("steps", 1),
        ("steps", 50),
        ("seed", 9999),
        ("sampler", "ddpm"),
        ("sampler", "heun"),
    ],
)
def test_every_wish_changes_the_picture(panel, name: str, value: object):
    before = picture(panel)
    panel.controls[name].value = value
    assert picture(panel) != before and panel.drawings["picture"].wishes[name] == value


def test_typing_goes_on_when_nothing_new_is_to_be_read(panel):
    drawn = panel.drawings["picture"]
    for typed in ("a red boat", "a red boat ", "a red boat o", "a red boat"):
        panel.controls["prompt"].value = typed
    assert [drawing.wishes["prompt"] for drawing in (drawn, panel.drawings["picture"])] == ["a red boat"] * 2
    panel.controls["prompt"].value = "a red boat q"
    assert panel.drawings["picture"].wishes["prompt"] == "a red boat" and "“q”" in panel.controls["prompt"].note


def test_every_step_is_on_the_scrubber(panel):
    seen = set()
    for number in range(1, 5):
        panel.controls["step number"].value = number
        assert ("the result" in panel.note.value) == (number == 4)
        seen.add(picture(panel))
    assert len(seen) == 4


def test_again_is_the_next_seed_and_after_the_last_the_first(panel):
    first = picture(panel)
    panel.controls["again"].click()
    assert panel.controls["seed"].value == 1 and picture(panel) != first
    panel.controls["seed"].value = 9999
    panel.controls["again"].click()
    assert panel.controls["seed"].value == 0 and picture(panel) == first


def test_a_picture_is_kept_beside_the_next_and_scrubbed_with_it(panel):
    first = picture(panel)
    panel.controls["keep"].click()
    panel.controls["guidance"].value = 12.0
    assert picture(panel, "kept") == first != picture(panel)
    assert panel.drawings["kept"].wishes["guidance"] == 4.0
    panel.controls["step"].value = 1
    assert picture(panel, "kept") != first


def test_without_live_nothing_is_drawn_until_it_is_asked_for(panel):
    before = picture(panel)
    panel.controls["live"].value = False
    panel.controls["prompt"].value = "a green duck"
    assert picture(panel) == before and "press draw" in panel.note.value
    panel.controls["draw"].click()
    assert picture(panel) != before


def test_what_does_not_go_is_told_and_the_picture_stays(panel, pipe, monkeypatch):
    before = picture(panel)
    monkeypatch.setattr(pipe, "tokenizer", WordTokenizer(("boat",), 28))  # the box still offers the other words
    panel.controls["prompt"].value = "a red duck"
    assert "not among" in panel.note.value and "still the last one" in panel.note.value
    assert picture(panel) == before


def test_what_is_wished_is_never_taken_for_html(panel):
    shown = panel.drawings["picture"]._replace(wishes=panel.drawings["picture"].wishes | {"prompt": "<img src=x>"})
    panel.drawings["picture"] = shown
    panel.controls["step"].value = 1
    assert "&lt;img src=x&gt;" in panel.titles["picture"].value and "<img" not in panel.titles["picture"].value


# -- which word drew which part ----------------------------------------------------------------------------------------


def test_a_watched_drawing_is_the_same_picture_and_its_looks_are_shares(pipe):
    watched = watch_drawing(pipe, "a red boat", steps=3, seed=4)
    plain = pipe("a red boat", steps=3, seed=4, guidance=4.0, sampler="ddim")
    torch.testing.assert_close(watched.picture()[None], plain)
    assert watched.words == ["a", "red", "boat"] and watched.looks.shape == (3, 3, 8, 8)
    assert (watched.looks > 0).all() and (watched.looks.sum(dim=1) < 1).all()


def test_the_looks_are_the_mean_of_what_the_pipeline_tells(pipe):
    watched = watch_drawing(pipe, "a red boat", steps=1, seed=4)
    noise = noise_source(4, torch.empty(1, 4, 8, 8))()
    told = pipe.look_at_words(noise, torch.tensor([999.0]), pipe.read("a red boat"))
    large = [weights[0, ..., 2].mean(0).repeat_interleave(8 // weights.shape[2], 0) for weights in told.values()]
    large = [one.repeat_interleave(8 // one.shape[1], 1) for one in large]
    torch.testing.assert_close(watched.looks[0, 1], torch.stack(large).mean(0))


def test_a_word_of_weight_1_is_as_it_was_and_of_weight_0_is_nothing(pipe):
    read = pipe.read("a red boat")
    assert torch.equal(weighted(pipe, "a red boat", {1: 1.0}), read)
    changed = weighted(pipe, "a red boat", {1: 0.0})
    assert not changed[:, 2].any() and torch.equal(changed[:, 3:], read[:, 3:])
    with pytest.raises(CourseError, match="no word number 3"):
        weighted(pipe, "a red boat", {3: 2.0})
    with pytest.raises(CourseError, match="no word in the prompt"):
        watch_drawing(pipe, "")


@pytest.fixture
def words(pipe):
    return words_on_picture(pipe, "a red boat", steps=3)


def test_a_weight_changes_its_picture_alone_and_the_maps(words):
    plain, before = picture(words, "plain"), words.maps.value
    assert picture(words, "weighted") == plain
    words.controls["weight"].value = 3.0
    assert picture(words, "weighted") != plain == picture(words, "plain") and words.maps.value != before
    other = picture(words, "weighted")
    words.controls["word"].index = 2
    assert picture(words, "weighted") != other
    words.controls["weight"].value = 1.0
    assert picture(words, "weighted") == plain


def test_every_step_has_a_map_for_each_word(words):
    seen = set()
    for number in (1, 2, 3):
        words.controls["step number"].value = number
        assert words.maps.value.count("<figure") == 3 and f"step {number} of 3" in words.note.value
        seen.add(words.maps.value)
    assert len(seen) == 3


def test_another_prompt_or_seed_is_drawn_and_an_empty_one_told(words):
    before = picture(words, "plain")
    words.controls["seed"].value = 3
    assert picture(words, "plain") != before
    words.controls["prompt"].value = "a large blue whale at night"
    assert [name for name, _ in words.controls["word"].options][-1] == "6: night"
    words.controls["word"].index = 5
    before = picture(words, "plain")
    words.controls["prompt"].value = ""
    assert "no word in the prompt" in words.note.value and picture(words, "plain") == before
    words.controls["prompt"].value = "whale"
    assert words.controls["word"].value == 0


# -- figures -----------------------------------------------------------------------------------------------------------


def test_figures_show_what_they_are_given(pipe):
    assert evenly(20, 4) == [0, 6, 13, 19] and evenly(3, 8) == [0, 1, 2]
    steps = list(pipe.draw("a red boat", steps=5))
    assert len(drawing_steps(steps, columns=4).axes) == 8
    figure = guidance_strip({value: pipe("a red boat", steps=1, guidance=value, count=2) for value in (0.0, 7.5)})
    assert [axis.get_title() for axis in figure.axes] == ["guidance 0", "guidance 7.5", "", ""]
    figure = prompt_sheet(["a red boat", "a blue duck"], torch.zeros(2, 3, 8, 8), [True, False])
    assert [axis.get_title()[0] for axis in figure.axes] == ["✓", "✗"]
    figure = words_and_steps(watch_drawing(pipe, "a red boat", steps=3), rows=2)
    assert [axis.get_title() for axis in figure.axes[:4]] == ["seen", "a", "red", "boat"] and len(figure.axes) == 8
    with pytest.raises(CourseError, match="as many pictures"):
        guidance_strip({0.0: torch.zeros(1, 3, 8, 8), 1.0: torch.zeros(2, 3, 8, 8)})


# -- a sketch, a box ---------------------------------------------------------------------------------------------------


def test_a_sketch_is_where_the_drawing_begins(pipe):
    panel = sketch_panel(pipe, "whale", strength=0.5, steps=4)
    drawing = panel.drawing()
    assert panel.controls["prompt"].text == "a white whale under water" and len(drawing.steps) == 2
    assert drawing.wishes["image"].shape == (1, 3, 16, 16)
    expected = torch.from_numpy(SKETCHES["whale"].pixels(16) / 127.5 - 1).permute(2, 0, 1).float()
    torch.testing.assert_close(drawing.wishes["image"][0], expected)


@pytest.mark.parametrize(("name", "value"), [("strength", 1.0), ("seed", 8), ("prompt", "a duck"), ("sketch", "whale")])
def test_every_wish_changes_the_sketched_picture(pipe, name: str, value: object):
    panel = sketch_panel(pipe, steps=4)
    before = picture(panel)
    panel.controls[name].value = value
    assert picture(panel) != before


def test_what_the_browser_draws_is_drawn_and_start_again_brings_the_sketch_back(pipe):
    panel = sketch_panel(pipe, steps=4, strength=0.5)
    before, sketch = picture(panel), panel.pad.drawn
    red = io.BytesIO()
    Image.new("RGBA", (16, 16), "red").save(red, "PNG")  # a browser's canvas has transparency too
    panel.pad.drawn = "data:image/png;base64," + base64.b64encode(red.getvalue()).decode()
    assert picture(panel) != before
    assert torch.equal(panel.pad.picture()[:, 3, 3], torch.tensor([1.0, -1.0, -1.0]))
    panel.controls["restart"].click()
    assert panel.pad.drawn == sketch and picture(panel) == before


def test_every_ready_made_sketch_has_a_prompt_of_known_words():
    for sketch in SKETCHES.values():
        assert understood(sketch.prompt, TOKENIZER) == (sketch.prompt, "")
        assert sketch.pixels(64).shape == (64, 64, 3) and sketch.pixels(64).std() > 10


def test_only_the_box_is_drawn_anew(pipe):
    panel = inpainting_panel(pipe, steps=3)
    drawing, (left, right, top, bottom) = panel.drawing(), (3, 13, 3, 13)
    changed = (drawing.picture() != drawing.wishes["image"]).any(dim=0)
    assert changed[top:bottom, left:right].any() and not (changed * (1 - drawing.wishes["mask"])).any()
    before = picture(panel, "changed")
    panel.controls["left"].value = 8
    assert not panel.drawing().wishes["mask"][:, :8].any() and picture(panel, "changed") != before


@pytest.mark.parametrize(("name", "value"), [("instead", "a whale"), ("prompt", "a duck"), ("seed", 3), ("top", 9)])
def test_every_wish_changes_the_inpainted_picture(pipe, name: str, value: object):
    panel = inpainting_panel(pipe, "a red boat", steps=3)
    before = picture(panel, "changed")
    panel.controls[name].value = value
    assert picture(panel, "changed") != before


def test_an_empty_box_is_told_and_an_own_image_is_used(pipe):
    image = torch.zeros(3, 16, 16)
    panel = inpainting_panel(pipe, image=image, steps=2)
    assert torch.equal(panel.drawing().wishes["image"], image)
    panel.controls["right"].value = 2
    assert "The box is empty" in panel.note.value
    panel.controls["live"].value = False
    panel.controls["right"].value = 9
    assert "press draw" in panel.note.value
    panel.controls["draw"].click()
    assert "drawn anew" in panel.note.value
