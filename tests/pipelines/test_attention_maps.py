"""Cross-attention maps of a sampling trajectory."""

import pytest
import torch
from panel_factory import pipe as make_pipe

from stablediff_edu.diffusion.samplers import make_noise_fn
from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.attention_maps import reweight_tokens, sample_with_attention


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
