"""The pipeline: what each argument does, that a seed gives the same image in every batch, and what it refuses."""

from dataclasses import asdict, replace

import pytest
import torch

from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.errors import UserError, oom_guard
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet import count_parameters
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines import stable_diffusion
from stablediff_edu.pipelines.stable_diffusion import TINY, V1, StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks.clip import SMALL_TEXT
from stablediff_edu.tokenizers.words import WordTokenizer

SMALLER = StableDiffusionConfig(
    CLIPTextConfig(
        len(VOCABULARY) + 2, max_position_embeddings=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    ),
    UNetConfig(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        num_attention_heads=2,
        cross_attention_dim=16,
        norm_num_groups=4,
    ),
    VAEConfig(block_out_channels=(4, 4, 8), layers_per_block=1, norm_num_groups=4),
    size=32,
)


def make(config: StableDiffusionConfig = SMALLER) -> StableDiffusion:
    torch.manual_seed(0)
    return StableDiffusion(config, WordTokenizer(VOCABULARY, config.text_encoder.max_position_embeddings)).eval()


@pytest.fixture(scope="module")
def pipe() -> StableDiffusion:
    return make().double()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-9)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_v1_has_exactly_stable_diffusions_numbers():
    with torch.device("meta"):
        pipe = StableDiffusion(V1)
    parts = {name: count_parameters(part) for name, part in pipe.named_children()}
    assert parts == {"text_encoder": 123_060_480, "unet": 859_520_964, "vae": 83_653_863}
    assert len(pipe.state_dict()) == 196 + 686 + 248
    assert pipe.schedule.alpha_bar[0].item() == pytest.approx(0.99914998)  # numbers, not "meta"
    assert (V1.prediction, V1.size, V1.vae.scaling_factor) == ("epsilon", 512, 0.18215)


def test_tiny_is_the_same_class_with_small_sizes():
    pipe = make(TINY)
    assert TINY.text_encoder == SMALL_TEXT and TINY.vae.shrink == 8
    assert 4e6 < count_parameters(pipe.unet) < 5e6 and count_parameters(pipe) * 2 < 24e6
    assert pipe("a red ship", steps=2).shape == (1, 3, 64, 64)


def test_a_config_comes_back_from_a_card():
    assert StableDiffusionConfig(**asdict(TINY)) == TINY and StableDiffusionConfig(**asdict(V1)) == V1


# --- the six steps ----------------------------------------------------------------------------------------------------


def test_the_six_steps_one_by_one_make_the_picture_of_the_one_call(pipe):
    context, nothing = pipe.encode_prompt("a red ship"), pipe.encode_prompt("")
    assert context.shape == (1, 16, 16)
    xt = torch.randn(1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5 * 1_000_003))
    assert pipe.predict_noise(xt, torch.tensor([999]), context).shape == xt.shape
    *_, step = pipe.denoise(xt, context, nothing, guidance=7.5, steps=3, sampler="ddim")
    image = pipe.decode(step.next)
    assert image.shape == (1, 3, 32, 32) and image.abs().max() <= 1
    assert pipe.encode(image).shape == (1, 4, 8, 8)
    assert same(pipe("a red ship", steps=3, sampler="ddim", seed=5), image)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 7), (7, 3)])
def test_every_cross_attention_tells_how_much_each_place_looks_at_each_word(pipe, height: int, width: int):
    xt = torch.randn(2, 4, height, width, dtype=torch.float64)
    maps = pipe.cross_attention_maps(xt, torch.tensor([500, 500]), pipe.encode_prompt(["a red ship", "a blue ship"]))
    crosses = [name for name, _ in pipe.unet.named_modules() if name.endswith(".attn2")]
    assert list(maps) == crosses and len(crosses) == 7
    below = ((height + 1) // 2, (width + 1) // 2)
    for name, weights in maps.items():
        assert weights.shape == (
            2,
            2,
            *((height, width) if name.startswith(("down_blocks.0", "up_blocks.1")) else below),
            16,
        )
        assert torch.allclose(weights.sum(-1), torch.ones(()).double())
    assert not any(module._forward_pre_hooks for module in pipe.unet.modules())


def test_a_picture_drawn_one_after_another_is_that_of_the_batch(pipe, monkeypatch):
    settings = dict(steps=3, count=3, seed=2)
    together = pipe("a red ship", **settings)
    monkeypatch.setattr(stable_diffusion, "CPU_SLICE_THRESHOLD", 1)
    assert same(pipe("a red ship", **settings), together)


# --- what may be wished -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_picture_i_of_a_seed_is_the_same_in_every_batch(pipe, sampler: str):
    settings = dict(steps=4, sampler=sampler, seed=7)
    three = pipe("a red ship", count=3, **settings)
    assert same(pipe("a red ship", **settings), three[:1]) and same(pipe(["a red ship"] * 2, **settings), three[:2])
    assert not torch.allclose(three[0], three[1], atol=1e-3)
    assert not torch.allclose(three[:1], pipe("a red ship", **settings | dict(seed=8)), atol=1e-3)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "ddpm"])
