"""The map of names: one to one, the published lists for v1, and what diffusers' own converter makes of ours."""

import pytest
import torch
from parity import their_unet
from torch import nn

from stablediff_edu.io.diffusers_config import text_json, unet_json, vae_json
from stablediff_edu.io.key_mapping import MODELS, PREFIXES, key_map, state_dict_shapes
from stablediff_edu.models import autoencoder_kl as vae_model
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import V1 as UNET_V1
from stablediff_edu.models.unet_2d_condition import UNetConfig

import diffusers  # isort: skip
import transformers  # isort: skip
from diffusers.loaders import single_file_utils  # isort: skip

V1 = {"text_encoder": CLIPTextConfig(), "unet": UNET_V1, "vae": vae_model.V1}
TEXT = CLIPTextConfig(
    vocab_size=11, max_position_embeddings=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=4
)
TINY = {
    "text": ("text_encoder", TEXT),
    "unet": (
        "unet",
        UNetConfig(
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=2,
            cross_attention_dim=16,
            norm_num_groups=4,
        ),
    ),
    "unet, v1 narrow": (
        "unet",
        UNetConfig(
            block_out_channels=(8, 16, 24, 24), num_attention_heads=2, cross_attention_dim=16, norm_num_groups=4
        ),
    ),
    "unet, other levels look": (
        "unet",
        UNetConfig(
            block_out_channels=(8, 8, 16),
            layers_per_block=3,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            num_attention_heads=2,
            cross_attention_dim=5,
            norm_num_groups=4,
        ),
    ),
    "unet, one level": (
        "unet",
        UNetConfig(
            block_out_channels=(8,),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",),
            num_attention_heads=2,
            cross_attention_dim=5,
            norm_num_groups=4,
        ),
    ),
    "vae": ("vae", VAEConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)),
    "vae, v1 narrow": ("vae", VAEConfig(block_out_channels=(8, 16, 32, 32), norm_num_groups=8)),
    "vae, one level": (
        "vae",
        VAEConfig(block_out_channels=(8,), layers_per_block=3, norm_num_groups=4, latent_channels=3),
    ),
}
ALL = {f"v1 {part}": (part, config) for part, config in V1.items()} | TINY
MANY = 686, 248, 196  # tensors of v1's U-Net, VAE and text encoder


def theirs(part: str, config) -> nn.Module:
    """The same network as diffusers and transformers have it, without weights."""
    with torch.device("meta"):
        if part == "unet":
            return their_unet(config)
        if part == "vae":
            settings = {name: value for name, value in vae_json(config, 8).items() if name != "_class_name"}
            return diffusers.AutoencoderKL(**settings)
        return transformers.CLIPTextModel(transformers.CLIPTextConfig(**text_json(config)))


def published(part: str, config) -> dict[str, torch.Size]:
    """Names and shapes of their network's tensors as they are published."""
    found = {name: tensor.shape for name, tensor in theirs(part, config).state_dict().items()}
    if part != "text_encoder":
        return found
    # transformers 5 no longer says text_model, the published files do; position_ids are no weights
    return {
        "text_model." + name.removeprefix("text_model."): shape for name, shape in found.items() if "_ids" not in name
    }


@pytest.mark.parametrize(("part", "config"), ALL.values(), ids=ALL)
def test_in_a_folder_every_name_and_shape_is_that_of_diffusers(part, config):
    own = state_dict_shapes(part, config)
    assert {theirs: own[ours] for ours, theirs in key_map("diffusers", part, config).items()} == published(part, config)


@pytest.mark.parametrize("layout", ["diffusers", "compvis"])
@pytest.mark.parametrize(("part", "config"), ALL.values(), ids=ALL)
def test_no_two_tensors_get_one_name(part, config, layout):
    table = key_map(layout, part, config)
    assert list(table) == list(state_dict_shapes(part, config)) and len(set(table.values())) == len(table)


@pytest.mark.parametrize("layout", ["diffusers", "compvis"])
def test_v1_has_as_many_tensors_as_are_published(layout):
    assert tuple(len(key_map(layout, part, V1[part])) for part in ("unet", "vae", "text_encoder")) == MANY


def compvis_tensors(part: str, config, seed: int = 0) -> tuple[dict, dict]:
    """Our random tensors, and the same under the names and with the shapes of CompVis."""
    rng = torch.Generator().manual_seed(seed)
    own = {name: torch.randn(shape, generator=rng) for name, shape in state_dict_shapes(part, config).items()}
    convolved = {
        name: tensor[..., None, None] if part == "vae" and ".attentions.0.to_" in name and tensor.ndim == 2 else tensor
        for name, tensor in own.items()
    }
    return own, {theirs: convolved[ours] for ours, theirs in key_map("compvis", part, config).items()}


