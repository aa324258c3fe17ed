"""The names of Stable Diffusion's tensors: the map between ours and the two layouts on disk.

"diffusers" is the layout of a folder with one file a part; "compvis" that of the single file in which the CompVis group
first published it (Rombach et al., 2021). Each line of the tables below is a rule: our name, that of diffusers, that of
CompVis (left out where the two agree). What is written in capitals stands for every line that begins with it and "=".
A part has a fixed list of tensors, so the way back is the list of `key_map` read from right to left.
"""

import re
from typing import Any

import torch

from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.clip import TextEncoder
from stablediff_edu.models.unet_2d_condition import ConditionalUNet, UNetConfig

MODELS = {"text_encoder": TextEncoder, "unet": ConditionalUNet, "vae": AutoencoderKL}
# how every name of a part begins in the single file
PREFIXES = dict(
    zip(MODELS, ("cond_stage_model.transformer.", "model.diffusion_model.", "first_stage_model."), strict=True)
)

TEXT_ENCODER = """
words                       text_model.embeddings.token_embedding
positions                   text_model.embeddings.position_embedding
blocks.{i}.BLOCK            text_model.encoder.layers.{i}.BLOCK
norm                        text_model.final_layer_norm
BLOCK=norm1                 layer_norm1
BLOCK=attention.query       self_attn.q_proj
BLOCK=attention.key         self_attn.k_proj
BLOCK=attention.value       self_attn.v_proj
BLOCK=attention.out         self_attn.out_proj
BLOCK=norm2                 layer_norm2
BLOCK=mlp.first             mlp.fc1
BLOCK=mlp.second            mlp.fc2
"""

# {n} counts the blocks of all levels through, and going down the changes of size; {k} is 2 behind a look, else 1
UNET = """
first                       conv_in                                input_blocks.0.0
time.0                      time_embedding.linear_1                time_embed.0
time.2                      time_embedding.linear_2                time_embed.2
down.{i}.blocks.{j}.BLOCK   down_blocks.{i}.resnets.{j}.BLOCK      input_blocks.{n}.0.BLOCK
down.{i}.looks.{j}.LOOK     down_blocks.{i}.attentions.{j}.LOOK    input_blocks.{n}.1.LOOK
down.{i}.resize             down_blocks.{i}.downsamplers.0.conv    input_blocks.{n}.0.op
middle.0.BLOCK              mid_block.resnets.0.BLOCK              middle_block.0.BLOCK
middle.1.LOOK               mid_block.attentions.0.LOOK            middle_block.1.LOOK
middle.2.BLOCK              mid_block.resnets.1.BLOCK              middle_block.2.BLOCK
up.{i}.blocks.{j}.BLOCK     up_blocks.{i}.resnets.{j}.BLOCK        output_blocks.{n}.0.BLOCK
up.{i}.looks.{j}.LOOK       up_blocks.{i}.attentions.{j}.LOOK      output_blocks.{n}.1.LOOK
up.{i}.resize.1             up_blocks.{i}.upsamplers.0.conv        output_blocks.{n}.{k}.conv
norm                        conv_norm_out                          out.0
last                        conv_out                               out.2
BLOCK=first_norm            norm1                                  in_layers.0
BLOCK=first                 conv1                                  in_layers.2
BLOCK=time                  time_emb_proj                          emb_layers.1
BLOCK=second_norm           norm2                                  out_layers.0
BLOCK=second                conv2                                  out_layers.3
BLOCK=shortcut              conv_shortcut                          skip_connection
LOOK=norm                   norm
LOOK=enter                  proj_in
LOOK=blocks.0.norm1         transformer_blocks.0.norm1
LOOK=blocks.0.attention.TO  transformer_blocks.0.attn1.TO
LOOK=blocks.0.norm_cross    transformer_blocks.0.norm2
LOOK=blocks.0.cross.TO      transformer_blocks.0.attn2.TO
LOOK=blocks.0.norm2         transformer_blocks.0.norm3
LOOK=blocks.0.mlp.first     transformer_blocks.0.ff.net.0.proj
LOOK=blocks.0.mlp.second    transformer_blocks.0.ff.net.2
LOOK=leave                  proj_out
TO=query                    to_q
TO=key                      to_k
TO=value                    to_v
TO=out                      to_out.0
"""

