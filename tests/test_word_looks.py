"""Cross-attention maps of a sampling trajectory, and the figures of chapter 8 that show them."""

import pytest
import torch
from panel_factory import pipe as make_pipe

from stablediff_edu.diffusion.samplers import make_noise_fn
from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.attention_maps import reweight_tokens, sample_with_attention
from stablediff_edu.plotting.ch08_text_to_image import (
    cross_attention_over_steps,
    guidance_comparison,
    prompt_grid,
    sampling_steps_figure,
    spaced_indices,
)


@pytest.fixture(scope="module")
def pipe():
    return make_pipe()


def test_a_watched_drawing_is_the_same_picture_and_its_looks_are_shares(pipe):
    watched = sample_with_attention(pipe, "a red boat", steps=3, seed=4)
    plain = pipe("a red boat", steps=3, seed=4, guidance=4.0, sampler="ddim")
    torch.testing.assert_close(watched.image()[None], plain)
    assert watched.words == ["a", "red", "boat"] and watched.looks.shape == (3, 3, 8, 8)
    assert (watched.looks > 0).all() and (watched.looks.sum(dim=1) < 1).all()


def test_the_looks_are_the_mean_of_what_the_pipeline_tells(pipe):
    watched = sample_with_attention(pipe, "a red boat", steps=1, seed=4)
    noise = make_noise_fn(4, torch.empty(1, 4, 8, 8))()
    told = pipe.cross_attention_maps(noise, torch.tensor([999.0]), pipe.encode_prompt("a red boat"))
    large = [weights[0, ..., 2].mean(0).repeat_interleave(8 // weights.shape[2], 0) for weights in told.values()]
    large = [one.repeat_interleave(8 // one.shape[1], 1) for one in large]
    torch.testing.assert_close(watched.looks[0, 1], torch.stack(large).mean(0))


def test_a_word_of_weight_1_is_as_it_was_and_of_weight_0_is_nothing(pipe):
    read = pipe.encode_prompt("a red boat")
    assert torch.equal(reweight_tokens(pipe, "a red boat", {1: 1.0}), read)
    changed = reweight_tokens(pipe, "a red boat", {1: 0.0})
    assert not changed[:, 2].any() and torch.equal(changed[:, 3:], read[:, 3:])
    with pytest.raises(UserError, match="no word number 3"):
        reweight_tokens(pipe, "a red boat", {3: 2.0})
    with pytest.raises(UserError, match="no tokens to visualize"):
        sample_with_attention(pipe, "")


def test_figures_show_what_they_are_given(pipe):
    assert spaced_indices(20, 4) == [0, 6, 13, 19] and spaced_indices(3, 8) == [0, 1, 2]
    steps = list(pipe.stream("a red boat", steps=5))
    assert len(sampling_steps_figure(steps, columns=4).axes) == 8
    figure = guidance_comparison({value: pipe("a red boat", steps=1, guidance=value, count=2) for value in (0.0, 7.5)})
    assert [axis.get_title() for axis in figure.axes] == ["guidance 0", "guidance 7.5", "", ""]
    figure = prompt_grid(["a red boat", "a blue duck"], torch.zeros(2, 3, 8, 8), [True, False])
    assert [axis.get_title()[0] for axis in figure.axes] == ["✓", "✗"]
    figure = cross_attention_over_steps(sample_with_attention(pipe, "a red boat", steps=3), rows=2)
    titles = [axis.get_title() for axis in figure.axes[:4]]
    assert titles == ["predicted\nclean image", "a", "red", "boat"] and len(figure.axes) == 8
    with pytest.raises(UserError, match="as many images"):
        guidance_comparison({0.0: torch.zeros(1, 3, 8, 8), 1.0: torch.zeros(2, 3, 8, 8)})