def converted(part: str, tensors: dict, config) -> dict[str, torch.Tensor]:
    """What diffusers makes of a part of a single file."""
    if part == "unet":
        return single_file_utils.convert_ldm_unet_checkpoint(dict(tensors), unet_json(config, 8))
    if part == "vae":
        return single_file_utils.convert_ldm_vae_checkpoint(dict(tensors), vae_json(config, 8))
    return single_file_utils.convert_ldm_clip_checkpoint(dict(tensors))


@pytest.mark.parametrize(("part", "config"), TINY.values(), ids=TINY)
def test_diffusers_converter_makes_the_same_tensors_of_our_single_file(part, config):
    own, tensors = compvis_tensors(part, config)
    found = converted(part, tensors, config)
    wanted = key_map("diffusers", part, config)
    assert found.keys() == set(wanted.values())
    for ours, theirs in wanted.items():
        assert torch.equal(found[theirs], own[ours]), theirs


@pytest.mark.parametrize("part", V1)
def test_diffusers_converter_reads_every_name_of_v1(part):
    class Named:
        """Stands for a tensor, of which the converter of the autoencoder wants to know the shape."""

        def __init__(self, name: str, shape: torch.Size) -> None:
            self.name, self.shape, self.ndim = name, shape, len(shape)

    own = state_dict_shapes(part, V1[part])
    tensors = {theirs: Named(ours, own[ours]) for ours, theirs in key_map("compvis", part, V1[part]).items()}
    found = converted(part, tensors, V1[part])
    assert {tensor.name: theirs for theirs, tensor in found.items()} == key_map("diffusers", part, V1[part])


# one of each kind, and the places that are easily got wrong, as public lists of the tensors of v1 have them
KNOWN = {
    "time_embedding.linear_2.bias": "model.diffusion_model.time_embed.2.bias",
    "conv_in.weight": "model.diffusion_model.input_blocks.0.0.weight",
    "down_blocks.0.resnets.0.time_emb_proj.weight": "model.diffusion_model.input_blocks.1.0.emb_layers.1.weight",
    "down_blocks.0.downsamplers.0.conv.weight": "model.diffusion_model.input_blocks.3.0.op.weight",
    "down_blocks.2.attentions.1.transformer_blocks.0.ff.net.0.proj.weight": (
        "model.diffusion_model.input_blocks.8.1.transformer_blocks.0.ff.net.0.proj.weight"
    ),
    "down_blocks.3.resnets.1.conv2.weight": "model.diffusion_model.input_blocks.11.0.out_layers.3.weight",
    "mid_block.attentions.0.proj_in.weight": "model.diffusion_model.middle_block.1.proj_in.weight",
    "up_blocks.0.upsamplers.0.conv.weight": "model.diffusion_model.output_blocks.2.1.conv.weight",
    "up_blocks.1.upsamplers.0.conv.weight": "model.diffusion_model.output_blocks.5.2.conv.weight",
    "up_blocks.2.resnets.0.conv_shortcut.weight": "model.diffusion_model.output_blocks.6.0.skip_connection.weight",
    "up_blocks.3.attentions.2.transformer_blocks.0.norm2.bias": (
        "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm2.bias"
    ),
    "conv_norm_out.weight": "model.diffusion_model.out.0.weight",
    "conv_out.bias": "model.diffusion_model.out.2.bias",
    "encoder.mid_block.attentions.0.to_q.weight": "first_stage_model.encoder.mid.attn_1.q.weight",
    "encoder.down_blocks.0.downsamplers.0.conv.weight": "first_stage_model.encoder.down.0.downsample.conv.weight",
    "decoder.up_blocks.0.upsamplers.0.conv.weight": "first_stage_model.decoder.up.3.upsample.conv.weight",
    "decoder.up_blocks.3.resnets.0.conv_shortcut.weight": "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight",
    "quant_conv.weight": "first_stage_model.quant_conv.weight",
    "embeddings.token_embedding.weight": "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "encoder.layers.11.self_attn.out_proj.bias": (
        "cond_stage_model.transformer.text_model.encoder.layers.11.self_attn.out_proj.bias"
    ),
}


def test_v1s_names_in_the_single_file_are_those_known():
    table = {ours: theirs for part in MODELS for ours, theirs in key_map("compvis", part, V1[part]).items()}
    for part in ("vae", "unet"):  # first, last and norm are in more than one part
        table |= key_map("compvis", part, V1[part])
    assert {ours: table[ours] for ours in KNOWN} == KNOWN
    assert all(any(name.startswith(prefix) for prefix in PREFIXES.values()) for name in table.values())
