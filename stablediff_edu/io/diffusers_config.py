"""The sizes of the three networks from a diffusers folder's config.json, or from the tensors' shapes.

In a single file nothing but the shapes of the tensors tells how large a network is.
"""

import re
from collections.abc import Mapping
from typing import Any

from stablediff_edu.errors import UserError
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import ATTENTION, PLAIN, UNetConfig

V1_NAME = "stable-diffusion-v1-5/stable-diffusion-v1-5"
PREDICTIONS = ("epsilon", "sample", "v_prediction")
SCALED: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SCHEDULES: dict[str, dict[str, Any]] = {  # ours -> diffusers'
    "scaled_linear": SCALED,
    "scaled_linear_zero_snr": SCALED | {"rescale_betas_zero_snr": True},
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
Json = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]


# dimensions of a text embedding -> whose U-Net reads such
OTHERS: dict[int | None, str] = {
    1024: "Stable Diffusion 2",
    1280: "Stable Diffusion XL's refiner",
    2048: "Stable Diffusion XL",
}


def check_kind(source: object, unet: Mapping[str, int], width: int | None = None, latent: int | None = None) -> None:
    """Raise UserError, saying whose weights they are, where the U-Net's inputs are not Stable Diffusion 1's.

    Args:
        unet: "context", "in_channels" and "out_channels", those that are known.
        width, latent: what the text encoder gives and the autoencoder makes, if that is known.
    """
    context = unet.get("context")
    whose, why = OTHERS.get(context, "another model's"), ""
    if context in OTHERS or width not in (None, context):
        why = f"reads text embeddings of {context} dimensions, not {768 if context in OTHERS else width}"
    for name, does in {"in_channels": "takes", "out_channels": "gives"}.items():
        if latent not in (None, unet.get(name)) and not why:
            whose = "an inpainting or otherwise changed model's"
            why = f"{does} {unet[name]} channels, not the {latent} of a latent"
    if why:
        raise UserError(
            f"These are {whose} weights: {source} does not fit, its U-Net {why}; this course builds Stable Diffusion "
            f"1: take its weights, such as {V1_NAME}."
        )


def inputs(shapes: Shapes) -> dict[str, int]:
    """Return what the shapes of tensors, by any published names, tell of a U-Net's inputs."""
    found = {}
    for name, shape in shapes.items():
        if name.endswith("attn2.to_k.weight"):
            found["context"] = shape[1]
        elif re.search(r"(^|diffusion_model\.)(input_blocks\.0\.0|conv_in)\.weight$", name):
            found["in_channels"] = shape[1]
    return found


# --- to diffusers' words ----------------------------------------------------------------------------------------------


def text_json(config: CLIPTextConfig) -> Json:
    """Return the text encoder's config.json."""
    return {
        "architectures": ["CLIPTextModel"],
        "dtype": "float32",  # to compute in, however the weights are stored: as diffusers does for the other two
        "model_type": "clip_text_model",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_size": config.hidden_size,
        "intermediate_size": 4 * config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": config.vocab_size - 2,
        "eos_token_id": config.vocab_size - 1,
        "pad_token_id": config.vocab_size - 1,
    }


def unet_json(config: UNetConfig, size: int) -> Json:
    """Return the U-Net's config.json; `size` is the side of the latents it was trained on."""
    up = [kind.replace("Down", "Up") for kind in reversed(config.down_block_types)]
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": size,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": list(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "down_block_types": list(config.down_block_types),
        "up_block_types": up,
        "attention_head_dim": config.num_attention_heads,  # which is diffusers' word for the number of heads
        "cross_attention_dim": config.cross_attention_dim,
        "norm_num_groups": config.norm_num_groups,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
    }


def vae_json(config: VAEConfig, size: int) -> Json:
    """Return the autoencoder's config.json; `size` is the side of the images it was trained on."""
    levels = len(config.block_out_channels)
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": size,
        "in_channels": config.in_channels,
        "out_channels": config.in_channels,
        "block_out_channels": list(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": config.latent_channels,
        "norm_num_groups": config.norm_num_groups,
        "scaling_factor": config.scaling_factor,
        "act_fn": "silu",
    }