def test_the_fresh_noise_of_the_steps_is_not_that_of_the_start(pipe, sampler: str, monkeypatch):
    drawn, right = [], torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, **n: drawn.append(right(*a, **n)) or drawn[-1])
    pipe("a red ship", steps=3, sampler=sampler)
    assert len(drawn) == 4
    assert all(not torch.equal(a, b) for number, a in enumerate(drawn) for b in drawn[:number])


def test_the_pictures_of_a_prompt_stand_side_by_side(pipe):
    settings = dict(steps=2, guidance=1)
    both = pipe(["a red ship", "a blue fish"], count=2, **settings)
    assert both.shape[0] == 4
    assert same(pipe(["a red ship"] * 4, **settings)[:2], both[:2]) and same(
        pipe(["a blue fish"] * 4, **settings)[2:], both[2:]
    )


def test_guidance_goes_beyond_the_prompt_away_from_the_negative(pipe):
    xt, t = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.tensor([500, 500])
    context, nothing = pipe.encode_prompt(["a red ship"] * 2), pipe.encode_prompt(["a fish"] * 2)
    with_prompt, without = pipe.predict_noise(xt, t, context), pipe.predict_noise(xt, t, nothing)
    for guidance in (-1, 0, 0.5, 1, 7.5):
        expected = without + guidance * (with_prompt - without)
        assert same(pipe.classifier_free_guidance(xt, t, context, nothing, guidance), expected)


@pytest.mark.parametrize(("guidance", "images"), [(0, 1), (1, 1), (1.0, 1), (7.5, 2)])
def test_without_guidance_the_network_is_asked_once(pipe, guidance: float, images: int, monkeypatch):
    asked, right = [], pipe.unet.forward
    monkeypatch.setattr(pipe.unet, "forward", lambda x, t, context: asked.append(len(x)) or right(x, t, context))
    pipe("a red ship", steps=2, sampler="ddim", guidance=guidance)
    assert asked == [images] * 2


def test_prompt_and_negative_matter_and_may_be_given_as_they_were_read(pipe):
    one = pipe("a red ship", "a fish", steps=2)
    assert same(pipe(pipe.encode_prompt("a red ship"), pipe.encode_prompt(["a fish"]), steps=2), one)
    assert same(pipe(["a red ship"], ["a fish"], steps=2), one)
    for other in (pipe("a blue ship", "a fish", steps=2), pipe("a red ship", steps=2)):
        assert not torch.allclose(other, one, atol=1e-4)


@pytest.mark.parametrize(("size", "shape"), [(None, (32, 32)), (16, (16, 16)), ((16, 24), (16, 24)), ([8, 4], (8, 4))])
def test_sizes(pipe, size: object, shape: tuple[int, int]):
    assert pipe("", steps=1, size=size).shape == (1, 3, *shape)


def test_every_step_is_given_as_it_is_made_and_decoded_only_when_asked(pipe, monkeypatch):
    decoded, right = [], pipe.vae.decode
    monkeypatch.setattr(pipe.vae, "decode", lambda z: decoded.append(1) or right(z))
    way = pipe.stream("a red ship", steps=3, sampler="ddim")
    steps = [next(way) for _ in range(3)]
    assert [(step.number, step.of, step.t) for step in steps] == [(1, 3, 667), (2, 3, 334), (3, 3, 1)]
    assert all(step.latent.shape == step.x0.shape == (1, 4, 8, 8) for step in steps)
    assert not decoded and next(way, None) is None
    assert steps[0].preview().shape == (1, 3, 32, 32) and len(decoded) == 1
    assert not same(steps[0].preview(), steps[0].image())
    assert same(steps[-1].image(), pipe("a red ship", steps=3, sampler="ddim"))
    assert not any(tensor.requires_grad for step in steps for tensor in (step.latent, step.x0))


def test_a_schedule_of_its_own_goes_to_the_last_step_and_stops_at_none_of_stable_diffusions():
    pipe = make(replace(SMALLER, schedule="cosine", prediction="v_prediction"))
    for sampler in SAMPLERS:
        steps = list(pipe.stream("a ship", steps=4, sampler=sampler))
        assert steps[0].t == 999 and len(steps) == 4
        assert torch.isfinite(steps[-1].image()).all()


