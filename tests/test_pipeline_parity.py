"""Whole drawings are those of diffusers' pipelines, step by step, from the same folder and the same noise.

All is in float64, but for the sines of the step, which diffusers computes in float32; as in test_samplers_parity its
schedulers are shown a torch and a numpy whose float32 is float64.
"""

from pathlib import Path

import pytest
import torch
from parity import randomised, their_unet
from test_samplers_parity import THEIRS, double_precision  # noqa: F401 (all tests here use the fixture)
from vocabulary import write_vocabulary

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion

import diffusers  # isort: skip
import transformers  # isort: skip
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution  # isort: skip

TOLERANCE = 1e-11  # measured: 2e-13
STEPS = 10
PROMPTS, NEGATIVE = ["a photograph of an astronaut", "the red sea, 2024!"], ["oil paintings", ""]
UNET = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=2,
    cross_attention_dim=16,
    norm_num_groups=4,
)
LEADING = {"timestep_spacing": "leading"}
# scheduler_config.json of Stable Diffusion v1, and what users of another scheduler get with it
SETTINGS = {"steps_offset": 1, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
OWN = {"ddpm": LEADING} | dict.fromkeys(["ddim", "pndm"], LEADING | {"set_alpha_to_one": False})
IN_SIGMA = ("euler", "euler_ancestral", "heun")  # diffusers' latents are 1 / √ᾱ times ours


def scheduler(sampler: str):
    _, name, usual = THEIRS[sampler]
    usual = {key: value for key, value in usual.items() if key != "set_alpha_to_one"}
    settings = SETTINGS | {"timestep_spacing": "linspace"} | usual | OWN.get(sampler, {})
    return getattr(diffusers, name)(**settings)


@pytest.fixture(autouse=True)
def no_noise_at_the_end(double_precision, monkeypatch) -> None:  # noqa: F811
    """diffusers' DDPM adds noise of variance 1e-20 after the last step too, where the paper and ours add none."""
    ddpm = diffusers.schedulers.scheduling_ddpm.torch  # the stand-in of `double_precision`
    monkeypatch.setattr(ddpm, "clamp", lambda x, min: x.clamp(min=0 if min == 1e-20 else min), raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as diffusers writes it, with tiny networks of random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = transformers.CLIPTokenizer(*map(str, write_vocabulary(folder / "tokenizer")), model_max_length=77)
    text = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, norm_num_groups=4,
        block_out_channels=[4, 4, 8, 8], layers_per_block=1, latent_channels=4,
    )  # fmt: skip
    parts = dict(text_encoder=transformers.CLIPTextModel(text), unet=their_unet(UNET), vae=vae)
    parts["unet"].register_to_config(sample_size=8)  # latents of 8×8: images of 64×64
    parts = {name: randomised(part, seed).float() for seed, (name, part) in enumerate(parts.items())}
    pipe = diffusers.StableDiffusionPipeline(
        **parts, tokenizer=tokenizer, scheduler=scheduler("pndm"), feature_extractor=None, safety_checker=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ours(folder) -> StableDiffusion:
    return StableDiffusion.from_pretrained(folder).double()


@pytest.fixture(scope="module")
def theirs(folder) -> diffusers.StableDiffusionPipeline:
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder).to(dtype=torch.float64)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def their_way(pipe, sampler: str, seed: int = 3, **settings) -> list[torch.Tensor]:
    """The latents after every step, scaled as ours are, and last the images."""
    pipe.scheduler = scheduler(sampler)
    way = []

    def write_down(pipe, i: int, t: torch.Tensor, tensors: dict) -> dict:
        behind = pipe.scheduler.step_index if sampler in IN_SIGMA else 0
        scale = (pipe.scheduler.sigmas[behind] ** 2 + 1) ** 0.5 if sampler in IN_SIGMA else 1
        way.append(tensors["latents"] / scale)
        return {}

    images = pipe(
        PROMPTS, negative_prompt=NEGATIVE, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=write_down, output_type="pt", **settings,
    ).images  # fmt: skip
    if sampler == "heun":  # all steps but the last ask twice
        way = way[1::2] + way[-1:]
    elif sampler == "pndm" and "image" not in settings:  # so does the first of these
        way = way[1:]
    return [*way, 2 * images - 1]


def our_way(pipe: StableDiffusion, seed: int = 3, **settings) -> list[torch.Tensor]:
    steps = list(pipe.stream(PROMPTS, NEGATIVE, steps=STEPS, seed=torch.Generator().manual_seed(seed), **settings))
    return [*(step.latent for step in steps), steps[-1].image()]


def difference(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference at any step or in the images; there are as many of both."""
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_step_of_a_guided_drawing_is_where_diffusers_is(ours, theirs, sampler: str):
    expected = their_way(theirs, sampler, guidance_scale=7.5, height=64, width=48)
    assert difference(our_way(ours, sampler=sampler, size=(64, 48)), expected) <= TOLERANCE


@pytest.mark.parametrize("guidance", [1, 7.5])
def test_one_prompt_and_no_guidance_too(ours, theirs, guidance: float, monkeypatch):
    monkeypatch.setattr("test_pipeline_parity.PROMPTS", ["a ship"])
    monkeypatch.setattr("test_pipeline_parity.NEGATIVE", [""])
    expected = their_way(theirs, "dpmpp_2m", guidance_scale=guidance, height=64, width=64)
    assert difference(our_way(ours, sampler="dpmpp_2m", guidance=guidance), expected) <= TOLERANCE


@pytest.mark.parametrize("name", ["folder", "one.safetensors"])
def test_what_ours_writes_draws_the_same_again(ours, theirs, tmp_path, name: str):
    """In float32, as it is stored: the random weights are float32 numbers, so nothing is lost."""
    place = ours.save_pretrained(tmp_path / name)
    if name == "folder":
        again = diffusers.StableDiffusionPipeline.from_pretrained(place).to(dtype=torch.float64)
        again.set_progress_bar_config(disable=True)
        expected = their_way(again, "dpmpp_2m", guidance_scale=7.5, height=64, width=64)
    else:
        again = StableDiffusion.from_pretrained(place, tokenizer=ours.tokenizer).double()
        expected = our_way(again, sampler="dpmpp_2m")
    assert difference(our_way(ours, sampler="dpmpp_2m"), expected) <= TOLERANCE


@pytest.mark.parametrize("words", [2, 12, 40])
def test_long_prompts_are_those_of_chunks_of_75_in_transformers(ours, theirs, words: int):
    """The public formula: each 75 tokens between start and end go through CLIP alone; the embeddings are joined."""
    prompts, negative = ["red sea, astronaut, " * words, "a ship"], "oil! " * 30

    def embedded(text: str, chunks: int) -> torch.Tensor:
        tokenizer, found = theirs.tokenizer, []
        ids = tokenizer(text, add_special_tokens=False).input_ids
        for number in range(chunks):
            row = [tokenizer.bos_token_id, *ids[75 * number : 75 * number + 75], tokenizer.eos_token_id]
            row += [tokenizer.eos_token_id] * (77 - len(row))
            found.append(theirs.text_encoder(torch.tensor([row])).last_hidden_state)
        return torch.cat(found, 1)

    needed = -(
        -max(len(theirs.tokenizer(text, add_special_tokens=False).input_ids) for text in (*prompts, negative)) // 75
    )
    with torch.no_grad():
        prompt = torch.cat([embedded(text, needed) for text in prompts])
        without = embedded(negative, needed)
    got = ours._encode_prompts(prompts, negative, 1)
    assert torch.allclose(got[0], prompt, atol=TOLERANCE) and torch.allclose(got[1][:1], without, atol=TOLERANCE)
    theirs.scheduler = scheduler("ddim")
    images = theirs(
        prompt_embeds=prompt, negative_prompt_embeds=without.expand_as(prompt), num_inference_steps=2, output_type="pt",
        height=64, width=64, generator=torch.Generator().manual_seed(1),
    ).images  # fmt: skip
    drawn = ours(prompts, negative, steps=2, sampler="ddim", seed=torch.Generator().manual_seed(1))
    assert (drawn - (2 * images - 1)).abs().max() <= TOLERANCE


# --- beginning with an image -----------------------------------------------------------------------------------------


@pytest.fixture
def image(monkeypatch) -> torch.Tensor:
    """An image; and diffusers encodes it as its mean, as ours does, not as a sample."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    rng = torch.Generator().manual_seed(0)
    return torch.randint(-64, 65, (1, 3, 64, 48), generator=rng) / 64  # on the way diffusers makes them float32


def from_zero(image: torch.Tensor) -> torch.Tensor:
    """The same image for each prompt, from 0 to 1, as diffusers wants it."""
    return (image.expand(len(PROMPTS), -1, -1, -1) + 1) / 2


@pytest.mark.parametrize("strength", [0.3, 0.8])
@pytest.mark.parametrize("sampler", [sampler for sampler in SAMPLERS if sampler != "pndm"])
def test_image_to_image_is_that_of_diffusers(ours, theirs, image, sampler: str, strength: float):
    """diffusers' PNDM leaves its first step's second answer out with the steps that it leaves out; ours asks again."""
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**theirs.components)
    pipe.set_progress_bar_config(disable=True)
    expected = their_way(pipe, sampler, guidance_scale=7.5, image=from_zero(image), strength=strength)
    assert difference(our_way(ours, sampler=sampler, image=image, strength=strength), expected) <= TOLERANCE


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("sampler", [sampler for sampler in SAMPLERS if sampler not in ("pndm", "heun")])
def test_inpainting_is_that_of_diffusers(ours, theirs, image, sampler: str, strength: float):
    """In latents; in pixels ours keeps the original where it stays. diffusers' Heun puts it back in mid-step too."""
    pipe = diffusers.StableDiffusionInpaintPipeline(**theirs.components)
    pipe.set_progress_bar_config(disable=True)
    mask = torch.zeros(1, 1, 64, 48)
    mask[..., 16:40, 8:32] = 1
    size = dict(height=64, width=48)
    expected = their_way(
        pipe, sampler, guidance_scale=7.5, image=from_zero(image), mask_image=mask, strength=strength, **size
    )
    got = our_way(ours, sampler=sampler, image=image, mask=mask, strength=strength)
    assert difference(got[:-1], expected[:-1]) <= TOLERANCE
    assert ((got[-1] - expected[-1]).abs() * mask).max() <= TOLERANCE
    assert ((got[-1] - image).abs() * (1 - mask)).max() == 0 < ((expected[-1] - image).abs() * (1 - mask)).max()


# --- would a small fault be seen? -------------------------------------------------------------------------------------


def test_a_guidance_wrong_by_a_millionth_is_seen(ours, theirs):
    expected = their_way(theirs, "ddim", guidance_scale=7.5, height=64, width=48)
    assert difference(our_way(ours, sampler="ddim", size=(64, 48), guidance=7.5 * (1 + 1e-6)), expected) > TOLERANCE


@pytest.mark.parametrize("sampler", ["ddim", "pndm", "euler"])
def test_other_stops_than_stable_diffusions_are_seen(ours, theirs, sampler: str, monkeypatch):
    expected = their_way(theirs, sampler, guidance_scale=7.5, height=64, width=48)
    monkeypatch.setattr(ours, "sampler_spacing", lambda sampler: {"spacing": "trailing"})
    assert difference(our_way(ours, sampler=sampler, size=(64, 48)), expected) > 1e-3