def scheduler_json(schedule: str, prediction: str) -> Json:
    """Return scheduler_config.json, with the sampler of Stable Diffusion's schedule, or else with DPM++ (2M)."""
    pndm = dict(set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, clip_sample=False)
    dpmpp = dict(algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing", steps_offset=1)
    name, options = ("PNDM", pndm) if schedule == "scaled_linear" else ("DPMSolverMultistep", dpmpp)
    return {
        "_class_name": f"{name}Scheduler",
        **SCHEDULES[schedule],
        "num_train_timesteps": 1000,
        "prediction_type": prediction,
        **options,
    }


# --- from diffusers' words --------------------------------------------------------------------------------------------

# what a config.json may say as it likes: it changes no value of an image
IGNORED_KEYS = re.compile(
    r"architectures|dtype|sample_size|\w+_token_id|upcast_attention|force_upcast|dropout|addition_embed_type_num_heads"
    r"|use_linear_projection|_.+"
)
# what our networks do where an option has more values than on and off; every other option must be off
DONE: dict[str, dict[str, Any]] = {
    "unet": dict.fromkeys(["conv_in_kernel", "conv_out_kernel"], 3)
    | dict.fromkeys(["transformer_layers_per_block", "resnet_out_scale_factor"], 1)
    | dict.fromkeys(["resnet_time_scale_shift", "attention_type"], "default")
    | {"mid_block_type": "UNetMidBlock2DCrossAttn", "time_embedding_type": "positional"},
    "vae": dict.fromkeys(["use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"], True),
}


def from_json(source: object, text: Json, unet: Json, vae: Json, scheduler: Json) -> Json:
    """Return the arguments of `StableDiffusionConfig`, from the four files of a folder.

    Raises:
        UserError: they speak of another model, or of an option that this course does not build.
    """
    check_kind(source, {"context": one(unet.get("cross_attention_dim"))})
    try:
        config = {
            "text_encoder": read_text(text),
            "unet": read_unet(unet),
            "vae": read_vae(vae),
            **read_scheduler(source, scheduler),
        }
        config["size"] = int(unet.get("sample_size") or 64) * config["vae"].shrink
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"A config.json of {source} is not one of Stable Diffusion ({error}); get the folder again."
        ) from error
    check_config(source, config)
    known = text_json(config["text_encoder"])
    check_supported(f"{source}/text_encoder", {name: text[name] for name in known if name in text}, known)
    heads = {"num_attention_heads": config["unet"].num_attention_heads}
    check_supported(f"{source}/unet", unet, unet_json(config["unet"], 0) | heads | DONE["unet"])
    check_supported(f"{source}/vae", vae, vae_json(config["vae"], 0) | DONE["vae"])
    return config


def read_text(json: Json) -> CLIPTextConfig:
    """Read the text encoder's sizes; what is left out is as transformers has it."""
    usual = {"vocab_size": 49_408, "max_position_embeddings": 77, "hidden_size": 512, "num_hidden_layers": 12}
    usual["num_attention_heads"] = 8
    return CLIPTextConfig(*(int(json.get(name, value)) for name, value in usual.items()))


def read_unet(json: Json) -> UNetConfig:
    """Read the U-Net's sizes."""
    return UNetConfig(
        in_channels=int(json["in_channels"]),
        out_channels=int(json["out_channels"]),
        block_out_channels=tuple(map(int, json["block_out_channels"])),
        layers_per_block=int(one(json["layers_per_block"])),
        down_block_types=tuple(
            ATTENTION if kind.startswith("CrossAttn") else PLAIN for kind in json["down_block_types"]
        ),
        num_attention_heads=int(one(json.get("num_attention_heads") or json["attention_head_dim"])),
        cross_attention_dim=int(one(json["cross_attention_dim"])),
        norm_num_groups=int(json.get("norm_num_groups", 32)),
    )


def read_vae(json: Json) -> VAEConfig:
    """Read the autoencoder's sizes; old files do not tell the scaling, which is then the first model's."""
    return VAEConfig(
        in_channels=int(json["in_channels"]),
        block_out_channels=tuple(map(int, json["block_out_channels"])),
        layers_per_block=int(json["layers_per_block"]),
        latent_channels=int(json["latent_channels"]),
        norm_num_groups=int(json.get("norm_num_groups", 32)),
        scaling_factor=float(json.get("scaling_factor", 0.18215)),
    )