def test_weights_in_half_precision_and_numbers_in_between_in_single():
    pipe = make()
    whole = pipe("a red ship", steps=3)
    *_, step = pipe.half().stream("a red ship", steps=3)
    assert step.latent.dtype == torch.float32 and step.image().dtype == torch.float32
    assert (step.image() - whole).abs().mean() < 0.02 * whole.std()
    assert not torch.equal(step.image(), whole)


# --- beginning with an image -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strength", "left"), [(None, 8), (0.5, 5), (1, 10), (0.01, 1), (0.19, 1)])
def test_strength_is_the_share_of_the_steps(pipe, image, strength: float | None, left: int):
    steps = list(pipe.stream("a ship", steps=10, image=image, strength=strength))
    assert len(steps) == steps[0].of == left and steps[-1].number == left


def test_the_weaker_the_nearer_to_the_image_and_at_full_strength_nothing_of_it_is_left(pipe, image):
    z = pipe.encode(image[None])
    latents = [list(pipe.stream("a ship", steps=10, image=image, strength=s))[-1].latent for s in (0.1, 0.4, 1)]
    distances = [(latent - z).norm().item() for latent in latents]
    assert distances == sorted(distances) and distances[0] < 0.5 * distances[2]
    assert same(latents[2], list(pipe.stream("a ship", steps=10))[-1].latent)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_the_mask_is_0_the_image_stays(pipe, image, sampler: str):
    mask = torch.zeros(32, 32)
    mask[5:20, 9:30] = 1
    drawn = pipe("a ship", steps=5, image=image, mask=mask, sampler=sampler, count=2).float()
    assert torch.equal(drawn[:, :, mask == 0], image[:, mask == 0].expand(2, -1, -1))
    assert ((drawn - image)[:, :, mask == 1].abs() > 1e-6).all(dim=1).float().mean() > 0.95
    *_, last = pipe.stream("a ship", steps=5, image=image, mask=mask, sampler=sampler)
    z = pipe.encode(image[None])
    new = torch.zeros(8, 8, dtype=torch.bool)
    new[1:5, 2:8] = True  # every position with a pixel that is generated again
    assert torch.equal(last.latent[..., ~new], z[..., ~new]) and (last.latent != z)[..., new].all()


def test_an_image_and_a_mask_for_each_prompt(pipe, image):
    images = torch.stack([image, -image])
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, :, :16], masks[1, :, 16:] = 1, 1
    drawn = pipe(["a ship", "a fish"], steps=2, image=images, mask=masks, count=2).float()
    assert torch.equal(drawn[:2, :, 16:], image[None, :, 16:].expand(2, -1, -1, -1))
    assert torch.equal(drawn[2:, :, :16], -image[None, :, :16].expand(2, -1, -1, -1))


def test_an_image_decides_the_size_unless_told_otherwise(pipe, image):
    assert pipe("a ship", steps=1, image=image[:, :16, :24]).shape == (1, 3, 16, 24)


# --- bad input --------------------------------------------------------------------------------------------------------

