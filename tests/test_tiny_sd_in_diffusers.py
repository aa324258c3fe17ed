"""The course's own model saved as a folder: diffusers loads it as it is, and generates the same image."""

from pathlib import Path

import diffusers
import pytest
import torch
import transformers

from stablediff_edu.diffusion.samplers import make_noise_fn
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING
from stablediff_edu.tasks.tiny_sd import load_tiny_sd

SENTENCES = ["A red sailboat at sunset!", "a small white sailing boat on waves, under clouds", "", "Duck"]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusion:
    return load_tiny_sd()[0].cpu()


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory) -> Path:
    return pipe.save_pretrained(tmp_path_factory.mktemp("tiny") / "tiny-sd")


def test_transformers_reads_the_tokenizer_and_gives_the_same_tokens(pipe, folder):
    theirs = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    found = theirs(SENTENCES, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(found, pipe.tokenizer(SENTENCES))


def test_diffusers_generates_the_same_image(pipe, folder):
    prompt, steps = SENTENCES[0], 8
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    side = pipe.config.size // pipe.vae.config.shrink
    latents = make_noise_fn(3, torch.empty(1, 4, side, side))()
    found = theirs(
        prompt,
        latents=latents,
        num_inference_steps=steps,
        guidance_scale=DEFAULT_SAMPLING["guidance"],
        output_type="pt",
    ).images
    ours = pipe(prompt, seed=3, **DEFAULT_SAMPLING | {"steps": steps})
    assert found.shape == ours.shape and ours.std() > 0.1
    assert (found * 2 - 1 - ours).abs().max() < 1e-3  # float32 in another order of sums


def test_the_folder_is_read_back_as_it_was(pipe, folder):
    again = StableDiffusion.from_pretrained(folder)
    assert again.config == pipe.config and again.tokenizer.words == pipe.tokenizer.words
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), pipe.state_dict().values(), strict=True))