def read_scheduler(source: object, json: Json) -> Json:
    """Read what the U-Net was trained to predict, and on which schedule; what is left out is as diffusers has it."""
    usual = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "prediction_type": "epsilon"}
    fixed = {"num_train_timesteps": 1000, "trained_betas": None, "rescale_betas_zero_snr": False}
    json = usual | fixed | {name: value for name, value in json.items() if value is not None}
    for schedule in SCHEDULES:
        for prediction in PREDICTIONS:
            wanted = fixed | SCHEDULES[schedule] | {"prediction_type": prediction}
            if json | wanted == json:
                return {"schedule": schedule, "prediction": prediction}
    raise UserError(
        f"{source}/scheduler says {json['beta_schedule']} and {json['prediction_type']}, a schedule that this course "
        f"does not build; take weights of Stable Diffusion 1, such as {V1_NAME}."
    )


def one(value: Any) -> Any:
    """Return the element of a list whose elements are all the same; any other value as it is."""
    return value[0] if isinstance(value, list) and value and all(other == value[0] for other in value) else value


def check_supported(place: str, theirs: Json, ours: Json) -> None:
    """Raise UserError where a config.json asks for what our network, of the same sizes, does not do."""
    for name in sorted(theirs):
        value, off = one(theirs[name]), name not in ours and not theirs[name]
        if IGNORED_KEYS.fullmatch(name) or off or value is None or value == one(ours.get(name)):
            continue
        built = f"only {ours[name]}" if name in ours else "without it"
        raise UserError(
            f"{place}/config.json says {name}: {theirs[name]}, and this course builds {built}; take weights of Stable "
            f"Diffusion 1, such as {V1_NAME}."
        )


def check_config(source: object, config: Json) -> Json:
    """Return the sizes if the networks belong together as in Stable Diffusion 1."""
    unet = config["unet"]
    known = {"context": unet.cross_attention_dim, "in_channels": unet.in_channels, "out_channels": unet.out_channels}
    check_kind(source, known, config["text_encoder"].hidden_size, config["vae"].latent_channels)
    return config


# --- from shapes ------------------------------------------------------------------------------------------------------


def from_shapes(shapes: Shapes) -> Json:
    """Return the arguments of `StableDiffusionConfig` for a single file, from the shapes of its tensors.

    They do not tell the number of heads, the groups of the normalizations and the scaling: those are version 1's.

    Raises:
        KeyError: a tensor that tells a size is not there.
    """

    def width(name: str) -> int:
        return shapes[name][0]

    def count(pattern: str) -> int:
        return len({found[0] for name in shapes if (found := re.match(pattern, name))})

    text, unet, vae = "cond_stage_model.transformer.text_model.", "model.diffusion_model.", "first_stage_model."
    vocabulary, text_width = shapes[f"{text}embeddings.token_embedding.weight"]
    layers = count(rf"{re.escape(text)}encoder\.layers\.\d+\.")
    downs = sorted(
        int(found[1]) for name in shapes if (found := re.match(rf"{unet}input_blocks\.(\d+)\.0\.op\.weight", name))
    )
    step = downs[0] if downs else count(rf"{unet}input_blocks\.\d+\.")  # entries a level: its blocks and what follows
    first = [step * level + 1 for level in range(len(downs) + 1)]
    looks = [f"{unet}input_blocks.{n}.1.transformer_blocks.0.attn2.to_k.weight" for n in first]
    attention = f"{unet}middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    levels = count(rf"{vae}encoder\.down\.\d+\.")
    return {
        "text_encoder": CLIPTextConfig(
            vocabulary,
            width(f"{text}embeddings.position_embedding.weight"),
            text_width,
            layers,
            max(1, text_width // 64),
        ),
        "unet": UNetConfig(
            in_channels=shapes[f"{unet}input_blocks.0.0.weight"][1],
            out_channels=width(f"{unet}out.2.weight"),
            block_out_channels=tuple(width(f"{unet}input_blocks.{n}.0.in_layers.2.weight") for n in first),
            layers_per_block=step - 1,
            down_block_types=tuple(ATTENTION if name in shapes else PLAIN for name in looks),
            cross_attention_dim=shapes[attention][1],
        ),
        "vae": VAEConfig(
            in_channels=shapes[f"{vae}encoder.conv_in.weight"][1],
            block_out_channels=tuple(
                width(f"{vae}encoder.down.{level}.block.0.conv1.weight") for level in range(levels)
            ),
            layers_per_block=count(rf"{vae}encoder\.down\.0\.block\.\d+\."),
            latent_channels=width(f"{vae}post_quant_conv.weight"),
        ),
    }