NOISE = torch.zeros(3, 32, 32)
REFUSED = {
    "prompt a number": (dict(prompt=5), "A prompt is a text"),
    "prompt None": (dict(prompt=None), "A prompt is a text"),
    "prompt in a list of lists": (dict(prompt=[["a ship"]]), "A prompt is a text"),
    "no prompts": (dict(prompt=[]), "There is no prompt"),
    "unknown word": (dict(prompt="a quark"), "'quark' is not among"),
    "negative a number": (dict(negative=3), "A prompt is a text"),
    "too many negatives": (dict(negative=["a", "a", "a"]), "3 negative prompts for 1 prompts: give one"),
    "size not divisible": (dict(size=30), "Images of 30×30 pixels cannot be generated: .* multiples of 4."),
    "one side not divisible": (dict(size=(32, 30)), "Images of 32×30 pixels"),
    "size 0": (dict(size=0), "Images of 0×0"),
    "size a text": (dict(size="32"), "Images of 32×32"),
    "three sides": (dict(size=(8, 8, 8)), "Images of 8×8×8"),
    "steps 0": (dict(steps=0), "0 is no number of steps"),
    "steps 2.5": (dict(steps=2.5), "2.5 is no number of steps"),
    "steps 2000": (dict(steps=2000), "2000 is no number of steps"),
    "sampler": (dict(sampler="fast"), "There is no sampler 'fast'; choose one of: ddpm"),
    "count 0": (dict(count=0), "0 images cannot be generated"),
    "guidance": (dict(guidance="much"), "guidance must be a number"),
    "guidance nan": (dict(guidance=float("nan")), "guidance must be a number"),
    "seed": (dict(seed="x"), "seed must be a whole number"),
    "seed negative": (dict(seed=-1), "seed must be a whole number"),
    "mask without image": (dict(mask=NOISE[0]), "strength and mask are about an image"),
    "strength without image": (dict(strength=0.5), "strength and mask are about an image"),
    "image a list": (dict(image=[1, 2]), "image must be a tensor"),
    "image a name": (dict(image="ship.png"), "image must be a tensor"),
    "image of bytes": (dict(image=NOISE.byte()), "image must be a tensor"),
    "image from 0 to 255": (dict(image=NOISE + 255), "numbers from -1 to 1"),
    "image of NaN": (dict(image=NOISE / 0), "numbers from -1 to 1"),
    "image gray": (dict(image=NOISE[:1]), "image must be a tensor"),
    "image empty": (dict(image=NOISE[:, :0]), "image must be a tensor"),
    "image of another size": (dict(image=NOISE, size=16), "The image has 32×32 pixels, not 16×16"),
    "image not divisible": (dict(image=NOISE[:, :30]), "Images of 30×32"),
    "two images": (dict(image=torch.stack([NOISE, NOISE])), "2 images or masks for 1 prompts"),
    "strength 0": (dict(image=NOISE, strength=0), "strength must be more than 0 and at most 1"),
    "strength 1.5": (dict(image=NOISE, strength=1.5), "strength must be more than 0"),
    "strength a text": (dict(image=NOISE, strength="1"), "strength must be more than 0"),
    "mask of another size": (dict(image=NOISE, mask=NOISE[0, :16]), "mask must be a tensor"),
    "mask of 0 and 255": (dict(image=NOISE, mask=NOISE[0] + 255), "mask must be a tensor"),
    "mask a list": (dict(image=NOISE, mask=[0]), "mask must be a tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_is_refused_in_one_sentence_before_anything_is_drawn(pipe, name: str, monkeypatch):
    settings, sentence = REFUSED[name]
    monkeypatch.setattr(pipe.unet, "forward", lambda *_: pytest.fail("it began to draw"))
    with pytest.raises(UserError, match=sentence) as refused:
        pipe.stream(**dict(prompt="a red ship") | settings)
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_half_precision_that_overflows_is_computed_again_and_nan_is_never_a_picture(part, monkeypatch):
    pipe, right = make(), make()("a red ship", steps=2)
    pipe.half()
    network, forward = getattr(pipe, part), getattr(pipe, part).forward
    overflow = lambda *given: forward(*given) * (torch.inf if next(network.parameters()).dtype.itemsize < 4 else 1)  # noqa
    monkeypatch.setattr(network, "forward", overflow)
    with pytest.warns(UserWarning, match=f"{part} overflows in half precision; from here on it computes in float32"):
        image = pipe("a red ship", steps=2)
    assert image.isfinite().all() and (image - right).abs().mean() < 0.1
    monkeypatch.undo()
    next(network.parameters()).data[0] = torch.nan
    with pytest.raises(UserError, match=rf"^The weights of {part} hold values that are not numbers \("):
        pipe("a red ship", steps=2)


def test_without_a_tokenizer_it_says_that_it_cannot_read():
    with pytest.raises(UserError, match="There is no tokenizer"):
        StableDiffusion(SMALLER).encode_prompt("a ship")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("not enough memory: you tried to allocate 9 bytes"),
    ],
)
@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_no_memory_is_one_sentence_wherever_it_is_noticed(part: str, error: Exception, monkeypatch):
    pipe = make()

    def fail(*_):
        raise error

    monkeypatch.setattr(getattr(pipe, part), "decode" if part == "vae" else "forward", fail)
    with pytest.raises(UserError, match=r"^There is not enough memory; generate fewer or smaller"):
        pipe("a red ship", steps=1)


@pytest.mark.parametrize(
    "text", ["CUDA error: an illegal memory access was encountered", "unsupported memory format option Contiguous"]
)
def test_other_errors_that_name_memory_are_not_called_lack_of_it(text: str):
    with pytest.raises(RuntimeError, match=text), oom_guard():
        raise RuntimeError(text)


def test_other_errors_of_torch_are_not_called_lack_of_memory(pipe):
    with pytest.raises(RuntimeError, match="must match the existing size"):
        pipe(torch.zeros(1, 5, 16), torch.zeros(1, 6, 16), steps=1)
