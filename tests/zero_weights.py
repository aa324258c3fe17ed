"""Stable Diffusion without weights, very small: every tensor is there under its published name, and is zero."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from stablediff_edu.io.diffusers_config import scheduler_json, text_json, unet_json, vae_json
from stablediff_edu.io.key_mapping import key_map, state_dict_shapes
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig

SIZES = {
    "text_encoder": CLIPTextConfig(
        vocab_size=9, max_position_embeddings=5, hidden_size=64, num_hidden_layers=1, num_attention_heads=1
    ),
    "unet": UNetConfig(
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=64,
    ),
    "vae": VAEConfig(block_out_channels=(32, 32), layers_per_block=1),
}


def tensors(layout: str, part: str, config: object) -> dict[str, torch.Tensor]:
    """A part's tensors by their published names."""
    own = state_dict_shapes(part, config)
    return {theirs: torch.zeros(own[ours]) for ours, theirs in key_map(layout, part, config).items()}


def single_file(**sizes: object) -> dict[str, torch.Tensor]:
    """The tensors of a single file in CompVis' layout."""
    parts = [tensors("compvis", part, config) for part, config in (SIZES | sizes).items()]
    return {name: tensor for part in parts for name, tensor in part.items()}


def write_folder(folder: Path) -> Path:
    """Write a folder in diffusers' layout."""
    text, unet, vae = SIZES.values()
    settings = {
        "text_encoder/config": text_json(text),
        "unet/config": unet_json(unet, 8),
        "vae/config": vae_json(vae, 16),
        "scheduler/scheduler_config": scheduler_json("scaled_linear", "epsilon"),
    }
    for name, content in settings.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    for part, config in SIZES.items():
        stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        save_file(tensors("diffusers", part, config), folder / part / f"{stem}.safetensors")
    return folder
