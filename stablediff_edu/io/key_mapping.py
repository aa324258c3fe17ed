"""The names of Stable Diffusion's tensors in the single file in which the CompVis group first published it (2021).

Our own names are those of diffusers' folders, so that these need no table. Each line of the tables below is a rule: the
beginning of our name, that of CompVis. What follows is the same in both, but for the names of `INNER`.
"""

import re
from typing import Any

import torch

from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.clip import CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel

MODELS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}
# how every name of a part begins in the single file
PREFIXES = {
    "text_encoder": "cond_stage_model.transformer.",
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
}
TEXT_MODEL = "text_model."  # begins the text encoder's names on disk; transformers 5 leaves it out, and so do we

# {n} counts the blocks of all levels through, and going down the changes of size; {k} is 2 behind attention, else 1
UNET = """
conv_in                               input_blocks.0.0
time_embedding.linear_1               time_embed.0
time_embedding.linear_2               time_embed.2
down_blocks.{i}.resnets.{j}           input_blocks.{n}.0
down_blocks.{i}.attentions.{j}        input_blocks.{n}.1
down_blocks.{i}.downsamplers.0.conv   input_blocks.{n}.0.op
mid_block.resnets.0                   middle_block.0
mid_block.attentions.0                middle_block.1
mid_block.resnets.1                   middle_block.2
up_blocks.{i}.resnets.{j}             output_blocks.{n}.0
up_blocks.{i}.attentions.{j}          output_blocks.{n}.1
up_blocks.{i}.upsamplers.0            output_blocks.{n}.{k}
conv_norm_out                         out.0
conv_out                              out.2
"""

# {r} counts the levels from the largest images, {i} those of the decoder from the smallest
VAE = """
encoder.down_blocks.{i}.resnets.{j}     encoder.down.{i}.block.{j}
encoder.down_blocks.{i}.downsamplers.0  encoder.down.{i}.downsample
encoder.mid_block.resnets.0             encoder.mid.block_1
encoder.mid_block.attentions.0          encoder.mid.attn_1
encoder.mid_block.resnets.1             encoder.mid.block_2
encoder.conv_norm_out                   encoder.norm_out
decoder.mid_block.resnets.0             decoder.mid.block_1
decoder.mid_block.attentions.0          decoder.mid.attn_1
decoder.mid_block.resnets.1             decoder.mid.block_2
decoder.up_blocks.{i}.resnets.{j}       decoder.up.{r}.block.{j}
decoder.up_blocks.{i}.upsamplers.0      decoder.up.{r}.upsample
decoder.conv_norm_out                   decoder.norm_out
"""
RULES = {
    part: [line.split() for line in table.split("\n") if line] for part, table in {"unet": UNET, "vae": VAE}.items()
}

# what follows the beginnings above: our name, that of CompVis
INNER = {
    "unet": {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    },
    "vae": {
        "conv_shortcut": "nin_shortcut",
        "group_norm": "norm",
        "to_q": "q",
        "to_k": "k",
        "to_v": "v",
        "to_out.0": "proj_out",
    },
}


def compvis_name(name: str, part: str, config: Any) -> str:
    """Return CompVis' name of a tensor that we call `name`, in a part with these sizes."""
    if part == "text_encoder":
        return PREFIXES[part] + TEXT_MODEL + name
    for ours, theirs in RULES[part]:
        if found := re.match(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", ours) + r"\.", name):
            module, _, kind = name[found.end() :].rpartition(".")
            rest = f"{INNER[part].get(module, module)}.{kind}".lstrip(".")
            indices = {letter: int(number) for letter, number in found.groupdict().items()}
            return PREFIXES[part] + theirs.format(**indices, **block_indices(ours, config, **indices)) + f".{rest}"
    return PREFIXES[part] + name


def block_indices(ours: str, config: Any, i: int = 0, j: int | None = None) -> dict[str, int]:
    """Return what {n}, {k} and {r} stand for at block j of level i; a change of size comes behind the last block."""
    levels, layers = len(config.block_out_channels), config.layers_per_block
    n = (layers + 1) * i + (layers if j is None else j) + ours.startswith("down")
    k = 1 + (ours.startswith("up") and config.attention[-1 - i])
    return {"n": n, "k": k, "r": levels - 1 - i}


def key_map(layout: str, part: str, config: Any) -> dict[str, str]:
    """Return our name -> that in `layout`, "diffusers" or "compvis", for each tensor of a part with these sizes."""
    prefix = TEXT_MODEL if part == "text_encoder" else ""
    return {
        name: compvis_name(name, part, config) if layout == "compvis" else prefix + name
        for name in state_dict_shapes(part, config)
    }


def state_dict_shapes(part: str, config: Any) -> dict[str, torch.Size]:
    """Return the shape of every tensor of a part by our names, without making any."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in MODELS[part](config).state_dict().items()}
