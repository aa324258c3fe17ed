"""CLIP: the text encoder is the original's, later words change nothing earlier, and pairs learn to find each other."""

import math

import pytest
import torch
import torch.nn.functional as F

from stablediff_edu.errors import UserError
from stablediff_edu.models.clip import (
    CLIP,
    CLIPTextConfig,
    CLIPTextModel,
    ImageConfig,
    ImageEncoder,
    contrastive_loss,
    pool_eos,
)

TINY_TEXT = CLIPTextConfig(
    vocab_size=11, max_position_embeddings=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=4
)
TINY_IMAGE = ImageConfig(size=16, patch=2, channels=(8, 16), heads=2)


@pytest.fixture
def clip() -> CLIP:
    torch.manual_seed(0)
    return CLIP(TINY_TEXT, TINY_IMAGE, features=12).eval()


# --- the text encoder -------------------------------------------------------------------------------------------------


def test_with_the_sizes_of_stable_diffusion_it_has_its_number_of_parameters():
    with torch.device("meta"):
        assert sum(weight.numel() for weight in CLIPTextModel(CLIPTextConfig()).parameters()) == 123_060_480


def pair(config: CLIPTextConfig, dtype: torch.dtype = torch.float64):
    """Ours and that of transformers, with the same random weights, norms and biases too."""
    transformers = pytest.importorskip("transformers")
    sizes = transformers.CLIPTextConfig(
        **vars(config), intermediate_size=4 * config.hidden_size, hidden_act="quick_gelu",
        bos_token_id=config.vocab_size - 2, eos_token_id=config.vocab_size - 1,
    )  # fmt: skip
    torch.manual_seed(1)
    ours, theirs = CLIPTextModel(config).to(dtype).eval(), transformers.CLIPTextModel(sizes).to(dtype).eval()
    large = config.hidden_size > 100  # weights of size 1 would drown everything there
    weights = {
        name: torch.randn_like(value) * (value[0].numel() ** -0.5 if large and value.ndim > 1 else 1)
        for name, value in ours.state_dict().items()
    }
    theirs.load_state_dict(weights)
    ours.load_state_dict(weights)
    return ours.requires_grad_(False), theirs.requires_grad_(False)


def some_tokens(config: CLIPTextConfig, length: int) -> torch.Tensor:
    tokens = torch.randint(config.vocab_size - 2, (3, length), generator=torch.Generator().manual_seed(2))
    tokens[:, -1] = config.vocab_size - 1
    return tokens


@pytest.mark.parametrize("length", [1, 5, 7])
def test_it_computes_what_transformers_does(length: int):
    (ours, theirs), tokens = pair(TINY_TEXT), some_tokens(TINY_TEXT, length)
    answer = theirs(input_ids=tokens)
    assert (ours(tokens) - answer.last_hidden_state).abs().max() < 1e-12
    assert (pool_eos(ours(tokens), tokens) - answer.pooler_output).abs().max() < 1e-12


def other_activation(model: CLIPTextModel) -> None:
    for layer in model.encoder["layers"]:
        layer.mlp.activation = F.gelu


def other_eps(model: CLIPTextModel) -> None:
    model.encoder["layers"][0].layer_norm1.eps = 1e-6


def other_heads(model: CLIPTextModel) -> None:
    model.encoder["layers"][0].self_attn.heads = 2


@pytest.mark.parametrize("mistake", [other_activation, other_eps, other_heads])
def test_the_comparison_finds(mistake):
    (ours, theirs), tokens = pair(TINY_TEXT), some_tokens(TINY_TEXT, 7)
    mistake(ours)
    assert (ours(tokens) - theirs(input_ids=tokens).last_hidden_state).abs().max() > 1e-9


@pytest.mark.slow
def test_at_full_size_it_computes_what_transformers_does():
    (ours, theirs), tokens = pair(CLIPTextConfig(), torch.float32), some_tokens(CLIPTextConfig(), 77)
    answer, want = ours(tokens), theirs(input_ids=tokens).last_hidden_state
    difference = ((answer - want).abs().max() / want.abs().max()).item()
    assert difference < 5e-6  # measured: 0


