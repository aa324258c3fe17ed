"""Cross-attention maps of a sampling trajectory, and the figures of chapter 8 that show them."""

import pytest
import torch
from panel_factory import pipe as make_pipe

from stablediff_edu.diffusion.samplers import noise_source
from stablediff_edu.display.tiny_figures import drawing_steps, evenly, guidance_strip, prompt_sheet, words_and_steps
from stablediff_edu.display.word_looks import watch_drawing, weighted
from stablediff_edu.errors import CourseError


@pytest.fixture(scope="module")
def pipe():
    return make_pipe()


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
    with pytest.raises(CourseError, match="no tokens to visualize"):
        watch_drawing(pipe, "")


def test_figures_show_what_they_are_given(pipe):
    assert evenly(20, 4) == [0, 6, 13, 19] and evenly(3, 8) == [0, 1, 2]
    steps = list(pipe.draw("a red boat", steps=5))
    assert len(drawing_steps(steps, columns=4).axes) == 8
    figure = guidance_strip({value: pipe("a red boat", steps=1, guidance=value, count=2) for value in (0.0, 7.5)})
    assert [axis.get_title() for axis in figure.axes] == ["guidance 0", "guidance 7.5", "", ""]
    figure = prompt_sheet(["a red boat", "a blue duck"], torch.zeros(2, 3, 8, 8), [True, False])
    assert [axis.get_title()[0] for axis in figure.axes] == ["✓", "✗"]
    figure = words_and_steps(watch_drawing(pipe, "a red boat", steps=3), rows=2)
    titles = [axis.get_title() for axis in figure.axes[:4]]
    assert titles == ["predicted\nclean image", "a", "red", "boat"] and len(figure.axes) == 8
    with pytest.raises(CourseError, match="as many pictures"):
        guidance_strip({0.0: torch.zeros(1, 3, 8, 8), 1.0: torch.zeros(2, 3, 8, 8)})