# {r} counts the levels from the largest images, {i} those of the decoder from the smallest
VAE = """
SIDE.first                  SIDE.conv_in
encoder.down.{i}.blocks.{j}.BLOCK  encoder.down_blocks.{i}.resnets.{j}.BLOCK    encoder.down.{i}.block.{j}.BLOCK
encoder.down.{i}.resize.1   encoder.down_blocks.{i}.downsamplers.0.conv         encoder.down.{i}.downsample.conv
SIDE.middle.0.BLOCK         SIDE.mid_block.resnets.0.BLOCK         SIDE.mid.block_1.BLOCK
SIDE.middle.1.LOOK          SIDE.mid_block.attentions.0.LOOK       SIDE.mid.attn_1.LOOK
SIDE.middle.2.BLOCK         SIDE.mid_block.resnets.1.BLOCK         SIDE.mid.block_2.BLOCK
decoder.up.{i}.blocks.{j}.BLOCK    decoder.up_blocks.{i}.resnets.{j}.BLOCK      decoder.up.{r}.block.{j}.BLOCK
decoder.up.{i}.resize.1     decoder.up_blocks.{i}.upsamplers.0.conv             decoder.up.{r}.upsample.conv
SIDE.norm                   SIDE.conv_norm_out                     SIDE.norm_out
SIDE.last                   SIDE.conv_out
quant                       quant_conv
post_quant                  post_quant_conv
SIDE=encoder                encoder
SIDE=decoder                decoder
BLOCK=first_norm            norm1
BLOCK=first                 conv1
BLOCK=second_norm           norm2
BLOCK=second                conv2
BLOCK=shortcut              conv_shortcut                          nin_shortcut
LOOK=norm                   group_norm                             norm
LOOK=attention.query        to_q                                   q
LOOK=attention.key          to_k                                   k
LOOK=attention.value        to_v                                   v
LOOK=attention.out          to_out.0                               proj_out
"""


def rules(text: str) -> list[tuple[str, ...]]:
    """Return the lines of a table as (ours, diffusers', CompVis'), the words in capitals written out."""
    lines = [line.split() for line in text.strip().splitlines()]
    lines = [(*line, line[-1])[:3] for line in lines]
    for word in ("SIDE", "BLOCK", "LOOK", "TO"):
        meant = [(first.removeprefix(f"{word}="), *others) for first, *others in lines if first.startswith(f"{word}=")]
        lines = [line for line in lines if not line[0].startswith(f"{word}=")]
        pairs = [(line, ends) for line in lines for ends in (meant if word in line[0] else [line])]
        lines = [tuple(name.replace(word, end) for name, end in zip(*pair, strict=True)) for pair in pairs]
    return lines


RULES = {"text_encoder": rules(TEXT_ENCODER), "unet": rules(UNET), "vae": rules(VAE)}


def key_map(layout: str, part: str, config: Any) -> dict[str, str]:
    """Return our name -> that in `layout`, "diffusers" or "compvis", for each tensor of a part with these sizes."""
    prefix, column = (PREFIXES[part], 1) if layout == "compvis" else ("", 0)
    return {name: prefix + map_key(name, part, config, column) for name in state_dict_shapes(part, config)}


def map_key(name: str, part: str, config: Any, column: int) -> str:
    """Return the name by the one rule that fits ours; "weight" and "bias" are what they are."""
    module, _, kind = name.rpartition(".")
    for ours, *theirs in RULES[part]:
        if found := re.fullmatch(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", ours), module):
            known = {letter: int(number) for letter, number in found.groupdict().items()}
            return f"{theirs[column].format(**known, **block_indices(ours, config, **known))}.{kind}"
    raise KeyError(name)


def block_indices(ours: str, config: Any, i: int = 0, j: int | None = None) -> dict[str, int]:
    """Return what {n}, {k} and {r} stand for at block j of level i; a change of size comes behind the last block."""
    if isinstance(config, UNetConfig):
        n = (config.blocks + 1) * i + (config.blocks if j is None else j) + ours.startswith("down")
        return {"n": n, "k": 1 + config.attention[-1 - i]}
    return {"r": len(config.widths) - 1 - i} if isinstance(config, VAEConfig) else {}


def state_dict_shapes(part: str, config: Any) -> dict[str, torch.Size]:
    """Return the shape of every tensor of a part by our names, without making any."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in MODELS[part](config).state_dict().items()}