def test_later_words_do_not_change_earlier_ones():
    torch.manual_seed(0)
    encoder = CLIPTextModel(TINY_TEXT).double().eval()
    one, other = torch.tensor([[9, 1, 2, 3, 10, 10, 10]]), torch.tensor([[9, 1, 2, 8, 4, 10, 10]])
    difference = (encoder(one) - encoder(other)).abs().amax(dim=2)[0]
    assert difference[:3].max() == 0 and difference[3:].min() > 1e-6


def test_the_order_of_the_words_matters():
    torch.manual_seed(0)
    encoder = CLIPTextModel(TINY_TEXT).eval()
    x = encoder(torch.tensor([[9, 1, 2, 10], [9, 2, 1, 10]]))
    assert not torch.allclose(x[0, -1], x[1, -1], atol=1e-4)


def test_too_many_tokens_are_refused():
    with pytest.raises(UserError, match=r"^8 tokens do not fit into 7 positions; use fewer words\.$"):
        CLIPTextModel(TINY_TEXT)(torch.zeros(1, 8, dtype=torch.int64))


def test_a_sentence_is_read_at_its_first_end_and_padding_changes_nothing(clip: CLIP):
    tokens = torch.tensor([[9, 1, 2, 10, 10, 10], [9, 1, 10, 10, 10, 10]])
    hidden = torch.arange(12.0).view(2, 6, 1)
    assert pool_eos(hidden, tokens).tolist() == [[3.0], [8.0]]
    assert torch.allclose(clip.encode_text(tokens), clip.encode_text(tokens[:, :4]), atol=1e-6)


# --- the image encoder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patch", "channels"), [(16, 2, (8, 16)), (32, 4, (8, 12, 16)), (8, 1, (8,))])
def test_a_picture_becomes_one_vector(size: int, patch: int, channels: tuple):
    encoder = ImageEncoder(ImageConfig(size, patch, channels, heads=2))
    assert encoder(torch.randn(3, 3, size, size)).shape == (3, channels[-1])


def test_the_place_of_a_thing_in_the_picture_matters(clip: CLIP):
    x = torch.zeros(2, 3, 16, 16)
    x[0, :, 4:8, 0:4], x[1, :, 4:8, 8:12] = 1, 1
    left, right = clip.encode_image(x)
    assert (left - right).abs().max() > 1e-3


def test_a_size_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(UserError, match=r"^Images of 20 pixels cannot be halved so often; use a multiple of 16\.$"):
        ImageConfig(size=20)


# --- both together ----------------------------------------------------------------------------------------------------


def test_embeddings_have_length_one_and_similarities_are_their_cosines(clip: CLIP):
    x, tokens = torch.randn(5, 3, 16, 16), torch.randint(11, (4, 7))
    images, sentences = clip.encode_image(x), clip.encode_text(tokens)
    assert torch.allclose(images.norm(dim=1), torch.ones(5)) and torch.allclose(sentences.norm(dim=1), torch.ones(4))
    assert torch.allclose(clip(x, tokens), F.cosine_similarity(images[:, None], sentences[None], dim=2), atol=1e-6)


def test_the_loss_is_the_cross_entropy_written_out_both_ways():
    torch.manual_seed(0)
    similarities = torch.randn(4, 4, dtype=torch.float64)
    chances = (3 * similarities).exp()
    rows, columns = chances / chances.sum(dim=1, keepdim=True), chances / chances.sum(dim=0, keepdim=True)
    want = -sum(math.log(rows[i, i]) + math.log(columns[i, i]) for i in range(4)) / 8
    assert contrastive_loss(similarities, 3).item() == pytest.approx(want, rel=1e-12)


def test_the_loss_is_that_of_guessing_for_equal_similarities_and_least_for_a_diagonal():
    assert contrastive_loss(torch.zeros(8, 8), 5).item() == pytest.approx(math.log(8))
    assert contrastive_loss(torch.eye(8), 100).item() < 1e-6
    assert contrastive_loss(torch.eye(8).roll(1, dims=1), 100).item() > 50


def test_the_temperature_begins_as_in_the_paper_is_learned_and_clamped(clip: CLIP):
    assert clip.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    contrastive_loss(clip(torch.randn(3, 3, 16, 16), torch.randint(11, (3, 7))), clip.logit_scale).backward()
    assert clip.log_logit_scale.grad.abs() > 0
    with torch.no_grad():
        clip.log_logit_scale.fill_(9)
    clip.logit_scale.backward()
    assert clip.logit_scale.item() == pytest.approx(100) and clip.log_logit_scale.grad > 1, "it can fall again"
